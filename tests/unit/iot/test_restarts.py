"""What a client is owed goes on through restarts of its broker, orderly ones and others."""

from collections.abc import Callable, Coroutine

import pytest

from littoral.testing.loop import run
from littoral.wire import mqtt
from tests.support.mqtt_peer import WINDOW, Peer
from tests.support.mqtt_site import MqttSite
from tests.support.stores import SimStore

DELAY_S, EXPIRY_S = 30, 100


def play(story: Callable[[MqttSite], Coroutine[None, None, None]], *peers: Peer) -> None:
    async def main() -> None:
        sim = SimStore("plant-a")
        site = MqttSite(sim, *peers)
        await site.until(lambda: all(peer.idle for peer in site.peers))
        await story(site)
        await site.stop()
        await sim.close()

    run(main)


def with_will(qos: int = 1) -> Peer:
    will = mqtt.Will("wills", b"it is gone", qos, retain=False, properties=mqtt.Properties(will_delay_s=DELAY_S))
    return Peer("device", 5, will=will)


@pytest.mark.parametrize("leaves_first", [False, True])
def test_a_will_is_published_when_its_delay_is_over_though_the_broker_began_anew(*, leaves_first: bool):
    device, watcher = with_will(), Peer("watcher", 4, "wills")

    async def story(site: MqttSite) -> None:
        if leaves_first:
            site.leave(device)
            await site.wait(DELAY_S / 2)
        else:
            site.away.add(device)
        site.sim.cut_power()
        await site.wait(DELAY_S / 3)
        assert watcher.received == []
        await site.wait(DELAY_S)
        assert watcher.payloads == [b"it is gone"]
        site.sim.cut_power()
        await site.wait(2 * DELAY_S)
        assert watcher.payloads == [b"it is gone"], "it was published again"

    play(story, device, watcher)


def test_a_client_that_is_back_in_time_has_no_will_published():
    device, watcher = with_will(), Peer("watcher", 4, "wills")

    async def story(site: MqttSite) -> None:
        site.leave(device)
        await site.wait(DELAY_S / 2)
        site.sim.cut_power()
        await site.wait(1)
        site.come(device)
        await site.wait(3 * DELAY_S)
        assert watcher.received == []

    play(story, device, watcher)


def test_a_session_ends_when_its_time_is_up_though_the_broker_began_anew():
    reader, writer = Peer("reader", 5, "t", expiry_s=EXPIRY_S), Peer("writer", 4)

    async def story(site: MqttSite) -> None:
        site.leave(reader)
        await site.wait(EXPIRY_S / 2)
        site.sim.cut_power()
        await site.wait(EXPIRY_S / 4)
        assert site.broker.sessions.get("reader") is not None
        await site.wait(EXPIRY_S / 2)
        assert site.broker.sessions.get("reader") is None
        site.sim.cut_power()
        await site.wait(1)
        assert site.broker.sessions.get("reader") is None
        assert site.broker.statistics().sessions == 1

    play(story, reader, writer)


def test_a_retained_message_of_qos_0_is_there_soon():
    writer, late = Peer("writer", 4), Peer("late", 4, "t", qos=0)

    async def story(site: MqttSite) -> None:
        for number in range(3):
            writer.publish("t", b"%d" % number, 0, retain=True)
        await site.wait(0.5)
        site.sim.cut_power()
        site.peers.append(late)
        await site.until(lambda: bool(late.received))
        assert [(each.payload, each.retain) for each in late.received] == [(b"2", True)]
        writer.publish("t", b"", 0, retain=True)
        await site.wait(0.5)
        site.sim.cut_power()
        later = Peer("later", 4, "t", qos=0)
        site.peers.append(later)
        await site.wait(1)
        assert later.subscribed
        assert later.received == []

    play(story, writer)


def test_what_came_in_order_goes_in_order_after_a_restart():
    writer, reader = Peer("writer", 5), Peer("reader", 5, "t")
    numbers = [b"%d" % number for number in range(40)]

    async def story(site: MqttSite) -> None:
        site.leave(reader)
        for number in numbers:
            writer.publish("t", number, 2)
        await site.until(lambda: writer.idle)
        site.sim.cut_power()
        site.come(reader)
        await site.until(lambda: reader.payloads == numbers)

    play(story, writer, reader)


