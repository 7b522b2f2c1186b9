"""Properties of messages in MQTT 5 (section 3.3.2.3), and of what explains (3.4 to 3.15)."""

from typing import Any

import pytest
from msgspec import structs

from littoral.core.limits import Limits
from littoral.iot.channel import CallbackChannel
from littoral.iot.outbound import Outbound
from littoral.iot.shared_frames import SharedFrames
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.fakes import FakeClock
from tests.support.mqtt_statements import ends, field, frame, join, messages, says, states, world
from tests.support.mqtt_world import publish, subscribe

EVERYTHING = Properties(
    payload_format=1,
    content_type="text/plain",
    response_topic="answers/1",
    correlation_data=b"\0\xff1",
    user=(("b", "1"), ("a", "2"), ("b", "1"), ("", "")),
)


@states(v5="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20")
async def test_properties_reach_every_subscriber_as_they_were_sent(level):
    table = world()
    watchers = [join(table, level, f"w{qos}") for qos in (0, 1, 2)]
    for qos, watcher in enumerate(watchers):
        await says(watcher, subscribe("a", qos=qos))
    shares = join(table, level, "s")
    await says(shares, subscribe("$share/g/a", qos=2))
    publisher = join(table, level, "p")
    await says(publisher, *(publish("a", b"x", qos or None, qos=qos, properties=EVERYTHING) for qos in (0, 1, 2)))
    await says(publisher, publish("a", b"x", retain=True, properties=EVERYTHING))
    late = join(table, level, "late").sends(subscribe("a"))
    for watcher in (*watchers, shares):
        came = await says(watcher)
        assert [each.properties for each in came] == [EVERYTHING] * 4
    assert [each.properties for each in late.takes()[1:]] == [EVERYTHING]


async def waiting_for_message(table, level, expiry_s, *, qos=1):
    """A client that was away when a message came."""
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=qos))
    client.connection.lost()
    sent = publish("a", b"x", 1, qos=qos, properties=Properties(message_expiry_s=expiry_s))
    await says(join(table, level, "p"), sent)


@states(v5="3.3.2-5")
async def test_a_message_whose_time_is_up_is_not_sent(level):
    for qos in (1, 2):
        table = world()
        await waiting_for_message(table, level, 10, qos=qos)
        table.clock.advance(seconds=10)
        back = join(table, level, kept=True, present=True)
        assert await messages(back) == []
        assert back.connection.session.deliveries.waiting == 0


@states(v5="3.3.2-6")
async def test_what_is_left_of_its_time_goes_with_a_message(level):
    table = world()
    await waiting_for_message(table, level, 10)
    table.clock.advance(seconds=4)
    [message] = await says(join(table, level, kept=True, present=True))
    assert message.properties.message_expiry_s == 6
    await says(join(table, level, "q"), publish("b", retain=True, properties=Properties(message_expiry_s=10)))
    table.clock.advance(seconds=7)
    [_, kept] = await says(join(table, level, "r"), subscribe("b"))
    assert kept.properties.message_expiry_s == 3


@states(v5="3.3.2-7")
async def test_an_alias_ends_with_its_connection(level):
    alias = Properties(topic_alias=1)
    table = world()
    client = join(table, level, kept=True)
    await says(client, publish("a", properties=alias))
    client.connection.lost()
    back = join(table, level, kept=True, present=True)
    assert await ends(back, publish("", properties=alias)) == ReasonCode.TOPIC_ALIAS_INVALID
    # And in the other direction.
    watcher = join(table, level, "w", kept=True, topic_alias_maximum=1)
    await says(watcher, subscribe("a", qos=1))
    publisher = join(table, level, "p")
    await says(publisher, publish("a", b"1", 1), publish("a", b"2", 2))
    assert [each.topic for each in watcher.takes()] == ["a", ""]
    watcher.connection.lost()
    again = await says(join(table, level, "w", kept=True, present=True, topic_alias_maximum=1))
    assert [each.topic for each in again] == ["a", ""]


@states(v5="3.3.2-8")
async def test_an_alias_of_0_ends_the_connection(level):
    packet = frame(0x30, field(b"a"), b"\3", b"\x23\0\0", b"x")
    assert await ends(join(world(), level), packet) == ReasonCode.TOPIC_ALIAS_INVALID


