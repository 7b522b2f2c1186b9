"""For each statement of the specifications that a codec can check, a packet that breaks it. The first word of a case is the
statement (of 3.1.1, of 5), or the section where it has no number, that the error names."""

from typing import Any

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode

MALFORMED, PROTOCOL = ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR
C4, C5 = b"\x00\x04MQTT\x04", b"\x00\x04MQTT\x05"

OF_BOTH = [
    ("2.2.1|2.1.2 a reserved packet type", 0x00, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of CONNECT", 0x11, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of CONNACK", 0x21, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of PUBACK", 0x48, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of PUBREC", 0x52, b"", b"", MALFORMED),
    ("MQTT-3.6.1-1|MQTT-3.6.1-1 flags of PUBREL", 0x60, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of PUBCOMP", 0x72, b"", b"", MALFORMED),
    ("MQTT-3.8.1-1|MQTT-3.8.1-1 flags of SUBSCRIBE", 0x80, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of SUBACK", 0x92, b"", b"", MALFORMED),
    ("MQTT-3.10.1-1|MQTT-3.10.1-1 flags of UNSUBSCRIBE", 0xA0, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of UNSUBACK", 0xB2, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of PINGREQ", 0xC1, b"", b"", MALFORMED),
    ("MQTT-2.2.2-2|MQTT-2.1.3-1 flags of PINGRESP", 0xD1, b"", b"", MALFORMED),
    ("MQTT-3.14.1-1|MQTT-3.14.1-1 flags of DISCONNECT", 0xE1, b"", b"", MALFORMED),
    (
        "MQTT-3.1.2-3|MQTT-3.1.2-3 the reserved connect flag",
        0x10,
        C4 + b"\x03\0\0\0\0",
        C5 + b"\x03\0\0\0\0\0",
        MALFORMED,
    ),
    (
        "MQTT-3.1.2-13|MQTT-3.1.2-11 will QoS without a will",
        0x10,
        C4 + b"\x0a\0\0\0\0",
        C5 + b"\x0a\0\0\0\0\0",
        MALFORMED,
    ),
    (
        "MQTT-3.1.2-14|MQTT-3.1.2-12 will QoS 3",
        0x10,
        C4 + b"\x1e\0\0\0\0\0\x01a\0\0",
        C5 + b"\x1e\0\0\0\0\0\0\0\x01a\0\0",
        MALFORMED,
    ),
    (
        "MQTT-3.1.2-15|MQTT-3.1.2-13 will retain without a will",
        0x10,
        C4 + b"\x22\0\0\0\0",
        C5 + b"\x22\0\0\0\0\0",
        MALFORMED,
    ),
    (
        "MQTT-3.3.2-2|MQTT-3.3.2-2 a wildcard in the will's topic",
        0x10,
        C4 + b"\x06\0\0\0\0\0\x01#\0\0",
        C5 + b"\x06\0\0\0\0\0\0\0\x01#\0\0",
        MALFORMED,
    ),
    (
        "MQTT-4.7.3-1|MQTT-4.7.3-1 an empty will topic",
        0x10,
        C4 + b"\x06\0\0\0\0\0\0\0\0",
        C5 + b"\x06\0\0\0\0\0\0\0\0\0\0",
        MALFORMED,
    ),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a client identifier that is not UTF-8 (MQTT-3.1.3-4)",
        0x10,
        C4 + b"\x02\0\0\0\x01\xff",
        C5 + b"\x02\0\0\0\0\x01\xff",
        MALFORMED,
    ),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a will topic that is not UTF-8 (MQTT-3.1.3-10, MQTT-3.1.3-11)",
        0x10,
        C4 + b"\x06\0\0\0\0\0\x01\xff\0\0",
        C5 + b"\x06\0\0\0\0\0\0\0\x01\xff\0\0",
        MALFORMED,
    ),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a user name that is not UTF-8 (MQTT-3.1.3-11, MQTT-3.1.3-12)",
        0x10,
        C4 + b"\x82\0\0\0\0\0\x01\xff",
        C5 + b"\x82\0\0\0\0\0\0\x01\xff",
        MALFORMED,
    ),
    (
        "MQTT-4.8.0-1|MQTT-4.13.1-1 no user name behind its flag (MQTT-3.1.2-19, MQTT-3.1.2-17)",
        0x10,
        C4 + b"\x82\0\0\0\0",
        C5 + b"\x82\0\0\0\0\0",
        MALFORMED,
    ),
    (
        "MQTT-4.8.0-1|MQTT-4.13.1-1 no password behind its flag (MQTT-3.1.2-21, MQTT-3.1.2-19)",
        0x10,
        C4 + b"\xc2\0\0\0\0\0\x01u",
        C5 + b"\xc2\0\0\0\0\0\0\x01u",
        MALFORMED,
    ),
    (
        "MQTT-4.8.0-1|MQTT-4.13.1-1 a user name without its flag (MQTT-3.1.2-18, MQTT-3.1.2-16)",
        0x10,
        C4 + b"\x02\0\0\0\0\0\x01u",
        C5 + b"\x02\0\0\0\0\0\0\x01u",
        MALFORMED,
    ),
    (
        "MQTT-4.8.0-1|MQTT-4.13.1-1 no will behind its flag (MQTT-3.1.2-9)",
        0x10,
        C4 + b"\x06\0\0\0\0",
        C5 + b"\x06\0\0\0\0\0",
        MALFORMED,
    ),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 CONNECT cut short", 0x10, C4, C5, MALFORMED),
    ("3.2.2.1|MQTT-3.2.2-1 flags of CONNACK's body", 0x20, b"\x02\0", b"\x02\0\0", MALFORMED),
    ("MQTT-3.2.2-4|MQTT-3.2.2-6 a refusal with a session", 0x20, b"\x01\x05", b"\x01\x87\0", PROTOCOL),
    ("MQTT-3.3.1-4|MQTT-3.3.1-4 QoS 3", 0x36, b"\0\x01a\0\x01", b"\0\x01a\0\x01\0", MALFORMED),
    ("MQTT-3.3.1-2|MQTT-3.3.1-2 DUP at QoS 0", 0x38, b"\0\x01a", b"\0\x01a\0", MALFORMED),
    ("MQTT-3.3.2-2|MQTT-3.3.2-2 a wildcard topic", 0x30, b"\0\x03a/+", b"\0\x03a/+\0", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 a topic beyond the packet", 0x30, b"\0\x09abc", b"\0\x09abc\0", MALFORMED),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a topic that is not UTF-8 (MQTT-3.3.2-1)",
        0x30,
        b"\0\x01\xff",
        b"\0\x01\xff\0",
        MALFORMED,
    ),
    ("MQTT-1.5.3-1|MQTT-1.5.4-1 a surrogate", 0x30, b"\0\x03\xed\xa0\x80", b"\0\x03\xed\xa0\x80\0", MALFORMED),
    ("MQTT-1.5.3-2|MQTT-1.5.4-2 U+0000 (MQTT-4.7.3-2)", 0x30, b"\0\x03a\0b", b"\0\x03a\0b\0", MALFORMED),
    ("MQTT-2.3.1-1|MQTT-2.2.1-3 identifier 0 in PUBLISH", 0x32, b"\0\x01a\0\0", b"\0\x01a\0\0\0", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 no identifier in PUBLISH", 0x32, b"\0\x01a", b"\0\x01a", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 PUBACK of nothing", 0x40, b"", b"", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 PUBREC of nothing", 0x50, b"\x01", b"\x01", MALFORMED),
    ("MQTT-2.3.1-1|MQTT-2.2.1-3 identifier 0 in PUBREL", 0x62, b"\0\0", b"\0\0", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 PUBCOMP with more", 0x70, b"\0\x01\0\0\0", b"\0\x01\0\0\0", MALFORMED),
    ("MQTT-2.3.1-1|MQTT-2.2.1-3 identifier 0 in SUBSCRIBE", 0x82, b"\0\0\0\x01a\0", b"\0\0\0\0\x01a\0", MALFORMED),
    ("MQTT-3.8.3-3|MQTT-3.8.3-2 SUBSCRIBE without filters", 0x82, b"\0\x01", b"\0\x01\0", PROTOCOL),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 a filter without options", 0x82, b"\0\x01\0\x01a", b"\0\x01\0\0\x01a", MALFORMED),
    ("MQTT-4.7.3-1|MQTT-4.7.3-1 an empty filter", 0x82, b"\0\x01\0\0\0", b"\0\x01\0\0\0\0", MALFORMED),
    ("MQTT-4.7.1-2|MQTT-4.7.1-1 # before the end", 0x82, b"\0\x01\0\x03#/a\0", b"\0\x01\0\0\x03#/a\0", MALFORMED),
    ("MQTT-4.7.1-2|MQTT-4.7.1-1 # beside a name", 0x82, b"\0\x01\0\x02a#\0", b"\0\x01\0\0\x02a#\0", MALFORMED),
    ("MQTT-4.7.1-3|MQTT-4.7.1-2 + beside a name", 0x82, b"\0\x01\0\x02a+\0", b"\0\x01\0\0\x02a+\0", MALFORMED),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a filter that is not UTF-8 (MQTT-3.8.3-1)",
        0x82,
        b"\0\x01\0\x01\xff\0",
        b"\0\x01\0\0\x01\xff\0",
        MALFORMED,
    ),
    ("MQTT-2.3.1-1|MQTT-2.2.1-3 identifier 0 in SUBACK", 0x90, b"\0\0\0", b"\0\0\0\0", MALFORMED),
    ("MQTT-2.3.1-1|MQTT-2.2.1-3 identifier 0 in UNSUBSCRIBE", 0xA2, b"\0\0\0\x01a", b"\0\0\0\0\x01a", MALFORMED),
    ("MQTT-3.10.3-2|MQTT-3.10.3-2 UNSUBSCRIBE without filters", 0xA2, b"\0\x01", b"\0\x01\0", PROTOCOL),
    (
        "MQTT-1.5.3-1|MQTT-1.5.4-1 a filter that is not UTF-8 (MQTT-3.10.3-1)",
        0xA2,
        b"\0\x01\0\x01\xff",
        b"\0\x01\0\0\x01\xff",
        MALFORMED,
    ),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 PINGREQ with a body", 0xC0, b"x", b"x", MALFORMED),
    ("MQTT-4.8.0-1|MQTT-4.13.1-1 PINGRESP with a body", 0xD0, b"x", b"x", MALFORMED),
]

