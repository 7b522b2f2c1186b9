"""Packets to bytes."""

from littoral.wire.mqtt.packets import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    LEVEL,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

CONNACK_V5_UNSUPPORTED = b"\x20\x03\x00\x84\x00"
"""CONNACK of MQTT 5 with reason 0x84, Unsupported Protocol Version, and no properties: what a v5 client understands."""

REMAINING_LENGTH_MOST = 268_435_455
"""Four bytes of seven bits (section 2.2.3)."""


def _framed(first: int, body: bytes) -> bytes:
    length = len(body)
    assert length <= REMAINING_LENGTH_MOST, length
    encoded = bytearray((first,))
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    encoded.append(length)
    return bytes(encoded) + body


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _id(packet_id: int) -> bytes:
    assert 1 <= packet_id <= 65_535, packet_id
    return packet_id.to_bytes(2, "big")


def publish_frame(topic: bytes, payload: bytes, *, retain: bool = False) -> bytes:
    """A QoS 0 PUBLISH, from bytes that are known to be a valid topic."""
    return _framed(PUBLISH << 4 | retain, _string(topic) + payload)


def _publish(packet: Publish) -> bytes:
    assert (packet.packet_id is None) == (packet.qos == 0), packet
    first = PUBLISH << 4 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
    packet_id = b"" if packet.packet_id is None else _id(packet.packet_id)
    return _framed(first, _string(packet.topic.encode()) + packet_id + packet.payload)


def _connect(packet: Connect) -> bytes:
    flags = packet.clean_session << 1
    payload = _string(packet.client_id.encode())
    if (will := packet.will) is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += _string(will.topic.encode()) + _string(will.payload)
    if packet.username is not None:
        flags |= 0x80
        payload += _string(packet.username.encode())
    if packet.password is not None:
        flags |= 0x40
        payload += _string(packet.password)
    head = b"\x00\x04MQTT" + bytes((LEVEL, flags)) + packet.keep_alive_s.to_bytes(2, "big")
    return _framed(CONNECT << 4, head + payload)


def _subscribe(packet: Subscribe) -> bytes:
    filters = b"".join(_string(name.encode()) + bytes((qos,)) for name, qos in packet.filters)
    return _framed(SUBSCRIBE << 4 | 2, _id(packet.packet_id) + filters)


def _unsubscribe(packet: Unsubscribe) -> bytes:
    filters = b"".join(_string(name.encode()) for name in packet.filters)
    return _framed(UNSUBSCRIBE << 4 | 2, _id(packet.packet_id) + filters)


def encode(packet: Packet) -> bytes:  # noqa: C901 - one line per packet type
    """The bytes of `packet`. A value that cannot be encoded is our bug: AssertionError or OverflowError."""
    match packet:
        case Publish():
            return _publish(packet)
        case PubAck():
            return _framed(PUBACK << 4, _id(packet.packet_id))
        case Connect():
            return _connect(packet)
        case ConnAck():
            return _framed(CONNACK << 4, bytes((packet.session_present, packet.code)))
        case Subscribe():
            return _subscribe(packet)
        case SubAck():
            return _framed(SUBACK << 4, _id(packet.packet_id) + bytes(packet.codes))
        case Unsubscribe():
            return _unsubscribe(packet)
        case UnsubAck():
            return _framed(UNSUBACK << 4, _id(packet.packet_id))
        case PingReq():
            return _framed(PINGREQ << 4, b"")
        case PingResp():
            return _framed(PINGRESP << 4, b"")
        case Disconnect():
            return _framed(DISCONNECT << 4, b"")
