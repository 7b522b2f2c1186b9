import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire import mqtt

LIMIT = 1 << 20


def decoded(data):
    found = mqtt.header(data, 0, LIMIT)
    assert found is not None
    body, end = found
    assert end == len(data)
    return mqtt.decode(data[0], data[body:end])


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40)
filters = st.lists(st.one_of(st.just("+"), topics), min_size=1, max_size=4).map("/".join)
packet_ids = st.integers(1, 65_535)
payloads = st.binary(max_size=300)
wills = st.none() | st.builds(mqtt.Will, topics, payloads, st.integers(0, 2), st.booleans())
connects = st.builds(
    lambda name, clean, keep_alive, will, login: mqtt.Connect(name, clean, keep_alive, will, *login),
    texts,
    st.booleans(),
    st.integers(0, 65_535),
    wills,
    st.one_of(st.just((None, None)), st.tuples(texts, st.none()), st.tuples(texts, payloads)),
)
packets = st.one_of(
    connects,
    st.builds(mqtt.ConnAck, st.booleans(), st.just(0)) | st.builds(mqtt.ConnAck, st.just(False), st.integers(1, 5)),
    st.builds(mqtt.Publish, topics, payloads, st.just(0), st.booleans()),
    st.builds(mqtt.Publish, topics, payloads, st.integers(1, 2), st.booleans(), st.booleans(), packet_ids),
    st.builds(mqtt.PubAck, packet_ids),
    st.builds(
        mqtt.Subscribe, packet_ids, st.lists(st.tuples(filters, st.integers(0, 2)), min_size=1, max_size=4).map(tuple)
    ),
    st.builds(mqtt.SubAck, packet_ids, st.lists(st.sampled_from([0, 1, 2, 0x80]), max_size=4).map(tuple)),
    st.builds(mqtt.Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4).map(tuple)),
    st.builds(mqtt.UnsubAck, packet_ids),
    st.sampled_from([mqtt.PingReq(), mqtt.PingResp(), mqtt.Disconnect()]),
)


@given(packets)
def test_every_packet_survives_the_wire(packet):
    assert decoded(mqtt.encode(packet)) == packet


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_the_peers_error(first, body):
    try:
        packet = mqtt.decode(first, body)
    except mqtt.RemoteProtocolError:
        return
    assert decoded(mqtt.encode(packet)) == packet


