"""A session's queue at its limit follows its policy, and recovers by itself."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from littoral.testing.loop import run
from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode
from tests.support.mqtt_peer import Peer
from tests.support.mqtt_site import MqttSite
from tests.support.mqtt_world import Client, World, publish
from tests.support.mqtt_world import run as in_loop
from tests.support.stores import SimStore, column

MOST = 5


class Absence:
    """A publisher, and a subscriber that has been there and is away."""

    def __init__(self, site: MqttSite, publisher: Peer, subscriber: Peer) -> None:
        self.site, self.publisher, self.subscriber = site, publisher, subscriber

    async def publish(self, *numbers: int, size: int = 0) -> None:
        for number in numbers:
            self.publisher.publish("t/1", b"%d" % number + b" " * size, 2)
        await self.site.until(lambda: self.publisher.idle)

    async def fetch(self) -> list[int]:
        """What the subscriber gets when it comes, the last of it being new."""
        self.subscriber.received.clear()
        self.site.come(self.subscriber)
        await self.site.until(lambda: self.subscriber.open)
        await self.publish(1000)
        await self.site.until(lambda: b"1000" in self.subscriber.payloads)
        self.site.leave(self.subscriber)
        return [int(payload) for payload in self.subscriber.payloads]


def play(story: Callable[[Absence], Coroutine[None, None, None]], *, reject_new: bool = False, **limits: int) -> None:
    async def main() -> None:
        sim = SimStore("plant-a", **limits)
        publisher, subscriber = Peer("p", 5), Peer("s", 5, "t/#")
        site = MqttSite(sim, publisher, subscriber, reject_new=reject_new)
        await site.until(lambda: publisher.open and subscriber.subscribed)
        site.leave(subscriber)
        await story(Absence(site, publisher, subscriber))
        await site.stop()
        await sim.close()

    run(main)


@pytest.mark.parametrize(("reject_new", "left"), [(False, [3, 4, 5, 6, 7]), (True, [0, 1, 2, 3, 4])])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_full_queue_drops_its_oldest_or_takes_nothing_more(left: list[int], *, reject_new: bool, crashes: bool):
    async def story(absence: Absence) -> None:
        site = absence.site
        await absence.publish(*range(8))
        session = site.broker.sessions.get("s")
        assert session is not None
        assert (session.deliveries.waiting, session.deliveries.dropped) == (MOST, 3)
        await site.sessions.flush()
        assert len(list(column(site.store._connection, "SELECT number FROM mqtt_messages"))) == MOST
        if crashes:
            site.sim.cut_power()
        # There is room again as soon as the client has taken what there is.
        assert await absence.fetch() == [*left, 1000]
        await absence.publish(20, 21)
        assert await absence.fetch() == [20, 21, 1000]

    play(story, reject_new=reject_new, mqtt_queue_messages=MOST)


def test_large_messages_count_by_their_bytes():
    async def story(absence: Absence) -> None:
        await absence.publish(0, 1, 2, 3, size=400)
        assert await absence.fetch() == [2, 3, 1000]

    play(story, mqtt_queue_bytes=1000)


# --- What the publisher is told (section 3.4.2.1)

FULL = mqtt.PubAck(1, ReasonCode.QUOTA_EXCEEDED)


def with_full_queue(*, reject_new: bool = True) -> World:
    """Somebody is away who waits for commands at QoS 1, and has no room for more."""
    world = World(reject_new=reject_new, at_once=True, mqtt_queue_messages=2)
    world.subscriber("orders/#", qos=1, name="panel", clean=False).connection.lost()
    world.client("filler").sends(*(publish("orders/a", b"%d" % each, each) for each in (1, 2)))
    return world


@in_loop
async def test_who_publishes_for_nobody_but_full_queues_is_told_and_nothing_is_stored():
    world = with_full_queue()
    stored = len(world.intake.stores)
    client = world.client5("p")
    client.sends(publish("orders/a", b"3", 1), publish("orders/a", b"4", 2, qos=2))
    client.gets(FULL, mqtt.PubRec(2, ReasonCode.QUOTA_EXCEEDED))
    assert len(world.intake.stores) == stored
    assert world.broker.counters.dropped == 2
    old = world.client("old").sends(publish("orders/a", b"5", 1))
    await in_time(lambda: old.received)
    old.gets(mqtt.PubAck(1))


@in_loop
async def test_the_publisher_is_told_that_there_is_room_again_when_the_subscriber_has_been_there():
    world = with_full_queue()
    client = world.client5("p")
    client.sends(publish("orders/a", b"3", 1)).gets(FULL)
    panel = Client(world.broker).sends(mqtt.Connect("panel", False, 0))
    got = [each for each in panel.takes() if isinstance(each, mqtt.Publish)]
    assert [each.payload for each in got] == [b"1", b"2"]
    panel.sends(*(mqtt.PubAck(each.packet_id or 0) for each in got)).connection.lost()
    client.sends(publish("orders/a", b"6", 1))
    await in_time(lambda: client.received)
    client.gets(mqtt.PubAck(1))


@pytest.mark.parametrize("somebody", ["rule", "retained", "other", "at most once", "drop-oldest"])
def test_a_message_that_anybody_takes_is_taken(somebody: str):
    async def story() -> None:
        world = with_full_queue(reject_new=somebody != "drop-oldest")
        topic = "orders/a"
        if somebody == "rule":
            topic = "site/orders"
            world.subscriber("site/#", qos=1, name="other", clean=False).connection.lost()
            world.client("filler").sends(*(publish(topic, b"%d" % each, each) for each in (1, 2, 3)))
        elif somebody == "other":
            world.subscriber("#", qos=1, name="other")
        elif somebody == "at most once":
            world.subscriber("orders/+", name="other")
        client = world.client5("p")
        client.sends(publish(topic, b"3", 1, retain=somebody == "retained"))
        await in_time(lambda: client.received)
        client.gets(mqtt.PubAck(1))

    run(story)


async def in_time(condition: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")
