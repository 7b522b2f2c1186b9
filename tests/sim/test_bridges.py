"""A bridge between two brokers whose power goes, and a line between them that is cut: every message comes over, one of QoS 2 once."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from littoral.core.errors import LittoralError
from littoral.core.resources.mqtt_bridge import MqttBridgeTopic
from littoral.iot.bridge import Bridge
from littoral.iot.bridge_names import bridge_client
from littoral.iot.bridge_session import BridgeSession
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.iot.bridge_topics import BridgeTopics
from littoral.node.bridge_memory import BridgeMemory, Remembered
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from littoral.testing.store import SimStore
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.mqtt_peer import MemoryWay, Peer
from tests.support.mqtt_site import LIMIT_S, TEND_EVERY_S, MqttSite

MESSAGES = 40
"""In each direction, at each QoS."""
NAME, LINEAGE = "up", "a"
TOPICS = BridgeTopics(
    [
        MqttBridgeTopic(filter="out/#", direction="out", qos=2, remote_prefix="a/"),
        MqttBridgeTopic(filter="in/#", direction="in", qos=2, remote_prefix="b/"),
    ]
)


class Line:
    """The bridge of one site to another, begun anew whenever it or one of them has ended. Implements `Way` and `BridgeHost`, and is a
    client of the other site's broker as a `Peer` is."""

    def __init__(self, here: MqttSite, there: MqttSite, level: int) -> None:
        self._here, self._there, self._level = here, there, level
        self.counters = BridgeCounters()
        self._way: MemoryWay | None = None
        self._bridge: Bridge | None = None
        self._brokers = (here.broker, there.broker)
        self._beginning: asyncio.Task[None] | None = None
        self._begun = False

    def tend(self) -> None:
        """Connect, unless it is connected."""
        brokers = (self._here.broker, self._there.broker)
        if brokers[0] is not self._brokers[0]:
            # The process is gone, and the bridge with it; nobody says goodbye.
            self._cut(tell=False)
            self._begun = False
            if self._beginning is not None:
                self._beginning.cancel()
                self._beginning = None
        elif brokers[1] is not self._brokers[1]:
            self._cut(tell=True)
        self._brokers = brokers
        if not self._begun:
            if self._beginning is None:
                self._beginning = asyncio.get_running_loop().create_task(self._begin())
        elif self._bridge is None:
            self._connect()

    def cut(self) -> None:
        """The line is cut; both sides hear of it."""
        self._cut(tell=True)

    async def _begin(self) -> None:
        later = asyncio.get_running_loop().call_soon
        try:
            if self._here.broker.sessions.get(bridge_client(NAME)) is None:
                BridgeMemory(self._here.sim.disk).forget(NAME)
            await BridgeSession(self._here.broker, NAME, "", later).begin(TOPICS.here)
        except LittoralError:
            self._beginning = None
            return
        self._begun, self._beginning = True, None

    def _connect(self) -> None:
        known = BridgeMemory(self._here.sim.disk).get(NAME)
        terms = BridgeTerms(
            name=NAME,
            address="b:1883",
            topics=TOPICS,
            level=self._level,
            client_id="a-up",
            node=LINEAGE,
            keep_alive_s=60,
            begins_anew=known is None,
            known=known.filters if known is not None else frozenset(),
            subscribed=known.subscribed if known is not None else {},
        )
        later = asyncio.get_running_loop().call_soon
        self._bridge = Bridge(terms, self._here.broker, "", self.counters, self, self, later)
        # What MemoryWay needs of a peer is `hear` and `closed`.
        self._way = MemoryWay(self._there.broker, self)  # type: ignore[arg-type]
        self._bridge.begin()

    def _cut(self, *, tell: bool) -> None:
        way, self._way = self._way, None
        bridge, self._bridge = self._bridge, None
        if way is not None:
            # A broker that is gone hears nothing.
            end = way.drop if way._connection._broker is self._there.broker else way.cut
            end()
        if bridge is not None and tell:
            bridge.lost("")

    # The other broker's client

    def hear(self, data: bytes) -> None:
        if self._bridge is not None:
            self._bridge.receive(data)

    # Way

    def write(self, data: bytes) -> None:
        if self._way is not None:
            self._way.send(data)

    def pause(self) -> None:
        """Packets here are few."""

    def resume(self) -> None:
        """See `pause`."""

    def close(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            # What was written arrives before the end does.
            asyncio.get_running_loop().call_later(0.002, way.drop)

    # BridgeHost

    def remember(self, filters: frozenset[str], subscribed: Mapping[str, int]) -> None:
        remembered = Remembered("b:1883", "a-up", LINEAGE, filters, dict(subscribed))
        BridgeMemory(self._here.sim.disk).put(NAME, remembered)

    def opened(self, error: LittoralError | None) -> None:
        assert error is None

    def closed(self, end: object) -> None:
        """The bridge's, or its way's."""
        bridge, self._bridge = self._bridge, None
        if isinstance(end, MemoryWay) and bridge is not None:
            bridge.lost("")


class Pair:
    """Both sites and the line."""

    def __init__(self, level: int, *peers: list[Peer]) -> None:
        self.here, self.there = (MqttSite(SimStore(name), *found) for name, found in zip("ab", peers, strict=True))
        self.line = Line(self.here, self.there, level)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                self.here.tend()
                self.there.tend()
                self.line.tend()
                if condition():
                    return
                await asyncio.sleep(TEND_EVERY_S)

    async def wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        await self.until(lambda: loop.time() >= end_s)

    async def stop(self) -> None:
        self.line.cut()
        for site in (self.here, self.there):
            await site.stop()
            await site.sim.close()


def _has(peer: Peer, payloads: set[bytes]) -> bool:
    return payloads <= set(peer.payloads)


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_every_message_comes_over_and_one_of_qos_2_once_whatever_ends_meanwhile(seed: int, level: int):
    async def main() -> None:
        random = SeededRandom(seed).fork("bridge")
        writer, reader = Peer("writer", 5), Peer("reader", 5, "in/#")
        other_writer, other_reader = Peer("writer", 4), Peer("reader", 4, "a/out/#")
        pair = Pair(level, [writer, reader], [other_writer, other_reader])
        await pair.until(lambda: all(each.idle for each in (writer, reader, other_writer, other_reader)))
        await pair.until(lambda: pair.line.counters.connections > 0)
        for number in range(MESSAGES):
            for qos in (1, 2):
                writer.publish(f"out/{qos}", b"%d at %d" % (number, qos), qos)
                other_writer.publish(f"b/in/{qos}", b"%d at %d" % (number, qos), qos)
            await pair.wait(random.uniform(0.0, 0.03))
            what = int(random.uniform(0, 12))
            if what == 0:
                pair.here.sim.cut_power()
            elif what == 1:
                pair.there.sim.cut_power()
            elif what in (2, 3):
                pair.line.cut()
        everything = {b"%d at %d" % (number, qos) for number in range(MESSAGES) for qos in (1, 2)}
        for found in (reader, other_reader):
            await pair.until(partial(_has, found, everything))
            assert set(found.payloads) == everything
            assert [each for each, count in Counter(found.payloads).items() if count > 1 and each.endswith(b"2")] == []
            assert found.faults == []
        await pair.until(lambda: all(each.idle for each in (writer, other_writer, reader, other_reader)))
        await pair.stop()

    run(main, seed)