def test_a_clean_start_leaves_nothing_of_the_session_before():
    writer, reader = Peer("writer", 5), Peer("reader", 4, "t")

    async def story(site: MqttSite) -> None:
        site.leave(reader)
        writer.publish("t", b"old", 2)
        await site.until(lambda: writer.idle)
        clean = Peer("reader", 4, "u", clean=True)
        site.peers.append(clean)
        await site.until(lambda: clean.subscribed)
        site.sim.cut_power()
        site.leave(clean)
        again = Peer("reader", 4)
        site.peers.append(again)
        await site.until(lambda: again.idle)
        writer.publish("t", b"new", 2)
        await site.until(lambda: writer.idle)
        assert again.received == []
        assert again.faults == []

    play(story, writer, reader)


def test_an_identifier_that_was_released_is_good_for_another_message():
    writer, reader = Peer("writer", 5), Peer("reader", 5, "t")
    numbers = [b"%d" % number for number in range(4 * WINDOW)]

    async def story(site: MqttSite) -> None:
        for number in numbers[:-WINDOW]:
            writer.publish("t", number, 2)
        await site.until(lambda: writer.idle)
        site.sim.cut_power()
        for number in numbers[-WINDOW:]:
            writer.publish("t", number, 2)
        await site.until(lambda: writer.idle and reader.idle)
        assert reader.payloads == numbers

    play(story, writer, reader)


def test_the_will_of_a_session_that_ends_with_its_connection_is_published_though_the_node_crashed():
    will = mqtt.Will("wills", b"it is gone", 1, retain=False)
    device, watcher = Peer("device", 4, will=will, clean=True), Peer("watcher", 4, "wills")

    async def story(site: MqttSite) -> None:
        await site.until(lambda: device.open and watcher.subscribed)
        site.away.add(device)
        site.sim.cut_power()
        await site.until(lambda: watcher.payloads == [b"it is gone"])
        await site.wait(1)
        site.sim.cut_power()
        await site.wait(2)
        assert watcher.payloads == [b"it is gone"], "once"

    play(story, device, watcher)


@pytest.mark.parametrize("clean", [True, False])
def test_a_will_is_published_though_its_client_is_back_as_soon_as_the_node_that_crashed(*, clean: bool):
    first, second = (mqtt.Will("wills", payload, 1, retain=False) for payload in (b"gone", b"gone again"))
    device, watcher = Peer("device", 4, will=first, clean=clean), Peer("watcher", 4, "wills")

    async def story(site: MqttSite) -> None:
        await site.until(lambda: device.open and watcher.subscribed)
        device.will = second
        site.sim.cut_power()
        await site.until(lambda: not device.open)
        await site.until(lambda: device.open)
        site.sim.cut_power()
        await site.until(lambda: set(watcher.payloads) == {b"gone", b"gone again"})

    play(story, device, watcher)


@pytest.mark.parametrize("level", [4, 5])
def test_what_may_have_been_sent_before_a_restart_says_so_and_nothing_else_does(level: int):
    writer, reader = Peer("writer", 4), Peer("reader", level, "t", qos=1)
    reader.acknowledges = False

    async def comes(site: MqttSite, *payloads: bytes) -> list[bool]:
        reader.received.clear()
        site.come(reader)
        await site.until(lambda: reader.payloads == list(payloads))
        return [each.duplicate for each in reader.received]

    async def story(site: MqttSite) -> None:
        writer.publish("t", b"sent", 1)
        await site.until(lambda: reader.payloads == [b"sent"] and writer.idle)
        site.away.add(reader)
        site.sim.cut_power()
        writer.publish("t", b"queued", 1)
        await site.until(lambda: writer.idle)
        await site.wait(0.5)
        site.sim.cut_power()
        assert await comes(site, b"sent", b"queued") == [True, False]
        site.leave(reader)
        writer.publish("t", b"last", 1)
        await site.until(lambda: writer.idle)
        site.sim.cut_power()
        assert await comes(site, b"sent", b"queued", b"last") == [True, True, False]

    play(story, writer, reader)
