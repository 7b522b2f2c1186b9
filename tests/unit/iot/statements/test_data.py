"""Strings, lengths, flags and packet identifiers (sections 1.5 and 2)."""

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import (
    connect_bytes,
    ends,
    field,
    frame,
    join,
    messages,
    of_level,
    refused_bytes,
    says,
    states,
    world,
)
from tests.support.mqtt_world import publish, suback, subscribe

ILL_FORMED = [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"]
"""Not UTF-8: a byte of none, half a character, a surrogate, a character in more bytes than it needs."""
CLEAN, WILL, USER = 0x02, 0x04, 0x80


def malformed(level):
    return ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="1.5.3-1 3.3.2-1", v5="1.5.4-1 3.3.2-1")
async def test_a_topic_name_that_is_not_utf8_ends_the_connection(level, string):
    packet = frame(0x30, field(string), of_level(level), b"x")
    assert await ends(join(world(), level), packet) == malformed(level)


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="3.8.3-1", v5="3.8.3-1")
async def test_a_filter_to_subscribe_to_that_is_not_utf8_ends_the_connection(level, string):
    packet = frame(0x82, b"\0\1", of_level(level), field(string), b"\0")
    assert await ends(join(world(), level), packet) == malformed(level)


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="3.10.3-1", v5="3.10.3-1")
async def test_a_filter_to_unsubscribe_from_that_is_not_utf8_ends_the_connection(level, string):
    packet = frame(0xA2, b"\0\1", of_level(level), field(string))
    assert await ends(join(world(), level), packet) == malformed(level)


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="3.1.3-4", v5="3.1.3-4")
async def test_a_client_identifier_that_is_not_utf8_is_refused(level, string):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN, field(string))) == b""


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="3.1.3-10", v5="3.1.3-11")
async def test_a_will_topic_that_is_not_utf8_is_refused(level, string):
    fields = field(b"c"), of_level(level), field(string), field(b"x")
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | WILL, *fields)) == b""


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v4="3.1.3-11", v5="3.1.3-12")
async def test_a_user_name_that_is_not_utf8_is_refused(level, string):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | USER, field(b"c"), field(string))) == b""


@pytest.mark.parametrize("string", ILL_FORMED)
@states(v5="3.3.2-13 3.3.2-19 1.5.7-1")
async def test_a_property_that_is_not_utf8_ends_the_connection(level, string):
    for text in (b"\x08" + field(string), b"\x03" + field(string), b"\x26" + field(b"k") + field(string)):
        packet = frame(0x30, field(b"a"), bytes([len(text)]), text)
        assert await ends(join(world(), level), packet) == ReasonCode.MALFORMED_PACKET
    name = b"\x26" + field(string) + field(b"v")
    assert await ends(join(world(), level), frame(0x30, field(b"a"), bytes([len(name)]), name))


@states(v4="1.5.3-2 4.7.3-2", v5="1.5.4-2 4.7.3-2")
async def test_u_0000_in_a_string_ends_the_connection(level):
    packets = [
        frame(0x30, field(b"a\0b"), of_level(level)),
        frame(0x82, b"\0\1", of_level(level), field(b"a\0b"), b"\0"),
        frame(0xA2, b"\0\1", of_level(level), field(b"a\0b")),
    ]
    for packet in packets:
        assert await ends(join(world(), level), packet) == malformed(level)
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN, field(b"c\0"))) == b""


@states(v4="1.5.3-3", v5="1.5.4-3")
async def test_u_feff_is_a_character_like_others(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("\ufeffa"))
    publisher = join(table, level)
    await says(publisher, publish("a", b"without"), publish("\ufeffa", b"with"))
    [message] = watcher.takes()
    assert isinstance(message, mqtt.Publish)
    assert (message.topic, message.payload) == ("\ufeffa", b"with")


@states(v5="1.5.5-1")
async def test_a_length_has_no_more_bytes_than_it_needs(level):
    assert await ends(join(world(), level), b"\xc0\x80\x00") == ReasonCode.MALFORMED_PACKET
    assert await ends(join(world(), level), frame(0x30, field(b"a"), b"\x80\x00")) == ReasonCode.MALFORMED_PACKET
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("a"))
    publisher = join(table, level)
    for size, length_bytes in ((123, 1), (124, 2), (16_379, 2), (16_380, 3)):
        await says(publisher, publish("a", bytes(size)))
        head = mqtt.header(watcher.received, 0, 1 << 20, level)
        assert head == (1 + length_bytes, len(watcher.received)), size
        watcher.takes()


