"""All of a hub that calls its apps besides clients, wired together."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.apps import PlacedApp
from littoral.functions.event_messages import Rpc
from littoral.functions.hub.bindings import BindingHandler
from littoral.functions.hub.runtime import FunctionRuntime
from littoral.functions.messages import BindingCall
from littoral.node.analytics_desk import AnalyticsDesk
from littoral.node.app_events import AppEvents
from littoral.node.binding_api import Performer
from littoral.node.binding_messages import FIND
from littoral.node.cron import CronDesk
from littoral.node.event_api import EventApi
from littoral.node.event_metrics import cron_metrics, queue_metrics
from littoral.node.queue_desk import QueueDesk
from littoral.node.service_desk import ServiceDesk
from littoral.store.store import Store
from littoral.telemetry.metrics import Family

BY_HUB = -1
"""Among the indexes of gateways: the hub calls apps, too."""


class EventParts:
    """The callers of a node's apps."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        limits: Limits,
        runtime: FunctionRuntime,
        failed: Callable[[BaseException], None],
    ) -> None:
        """failed: receives errors that are faults of ours."""
        load = partial(runtime.load, BY_HUB)
        self._parting = runtime.parting
        self.calls = AppEvents(runtime.sockets, runtime.kill, limits, random, failed, runtime.want, load)
        runtime.listeners.append(self.calls.workers)
        self.crons = CronDesk(store, clock, random, limits, self.calls, failed)
        self.queues = QueueDesk(store, clock, random, limits, self.calls, failed)
        self.services = ServiceDesk(self.calls, random, limits)
        self.analytics = AnalyticsDesk(store, clock, limits)
        self.api = EventApi(self.crons, self.queues)
        self.bindings: Mapping[str, BindingHandler] = {
            "queue": self.queues.answer,
            "service": self.services.answer,
            "analytics": self.analytics.answer,
        }
        """What answers the calls of apps, by kind of binding."""
        self.performers: Mapping[str, Performer] = {
            "queue": self._queue,
            "service": self._service,
            "analytics": self.analytics.perform,
        }
        """What does the same for an operator."""

        self.always: frozenset[str] = frozenset()
        """Apps that the node itself calls."""

    def apply(self, apps: Iterable[PlacedApp], wanted: Collection[str]) -> None:
        """Call exactly these apps; wanted: the names of those that belong here, also where they do not run yet."""
        placed = list(apps)
        # What they have begun needs what they are bound to; nobody calls them any more.
        parting = [pool.app for pool in self._parting.values()]
        self.services.apply(placed, parting)
        self.analytics.apply([*placed, *parting])
        called = {app.name for app in placed if app.crons or app.queues.consumers}
        self.calls.apply(placed, called | set(self.services.called()) | self.always)
        self.crons.apply(placed, wanted)
        self.queues.apply(placed, parting)

    async def _queue(self, app: str, call: BindingCall) -> None:
        if call.operation == FIND:
            self.queues.check(call.namespace)
        else:
            await self.queues.perform(call)

    async def _service(self, app: str, call: BindingCall) -> Any:
        if call.operation == FIND:
            self.services.check(call.namespace, app)
            return None
        try:
            (body,) = msgspec.convert(call.arguments, tuple[bytes])
            rpc = msgspec.msgpack.decode(body, type=Rpc)
        except UNDECODABLE as error:
            raise InvalidInput("call service", call.namespace, f"this is no call ({error})") from error
        return await self.services.perform(call.namespace, rpc, app)

    def metrics(self) -> Iterator[Family]:
        """What is counted of them."""
        yield from cron_metrics(self.crons.statuses())
        yield from queue_metrics(self.queues.statuses())

    async def stop(self) -> None:
        """Call nobody any more."""
        await self.crons.stop()
        await self.queues.stop()
        await self.calls.stop()
