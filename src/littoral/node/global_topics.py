"""The parts of a hub that let messages of global topics travel, put together."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING

from littoral.core.errors import LittoralError
from littoral.core.mqtt_limits import MQTT_GLOBAL_BYTES
from littoral.core.names import StreamName
from littoral.core.resources import GlobalTopics, topic_matches
from littoral.fleet.global_relay import GlobalRelay, way_of
from littoral.iot.global_delivery import GlobalDelivery
from littoral.iot.global_records import Way, open_tree_stream, published_name, tree_stream
from littoral.node.hub_metrics import global_message_metrics
from littoral.store.folder import Folder
from littoral.store.stream import StreamInfo
from littoral.telemetry.metrics import Family

if TYPE_CHECKING:
    from littoral.node.hub import Hub

RETRY_S = 1.0
"""After a disk that took nothing."""


class GlobalMessages:
    """Of one hub."""

    def __init__(self, hub: "Hub", relay: GlobalRelay) -> None:
        """hub: with its store, desired state, uplink and broker made."""
        self._hub = hub
        self._relay = relay
        self._delivery = GlobalDelivery(hub.store, hub.broker, hub.seams.clock, hub.limits)
        self._placed: list[GlobalTopics] = []
        """Those whose messages leave this node, by name."""
        self._changed = asyncio.Event()
        self._firsts: dict[StreamName, int] = {}
        """Of this node's streams `mqtt/NAME`, the oldest offset that was there when they were looked at."""
        self.dropped = 0
        """Messages that had to make room before the parent had them."""
        for info in hub.store.streams():
            self._note(info)
        hub.store.watch(self._note)
        hub.broker.way_of = self.way
        self.refresh()

    @property
    def delivered(self) -> int:
        """Messages of other nodes that reached this node's sessions."""
        return self._delivery.delivered

    def way(self, topic: str) -> Way | None:
        """By which messages of a topic leave this node; where several GlobalTopics name it, by the first by name."""
        for each in self._placed:
            if any(topic_matches(topic_filter, topic) for topic_filter in each.spec.topics):
                return way_of(each, self._hub.limits)
        return None

    def refresh(self) -> None:
        """The desired state has changed."""
        desired = self._hub.desired
        placed = [each for each in desired.topics.values() if self._leaves(each)]
        if placed != self._placed:
            self._placed = placed
            self._hub.broker.routes_changed()
        self._changed.set()

    def _leaves(self, resource: GlobalTopics) -> bool:
        """Whether messages of its topics leave this node. Nobody is above the root."""
        is_root = self._hub.config.spec.parent is None
        return self._hub.desired.is_here(resource.spec.placement) and not (is_root and resource.spec.to == "root")

    def work(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """What is to run in the background, by name."""
        hub = self._hub
        yield "fold global messages", Folder(hub.store, self._relay, hub.limits, hub.seams.clock.wall_ms).run()
        yield "deliver global messages", self._delivery.run()
        yield "open global streams", self._open()

    async def _open(self) -> None:
        """Have the streams that children follow, before anything is in them: who begins to follow a stream later has what was
        retained, and of the rest what comes from then on."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = [each for each in self._hub.desired.topics.values() if each.spec.to == "tree"]
            for each in wanted:
                way = way_of(each, self._hub.limits)
                if self._hub.store.stream(tree_stream(self._hub.name, way.name)) is None:
                    await self._open_one(way)

    async def _open_one(self, way: Way) -> None:
        try:
            await self._hub.store.submit(lambda tx: open_tree_stream(tx, way))
        except LittoralError as error:
            self._hub.warn(str(error))
            await asyncio.sleep(RETRY_S)
            self._changed.set()

    def _note(self, info: StreamInfo) -> None:
        """Count what retention takes before the parent has it."""
        name = info.name
        if name.origin != self._hub.name or published_name(name.path) is None:
            return
        before = self._firsts.get(name, info.first)
        self._firsts[name] = info.first
        uplink = self._hub.uplink
        if uplink is not None and info.first > before and uplink.outbox.stream_id(name) is not None:
            dropped = info.first - max(before, uplink.outbox.mark(name))
            if dropped > 0:
                self._hub.limits.hit(MQTT_GLOBAL_BYTES)
                self.dropped += dropped

    def _waiting(self) -> int:
        uplink = self._hub.uplink
        if uplink is None:
            return 0
        found = 0
        for name in self._firsts:
            info = self._hub.store.stream(name)
            if info is not None and uplink.outbox.stream_id(name) is not None:
                found += max(0, info.next - max(info.first, uplink.outbox.mark(name)))
        return found

    def metrics(self) -> Iterator[Family]:
        """What travels."""
        return global_message_metrics(
            waiting=self._waiting(),
            relayed=self._relay.relayed,
            delivered=self.delivered,
            dropped=self.dropped,
            missed=self._relay.missed + self._delivery.missed,
        )
