"""Bytes to packets."""

from collections.abc import Callable
from typing import TypeVar

from littoral.wire.mqtt import packets as p
from littoral.wire.mqtt import rules
from littoral.wire.mqtt.body import Body
from littoral.wire.mqtt.errors import RemoteProtocolError, UnsupportedLevel
from littoral.wire.mqtt.names import SHARE_PREFIX, check_filter, check_topic
from littoral.wire.mqtt.packets import BRIDGE_BIT, MQTT_3_1_1, MQTT_5, Packet
from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties
from littoral.wire.mqtt.property_codec import WILL, read_properties
from littoral.wire.mqtt.reasons import ReasonCode
from littoral.wire.mqtt.return_codes import REASON_OF_RETURN_CODE, reason_allowed

_FLAGS = {p.PUBREL: 2, p.SUBSCRIBE: 2, p.UNSUBSCRIBE: 2}
"""The low four bits of the first byte where they are not 0 (table 2.2); PUBLISH has flags of its own."""

_Acknowledgement = TypeVar("_Acknowledgement", p.PubAck, p.PubRec, p.PubRel, p.PubComp)


def header(data: bytes, position: int, max_bytes: int, level: int = MQTT_3_1_1) -> tuple[int, int] | None:
    """Where the body of the frame at `position` begins and ends, or None while the length is incomplete.

    The end may lie beyond `data`. Raises RemoteProtocolError for a length of more than four bytes, or of more than it
    needs in MQTT 5, and for a packet over `max_bytes` as soon as its length is known, before any of its body is kept.
    """
    length = shift = 0
    for index in range(position + 1, position + 5):
        if index >= len(data):
            return None
        byte = data[index]
        length |= (byte & 127) << shift
        if byte < 128:
            if not byte and shift and level == MQTT_5:
                raise RemoteProtocolError(rules.SHORTEST_LENGTH.mqtt_5, "the remaining length is longer than it needs")
            if index + 1 - position + length > max_bytes:
                message = f"a packet of {length} bytes; at most {max_bytes} are allowed"
                raise RemoteProtocolError("3.2.2.3.6", message, ReasonCode.PACKET_TOO_LARGE)
            return index + 1, index + 1 + length
        shift += 7
    raise RemoteProtocolError(rules.LENGTH.at(level), "the remaining length has more than four bytes")


def _properties(body: Body, packet: int) -> Properties:
    """Where MQTT 5 has properties, and MQTT 3.1.1 nothing."""
    return read_properties(body, packet) if body.level == MQTT_5 else NO_PROPERTIES


def _reason(body: Body, packet: int) -> ReasonCode:
    return reason_allowed(packet, body.byte())


def _will(body: Body, flags: int) -> p.Will | None:
    qos = flags >> 3 & 3
    if not flags & 0x04:
        if qos:
            raise RemoteProtocolError(rules.WILL_QOS_WITHOUT_WILL.at(body.level), "Will QoS without the Will flag")
        if flags & 0x20:
            rule = rules.WILL_RETAIN_WITHOUT_WILL.at(body.level)
            raise RemoteProtocolError(rule, "Will Retain is set without the Will flag")
        return None
    if qos == 3:
        raise RemoteProtocolError(rules.WILL_QOS.at(body.level), "Will QoS is 3")
    properties = _properties(body, WILL)
    topic = check_topic(body.binary(), body.level)
    return p.Will(topic, body.binary(), qos, bool(flags & 0x20), properties)


def _connect(body: Body) -> p.Connect:
    name = body.binary()
    said = body.byte()
    level = said & ~BRIDGE_BIT
    is_bridge = said == MQTT_3_1_1 | BRIDGE_BIT
    known = is_bridge or said in (MQTT_3_1_1, MQTT_5)
    if (name == b"MQTT" and not known) or (name == b"MQIsdp" and level == 3):
        raise UnsupportedLevel(level)
    if name != b"MQTT":
        message = "the protocol name is not MQTT"
        raise RemoteProtocolError(rules.PROTOCOL_NAME.mqtt_5, message, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)
    body.level = level
    flags = body.byte()
    if flags & 1:
        raise RemoteProtocolError(rules.CONNECT_RESERVED.at(level), "the reserved flag of CONNECT is set")
    if flags & 0xC0 == 0x40 and level == MQTT_3_1_1:
        raise RemoteProtocolError(rules.PASSWORD_ALONE.mqtt_3_1_1, "a password without a user name")
    keep_alive_s = body.integer()
    properties = _properties(body, p.CONNECT)
    client_id = body.string("the client identifier")
    will = _will(body, flags)
    username = body.string("the user name") if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    return p.Connect(client_id, bool(flags & 2), keep_alive_s, will, username, password, level, properties, is_bridge)


