"""Clients that come, go, publish and answer as they like, and a broker that restarts, beside a model of what everybody is owed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from littoral.core.resources import topic_matches
from littoral.testing.loop import SimLoop
from littoral.testing.random import SeededRandom, seeded_sqlite
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.mqtt_peer import MemoryWay, Peer
from tests.support.mqtt_promises import numbered
from tests.support.mqtt_site import MqttSite
from tests.support.stores import SimStore

T = TypeVar("T")

SETTLED_S = 0.3
"""Virtual: by then everything has been answered, and what is written late is on disk."""
HANDS = [("one", MQTT_3_1_1), ("two", MQTT_5), ("three", MQTT_5)]
TOPICS = ["t/0", "t/1"]
FILTERS = ["t/0", "t/+", "#"]
BEGIN_WITH = [("#", 2), ("t/0", 1), ("t/+", 2)]

hands = st.integers(0, len(HANDS) - 1)
topics = st.sampled_from(TOPICS)
qos_levels = st.sampled_from([2, 1, 0])
kept_qos_levels = st.sampled_from([2, 1])
moments_s = st.sampled_from([0.0015, 0.003, 0.0005, 0.006])
"""How long after something it breaks off: a packet takes 1 ms, its answer as long, and the disk takes its time between them."""


class Hand(Peer):
    """A client that answers what it is sent when it is told to."""

    def __init__(self, name: str, level: int) -> None:
        super().__init__(name, level)
        self.subscriptions: dict[str, int] = {}
        self.answers: list[mqtt.Packet] = []
        """What it has not sent yet."""
        self._asked: dict[str, int] = {}

    def connect_anew(self, way: MemoryWay, *, fresh: bool) -> None:
        """fresh: without the session of before."""
        self.answers.clear()
        if fresh:
            self._sent.clear()
            self.subscriptions.clear()
            self.received.clear()
            self._known = False
        self.clean = fresh
        self.connect(way)

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Ask for it."""
        self._asked = {topic_filter: qos}
        self._put(mqtt.Subscribe(60_000, (mqtt.Subscription(topic_filter, qos),)))

    def unsubscribe(self, topic_filter: str) -> None:
        """Take it back."""
        self._asked = {topic_filter: -1}
        self._put(mqtt.Unsubscribe(60_001, (topic_filter,)))

    def answer(self, index: int) -> None:
        """Send one of the answers."""
        packet = self.answers.pop(index % len(self.answers))
        if isinstance(packet, mqtt.PubComp):
            self._held.discard(packet.packet_id)
        self._put(packet)

    def qos_of(self, topic: str) -> int:
        """At which it is subscribed to a topic; -1 where it is not."""
        return max((qos for each, qos in self.subscriptions.items() if topic_matches(each, topic)), default=-1)

    @property
    def unacknowledged(self) -> list[mqtt.Publish]:
        """What it sends again when it is back."""
        return [each for each in self._sent.values() if isinstance(each, mqtt.Publish)]

    def _take(self, packet: mqtt.Packet) -> None:
        if isinstance(packet, mqtt.PubRel):
            self.answers.append(mqtt.PubComp(packet.packet_id))
        elif isinstance(packet, mqtt.SubAck):
            self.subscriptions |= self._asked
        elif isinstance(packet, mqtt.UnsubAck):
            for each in self._asked:
                self.subscriptions.pop(each, None)
        else:
            super()._take(packet)
            if isinstance(packet, mqtt.ConnAck):
                self._known, self.clean = True, False

    def _receive(self, packet: mqtt.Publish) -> None:
        number = packet.packet_id
        if packet.qos == 1:
            self.received.append(packet)
            self.answers.append(mqtt.PubAck(number or 0))
        elif packet.qos == 2:
            if number not in self._held:
                self._held.add(number or 0)
                self.received.append(packet)
            self.answers.append(mqtt.PubRec(number or 0))
        else:
            self.received.append(packet)


