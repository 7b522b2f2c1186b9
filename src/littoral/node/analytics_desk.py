"""Data points that apps write: records of the stream `analytics/DATASET` of their node, which goes up the tree as others do."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, InvalidInput
from littoral.core.event_limits import ANALYTICS_POINTS
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.apps import PlacedApp
from littoral.functions.messages import BindingCall
from littoral.node.binding_messages import FIND
from littoral.store.store import Store
from littoral.store.transaction import Transaction

ANALYTICS = "analytics"


class DataPoint(Struct, frozen=True):
    """One record, JSON."""

    timestamp_ms: int
    """When the node took it, ms since the epoch."""
    app: str
    indexes: list[str]
    blobs: list[str]
    doubles: list[float]


class AnalyticsDesk:
    """Answers the calls of kind "analytics"."""

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._datasets: dict[str, frozenset[str]] = {}

    def apply(self, apps: Iterable[PlacedApp]) -> None:
        """Exactly these apps write."""
        self._datasets = {app.name: frozenset(each.dataset for each in app.datasets) for app in apps}

    async def answer(self, app: str, call: BindingCall) -> Any:
        """See BindingHandler. Returns when the points are on disk."""
        if call.namespace not in self._datasets.get(app, frozenset()):
            raise Forbidden(
                "write to dataset",
                call.namespace,
                f"app {app} has no binding for it",
                "Add it under spec.datasets of the app",
            )
        await self.perform(app, call)

    async def perform(self, app: str, call: BindingCall) -> None:
        """Write for one who may; app: who the points say it was. Raises LittoralError."""
        if call.operation == FIND:
            # Whoever writes to it makes it.
            return
        try:
            (points,) = msgspec.convert(call.arguments, tuple[list[tuple[list[str], list[str], list[float]]]])
        except UNDECODABLE as error:
            raise InvalidInput("write to dataset", call.namespace, f"this is no data point ({error})") from error
        if len(points) > self._limits[ANALYTICS_POINTS]:
            self._limits.hit(ANALYTICS_POINTS)
            cause = f"{len(points)} data points at once; at most {self._limits[ANALYTICS_POINTS]} are allowed"
            raise InvalidInput("write to dataset", call.namespace, cause)
        now_ms = self._clock.wall_ms()
        records = [msgspec.json.encode(DataPoint(now_ms, app, *point)) for point in points]
        name = StreamName(self._store.node, f"{ANALYTICS}/{call.namespace}")

        def append(tx: Transaction) -> None:
            tx.open_stream(name, lane="telemetry")
            tx.append(name, records)

        await self._store.submit(append)