def _connack(body: Body) -> p.ConnAck:
    flags = body.byte()
    if flags > 1:
        raise RemoteProtocolError(rules.CONNACK_FLAGS.at(body.level), "reserved flags of CONNACK are set")
    if body.level == MQTT_5:
        reason = _reason(body, p.CONNACK)
    else:
        reason = _return_code(body.byte())
    if flags and reason:
        raise RemoteProtocolError(
            rules.REFUSAL_WITH_SESSION.at(body.level),
            "a refusal says that a session is present",
            ReasonCode.PROTOCOL_ERROR,
        )
    return p.ConnAck(bool(flags), reason, _properties(body, p.CONNACK))


def _return_code(code: int) -> ReasonCode:
    reason = REASON_OF_RETURN_CODE.get(code)
    if reason is None:
        raise RemoteProtocolError("3.2.2.3", f"CONNACK has the reserved return code {code}")
    return reason


def _publish(flags: int, body: Body) -> p.Publish:
    qos = flags >> 1 & 3
    if qos == 3:
        raise RemoteProtocolError(rules.PUBLISH_QOS.at(body.level), "QoS 3")
    if flags & 8 and not qos:
        raise RemoteProtocolError(rules.PUBLISH_DUPLICATE.at(body.level), "DUP is set on a QoS 0 message")
    raw = body.binary()
    topic = "" if not raw and body.level == MQTT_5 else check_topic(raw, body.level)
    packet_id = body.packet_id() if qos else None
    properties = _properties(body, p.PUBLISH)
    if not topic and properties.topic_alias is None:
        message = "a topic name is empty, and no topic alias stands for it"
        raise RemoteProtocolError("3.3.2.1", message, ReasonCode.PROTOCOL_ERROR)
    return p.Publish(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id, properties)


def _acknowledgement(
    packet: int, make: Callable[[int, ReasonCode, Properties], _Acknowledgement]
) -> Callable[[Body], _Acknowledgement]:
    """PUBACK and the packets of QoS 2: what is left out at their end says success, and no properties."""

    def read(body: Body) -> _Acknowledgement:
        packet_id = body.packet_id()
        if body.level == MQTT_3_1_1 or not body.left:
            return make(packet_id, ReasonCode.SUCCESS, NO_PROPERTIES)
        reason = _reason(body, packet)
        return make(packet_id, reason, read_properties(body, packet) if body.left else NO_PROPERTIES)

    return read


def _subscription(body: Body) -> p.Subscription:
    name = check_filter(body.string("a topic filter"), body.level)
    options = body.byte()
    if body.level == MQTT_3_1_1:
        if options > 2:
            raise RemoteProtocolError(rules.SUBSCRIBE_QOS.mqtt_3_1_1, f"the requested QoS is {options}")
        return p.Subscription(name, options)
    if options & 0xC0:
        raise RemoteProtocolError(rules.SUBSCRIBE_OPTIONS.mqtt_5, "reserved subscription options are set")
    qos, handling = options & 3, options >> 4
    if qos == 3:
        raise RemoteProtocolError(rules.SUBSCRIBE_QOS.mqtt_5, "the maximum QoS is 3", ReasonCode.PROTOCOL_ERROR)
    if handling == 3:
        raise RemoteProtocolError("3.8.3.1", "the retain handling is 3", ReasonCode.PROTOCOL_ERROR)
    if options & 4 and name.startswith(SHARE_PREFIX):
        message = "no local is set on a shared subscription"
        raise RemoteProtocolError("MQTT-3.8.3-4", message, ReasonCode.PROTOCOL_ERROR)
    return p.Subscription(name, qos, bool(options & 4), bool(options & 8), handling)