@pytest.mark.parametrize(
    "packet",
    [
        b"\x41\x02\0\1",
        b"\x52\x02\0\1",
        b"\x60\x02\0\1",
        b"\x74\x02\0\1",
        b"\x80\x06\0\1\0\1a\0",
        b"\xa0\x05\0\1\0\1a",
        b"\xc1\0",
        b"\xe8\0",
    ],
    ids=["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "UNSUBSCRIBE", "PINGREQ", "DISCONNECT"],
)
@states(v4="2.2.2-1 2.2.2-2", v5="2.1.3-1")
async def test_reserved_flags_that_are_not_as_they_should_end_the_connection(level, packet):
    assert await ends(join(world(), level), packet) == malformed(level)


@states(v4="2.2.2-1", v5="2.1.3-1")
async def test_the_broker_sets_reserved_flags_as_they_should_be(level):
    table = world()
    client = join(table, level)
    client.sends(subscribe("a", qos=2), publish("a", b"1", 1, qos=2), mqtt.PubRel(1), mqtt.Unsubscribe(2, ("b",)))
    await messages(client)
    client.sends(mqtt.PubRec(1))
    assert client.received[0] == 0x62
    client.takes()
    for sent, first in ((mqtt.PingReq(), 0xD0), (subscribe("b"), 0x90), (mqtt.Unsubscribe(2, ("b",)), 0xB0)):
        client.sends(sent)
        assert client.received[0] == first
        client.takes()


@states(v4="2.3.1-1", v5="2.2.1-3")
async def test_a_packet_identifier_of_0_ends_the_connection(level):
    for packet in (
        frame(0x32, field(b"a"), b"\0\0", of_level(level)),
        frame(0x34, field(b"a"), b"\0\0", of_level(level)),
        frame(0x82, b"\0\0", of_level(level), field(b"a"), b"\0"),
        frame(0xA2, b"\0\0", of_level(level), field(b"a")),
    ):
        assert await ends(join(world(), level), packet) == malformed(level)


@states(v4="2.3.1-4", v5="2.2.1-4 4.3.2-1 4.3.3-1")
async def test_each_message_gets_an_identifier_that_is_not_in_use(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("1", qos=1), subscribe("2", qos=2))
    publisher = join(table, level)
    await says(publisher, *(publish(str(1 + n % 2), b"x", n, qos=2) for n in range(1, 41)))
    first = {each.packet_id for each in watcher.takes() if isinstance(each, mqtt.Publish)}
    assert len(first) == 40
    assert 0 not in first
    await says(publisher, *(mqtt.PubRel(n) for n in range(1, 41)))
    await says(publisher, *(publish("1", b"x", n, qos=1) for n in range(1, 41)))
    second = {each.packet_id for each in watcher.takes() if isinstance(each, mqtt.Publish)}
    assert len(second) == 40
    assert not second & first


@states(v4="2.3.1-5", v5="2.2.1-2")
async def test_a_qos_0_message_has_no_identifier(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("a", qos=2))
    await says(join(table, level), publish("a", b"xyz"))
    assert watcher.received == frame(0x30, field(b"a"), of_level(level), b"xyz")


@states(v4="2.3.1-6", v5="2.2.1-5")
async def test_acknowledgements_have_the_identifier_of_their_message(level):
    client = join(world(), level)
    assert await says(client, publish("a", b"x", 300), publish("a", b"x", 65_535, qos=2), mqtt.PubRel(65_535)) == [
        mqtt.PubAck(300),
        mqtt.PubRec(65_535),
        mqtt.PubComp(65_535),
    ]


@states(v4="2.3.1-7", v5="2.2.1-6")
async def test_suback_and_unsuback_have_the_identifier_of_what_they_answer(level):
    client = join(world(), level)
    [granted, gone] = await says(client, subscribe("a", packet_id=300), mqtt.Unsubscribe(65_535, ("a",)))
    assert granted == suback(300, 0)
    assert isinstance(gone, mqtt.UnsubAck)
    assert gone.packet_id == 65_535


@states(v5="2.2.2-1")
async def test_no_properties_are_a_length_of_0(level):
    client = join(world(), level)
    client.sends(subscribe("a", packet_id=7))
    assert client.received == frame(0x90, b"\0\7", b"\0", b"\0")
    assert await ends(client, frame(0x30, field(b"a"))) == ReasonCode.MALFORMED_PACKET
    other = join(world(), level)
    assert await says(other, publish("a", b"x", 1, properties=Properties(user=()))) == [mqtt.PubAck(1)]
