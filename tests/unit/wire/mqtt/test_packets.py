import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode
from tests.support.mqtt_packets import decoded, packets

LEVELS = (mqtt.MQTT_3_1_1, mqtt.MQTT_5)


@given(packets(mqtt.MQTT_3_1_1))
def test_every_packet_of_3_1_1_survives_the_wire(packet):
    assert decoded(mqtt.encode(packet, 4), 4) == packet


@given(packets(mqtt.MQTT_5))
def test_every_packet_of_5_survives_the_wire(packet):
    assert decoded(mqtt.encode(packet, 5), 5) == packet


@given(st.integers(0, 255), st.binary(max_size=60), st.sampled_from(LEVELS))
def test_any_bytes_are_a_packet_or_the_peers_error(first, body, level):
    try:
        packet = mqtt.decode(first, body, level)
    except mqtt.RemoteProtocolError:
        return
    assert decoded(mqtt.encode(packet, level), level) == packet


@given(packets(mqtt.MQTT_5), st.data())
def test_mqtt_4_13_1_1_a_packet_cut_short_is_the_peers_error(packet, data):
    """Or a shorter packet: where what is left out at the end has a meaning."""
    whole = mqtt.encode(packet, 5)
    found = mqtt.header(whole, 0, len(whole))
    assert found is not None
    cut = data.draw(st.integers(found[0], len(whole)))
    try:
        shorter = mqtt.decode(whole[0], whole[found[0] : cut], 5)
    except mqtt.RemoteProtocolError:
        return
    assert type(shorter) is type(packet)


@given(packets(mqtt.MQTT_5))
def test_a_server_says_the_same_to_clients_of_both_versions(packet):
    """3.1.1 leaves out what it has no place for; a filter's meaning does not change on the way."""
    if isinstance(packet, mqtt.Connect | mqtt.Auth | mqtt.Subscribe | mqtt.Unsubscribe):
        return
    older = decoded(mqtt.encode(packet, 4), 4)
    assert type(older) is type(packet)
    assert getattr(older, "packet_id", None) == getattr(packet, "packet_id", None)
    assert getattr(older, "properties", mqtt.NO_PROPERTIES) is mqtt.NO_PROPERTIES


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ReasonCode.SUCCESS, 0),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, 1),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, 2),
        (ReasonCode.SERVER_UNAVAILABLE, 3),
        (ReasonCode.SERVER_BUSY, 3),
        (ReasonCode.CONNECTION_RATE_EXCEEDED, 3),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, 4),
        (ReasonCode.NOT_AUTHORIZED, 5),
        (ReasonCode.BANNED, 5),
    ],
)
def test_mqtt_3_2_2_4_a_refusal_has_a_return_code_in_3_1_1(reason, code):
    refusal = mqtt.ConnAck(session_present=False, reason=reason)
    assert mqtt.encode(refusal, 4) == bytes((0x20, 2, 0, code))
    assert mqtt.encode(refusal, 5) == bytes((0x20, 3, 0, reason, 0))


def test_mqtt_3_9_3_2_suback_has_one_word_for_refusals_in_3_1_1():
    answer = mqtt.SubAck(1, (ReasonCode.GRANTED_QOS_2, ReasonCode.NOT_AUTHORIZED))
    assert mqtt.encode(answer, 4) == b"\x90\x04\x00\x01\x02\x80"
    assert mqtt.encode(answer, 5) == b"\x90\x05\x00\x01\x00\x02\x87"


def test_what_says_nothing_is_left_out():
    cases: list[tuple[mqtt.Packet, bytes]] = [
        (mqtt.PubAck(1), b"\x40\x02\x00\x01"),
        (mqtt.PubRec(1), b"\x50\x02\x00\x01"),
        (mqtt.PubRel(1), b"\x62\x02\x00\x01"),
        (mqtt.PubComp(1), b"\x70\x02\x00\x01"),
        (mqtt.Disconnect(), b"\xe0\x00"),
        (mqtt.Auth(), b"\xf0\x00"),
        (mqtt.PubAck(1, ReasonCode.QUOTA_EXCEEDED), b"\x40\x03\x00\x01\x97"),
        (mqtt.Disconnect(ReasonCode.SESSION_TAKEN_OVER), b"\xe0\x01\x8e"),
    ]
    for packet, frame in cases:
        assert mqtt.encode(packet, 5) == frame
        assert decoded(frame, 5) == packet