def _subscribe(body: Body) -> p.Subscribe:
    packet_id = body.packet_id()
    properties = _properties(body, p.SUBSCRIBE)
    subscriptions: list[p.Subscription] = []
    while body.left:
        subscriptions.append(_subscription(body))
    if not subscriptions:
        rule = rules.SUBSCRIBE_FILTERS.at(body.level)
        raise RemoteProtocolError(rule, "SUBSCRIBE without a topic filter", ReasonCode.PROTOCOL_ERROR)
    return p.Subscribe(packet_id, tuple(subscriptions), properties)


def _suback(body: Body) -> p.SubAck:
    packet_id = body.packet_id()
    properties = _properties(body, p.SUBACK)
    codes = body.rest()
    if body.level == MQTT_3_1_1 and any(code > 2 and code != ReasonCode.UNSPECIFIED_ERROR for code in codes):
        raise RemoteProtocolError(rules.SUBACK_CODES.mqtt_3_1_1, "SUBACK has a reserved return code")
    return p.SubAck(packet_id, tuple(reason_allowed(p.SUBACK, code) for code in codes), properties)


def _unsubscribe(body: Body) -> p.Unsubscribe:
    packet_id = body.packet_id()
    properties = _properties(body, p.UNSUBSCRIBE)
    filters: list[str] = []
    while body.left:
        filters.append(check_filter(body.string("a topic filter"), body.level))
    if not filters:
        rule = rules.UNSUBSCRIBE_FILTERS.at(body.level)
        raise RemoteProtocolError(rule, "UNSUBSCRIBE without a topic filter", ReasonCode.PROTOCOL_ERROR)
    return p.Unsubscribe(packet_id, tuple(filters), properties)


def _unsuback(body: Body) -> p.UnsubAck:
    packet_id = body.packet_id()
    if body.level == MQTT_3_1_1:
        return p.UnsubAck(packet_id)
    properties = read_properties(body, p.UNSUBACK)
    return p.UnsubAck(packet_id, tuple(reason_allowed(p.UNSUBACK, code) for code in body.rest()), properties)


def _disconnect(body: Body) -> p.Disconnect:
    if body.level == MQTT_3_1_1 or not body.left:
        return p.Disconnect()
    reason = _reason(body, p.DISCONNECT)
    return p.Disconnect(reason, read_properties(body, p.DISCONNECT) if body.left else NO_PROPERTIES)


def _auth(body: Body) -> p.Auth:
    if body.level == MQTT_3_1_1:
        raise RemoteProtocolError(rules.PACKET_TYPE.mqtt_3_1_1, "MQTT 3.1.1 has no packet of type 15")
    if not body.left:
        return p.Auth()
    return p.Auth(_reason(body, p.AUTH), read_properties(body, p.AUTH))


_DECODERS: dict[int, Callable[[Body], Packet]] = {
    p.CONNECT: _connect,
    p.CONNACK: _connack,
    p.PUBACK: _acknowledgement(p.PUBACK, p.PubAck),
    p.PUBREC: _acknowledgement(p.PUBREC, p.PubRec),
    p.PUBREL: _acknowledgement(p.PUBREL, p.PubRel),
    p.PUBCOMP: _acknowledgement(p.PUBCOMP, p.PubComp),
    p.SUBSCRIBE: _subscribe,
    p.SUBACK: _suback,
    p.UNSUBSCRIBE: _unsubscribe,
    p.UNSUBACK: _unsuback,
    p.PINGREQ: lambda _: p.PingReq(),
    p.PINGRESP: lambda _: p.PingResp(),
    p.DISCONNECT: _disconnect,
    p.AUTH: _auth,
}


def decode(first: int, body: bytes, level: int = MQTT_3_1_1) -> Packet:
    """The packet with the first byte `first` and everything after its length in `body`.

    level: the protocol level of the connection; a CONNECT says its own. Raises RemoteProtocolError; UnsupportedLevel for
    a CONNECT of another version.
    """
    kind, flags = first >> 4, first & 15
    reader = Body(body, level)
    if kind == p.PUBLISH:
        return _publish(flags, reader)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RemoteProtocolError(rules.PACKET_TYPE.at(level), f"there is no packet type {kind}")
    if flags != _FLAGS.get(kind, 0):
        rule = rules.FIXED_FLAGS_OF.get(kind, rules.FIXED_FLAGS).at(level)
        raise RemoteProtocolError(rule, f"a packet of type {kind} has the flags {flags:#06b}")
    packet = decoder(reader)
    reader.end()
    return packet