OF_3_1_1 = [
    ("MQTT-3.1.2-22 a password alone", 0x10, C4 + b"\x42\0\0\0\0\0\0", MALFORMED),
    ("3.2.2.3 a reserved return code", 0x20, b"\0\x06", MALFORMED),
    ("MQTT-4.7.3-1 an empty topic", 0x30, b"\0\0x", MALFORMED),
    ("MQTT-4.8.0-1 PUBACK with more", 0x40, b"\0\x01\0", MALFORMED),
    ("MQTT-3.8.3-4 QoS 3 in SUBSCRIBE", 0x82, b"\0\x01\0\x01a\x03", MALFORMED),
    ("MQTT-3.8.3-4 reserved bits in SUBSCRIBE", 0x82, b"\0\x01\0\x01a\x04", MALFORMED),
    ("MQTT-3.9.3-2 a reserved code in SUBACK", 0x90, b"\0\x01\x03", MALFORMED),
    ("MQTT-4.8.0-1 UNSUBACK with more", 0xB0, b"\0\x01x", MALFORMED),
    ("MQTT-4.8.0-1 DISCONNECT with a body", 0xE0, b"\0", MALFORMED),
    ("2.2.1 AUTH", 0xF0, b"", MALFORMED),
]

OF_5 = [
    ("MQTT-3.15.1-1 flags of AUTH", 0xF1, b"", MALFORMED),
    ("MQTT-1.5.5-1 a property length of needless bytes", 0x30, b"\0\x01a\x80\0x", MALFORMED),
    ("1.5.5 a property length of five bytes", 0x30, b"\0\x01a\x80\x80\x80\x80\x01x", MALFORMED),
    ("MQTT-4.13.1-1 properties beyond the packet", 0x30, b"\0\x01a\x05\x01", MALFORMED),
    ("MQTT-4.13.1-1 a property beyond the properties", 0x30, b"\0\x01a\x03\x02\0\0\0\x05", MALFORMED),
    ("2.2.2.2 an unknown property", 0x30, b"\0\x01a\x02\x7f\0", MALFORMED),
    ("2.2.2.2 a property of another packet", 0x30, b"\0\x01a\x03\x13\0\x05", MALFORMED),
    ("2.2.2.2 a property of a will beside it", 0x10, C5 + b"\x02\0\0\x05\x18\0\0\0\x01\0\0", MALFORMED),
    ("2.2.2.2 a property twice", 0x30, b"\0\x01a\x04\x01\0\x01\0", PROTOCOL),
    ("2.2.2.2 two subscription identifiers in SUBSCRIBE", 0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0", PROTOCOL),
    ("3.8.2.1.2 subscription identifier 0", 0x82, b"\0\x01\x02\x0b\0\0\x01a\0", PROTOCOL),
    ("3.3.2.3.2 a payload format of 2", 0x30, b"\0\x01a\x02\x01\x02", PROTOCOL),
    ("MQTT-3.3.2-8 topic alias 0", 0x30, b"\0\x01a\x03\x23\0\0", ReasonCode.TOPIC_ALIAS_INVALID),
    ("3.3.2.1 neither a topic nor an alias", 0x30, b"\0\0\0x", PROTOCOL),
    ("MQTT-3.3.2-14 a wildcard in the response topic", 0x30, b"\0\x01a\x04\x08\0\x01#", PROTOCOL),
    ("MQTT-4.7.3-1 an empty response topic", 0x30, b"\0\x01a\x03\x08\0\0", MALFORMED),
    ("MQTT-1.5.4-1 a response topic that is not UTF-8 (MQTT-3.3.2-13)", 0x30, b"\0\x01a\x04\x08\0\x01\xff", MALFORMED),
    ("MQTT-1.5.4-1 a content type that is not UTF-8 (MQTT-3.3.2-19)", 0x30, b"\0\x01a\x04\x03\0\x01\xff", MALFORMED),
    ("MQTT-1.5.4-1 a user property's value (MQTT-1.5.7-1)", 0x30, b"\0\x01a\x06\x26\0\0\0\x01\xff", MALFORMED),
    ("MQTT-1.5.4-2 a user property's name (MQTT-1.5.7-1)", 0x30, b"\0\x01a\x06\x26\0\x01\0\0\0", MALFORMED),
    ("3.1.2.11.3 a receive maximum of 0", 0x10, C5 + b"\x02\0\0\x03\x21\0\0\0\0", PROTOCOL),
    ("3.1.2.11.4 a maximum packet size of 0", 0x10, C5 + b"\x02\0\0\x05\x27\0\0\0\0\0\0", PROTOCOL),
    ("3.1.2.11.6 request response information 2", 0x10, C5 + b"\x02\0\0\x02\x19\x02\0\0", PROTOCOL),
    ("3.1.2.11.7 request problem information 2", 0x10, C5 + b"\x02\0\0\x02\x17\x02\0\0", PROTOCOL),
    ("3.1.2.11.10 authentication data without a method", 0x10, C5 + b"\x02\0\0\x03\x16\0\0\0\0", PROTOCOL),
    ("3.2.2.3.4 a maximum QoS of 2", 0x20, b"\0\0\x02\x24\x02", PROTOCOL),
    ("3.2.2.3.5 retain available 2", 0x20, b"\0\0\x02\x25\x02", PROTOCOL),
    ("3.2.2.3.11 wildcard subscriptions 2", 0x20, b"\0\0\x02\x28\x02", PROTOCOL),
    ("3.2.2.3.12 subscription identifiers 2", 0x20, b"\0\0\x02\x29\x02", PROTOCOL),
    ("3.2.2.3.13 shared subscriptions 2", 0x20, b"\0\0\x02\x2a\x02", PROTOCOL),
    ("MQTT-3.2.2-8 a reason that is none of CONNACK", 0x20, b"\0\x01\0", PROTOCOL),
    ("MQTT-3.4.2-1 a reason that is none of PUBACK", 0x40, b"\0\x01\x92", PROTOCOL),
    ("MQTT-3.5.2-1 a reason that is none of PUBREC", 0x50, b"\0\x01\x92", PROTOCOL),
    ("MQTT-3.6.2-1 a reason that is none of PUBREL", 0x62, b"\0\x01\x80", PROTOCOL),
    ("MQTT-3.7.2-1 a reason that is none of PUBCOMP", 0x70, b"\0\x01\x10", PROTOCOL),
    ("MQTT-3.9.3-2 a reason that is none of SUBACK", 0x90, b"\0\x01\0\x03", PROTOCOL),
    ("MQTT-3.11.3-2 a reason that is none of UNSUBACK", 0xB0, b"\0\x01\0\x01", PROTOCOL),
    ("MQTT-3.14.2-1 a reason that is none of DISCONNECT", 0xE0, b"\x01", PROTOCOL),
    ("MQTT-3.15.2-1 a reason that is none of AUTH", 0xF0, b"\x80\0", PROTOCOL),
    ("MQTT-4.13.1-1 AUTH without properties", 0xF0, b"\x18", MALFORMED),
    ("MQTT-3.8.3-4 no local on a shared subscription", 0x82, b"\0\x01\0\0\x0a$share/a/b\x04", PROTOCOL),
    ("MQTT-3.8.3-5 reserved subscription options", 0x82, b"\0\x01\0\0\x01a\x40", MALFORMED),
    ("3.8.3.1 QoS 3 in SUBSCRIBE", 0x82, b"\0\x01\0\0\x01a\x03", PROTOCOL),
    ("3.8.3.1 retain handling 3", 0x82, b"\0\x01\0\0\x01a\x30", PROTOCOL),
    ("MQTT-4.8.2-1 a shared subscription without a name", 0x82, b"\0\x01\0\0\x09$share//b\0", MALFORMED),
    ("MQTT-4.8.2-2 a wildcard in a share's name", 0x82, b"\0\x01\0\0\x0b$share/a+/b\0", MALFORMED),
    ("MQTT-4.8.2-2 a shared subscription without a filter", 0x82, b"\0\x01\0\0\x08$share/a\0", MALFORMED),
    ("MQTT-4.7.3-1 a shared subscription to an empty filter", 0x82, b"\0\x01\0\0\x09$share/a/\0", MALFORMED),
    ("MQTT-4.7.1-1 a shared subscription to an ill-formed filter", 0x82, b"\0\x01\0\0\x0b$share/a/b#\0", MALFORMED),
    ("MQTT-4.13.1-1 DISCONNECT with more", 0xE0, b"\0\0x", MALFORMED),
    ("MQTT-4.13.1-1 AUTH with more", 0xF0, b"\0\0x", MALFORMED),
]

CASES = [
    *(
        (f"{level}: {rule} {what}", level, rule, first, body, reason)
        for name, first, *bodies, reason in OF_BOTH
        for both, what in [name.split(" ", 1)]
        for level, rule, body in zip((4, 5), both.split("|"), bodies, strict=True)
    ),
    *(
        (f"{level}: {name}", level, name.split(" ", 1)[0], first, body, reason)
        for level, cases in ((4, OF_3_1_1), (5, OF_5))
        for name, first, body, reason in cases
    ),
]


@pytest.mark.parametrize(
    ("level", "rule", "first", "body", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_malformed_packet_is_refused_with_the_rule_it_breaks(level, rule, first, body, reason):
    with pytest.raises(mqtt.RemoteProtocolError) as caught:
        mqtt.decode(first, body, level)
    assert caught.value.rule == rule
    assert caught.value.reason == reason
    assert str(caught.value).endswith(f"[{rule}]")


@pytest.mark.parametrize(
    ("body", "level"),
    [
        (b"\x00\x06MQIsdp\x03\x02\0\0\0\0", 3),
        (b"\x00\x04MQTT\x06\x02\0\0\0\0", 6),
        (b"\x00\x04MQTT\x85", 5),
        (b"\x00\x06MQIsdp\x83", 3),
    ],
)
def test_mqtt_3_1_2_2_another_version_is_told_from_bytes_that_are_none(body, level):
    with pytest.raises(mqtt.UnsupportedLevel) as caught:
        mqtt.decode(0x10, body)
    assert (caught.value.level, caught.value.reason) == (level, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)


def test_mqtt_3_1_2_1_another_protocol():
    with pytest.raises(mqtt.RemoteProtocolError, match="not MQTT") as caught:
        mqtt.decode(0x10, b"\x00\x04HTTP\x04\x02\0\0\0\0")
    assert (caught.value.rule, caught.value.reason) == ("MQTT-3.1.2-1", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)


def read(first: int, body: bytes, level: int = 4) -> Any:
    """Any: each test knows which packet it is."""
    return mqtt.decode(first, body, level)


def test_in_mqtt_5_a_password_may_come_alone():
    packet = read(0x10, C5 + b"\x42\0\0\0\0\0\0\x01p")
    assert (packet.username, packet.password) == (None, b"p")


def test_mqtt_4_8_2_1_in_3_1_1_share_is_a_name_like_others():
    packet = read(0x82, b"\0\x01\0\x09$share//b\0", 4)
    assert packet.subscriptions == (mqtt.Subscription("$share//b", 0),)


def test_mqtt_1_5_4_3_u_feff_is_kept():
    packet = read(0x30, b"\0\x04\xef\xbb\xbfa\0", 5)
    assert packet.topic == "\ufeffa"


def test_mqtt_3_3_2_a_topic_alias_stands_for_an_empty_topic():
    packet = read(0x30, b"\0\0\x03\x23\0\x07x", 5)
    assert (packet.topic, packet.properties.topic_alias, packet.payload) == ("", 7, b"x")


def test_mqtt_3_3_2_17_and_18_user_properties_keep_their_order():
    users = (("b", "1"), ("a", "2"), ("b", "1"))
    frame = mqtt.encode(mqtt.Publish("t", b"", properties=mqtt.Properties(user=users)), 5)
    assert read(frame[0], frame[2:], 5).properties.user == users


@pytest.mark.parametrize(
    ("topic_filter", "parts"),
    [("$share/name/a/+", ("name", "a/+")), ("$share/n//", ("n", "/")), ("share/a/b", (None, "share/a/b"))],
)
def test_mqtt_4_8_2_the_parts_of_a_shared_subscription(topic_filter, parts):
    assert mqtt.check_filter(topic_filter, 5) == topic_filter
    assert mqtt.split_shared(topic_filter) == parts