@states(v5="3.3.2-9 3.3.2-12")
async def test_every_alias_up_to_what_the_broker_takes_is_good(level):
    table = world(mqtt_topic_aliases=5)
    watcher = join(table, level, "w")
    await says(watcher, subscribe("#"))
    client = join(table, level)
    most = client.agreed.topic_alias_maximum
    assert most == 5
    for alias in range(1, most + 1):
        await says(client, publish(f"t/{alias}", properties=Properties(topic_alias=alias)))
    for alias in range(most, 0, -1):
        await says(client, publish("", properties=Properties(topic_alias=alias)))
    topics = [f"t/{alias}" for alias in (1, 2, 3, 4, 5, 5, 4, 3, 2, 1)]
    assert [each.topic for each in watcher.takes()] == topics
    over = publish("b", properties=Properties(topic_alias=most + 1))
    assert await ends(client, over) == ReasonCode.TOPIC_ALIAS_INVALID


@states(v5="3.3.2-14")
async def test_a_response_topic_has_no_wildcard(level):
    for topic in (b"a/+", b"#"):
        text = b"\x08" + field(topic)
        packet = frame(0x30, field(b"a"), bytes([len(text)]), text)
        assert await ends(join(world(), level), packet) == ReasonCode.PROTOCOL_ERROR


# --- What explains

_EXPLAINED = Properties(reason_string="because of the weather", user=(("weather", "bad"),))
_PACKETS: dict[str, Any] = {
    "3.2.2": mqtt.ConnAck(False, ReasonCode.NOT_AUTHORIZED, _EXPLAINED),
    "3.4.2": mqtt.PubAck(1, ReasonCode.NOT_AUTHORIZED, _EXPLAINED),
    "3.5.2": mqtt.PubRec(1, ReasonCode.NOT_AUTHORIZED, _EXPLAINED),
    "3.6.2": mqtt.PubRel(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, _EXPLAINED),
    "3.7.2": mqtt.PubComp(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, _EXPLAINED),
    "3.9.2": mqtt.SubAck(1, (ReasonCode.NOT_AUTHORIZED,), _EXPLAINED),
    "3.11.2": mqtt.UnsubAck(1, (ReasonCode.NO_SUBSCRIPTION_EXISTED,), _EXPLAINED),
    "3.14.2": mqtt.Disconnect(ReasonCode.SERVER_BUSY, _EXPLAINED),
    "3.15.2": mqtt.Auth(ReasonCode.SUCCESS, structs.replace(_EXPLAINED, authentication_method="m")),
}


async def explains_only_where_there_is_room(section):
    packet = _PACKETS[section]
    whole = len(mqtt.encode(packet, MQTT_5))
    for most, explained in ((whole, True), (whole - 1, False)):
        limits = Limits()
        channel = CallbackChannel(lambda data: None)
        out = Outbound(channel, limits, FakeClock(), SharedFrames(), lambda: None, lambda error: None)
        asked = Properties(maximum_packet_bytes=most)
        out.opened(mqtt.Connect("c", True, 0, level=MQTT_5, properties=asked), limits)
        frame_bytes = out.encoded(packet)
        assert 0 < len(frame_bytes) <= most
        assert (b"weather" in frame_bytes) == explained


@states(v5="3.2.2-19 3.2.2-20")
async def test_connack_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.2.2")


@states(v5="3.4.2-2 3.4.2-3")
async def test_puback_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.4.2")


@states(v5="3.5.2-2 3.5.2-3")
async def test_pubrec_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.5.2")


@states(v5="3.6.2-2 3.6.2-3")
async def test_pubrel_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.6.2")


@states(v5="3.7.2-2 3.7.2-3")
async def test_pubcomp_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.7.2")


@states(v5="3.9.2-1 3.9.2-2")
async def test_suback_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.9.2")


@states(v5="3.11.2-1 3.11.2-2")
async def test_unsuback_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.11.2")


@states(v5="3.14.2-3 3.14.2-4")
async def test_disconnect_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.14.2")


@states(v5="3.15.2-2 3.15.2-3")
async def test_auth_explains_only_where_there_is_room(level):
    await explains_only_where_there_is_room("3.15.2")


@pytest.mark.parametrize("most", [30, 200])
@states(v5="3.14.2-3")
async def test_a_goodbye_of_the_broker_is_within_what_the_client_takes(level, most):
    client = join(world(), level, maximum_packet_bytes=most)
    client.sends(publish("a", properties=Properties(topic_alias=65_535)))
    assert client.closed
    assert 0 < len(client.received) <= most
    [goodbye] = client.takes()
    assert goodbye.reason is ReasonCode.TOPIC_ALIAS_INVALID
    assert (goodbye.properties.reason_string is None) == (most == 30)
