"""Packets to bytes."""

from collections.abc import Callable
from typing import Any

from littoral.wire.mqtt import packets as p
from littoral.wire.mqtt.packets import BRIDGE_BIT, MQTT_3_1_1, MQTT_5, Packet
from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties
from littoral.wire.mqtt.property_codec import binary, string, variable_integer, write_properties
from littoral.wire.mqtt.reasons import ReasonCode
from littoral.wire.mqtt.return_codes import return_code

REMAINING_LENGTH_MOST = 268_435_455
"""Four bytes of seven bits (section 2.2.3 of 3.1.1, 1.5.5 of 5)."""
_SHORT_PUBLISH = tuple(bytes((p.PUBLISH << 4, length)) for length in range(128))
"""How a QoS 0 PUBLISH begins, by its length. Looked up, a frame costs a tenth of what encoding its length does."""


def _framed(first: int, body: bytes) -> bytes:
    assert len(body) <= REMAINING_LENGTH_MOST, len(body)
    return bytes((first,)) + variable_integer(len(body)) + body


def _id(packet_id: int) -> bytes:
    assert 1 <= packet_id <= 65_535, packet_id
    return packet_id.to_bytes(2, "big")


def _properties(properties: Properties, level: int) -> bytes:
    return write_properties(properties) if level == MQTT_5 else b""


def _reasoned(reason: ReasonCode, properties: Properties, level: int) -> bytes:
    """The end of a packet that leaves out what says nothing."""
    if level != MQTT_5 or (not reason and properties is NO_PROPERTIES):
        return b""
    return bytes((reason,)) if properties is NO_PROPERTIES else bytes((reason,)) + write_properties(properties)


def publish_head(topic: bytes, level: int = MQTT_3_1_1) -> bytes:
    """What a QoS 0 PUBLISH without properties has between its length and its payload, from bytes that are known to be a valid topic."""
    return binary(topic) if level == MQTT_3_1_1 else binary(topic) + b"\0"


def publish_frame(head: bytes, payload: bytes) -> bytes:
    """A QoS 0 PUBLISH without properties. head: of `publish_head`."""
    length = len(head) + len(payload)
    if length < len(_SHORT_PUBLISH):
        return _SHORT_PUBLISH[length] + head + payload
    return _framed(p.PUBLISH << 4, head + payload)


def _publish(packet: p.Publish, level: int) -> bytes:
    assert (packet.packet_id is None) == (packet.qos == 0), packet
    first = p.PUBLISH << 4 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
    packet_id = b"" if packet.packet_id is None else _id(packet.packet_id)
    return _framed(first, string(packet.topic) + packet_id + _properties(packet.properties, level) + packet.payload)


def _connect(packet: p.Connect) -> bytes:
    level = packet.level
    flags = packet.clean_start << 1
    payload = string(packet.client_id)
    if (will := packet.will) is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += _properties(will.properties, level) + string(will.topic) + binary(will.payload)
    if packet.username is not None:
        flags |= 0x80
        payload += string(packet.username)
    if packet.password is not None:
        flags |= 0x40
        payload += binary(packet.password)
    level_byte = level | BRIDGE_BIT if packet.is_bridge else level
    head = b"\x00\x04MQTT" + bytes((level_byte, flags)) + packet.keep_alive_s.to_bytes(2, "big")
    return _framed(p.CONNECT << 4, head + _properties(packet.properties, level) + payload)


def _connack(packet: p.ConnAck, level: int) -> bytes:
    code = packet.reason if level == MQTT_5 else return_code(packet.reason)
    return _framed(p.CONNACK << 4, bytes((packet.session_present, code)) + _properties(packet.properties, level))


def _acknowledgement(first: int, packet: p.PubAck | p.PubRec | p.PubRel | p.PubComp, level: int) -> bytes:
    return _framed(first, _id(packet.packet_id) + _reasoned(packet.reason, packet.properties, level))


def _options(subscription: p.Subscription, level: int) -> int:
    if level != MQTT_5:
        return subscription.qos
    flags = subscription.no_local << 2 | subscription.retain_as_published << 3
    return subscription.qos | flags | subscription.retain_handling << 4


def _subscribe(packet: p.Subscribe, level: int) -> bytes:
    filters = b"".join(string(each.filter) + bytes((_options(each, level),)) for each in packet.subscriptions)
    return _framed(p.SUBSCRIBE << 4 | 2, _id(packet.packet_id) + _properties(packet.properties, level) + filters)


def _suback(packet: p.SubAck, level: int) -> bytes:
    codes = packet.reasons
    if level != MQTT_5:
        codes = tuple(ReasonCode.UNSPECIFIED_ERROR if code.failed else code for code in codes)
    return _framed(p.SUBACK << 4, _id(packet.packet_id) + _properties(packet.properties, level) + bytes(codes))


def _unsubscribe(packet: p.Unsubscribe, level: int) -> bytes:
    filters = b"".join(string(each) for each in packet.filters)
    return _framed(p.UNSUBSCRIBE << 4 | 2, _id(packet.packet_id) + _properties(packet.properties, level) + filters)


def _unsuback(packet: p.UnsubAck, level: int) -> bytes:
    codes = bytes(packet.reasons) if level == MQTT_5 else b""
    return _framed(p.UNSUBACK << 4, _id(packet.packet_id) + _properties(packet.properties, level) + codes)


def _auth(packet: p.Auth, level: int) -> bytes:
    assert level == MQTT_5, packet
    if not packet.reason and packet.properties is NO_PROPERTIES:
        return _framed(p.AUTH << 4, b"")
    return _framed(p.AUTH << 4, bytes((packet.reason,)) + write_properties(packet.properties))


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    p.Publish: _publish,
    p.PubAck: lambda packet, level: _acknowledgement(p.PUBACK << 4, packet, level),
    p.PubRec: lambda packet, level: _acknowledgement(p.PUBREC << 4, packet, level),
    p.PubRel: lambda packet, level: _acknowledgement(p.PUBREL << 4 | 2, packet, level),
    p.PubComp: lambda packet, level: _acknowledgement(p.PUBCOMP << 4, packet, level),
    p.Connect: lambda packet, _: _connect(packet),
    p.ConnAck: _connack,
    p.Subscribe: _subscribe,
    p.SubAck: _suback,
    p.Unsubscribe: _unsubscribe,
    p.UnsubAck: _unsuback,
    p.PingReq: lambda *_: _framed(p.PINGREQ << 4, b""),
    p.PingResp: lambda *_: _framed(p.PINGRESP << 4, b""),
    p.Disconnect: lambda packet, level: _framed(p.DISCONNECT << 4, _reasoned(packet.reason, packet.properties, level)),
    p.Auth: _auth,
}


def encode(packet: Packet, level: int = MQTT_3_1_1) -> bytes:
    """The bytes of `packet` on a connection of protocol level `level`; a CONNECT says its own.

    In MQTT 3.1.1, what it has no place for is left out. A value that cannot be encoded is our bug: AssertionError or
    OverflowError.
    """
    return _ENCODERS[type(packet)](packet, level)