def test_mqtt_2_2_2_1_no_properties_are_a_length_of_0():
    assert mqtt.encode(mqtt.Publish("a", b"x"), 5) == b"\x30\x05\x00\x01a\x00x"
    assert mqtt.encode(mqtt.Publish("a", b"x"), 4) == b"\x30\x04\x00\x01ax"


def test_the_frame_of_a_short_publish_is_the_one_of_any():
    for level in (4, 5):
        head = mqtt.publish_head(b"a/b", level)
        for size in (0, 1, 121, 122, 123, 124, 16_370, 16_380):
            assert mqtt.publish_frame(head, bytes(size)) == mqtt.encode(mqtt.Publish("a/b", bytes(size)), level)


def test_mqtt_3_3_1_2_and_2_2_1_2_a_qos_0_publish_without_identifier():
    with pytest.raises(AssertionError):
        mqtt.encode(mqtt.Publish("a", b"", 0, packet_id=1), 5)
    with pytest.raises(AssertionError):
        mqtt.encode(mqtt.Publish("a", b"", 1), 5)


def test_the_same_object_says_that_there_are_no_properties():
    packets_without: list[mqtt.Packet] = [
        mqtt.Publish("a", b"x"),
        mqtt.PubAck(1),
        mqtt.Connect("c", clean_start=True, keep_alive_s=0, level=5),
    ]
    for packet in packets_without:
        assert getattr(decoded(mqtt.encode(packet, 5), 5), "properties", None) is mqtt.NO_PROPERTIES


def test_the_highest_bit_of_the_level_says_in_3_1_1_that_another_broker_connects():
    connect = mqtt.Connect("c", clean_start=False, keep_alive_s=0, is_bridge=True)
    frame = mqtt.encode(connect)
    assert frame[8] == 0x84
    assert decoded(frame, 4) == connect


def test_an_acknowledgement_of_five_fields_may_stop_after_any():
    assert decoded(b"\x40\x02\x00\x01", 5) == mqtt.PubAck(1)
    assert decoded(b"\x40\x03\x00\x01\x10", 5) == mqtt.PubAck(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    assert decoded(b"\x40\x04\x00\x01\x10\x00", 5) == mqtt.PubAck(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)


def test_the_length_is_read_as_far_as_it_is_there():
    assert mqtt.header(b"\x30", 0, 1 << 20) is None
    assert mqtt.header(b"\x30\x80", 0, 1 << 20) is None
    assert mqtt.header(b"\x30\x80\x01", 0, 1 << 20) == (3, 131)
    assert mqtt.header(b"xx\x30\x05", 2, 1 << 20) == (4, 9)


def test_a_length_over_the_limit_is_refused_before_its_body_arrives():
    assert mqtt.header(b"\x30\x80\x80\x01", 0, 16_388) == (4, 16_388)
    with pytest.raises(mqtt.RemoteProtocolError, match="at most 16387") as caught:
        mqtt.header(b"\x30\x80\x80\x01", 0, 16_387)
    assert caught.value.reason == ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize("level", LEVELS)
def test_a_length_of_five_bytes_is_refused(level):
    with pytest.raises(mqtt.RemoteProtocolError, match="four bytes"):
        mqtt.header(b"\x30\x80\x80\x80\x80\x01", 0, 1 << 20, level)


def test_mqtt_1_5_5_1_a_length_has_no_more_bytes_than_it_needs():
    assert mqtt.header(b"\x30\x80\x00", 0, 1 << 20, 4) == (3, 3)
    with pytest.raises(mqtt.RemoteProtocolError, match="longer than it needs"):
        mqtt.header(b"\x30\x80\x00", 0, 1 << 20, 5)


@given(st.integers(0, 268_435_455))
def test_mqtt_1_5_5_1_integers_of_variable_length(value):
    properties = mqtt.write_properties(mqtt.Properties(subscription_ids=(value or 1,)))
    assert mqtt.read_properties(mqtt.Body(properties, 5), mqtt.PUBLISH).subscription_ids == (value or 1,)
    assert len(properties) == 2 + sum((value >= 1 << shift) for shift in (7, 14, 21)) + 1