CONNECT = b"\x00\x04MQTT\x04"
MALFORMED = [
    ("a reserved packet type", 0x00, b"", "2.2.1"),
    ("QoS 2's PUBREC", 0x50, b"\x00\x01", "2.2.1"),
    ("flags of CONNECT", 0x11, CONNECT + b"\x02\x00\x00\x00\x00", "MQTT-2.2.2-2"),
    ("flags of SUBSCRIBE", 0x80, b"\x00\x01\x00\x01a\x00", "MQTT-2.2.2-2"),
    ("flags of PINGREQ", 0xC1, b"", "MQTT-2.2.2-2"),
    ("another protocol", 0x10, b"\x00\x04HTTP\x04\x02\x00\x00\x00\x00", "MQTT-3.1.2-1"),
    ("MQTT 5", 0x10, b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00", "MQTT-3.1.2-2"),
    ("MQTT 3.1", 0x10, b"\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00", "MQTT-3.1.2-2"),
    ("the reserved connect flag", 0x10, CONNECT + b"\x03\x00\x00\x00\x00", "MQTT-3.1.2-3"),
    ("a password alone", 0x10, CONNECT + b"\x42\x00\x00\x00\x00\x00\x00", "MQTT-3.1.2-22"),
    ("will QoS 3", 0x10, CONNECT + b"\x1e\x00\x00\x00\x00\x00\x01a\x00\x00", "MQTT-3.1.2-14"),
    ("will QoS without will", 0x10, CONNECT + b"\x0a\x00\x00\x00\x00", "MQTT-3.1.2-13"),
    ("will retain without will", 0x10, CONNECT + b"\x22\x00\x00\x00\x00", "MQTT-3.1.2-15"),
    ("a wildcard in the will's topic", 0x10, CONNECT + b"\x06\x00\x00\x00\x00\x00\x01#\x00\x00", "MQTT-3.3.2-2"),
    ("CONNECT cut short", 0x10, CONNECT, "MQTT-4.8.0-1"),
    ("CONNECT too long", 0x10, CONNECT + b"\x02\x00\x00\x00\x00x", "MQTT-4.8.0-1"),
    ("flags of CONNACK", 0x20, b"\x02\x00", "3.2.2.1"),
    ("a refusal with a session", 0x20, b"\x01\x05", "MQTT-3.2.2-4"),
    ("QoS 3", 0x36, b"\x00\x01a\x00\x01", "MQTT-3.3.1-4"),
    ("DUP at QoS 0", 0x38, b"\x00\x01a", "MQTT-3.3.1-2"),
    ("an empty topic", 0x30, b"\x00\x00x", "MQTT-4.7.3-1"),
    ("a wildcard topic", 0x30, b"\x00\x03a/+", "MQTT-3.3.2-2"),
    ("a topic beyond the packet", 0x30, b"\x00\x09abc", "MQTT-4.8.0-1"),
    ("ill-formed UTF-8", 0x30, b"\x00\x01\xff", "MQTT-1.5.3-1"),
    ("a surrogate", 0x30, b"\x00\x03\xed\xa0\x80", "MQTT-1.5.3-1"),
    ("U+0000", 0x30, b"\x00\x03a\x00b", "MQTT-1.5.3-2"),
    ("packet id 0 in PUBLISH", 0x32, b"\x00\x01a\x00\x00", "MQTT-2.3.1-1"),
    ("no packet id in PUBLISH", 0x32, b"\x00\x01a", "MQTT-4.8.0-1"),
    ("PUBACK of nothing", 0x40, b"", "MQTT-4.8.0-1"),
    ("packet id 0 in SUBSCRIBE", 0x82, b"\x00\x00\x00\x01a\x00", "MQTT-2.3.1-1"),
    ("SUBSCRIBE without filters", 0x82, b"\x00\x01", "MQTT-3.8.3-3"),
    ("QoS 3 in SUBSCRIBE", 0x82, b"\x00\x01\x00\x01a\x03", "MQTT-3.8.3-4"),
    ("an empty filter", 0x82, b"\x00\x01\x00\x00\x00", "MQTT-4.7.3-1"),
    ("# before the end", 0x82, b"\x00\x01\x00\x03#/a\x00", "MQTT-4.7.1-2"),
    ("# beside a name", 0x82, b"\x00\x01\x00\x02a#\x00", "MQTT-4.7.1-2"),
    ("+ beside a name", 0x82, b"\x00\x01\x00\x02a+\x00", "MQTT-4.7.1-3"),
    ("a reserved code in SUBACK", 0x90, b"\x00\x01\x03", "MQTT-3.9.3-2"),
    ("UNSUBSCRIBE without filters", 0xA2, b"\x00\x01", "MQTT-3.10.3-2"),
    ("UNSUBACK with more", 0xB0, b"\x00\x01x", "MQTT-4.8.0-1"),
    ("PINGREQ with a body", 0xC0, b"x", "MQTT-4.8.0-1"),
    ("PINGRESP with a body", 0xD0, b"x", "MQTT-4.8.0-1"),
    ("DISCONNECT with a body", 0xE0, b"x", "MQTT-4.8.0-1"),
]


@pytest.mark.parametrize(
    ("first", "body", "rule"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_a_malformed_packet_is_refused_with_the_rule_it_breaks(first, body, rule):
    with pytest.raises(mqtt.RemoteProtocolError) as caught:
        mqtt.decode(first, body)
    assert caught.value.rule == rule
    assert str(caught.value).endswith(f"[{rule}]")


def test_the_length_is_read_as_far_as_it_is_there():
    assert mqtt.header(b"\x30", 0, LIMIT) is None
    assert mqtt.header(b"\x30\x80", 0, LIMIT) is None
    assert mqtt.header(b"\x30\x80\x01", 0, LIMIT) == (3, 131)
    assert mqtt.header(b"xx\x30\x05", 2, LIMIT) == (4, 9)


def test_a_length_over_the_limit_is_refused_before_its_body_arrives():
    assert mqtt.header(b"\x30\x80\x80\x01", 0, 16_388) == (4, 16_388)
    with pytest.raises(mqtt.RemoteProtocolError, match="at most 16387"):
        mqtt.header(b"\x30\x80\x80\x01", 0, 16_387)


def test_a_length_of_five_bytes_is_refused():
    with pytest.raises(mqtt.RemoteProtocolError, match="four bytes"):
        mqtt.header(b"\x30\x80\x80\x80\x80\x01", 0, LIMIT)
