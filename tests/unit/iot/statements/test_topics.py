"""Sessions, topics and shared subscriptions (sections 4.1, 4.7, 4.8)."""

import asyncio

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_PACKET_BYTES
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, ReasonCode
from tests.support.mqtt_statements import ends, field, frame, join, messages, of_level, says, states, world
from tests.support.mqtt_world import World, publish, subscribe, turn

DEADLINE_S = 20


# --- Sessions


@states(v4="4.1.0-1 4.1.0-2", v5="4.1.0-1")
async def test_a_session_lasts_as_long_as_its_connection_at_least(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("a", qos=1))
    table.clock.advance(days=400)
    table.broker.sweep()
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(client) == [b"1"]


@states(v4="4.1.0-1")
async def test_a_session_that_is_kept_lasts(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    table.clock.advance(days=400)
    table.broker.sweep()
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(join(table, level, kept=True, present=True)) == [b"1"]


@states(v5="4.1.0-2")
async def test_a_session_whose_time_is_up_is_discarded(level):
    table = world()
    client = join(table, level, kept=True, session_expiry_s=10)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    table.clock.advance(seconds=10)
    table.broker.sweep()
    assert len(table.broker.sessions) == 0
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(join(table, level, kept=True, present=False)) == []


# --- Transport


@states(v4="7.1.1-1", v5="4.2-1")
async def test_clients_come_over_tcp(level):
    table = World(at_once=True)
    listener = MqttListener(table.broker)
    listening = listen_tcp("127.0.0.1:0")
    port = listening.getsockname()[1]
    await listener.start(listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        data = mqtt.encode(mqtt.Connect("c", True, 0, level=level), level) + mqtt.encode(mqtt.PingReq(), level)
        for each in data:
            # A stream: packets do not arrive in one piece.
            writer.write(bytes([each]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readexactly(1)) == b"\x20"
        await reader.readuntil(mqtt.encode(mqtt.PingResp(), level))
        writer.write(mqtt.encode(mqtt.Disconnect(), level))
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await listener.stop()
    await turn()


# --- Topics


@states(v4="4.7.1-2", v5="4.7.1-1")
async def test_a_hash_stands_alone_in_the_last_level(level):
    for topic_filter in (b"a#", b"a/#/b", b"#/", b"a/b#"):
        packet = frame(0x82, b"\0\1", of_level(level), field(topic_filter), b"\0")
        await ends(join(world(), level), packet)
    table = world()
    client = join(table, level)
    await says(client, subscribe("a/#"))
    await says(join(table, level, "p"), *(publish(each, each.encode()) for each in ("a", "a/", "a/b/c", "ab", "b")))
    assert await messages(client) == [b"a", b"a/", b"a/b/c"]


@states(v4="4.7.1-3", v5="4.7.1-2")
async def test_a_plus_is_a_whole_level(level):
    for topic_filter in (b"a+", b"a/+b", b"+a/b", b"++"):
        packet = frame(0x82, b"\0\1", of_level(level), field(topic_filter), b"\0")
        await ends(join(world(), level), packet)
    table = world()
    client = join(table, level)
    await says(client, subscribe("+/b/+"))
    topics = ("a/b/c", "/b/", "a/b", "a/b/c/d", "b/a/c")
    await says(join(table, level, "p"), *(publish(each, each.encode()) for each in topics))
    assert await messages(client) == [b"a/b/c", b"/b/"]


@states(v4="4.7.2-1", v5="4.7.2-1")
async def test_a_wildcard_at_the_front_does_not_see_topics_that_begin_with_a_dollar(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("#", "+/x", "+/+"))
    await says(join(table, level, "p"), publish("$aws/x", b"1", retain=True), publish("$aws/x", b"2", 1))
    table.clock.advance(seconds=60)
    table.broker.sweep()
    assert await messages(client) == []
    client.sends(subscribe("#", "+/x"))
    assert await messages(client) == [], "nor as retained messages"
    client.sends(subscribe("$aws/#"))
    assert await messages(client) == [b"1"]


@states(v4="4.7.3-1", v5="4.7.3-1")
async def test_names_and_filters_have_a_character_at_least(level):
    for packet in (
        frame(0x30, field(b""), of_level(level), b"x"),
        frame(0x82, b"\0\1", of_level(level), field(b""), b"\0"),
        frame(0xA2, b"\0\1", of_level(level), field(b"")),
    ):
        await ends(join(world(), level), packet)


@states(v4="4.7.3-3", v5="4.7.3-3")
async def test_names_and_filters_of_65535_bytes_are_taken(level):
    assert Limits()[MQTT_PACKET_BYTES] > 65_535
    table = world()
    client = join(table, level)
    topic = "ä" * 32_767 + "b"
    assert len(topic.encode()) == 65_535
    await says(client, subscribe(topic))
    [message] = await says(client, publish(topic))
    assert message.topic == topic


@states(v4="4.7.3-4", v5="4.7.3-4")
async def test_names_are_compared_as_they_are(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("caf\u00e9", "A/b", "a//b", "x ", "\ud55c"))
    others = ["cafe\u0301", "a/b", "A/B", "a/b", "/a//b", "x", "X ", "\u1112\u1161\u11ab"]
    same = ["caf\u00e9", "A/b", "a//b", "x ", "\ud55c"]
    await says(join(table, level, "p"), *(publish(each, each.encode()) for each in (*others, *same)))
    assert [each.decode() for each in await messages(client)] == same


@states(v4="4.8.0-1", v5="4.13.1-1")
async def test_a_protocol_error_ends_its_own_connection_and_no_other(level):
    table = world()
    bystander = join(table, level, "b")
    for packet in (b"\0\0", b"\x20\2\0\0", frame(0x36, field(b"a")), b"\xc0\xff\xff\xff\xff\x7f"):
        told = await ends(join(table, level), packet)
        assert told is None or told.failed
    assert await says(bystander, mqtt.PingReq()) == [mqtt.PingResp()]


@states(v4="4.8.0-2")
async def test_a_message_that_cannot_be_stored_now_ends_the_connection(level):
    table = World()
    client = join(table, level)
    client.sends(publish("a", b"x", 1))
    [(future, _)] = table.intake.stores
    future.set_exception(OSError("no space is left"))
    await turn()
    assert client.closed
    assert client.received == b""


# --- Shared subscriptions


@states(v5="4.8.2-1")
async def test_a_shared_subscription_has_a_name(level):
    for topic_filter in ("$share//a", "$share/"):
        packet = frame(0x82, b"\0\1", b"\0", field(topic_filter.encode()), b"\0")
        assert await ends(join(world(), level), packet) == ReasonCode.MALFORMED_PACKET
    table = world()
    client = join(table, level)
    await says(client, subscribe("$share/g/a"))
    assert await messages(client.sends(publish("a", b"1"))) == [b"1"]


@states(v5="4.8.2-2")
async def test_the_name_of_a_shared_subscription_is_followed_by_a_filter(level):
    for topic_filter in ("$share/g", "$share/g/", "$share/g+/a", "$share/#/a", "$share/g/a#"):
        packet = frame(0x82, b"\0\1", b"\0", field(topic_filter.encode()), b"\0")
        assert await ends(join(world(), level), packet) == ReasonCode.MALFORMED_PACKET


async def sharing(table, level):
    """Two clients that share a subscription, and what the first of them was sent."""
    members = [join(table, level, name, kept=True) for name in ("m1", "m2")]
    for each in members:
        await says(each, subscribe("$share/g/a", qos=2))
    await says(join(table, level, "p"), publish("a", b"1", 1, qos=2))
    sent = [(each, came[0]) for each in members if (came := each.takes())]
    [(chosen, message)] = sent
    other = next(each for each in members if each is not chosen)
    return chosen, message, other


@states(v5="4.8.2-4")
async def test_a_qos_2_message_is_completed_with_the_client_that_it_was_sent_to(level):
    for taken in (False, True):
        table = world()
        chosen, message, other = await sharing(table, level)
        assert chosen.connection.session is not None
        name = chosen.connection.session.client_id
        if taken:
            assert await says(chosen, mqtt.PubRec(message.packet_id)) == [mqtt.PubRel(message.packet_id)]
        chosen.connection.lost()
        assert await says(other) == []
        again = await says(join(table, level, name, kept=True, present=True))
        expected = [mqtt.PubRel] if taken else [mqtt.Publish]
        assert [type(each) for each in again] == expected
        assert again[0].packet_id == message.packet_id


@states(v5="4.8.2-5")
async def test_a_qos_2_message_goes_to_no_other_client_when_the_session_ends(level):
    assert level == MQTT_5
    table = world()
    chosen, _, other = await sharing(table, level)
    await says(chosen, mqtt.Disconnect(properties=mqtt.Properties(session_expiry_s=0)))
    assert len(table.broker.sessions) == 2, "that of the other, and the publisher's"
    assert await says(other) == []


@states(v5="4.8.2-6")
async def test_a_message_that_a_member_refuses_goes_to_no_other(level):
    for qos in (1, 2):
        table = world()
        members = [join(table, level, name) for name in ("m1", "m2")]
        for each in members:
            await says(each, subscribe("$share/g/a", qos=qos))
        await says(join(table, level, "p"), publish("a", b"1", 1, qos=qos))
        [(chosen, message)] = [(each, came[0]) for each in members if (came := each.takes())]
        refusal = mqtt.PubAck if qos == 1 else mqtt.PubRec
        await says(chosen, refusal(message.packet_id, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR))
        chosen.connection.lost()
        for each in members:
            assert each.takes() == []