class BrokerMachine(RuleBasedStateMachine):
    """The model: `owed` must come, nothing but `allowed` may, and the retained message of a topic is one of `retained`."""

    def __init__(self) -> None:
        super().__init__()
        self._sqlite = seeded_sqlite(SeededRandom(0).fork("sqlite"))
        self._sqlite.__enter__()
        self.loop = SimLoop()
        self.numbers = 0
        self.topic_of: dict[bytes, str] = {}
        self.retains: dict[bytes, str] = {}
        """Topics of those that were published to be retained."""
        self.retained: dict[str, set[bytes]] = {topic: {b""} for topic in TOPICS}
        """More than one where a crash or a repetition came between."""

    def play(self, story: Coroutine[None, None, T]) -> T:
        """In virtual time."""
        return self.loop.run_until_complete(story)

    @initialize()
    def begin(self) -> None:
        async def opened() -> None:
            self.sim = SimStore("plant-a")
            self.hands = [Hand(*each) for each in HANDS]
            self.site = MqttSite(self.sim, *self.hands)
            self.site.away.update(self.hands)

        self.play(opened())
        self.owed: dict[Hand, set[bytes]] = {hand: set() for hand in self.hands}
        self.allowed: dict[Hand, set[bytes]] = {hand: set() for hand in self.hands}
        self.candidates: dict[bytes, set[Hand]] = {}
        """Who is owed a message as soon as its publisher is told that the broker has it."""
        for hand, (topic_filter, qos) in zip(self.hands, BEGIN_WITH, strict=True):
            self._connect(hand)
            hand.subscribe(topic_filter, qos)
            self._settle()

    # --- What may happen

    @rule(number=hands)
    def lose_connection(self, number):
        self._do(self.hands[number].leave)
        self._settle()

    @rule(number=hands, fresh=st.booleans())
    def connect_or_take_over(self, number, fresh):
        hand = self.hands[number]
        fresh = fresh and hand.level == MQTT_5
        if fresh:
            for payload in [each.payload for each in hand.unacknowledged]:
                self.candidates.pop(payload, None)
            for waiting in self.candidates.values():
                waiting.discard(hand)
            self.owed[hand].clear()
            self.allowed[hand].clear()
        self._connect(hand, fresh=fresh)

    @rule(number=hands, topic_filter=st.sampled_from(FILTERS), qos=qos_levels)
    def subscribe(self, number, topic_filter, qos):
        hand = self._present(number)
        hand.subscribe(topic_filter, qos)
        self._settle()
        assert hand.subscriptions[topic_filter] == qos
        self._owe_less(hand)

    @rule(number=hands, topic_filter=st.sampled_from(FILTERS))
    def unsubscribe(self, number, topic_filter):
        hand = self._present(number)
        hand.unsubscribe(topic_filter)
        self._settle()
        assert topic_filter not in hand.subscriptions
        self._owe_less(hand)

    @rule(number=hands, topic=topics, qos=qos_levels, retain=st.booleans(), count=st.integers(1, 4))
    def publish(self, number, topic, qos, retain, count):
        hand = self._present(number)
        for _ in range(count):
            payload = self._publish(hand, topic, qos, retain=retain)
        self._settle()
        if retain:
            self.retained[topic] = {payload}

    @rule(number=hands, topic=topics)
    def end_retained(self, number, topic):
        self._present(number)._put(mqtt.Publish(topic, b"", 0, retain=True))
        self._settle()
        self.retained[topic] = {b""}

    @rule(number=hands, topic=topics, qos=kept_qos_levels, retain=st.booleans(), after_s=moments_s)
    def lose_power_while_publishing(self, number, topic, qos, retain, after_s):
        hand = self._present(number)
        payload = self._publish(hand, topic, qos, retain=retain)
        self._cut_power(after_s)
        if retain:
            before = set() if payload in hand.promised else self.retained[topic]
            self.retained[topic] = {payload} | before

    @rule(number=hands, topic=topics, qos=kept_qos_levels, after_s=moments_s)
    def lose_connection_while_publishing(self, number, topic, qos, after_s):
        hand = self._present(number)
        self._publish(hand, topic, qos, retain=False)
        self.play(asyncio.sleep(after_s))
        self._do(hand.leave)
        self._settle()

    @rule(number=hands, index=st.integers(0, 20), count=st.integers(1, 5))
    def answer(self, number, index, count):
        hand = self._present(number)
        for _ in range(count):
            if hand.answers:
                hand.answer(index)
        self._settle()

    @rule(number=hands, index=st.integers(0, 20), after_s=moments_s)
    def lose_power_while_answering(self, number, index, after_s):
        hand = self._present(number)
        if hand.answers:
            hand.answer(index)
        self._cut_power(after_s)

    @rule()
    def restart(self):
        async def again() -> None:
            await self.site.sessions.finish()
            await self.sim.close()

        self.play(again())
        self._settle()

    # --- What must be so

    @invariant()
    @precondition(lambda self: hasattr(self, "hands"))
    def the_promises_are_kept(self):
        for hand in self.hands:
            assert hand.faults == []
            live = [each for each in hand.received if each.payload and not each.retain]
            assert {each.payload for each in live} <= self.allowed[hand], f"{hand.client_id} did not subscribe to these"
            exactly_once = [each.payload for each in live if each.qos == 2]
            assert len(exactly_once) == len(set(exactly_once)), f"{hand.client_id} got one of QoS 2 twice"
            for publisher in self.hands:
                self._check_order(publisher, hand)

    def _check_order(self, publisher, hand):
        prefix = publisher.client_id.encode() + b" "
        came: dict[tuple[str, int], list[int]] = {}
        for each in hand.received:
            if each.payload.startswith(prefix) and not each.retain:
                number = int(each.payload.rpartition(b" ")[2])
                numbers = came.setdefault((each.topic, publisher.published[each.payload]), [])
                if number not in numbers:
                    numbers.append(number)
        assert all(numbers == sorted(numbers) for numbers in came.values()), (hand.client_id, came)

    def teardown(self):
        if hasattr(self, "hands"):
            for number in range(len(HANDS)):
                self._present(number)
            while any(hand.answers for hand in self.hands):
                for hand in self.hands:
                    while hand.answers:
                        hand.answer(0)
                self._settle()
            for hand in self.hands:
                assert not hand.waiting, f"{hand.client_id} is not answered"
                missing = self.owed[hand] - set(hand.payloads)
                assert missing == set(), f"{hand.client_id} did not get these"
            self.the_promises_are_kept()
            self._check_retained()
            self.play(self._end())
        self.loop.close()
        self._sqlite.__exit__(None, None, None)

    def _check_retained(self):
        probe = Peer("probe", MQTT_5, "t/#", clean=True, expiry_s=0)
        self._do(lambda: probe.connect(MemoryWay(self.site.broker, probe)))
        self.play(asyncio.sleep(SETTLED_S))
        found = {each.topic: each.payload for each in probe.received}
        for topic in TOPICS:
            assert found.get(topic, b"") in self.retained[topic], (topic, found, self.retained)

    async def _end(self) -> None:
        await self.site.stop()
        await self.sim.close()

    # --- Steps

    def _do(self, step: Callable[[], None]) -> None:
        async def done() -> None:
            step()

        self.play(done())

    def _settle(self) -> None:
        async def settled() -> None:
            self.site.tend()
            await asyncio.sleep(SETTLED_S)
            self.site.tend()

        self.play(settled())
        for payload in [each for each in self.candidates if self._publisher(each) is not None]:
            for hand in self.candidates.pop(payload):
                self.owed[hand].add(payload)

    def _present(self, number: int) -> Hand:
        """A client, connected."""
        hand = self.hands[number]
        if not hand.open:
            self._connect(hand)
        return hand

    def _publisher(self, payload: bytes) -> Hand | None:
        """Who was told that the broker has it."""
        return next((each for each in self.hands if payload in each.promised), None)

    def _connect(self, hand: Hand, *, fresh: bool = False) -> None:
        if not fresh:
            for each in hand.unacknowledged:
                if each.payload in self.candidates:
                    self._may_come(each.payload, each.topic)
                    self.candidates[each.payload] &= self._subscribers(each.topic, each.qos)
                if each.retain:
                    self.retained[each.topic].add(each.payload)

        self._do(self.site.tend)
        self._do(lambda: hand.connect_anew(MemoryWay(self.site.broker, hand), fresh=fresh))
        self._settle()
        assert hand.open

    def _publish(self, hand: Hand, topic: str, qos: int, *, retain: bool) -> bytes:
        self.numbers += 1
        payload = numbered(hand, self.numbers)
        self._may_come(payload, topic)
        self.topic_of[payload] = topic
        if qos:
            self.candidates[payload] = self._subscribers(topic, qos)
        hand.publish(topic, payload, qos, retain=retain)
        return payload

    def _subscribers(self, topic: str, qos: int) -> set[Hand]:
        """Who must get what is published at `qos`."""
        return {hand for hand in self.hands if min(qos, hand.qos_of(topic)) > 0}

    def _may_come(self, payload: bytes, topic: str) -> None:
        for hand in self.hands:
            if hand.qos_of(topic) >= 0:
                self.allowed[hand].add(payload)

    def _owe_less(self, hand: Hand) -> None:
        """It may have taken back what it had asked for: what is under way may come, and need not."""
        for payload, waiting in self.candidates.items():
            if hand.qos_of(self.topic_of[payload]) < 1:
                waiting.discard(hand)
        gone = {each for each in self.owed[hand] if hand.qos_of(self.topic_of[each]) < 0}
        self.owed[hand] -= gone

    def _cut_power(self, after_s: float) -> None:
        async def cut() -> None:
            await asyncio.sleep(after_s)
            self.sim.cut_power()

        self.play(cut())
        self._settle()


BrokerMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestBroker = BrokerMachine.TestCase
