"""The broker with clients of MQTT 3.1.1."""

import asyncio
import gc
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput, StorageFull
from littoral.core.mqtt_limits import (
    MQTT_CONNECT_BYTES,
    MQTT_CONNECT_S,
    MQTT_INFLIGHT,
    MQTT_PACKET_BYTES,
    MQTT_QUEUE,
    MQTT_RETAINED,
    MQTT_RETAINED_BYTES,
    MQTT_SEND_QUEUE_BYTES,
    MQTT_SESSIONS,
    MQTT_SUBSCRIPTIONS,
    MQTT_TOPICS,
    MQTT_UNSTORED,
    MQTT_UNSTORED_BYTES,
)
from littoral.iot.channel import CallbackChannel
from littoral.iot.outbox import Outbox
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, ReasonCode
from tests.support.fakes import START_MS
from tests.support.mqtt_world import CONNACK, Client, World, publish, suback, subscribe, turn

# --- Connecting


def test_connect_ping_disconnect():
    world = World()
    client = world.client().sends(mqtt.PingReq()).gets(mqtt.PingResp())
    client.sends(mqtt.Disconnect())
    assert client.closed
    assert world.closed == {"disconnect": 1}
    assert world.broker.statistics().connections == 0


def test_what_speaks_another_version_is_refused_in_the_format_nearest_to_its_own():
    world = World()
    six = Client(world.broker).sends(b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x01c")
    six.gets(b"\x20\x03\x00\x84\x00")
    old = Client(world.broker).sends(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c")
    old.gets(b"\x20\x02\x00\x01")
    assert six.closed
    assert old.closed
    assert world.closed == {"unsupported-level": 2}


@pytest.mark.parametrize("first", [mqtt.PingReq(), publish("a"), b"GET / HTTP/1.1\r\n\r\n"])
def test_what_does_not_begin_with_connect_is_closed_without_an_answer(first):
    client = Client(World().broker).sends(first).gets()
    assert client.closed


def test_a_second_connect_is_an_error(caplog):
    client = World().client().sends(mqtt.Connect("c", True, 0)).gets()
    assert client.closed
    assert "MQTT-3.1.0-2" in caplog.text


def test_a_kept_session_needs_a_client_identifier():
    client = Client(World().broker).sends(mqtt.Connect("", False, 0)).gets(b"\x20\x02\x00\x02")
    assert client.closed


def test_clients_without_identifier_do_not_take_over_each_other():
    world = World()
    first, second = world.client(""), world.client("")
    assert not first.closed
    assert not second.closed


@pytest.mark.parametrize(("login", "code"), [((None, None), 5), (("u", b"wrong"), 4)])
def test_bad_credentials_are_refused(login, code):
    world = World(lambda client, username, password: (username, password) == ("u", b"p"))
    client = Client(world.broker).sends(mqtt.Connect("c", True, 0, None, *login)).gets(b"\x20\x02\x00%c" % code)
    assert client.closed
    world.client(login=("u", b"p"))


def test_while_credentials_are_checked_nothing_is_read_and_nothing_is_lost():
    async def main():
        verdict = asyncio.get_running_loop().create_future()
        world = World(lambda *_: verdict)
        client = Client(world.broker).sends(mqtt.Connect("c", True, 0), publish("site/a", b"1"))
        client.sends(publish("site/a", b"2"))
        await turn()
        client.gets()
        assert client.channel.paused
        assert world.intake.folded == []
        verdict.set_result(True)
        await turn()
        client.gets(CONNACK)
        assert not client.channel.paused
        assert world.intake.folded == [("site/a", b"1"), ("site/a", b"2")]

    asyncio.run(main())


def test_credentials_that_cannot_be_checked_are_server_unavailable(caplog):
    async def main():
        verdict = asyncio.get_running_loop().create_future()
        world = World(lambda *_: verdict)
        client = Client(world.broker).sends(mqtt.Connect("c", True, 0))
        verdict.set_exception(RuntimeError("no worker"))
        await turn()
        client.gets(b"\x20\x02\x00\x03")
        assert client.closed
        assert world.failures == []

    asyncio.run(main())
    assert "no worker" in caplog.text


def test_a_client_that_leaves_while_credentials_are_checked_is_forgotten():
    async def main():
        verdict = asyncio.get_running_loop().create_future()
        world = World(lambda *_: verdict)
        client = Client(world.broker).sends(mqtt.Connect("c", True, 0))
        await turn()
        client.connection.lost()
        await turn()
        assert verdict.cancelled(), "nobody waits for it"
        client.gets()
        assert world.broker.statistics().sessions == 0

    asyncio.run(main())


def test_a_packet_before_the_client_is_let_in_is_bounded_apart():
    world = World(mqtt_connect_bytes=1000)
    will = mqtt.Will("gone", b"x" * 1000, 0, retain=False)
    client = Client(world.broker).sends(mqtt.encode(mqtt.Connect("c", True, 0, will))[:4])
    assert client.closed, "nothing of it is held"
    assert world.limits.reached[MQTT_CONNECT_BYTES.name] == 1
    world.client().sends(publish("site/a", b"x" * 2000))
    assert world.intake.folded == [("site/a", b"x" * 2000)]


# --- Publishing at QoS 0


def test_qos_0_is_folded_and_sent_to_subscribers():
    world = World()
    subscriber = world.subscriber("site/+/temp", name="s")
    world.client("p").sends(publish("site/a/temp", b"20"), publish("site/a/other", b"1"), publish("free", b"2"))
    subscriber.gets(publish("site/a/temp", b"20"))
    assert world.intake.folded == [("site/a/temp", b"20"), ("site/a/other", b"1")]
    assert world.broker.counters.received == 3


@pytest.mark.parametrize("size", [0, 1, 100, 200, 20_000, 200_000])
@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_frames_of_every_size_arrive_however_they_are_cut(size, step):
    step = max(step, size // 5000)  # more calls show nothing more
    world = World()
    client = world.client()
    data = mqtt.encode(publish("site/a", b"x" * size)) * 3 + mqtt.encode(mqtt.PingReq())
    for start in range(0, len(data), step):
        client.connection.receive(data[start : start + step])
    client.gets(mqtt.PingResp())
    assert world.intake.folded == [("site/a", b"x" * size)] * 3


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x00",
        b"\x30\x01a",
        b"\x30\x03\x00\x09a",
        b"\x30\x02\x00\x00",
        b"\x32\x03\x00\x01a",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x38\x03\x00\x01a",
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x30\x06\x00\x04a/#x",
    ],
)
@pytest.mark.parametrize("after", [b"", b"\xc0\x00\xc0\x00\xc0\x00"])
def test_a_malformed_publish_closes_the_connection_and_nothing_after_it_is_read(data, after, caplog):
    async def main():
        client = World().client().sends(data + after).gets()
        assert client.closed
        assert "[MQTT-" in caplog.text

    asyncio.run(main())


kinds = st.sampled_from(
    [
        publish("site/a"),
        publish("site/a"),
        publish("site/a/b", b"12"),
        publish("site/a", b""),
        publish("site/a/b", b"x" * 140),
        publish("free"),
        b"\x30\x87\x00\x00\x04site1",
        mqtt.PingReq(),
    ]
)


@given(st.lists(kinds, max_size=60), st.integers(100, 2500), st.lists(st.integers(1, 3000), max_size=8))
def test_publishes_among_anything_else_arrive_in_order_however_they_are_cut(mixture, most, cuts):
    frames = [each if isinstance(each, bytes) else mqtt.encode(each) for each in mixture * 8]
    data = b"".join(frames)
    one, other = World(), World()
    whole, cut = one.client(), other.client()
    for frame in frames:
        whole.connection.receive(frame)
    position = 0
    for size in [*cuts, *([most] * (len(data) // most + 1))]:
        cut.connection.receive(data[position : position + size])
        position += size
    assert other.intake.folded == one.intake.folded
    assert other.broker.counters.received == one.broker.counters.received
    assert cut.received == whole.received


@pytest.mark.parametrize("level", [4, 5])
def test_a_publish_that_comes_alone_is_one_like_others(level):
    world = World()
    client = (world.client if level == 4 else world.client5)("c")
    other = (world.client if level == 4 else world.client5)("o", keep_alive_s=10)
    client.sends(publish("site/a", b"1"), publish("site/a", b"2"))
    alone = mqtt.encode(publish("site/a", b"3"), level)
    for _ in range(3):
        world.clock.advance(seconds=10)
        other.connection.receive(alone)
        world.broker.sweep()
    assert not other.closed, "it is a sign of life"
    assert [payload for _, payload in world.intake.folded] == [b"1", b"2", b"3", b"3", b"3"]
    value = world.broker.values.get("site/a")
    assert value is not None
    assert (world.broker.counters.received, value.count) == (5, 5)
    around = mqtt.encode(publish("site/b", b"--" + alone + b"--"), level)
    cut = around.index(alone)
    for part in (around[:cut], alone, around[cut + len(alone) :]):
        other.connection.receive(part)
    assert world.intake.folded[5:] == [("site/b", b"--" + alone + b"--")], "it is a part of another one"
    other.sends(mqtt.Disconnect())
    other.connection.receive(alone)
    assert len(world.intake.folded) == 6, "nothing is read after the end"


def test_a_cut_topic_does_not_pass_for_another():
    world = World()
    client = world.client().sends(*[publish("site/a", b"1"), publish("site/ab", b"1"), publish("site/ab", b"")] * 99)
    assert len(world.intake.folded) == 297
    data = mqtt.encode(publish("site/a", b"2")) * 99 + mqtt.encode(publish("site/ab", b""))
    client.connection.receive(data[:-1])
    assert len(world.intake.folded) == 396
    client.connection.receive(data[-1:])
    assert world.intake.folded[-1] == ("site/ab", b"")


def test_a_cached_topic_does_not_reach_beyond_its_packet():
    world = World()
    client = world.client().sends(publish("site/a", b"1"))
    # A topic length of 6 in a packet of 6 bytes; "site/a" would be complete with the bytes of the next one.
    client.sends(b"\x30\x06\x00\x06site/a" + mqtt.encode(publish("site/a", b"2")))
    assert client.closed
    assert world.intake.folded == [("site/a", b"1")]


def test_a_packet_over_the_limit_is_refused_before_it_is_buffered(caplog):
    world = World(mqtt_packet_bytes=1000)
    client = world.client().sends(b"\x30\xe8\x07")
    assert client.closed
    assert client.connection._rest_bytes == 0
    assert "at most 1000" in caplog.text
    assert world.limits[MQTT_PACKET_BYTES] == 1000
    assert world.limits.reached[MQTT_PACKET_BYTES.name] == 1


def test_new_rules_are_asked_for_after_routes_changed(monkeypatch):
    world = World()
    client = world.client().sends(publish("site/a"))
    seen: list[bytes] = []
    monkeypatch.setattr(world.intake, "route", lambda topic: seen.append)
    world.broker.routes_changed()
    client.sends(publish("site/a", b"new"))
    assert seen == [b"new"]
    assert len(world.intake.folded) == 1


def test_topics_over_the_limit_work_without_a_cached_route():
    world = World(mqtt_topics=1)
    world.client().sends(publish("site/a"), publish("site/b"), publish("site/b"))
    assert len(world.intake.folded) == 3
    assert world.broker.statistics().topics == 1
    assert world.limits.reached[MQTT_TOPICS.name] == 2


# --- Publishing at QoS 1


def test_no_puback_before_the_reading_is_stored():
    async def main():
        world = World()
        client = world.client().sends(publish("site/a", b"1", 7), publish("site/a", b"2", 8))
        [(future, records)] = world.intake.stores
        assert records == [["site/a", b"1", START_MS], ["site/a", b"2", START_MS]]
        await turn()
        client.gets()
        future.set_result(None)
        await turn()
        client.gets(mqtt.PubAck(7), mqtt.PubAck(8))
        assert world.broker.counters.stored == 2
        assert world.intake.folded == [], "rules fold the stored readings"

    asyncio.run(main())


def test_pubacks_come_in_the_order_of_the_publishes():
    async def main():
        world = World()
        client = world.client().sends(publish("a", b"1", 1)).sends(publish("a", b"2", 2))
        (first, _), (second, _) = world.intake.stores
        second.set_result(None)
        await turn()
        client.gets()
        first.set_result(None)
        await turn()
        client.gets(mqtt.PubAck(1), mqtt.PubAck(2))

    asyncio.run(main())


def test_a_failed_store_closes_the_connection_without_an_ack(caplog):
    async def main():
        world = World()
        client = world.client().sends(publish("a", b"1", 1)).sends(publish("a", b"2", 2))
        (first, _), (second, _) = world.intake.stores
        first.set_exception(StorageFull("append to stream", "n/readings", "no space is left"))
        second.set_result(None)
        await turn()
        client.gets()
        assert client.closed
        assert world.closed == {"store-failed": 1}
        assert world.broker.counters.store_failures == 1

    asyncio.run(main())
    assert "no space is left" in caplog.text


def test_what_follows_a_batch_that_could_not_be_stored_leaves_no_complaint_behind(caplog):
    """asyncio logs every exception that nobody looked at; a full disk would give one for each publish under way."""

    async def main():
        world = World()
        client = world.client().sends(publish("a", b"1", 1)).sends(publish("a", b"2", 2))
        for future, _ in world.intake.stores:
            future.set_exception(StorageFull("append to stream", "n/readings", "no space is left"))
        await turn()
        assert client.closed
        world.intake.stores.clear()
        gc.collect()

    asyncio.run(main())
    assert "never retrieved" not in caplog.text


def test_a_store_that_refuses_at_once_closes_the_connection(monkeypatch, caplog):
    world = World()

    def refuse(records, order):
        raise StorageFull("append to stream", "n/readings", "no space is left")

    monkeypatch.setattr(world.intake, "store", refuse)
    client = world.client().sends(publish("a", b"1", 1)).gets()
    assert client.closed
    assert world.closed == {"store-failed": 1}


@pytest.mark.parametrize(
    ("limit", "value", "payload"), [(MQTT_UNSTORED, 4, b"x"), (MQTT_UNSTORED_BYTES, 4000, b"x" * 1000)]
)
def test_reading_pauses_while_too_much_is_not_stored(limit, value, payload):
    async def main():
        world = World(**{limit.name.replace("-", "_"): value})
        client = world.client(keep_alive_s=10)
        for number in range(1, 5):
            assert not client.channel.paused
            client.sends(publish("a", payload, number))
        assert client.channel.paused
        assert world.limits.reached[limit.name] == 1
        world.clock.advance(seconds=100)
        world.broker.sweep()
        assert not client.closed, "a client that is not read is not silent"
        for future, _ in world.intake.stores[:3]:
            future.set_result(None)
        await turn()
        assert not client.channel.paused

    asyncio.run(main())


def test_publishes_before_a_disconnect_in_the_same_read_are_stored():
    async def main():
        world = World()
        client = world.client().sends(publish("a", b"1", 1), mqtt.Disconnect())
        assert client.closed
        assert [records[0][1] for _, records in world.intake.stores] == [b"1"]
        world.intake.stores[0][0].set_result(None)
        await turn()
        client.gets()

    asyncio.run(main())


# --- Subscribing


def test_the_lower_qos_counts():
    async def main():
        world = World()
        subscriber = world.client("s").sends(subscribe(("a", 2), ("b", 0), packet_id=5)).gets(suback(5, 2, 0))
        world.client("p").sends(publish("a", b"1", 1), publish("b", b"2", 2), publish("a", b"3"))
        subscriber.gets(publish("a", b"1", 1), publish("b", b"2"), publish("a", b"3"))

    asyncio.run(main())


def test_unsubscribe():
    world = World()
    subscriber = world.subscriber("a", name="s").sends(mqtt.Unsubscribe(2, ("a", "b"))).gets(mqtt.UnsubAck(2))
    world.client("p").sends(publish("a"))
    subscriber.gets()


def test_subscriptions_over_the_limit_are_refused_one_by_one():
    world = World(mqtt_subscriptions=1)
    client = (
        world.client().sends(subscribe(("a", 0), ("b", 0), ("a", 1))).gets(suback(1, 0, ReasonCode.QUOTA_EXCEEDED, 1))
    )
    assert not client.closed
    assert world.limits.reached[MQTT_SUBSCRIPTIONS.name] == 1


def test_the_node_publishes_to_subscribers_and_not_to_rules():
    world = World()
    subscriber = world.subscriber("site/#")
    world.broker.publish("site/a", b"1", qos=1)
    subscriber.gets(publish("site/a", b"1"))
    assert world.intake.folded == []
    with pytest.raises(InvalidInput, match="wildcard"):
        world.broker.publish("site/#", b"1")


# --- Retained messages


def test_a_retained_message_waits_for_subscribers_until_it_is_emptied():
    world = World()
    publisher = world.client("p").sends(publish("a/b", b"old", retain=True), publish("a/b", b"new", retain=True))
    world.subscriber("x", name="live").sends(subscribe(("a/+", 0), packet_id=2)).gets(
        suback(2, 0), publish("a/b", b"new", retain=True)
    )
    publisher.sends(publish("a/b", b"", retain=True))
    world.subscriber("a/#", name="late").gets()
    assert world.broker.statistics().retained == 0


def test_a_live_subscriber_gets_it_without_the_retain_flag():
    world = World()
    subscriber = world.subscriber("a", name="s")
    world.client("p").sends(publish("a", b"1", retain=True))
    subscriber.gets(publish("a", b"1"))


@pytest.mark.parametrize(("limit", "value"), [(MQTT_RETAINED, 1), (MQTT_RETAINED_BYTES, 3)])
def test_retained_messages_over_a_limit_are_delivered_and_not_kept(limit, value):
    world = World(**{limit.name.replace("-", "_"): value})
    subscriber = world.subscriber("#", name="s")
    world.client("p").sends(publish("a", b"11", retain=True), publish("b", b"22", retain=True))
    subscriber.gets(publish("a", b"11"), publish("b", b"22"))
    assert world.broker.statistics().retained == 1
    assert world.limits.reached[limit.name] == 1


# --- Sessions


def test_a_kept_session_keeps_subscriptions_and_qos_1_messages():
    async def main():
        world = World()
        away = world.subscriber("a", qos=1, clean=False, name="s").sends(mqtt.Disconnect())
        assert away.closed
        publisher = world.client("p").sends(publish("a", b"1", 1), publish("a", b"lost at QoS 0"))
        back = Client(world.broker).sends(mqtt.Connect("s", False, 0))
        back.gets(mqtt.ConnAck(True), publish("a", b"1", 1))
        back.connection.lost()
        again = Client(world.broker).sends(mqtt.Connect("s", False, 0))
        again.gets(mqtt.ConnAck(True), publish("a", b"1", 1, duplicate=True)).sends(mqtt.PubAck(1))
        publisher.sends(publish("a", b"2", 2))
        again.gets(publish("a", b"2", 2)).sends(mqtt.PubAck(2))
        again.connection.lost()
        world.client("s", clean=False, present=True)

    asyncio.run(main())


def test_a_clean_session_forgets():
    world = World()
    world.subscriber("a", clean=False, name="s").sends(mqtt.Disconnect())
    world.client("s", clean=True).sends(mqtt.Disconnect())
    world.client("s", clean=False, present=False)
    assert world.broker.sessions.subscriptions.match("a") == ([], [])


def test_a_second_connection_takes_over():
    world = World()
    first = world.subscriber("a", clean=False, name="s")
    second = world.client("s", clean=False, present=True)
    assert first.closed
    assert world.closed == {"takeover": 1}
    world.client("p").sends(publish("a"))
    first.gets()
    second.gets(publish("a"))


def test_of_an_absent_client_the_oldest_messages_are_dropped():
    async def main():
        world = World(mqtt_queue_messages=2)
        world.subscriber("a", qos=1, clean=False, name="s").sends(mqtt.Disconnect())
        world.client("p").sends(*(publish("a", b"%d" % number, number) for number in range(1, 5)))
        assert world.limits.reached[MQTT_QUEUE.name] == 2
        back = Client(world.broker).sends(mqtt.Connect("s", False, 0))
        back.gets(mqtt.ConnAck(True), publish("a", b"3", 1), publish("a", b"4", 2))

    asyncio.run(main())


def test_the_window_of_unacknowledged_messages_is_bounded():
    async def main():
        world = World(mqtt_inflight=2)
        subscriber = world.subscriber("a", qos=1, name="s")
        world.client("p").sends(*(publish("a", b"%d" % number, number) for number in range(1, 4)))
        subscriber.gets(publish("a", b"1", 1), publish("a", b"2", 2)).sends(mqtt.PubAck(1))
        subscriber.gets(publish("a", b"3", 3))
        assert world.limits.reached[MQTT_INFLIGHT.name] == 1

    asyncio.run(main())


def test_the_session_away_for_longest_is_forgotten_when_there_are_too_many(caplog):
    world = World(mqtt_sessions=2)
    for name in ("s1", "s2", "s3"):
        world.client(name, clean=False).sends(mqtt.Disconnect())
    assert world.limits.reached[MQTT_SESSIONS.name] == 1
    assert "'s1'" in caplog.text
    world.client("s3", clean=False, present=True)


# --- Wills and silence


WILL = mqtt.Will("site/gone", b"bye", 0, False)


def test_a_will_is_published_for_a_client_that_vanishes_and_not_after_a_goodbye():
    world = World()
    watcher = world.subscriber("site/gone", name="w")
    world.client("c", will=WILL).sends(mqtt.Disconnect())
    watcher.gets()
    world.client("c", will=WILL).connection.lost()
    watcher.gets(publish("site/gone", b"bye"))
    assert world.intake.folded == [("site/gone", b"bye")]


def test_a_will_at_qos_1_is_stored_and_may_be_retained(caplog):
    async def main():
        world = World()
        world.client("c", will=mqtt.Will("a", b"bye", 2, True)).connection.lost()
        [(future, records)] = world.intake.stores
        assert records == [["a", b"bye", START_MS]]
        future.set_exception(StorageFull("append to stream", "n/readings", "no space is left"))
        await turn()
        assert world.broker.counters.store_failures == 1
        late = world.client("late").sends(subscribe(("a", 1)))
        late.gets(suback(1, 1), publish("a", b"bye", 1, retain=True))

    asyncio.run(main())
    assert "no space is left" in caplog.text


def test_a_client_is_silent_for_one_and_a_half_times_its_keep_alive_at_most():
    world = World()
    quiet, talking, patient = (
        world.client("q", keep_alive_s=10, will=WILL),
        world.client("t", keep_alive_s=10),
        world.client("0", keep_alive_s=0),
    )
    for passed_s in range(17):
        world.broker.sweep()
        assert quiet.closed == (passed_s >= 15)
        world.clock.advance(seconds=1)
        talking.sends(mqtt.PingReq())
    assert quiet.closed
    assert not talking.closed
    assert not patient.closed
    assert world.closed == {"keep-alive": 1}
    assert world.intake.folded == [("site/gone", b"bye")]


def test_a_connection_that_never_says_connect_is_closed():
    world = World()
    mute, slow = Client(world.broker), Client(world.broker)
    world.clock.advance(seconds=world.limits[MQTT_CONNECT_S] - 1)
    slow.sends(b"\x10")
    world.broker.sweep()
    assert not mute.closed
    world.clock.advance(seconds=1)
    world.broker.sweep()
    assert mute.closed
    assert slow.closed
    assert world.closed == {"connect-timeout": 2}
    assert world.limits.reached[MQTT_CONNECT_S.name] == 2


# --- Slow consumers


class BlockedChannel(CallbackChannel):
    """The way to a client that does not read: nothing is taken from its outbox."""

    outbox: Outbox

    def wake(self, outbox):
        self.outbox = outbox


class Blocked(Client):
    channel: BlockedChannel
    channel_type = BlockedChannel

    def reads(self):
        self._output(self.channel.outbox.take())
        self.connection.writable()


def test_a_slow_subscriber_loses_its_oldest_qos_0_messages_and_no_answer():
    world = World(mqtt_send_queue_bytes=100)
    slow = Blocked(world.broker).sends(mqtt.Connect("s", True, 0), subscribe(("a", 0)))
    world.client("p").sends(*(publish("a", b"%030d" % number) for number in range(5)))
    slow.reads()
    slow.gets(CONNACK, suback(1, 0), publish("a", b"%030d" % 3), publish("a", b"%030d" % 4))
    assert world.limits.reached[MQTT_SEND_QUEUE_BYTES.name] == 3


def test_a_slow_subscriber_gets_its_qos_1_messages_when_it_reads():
    async def main():
        world = World(mqtt_send_queue_bytes=100)
        slow = Blocked(world.broker).sends(mqtt.Connect("s", True, 0), subscribe(("a", 1)))
        world.client("p").sends(*(publish("a", b"%030d" % number, number) for number in range(1, 5)))
        slow.reads()
        slow.gets(CONNACK, suback(1, 1), *(publish("a", b"%030d" % number, number) for number in (1, 2)))
        slow.reads()
        slow.gets(*(publish("a", b"%030d" % number, number) for number in (3, 4)))

    asyncio.run(main())


def test_retained_messages_wait_for_a_slow_subscriber_and_only_the_last_of_a_topic_is_sent():
    world = World(mqtt_send_queue_bytes=100)
    publisher = world.client("p")
    topics = "abcdef"
    publisher.sends(*(publish(topic, b"%020d" % 1, retain=True) for topic in topics))
    slow = Blocked(world.broker).sends(mqtt.Connect("s", True, 0), subscribe("+", "x"))
    publisher.sends(publish("f", b"%020d" % 2, retain=True))
    packets = []
    for _ in topics:
        slow.reads()
        packets += slow.takes()
    found = [(packet.topic, packet.payload[-1:]) for packet in packets if isinstance(packet, mqtt.Publish)]
    assert sorted(found) == [*((topic, b"1") for topic in "abcde"), ("f", b"2")]


def test_retained_messages_that_wait_are_not_sent_after_unsubscribe():
    world = World(mqtt_send_queue_bytes=100)
    world.client("p").sends(*(publish(topic, b"%040d" % 1, retain=True) for topic in "abcdef"))
    slow = Blocked(world.broker).sends(mqtt.Connect("s", True, 0), subscribe("+"))
    slow.reads()
    before = len(slow.takes())
    slow.sends(mqtt.Unsubscribe(2, ("+",)))
    slow.reads()
    slow.reads()
    assert before + len(slow.takes()) < 2 + len("abcdef")


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_a_client_that_asks_and_never_reads_is_closed(level):
    world = World(mqtt_send_queue_bytes=100)
    greedy = Blocked(world.broker, level).sends(mqtt.Connect("g", True, 0, level=level))
    greedy.sends(*[mqtt.PingReq()] * 100)
    assert greedy.closed
    assert world.closed == {"send-queue": 1}


def test_shutdown_closes_everybody():
    world = World()
    clients = [world.client(str(number)) for number in range(3)]
    world.broker.close()
    assert all(client.closed for client in clients)
    assert world.closed == {"shutdown": 3}


@pytest.fixture(autouse=True)
def _log_level(caplog):
    caplog.set_level(logging.WARNING)
