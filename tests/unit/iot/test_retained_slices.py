"""A subscription to very many retained messages: they come as the client takes them, and hold nobody up."""

import asyncio

import pytest

from littoral.iot.retained_slices import SLICE
from littoral.testing.loop import run as simulated
from littoral.wire import mqtt
from tests.support.mqtt_peer import Peer
from tests.support.mqtt_site import MqttSite
from tests.support.mqtt_world import Client, World, publish, run, suback, subscribe
from tests.support.stores import SimStore, column

MANY = 10 * SLICE


def filled(count: int = MANY, **limits: int) -> World:
    world = World(**limits)
    for number in range(count):
        world.broker.publish(f"site/{number % 7}/{number}", b"%d" % number, qos=number % 2, retain=True)
    return world


def numbers(client: Client) -> list[int]:
    return [int(each.payload) for each in client.takes() if isinstance(each, mqtt.Publish)]


@run
async def test_a_turn_of_the_loop_has_one_slice_of_them():
    world = filled()
    client = world.client()
    client.sends(subscribe("#"))
    first = numbers(client)
    assert 0 < len(first) <= SLICE
    found = [*first]
    turns = 0
    while len(found) < MANY:
        await asyncio.sleep(0)
        found += (more := numbers(client))
        assert len(more) <= SLICE
        turns += 1
        assert turns < 100 * MANY
    assert sorted(found) == list(range(MANY))
    assert world.client("other").sends(mqtt.PingReq()).gets(mqtt.PingResp())


@run
async def test_what_is_removed_meanwhile_is_not_sent_and_what_is_new_is():
    world = filled()
    client = world.client()
    client.sends(subscribe("#"))
    found = numbers(client)
    left = [number for number in range(MANY) if number not in found]
    for number in left:
        world.broker.publish(f"site/{number % 7}/{number}", b"", retain=True)
    assert {each.payload for each in client.takes()} == {b""}, "its live messages"
    world.broker.publish("site/new", b"1000000", retain=True)
    world.client("p").sends(publish("site/1/1", b"2000000", retain=True))
    for _ in range(2 * MANY):
        await asyncio.sleep(0)
    assert set(numbers(client)) <= {1_000_000, 2_000_000}


@run
async def test_nothing_more_comes_after_unsubscribe():
    world = filled()
    client = world.client()
    client.sends(subscribe("#"), mqtt.Unsubscribe(2, ("#",)))
    client.takes()
    for _ in range(2 * MANY):
        await asyncio.sleep(0)
    assert client.takes() == []


@run
async def test_a_filter_that_means_few_is_answered_at_once():
    world = filled()
    client = world.client()
    client.sends(subscribe("site/3/3")).gets(suback(1, 0), publish("site/3/3", b"3", retain=True))


def site(story, *peers: Peer, **limits: int) -> None:
    async def main() -> None:
        sim = SimStore("plant-a", **limits)
        place = MqttSite(sim, *peers)
        await story(place)
        await place.stop()
        await sim.close()

    simulated(main)


@pytest.mark.parametrize("clean", [False, True])
def test_they_come_as_the_client_acknowledges_them_and_none_is_dropped(*, clean: bool):
    publisher, subscriber = Peer("p", 5), Peer("s", 4, "t/#", qos=1, clean=clean)

    async def story(place: MqttSite) -> None:
        place.away.add(subscriber)
        for number in range(300):
            publisher.publish(f"t/{number}", b"%d" % number, 1, retain=True)
        await place.until(lambda: publisher.idle)
        place.come(subscriber)
        await place.until(lambda: len(subscriber.received) >= 300)
        assert sorted(map(int, subscriber.payloads)) == list(range(300))
        session = place.broker.sessions.get("s")
        assert session is not None
        assert session.deliveries.dropped == 0
        await place.until(lambda: not session.walks)
        assert subscriber.faults == []

    site(story, publisher, subscriber, mqtt_queue_messages=20, mqtt_inflight=4)


@pytest.mark.parametrize("crashes", [False, True])
def test_who_goes_and_comes_back_gets_the_rest(*, crashes: bool):
    publisher, subscriber = Peer("p", 5), Peer("s", 5, "t/#", qos=1)

    async def story(place: MqttSite) -> None:
        place.away.add(subscriber)
        for number in range(300):
            publisher.publish(f"t/{number}", b"%d" % number, 1, retain=True)
        await place.until(lambda: publisher.idle)
        place.come(subscriber)
        await place.until(lambda: len(subscriber.received) >= 50)
        assert len(subscriber.received) < 300
        place.leave(subscriber)
        await place.wait(1)
        if crashes:
            place.sim.cut_power()
        place.come(subscriber)
        await place.until(lambda: len(set(subscriber.payloads)) == 300)
        session = place.broker.sessions.get("s")
        assert session is not None
        await place.until(lambda: not session.walks)
        assert subscriber.faults == []
        assert crashes or len(subscriber.received) < 330, "it went on where it was"
        options = "SELECT options FROM mqtt_subscriptions"
        await place.until(lambda: list(column(place.store._connection, options)) == [1])

    site(story, publisher, subscriber, mqtt_queue_messages=20, mqtt_inflight=4)
