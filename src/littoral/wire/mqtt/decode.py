"""Bytes to packets."""

from collections.abc import Callable

from littoral.wire.mqtt import packets as p
from littoral.wire.mqtt.errors import RemoteProtocolError, UnsupportedLevel
from littoral.wire.mqtt.names import check_filter, check_topic, text
from littoral.wire.mqtt.packets import Packet

_FLAGS = {
    p.CONNECT: 0,
    p.CONNACK: 0,
    p.PUBACK: 0,
    p.SUBSCRIBE: 2,
    p.SUBACK: 0,
    p.UNSUBSCRIBE: 2,
    p.UNSUBACK: 0,
    p.PINGREQ: 0,
    p.PINGRESP: 0,
    p.DISCONNECT: 0,
}
"""The low four bits of the first byte (table 2.2); PUBLISH has flags of its own."""


def header(data: bytes, position: int, max_bytes: int) -> tuple[int, int] | None:
    """Where the body of the frame at `position` begins and ends, or None while the length is incomplete.

    The end may lie beyond `data`. Raises RemoteProtocolError for a length of more than four bytes, and for a
    packet over `max_bytes` as soon as its length is known, before any of its body is kept.
    """
    length = shift = 0
    for index in range(position + 1, position + 5):
        if index >= len(data):
            return None
        byte = data[index]
        length |= (byte & 127) << shift
        if byte < 128:
            if index + 1 - position + length > max_bytes:
                raise RemoteProtocolError("2.2.3", f"a packet of {length} bytes; at most {max_bytes} are allowed")
            return index + 1, index + 1 + length
        shift += 7
    raise RemoteProtocolError("2.2.3", "the remaining length has more than four bytes")


class _Body:
    """Reads a packet's body from front to back; running out of it is the peer's error."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        if self.left < count:
            raise RemoteProtocolError("MQTT-4.8.0-1", "a packet ends in the middle of a field")
        start = self._position
        self._position += count
        return self._data[start : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.integer())

    def string(self, what: str) -> str:
        return text(self.binary(), what)

    def packet_id(self) -> int:
        value = self.integer()
        if value == 0:
            raise RemoteProtocolError("MQTT-2.3.1-1", "a packet identifier is 0")
        return value

    def rest(self) -> bytes:
        return self.take(self.left)

    def end(self) -> None:
        if self.left:
            raise RemoteProtocolError("MQTT-4.8.0-1", f"{self.left} bytes follow the end of a packet's content")


def _will(body: _Body, flags: int) -> p.Will | None:
    qos = flags >> 3 & 3
    if not flags & 0x04:
        if qos:
            raise RemoteProtocolError("MQTT-3.1.2-13", "Will QoS is set without the Will flag")
        if flags & 0x20:
            raise RemoteProtocolError("MQTT-3.1.2-15", "Will Retain is set without the Will flag")
        return None
    if qos == 3:
        raise RemoteProtocolError("MQTT-3.1.2-14", "Will QoS is 3")
    topic = check_topic(body.binary())
    return p.Will(topic, body.binary(), qos, bool(flags & 0x20))


def _connect(body: _Body) -> p.Connect:
    name = body.binary()
    level = body.byte()
    if (name == b"MQTT" and level != p.LEVEL) or (name == b"MQIsdp" and level == 3):
        raise UnsupportedLevel(level)
    if name != b"MQTT":
        raise RemoteProtocolError("MQTT-3.1.2-1", "the protocol name is not MQTT")
    flags = body.byte()
    if flags & 1:
        raise RemoteProtocolError("MQTT-3.1.2-3", "the reserved flag of CONNECT is set")
    if flags & 0xC0 == 0x40:
        raise RemoteProtocolError("MQTT-3.1.2-22", "a password without a user name")
    keep_alive_s = body.integer()
    client_id = body.string("the client identifier")
    will = _will(body, flags)
    username = body.string("the user name") if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    return p.Connect(client_id, bool(flags & 2), keep_alive_s, will, username, password)


def _connack(body: _Body) -> p.ConnAck:
    flags = body.byte()
    if flags > 1:
        raise RemoteProtocolError("3.2.2.1", "reserved flags of CONNACK are set")
    code = body.byte()
    if flags and code:
        raise RemoteProtocolError("MQTT-3.2.2-4", "a refusal says that a session is present")
    return p.ConnAck(bool(flags), code)


def _publish(flags: int, body: _Body) -> p.Publish:
    qos = flags >> 1 & 3
    if qos == 3:
        raise RemoteProtocolError("MQTT-3.3.1-4", "QoS 3")
    if flags & 8 and not qos:
        raise RemoteProtocolError("MQTT-3.3.1-2", "DUP is set on a QoS 0 message")
    topic = check_topic(body.binary())
    packet_id = body.packet_id() if qos else None
    return p.Publish(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id)


def _subscribe(body: _Body) -> p.Subscribe:
    packet_id = body.packet_id()
    filters: list[tuple[str, int]] = []
    while body.left:
        name = check_filter(body.string("a topic filter"))
        qos = body.byte()
        if qos > 2:
            raise RemoteProtocolError("MQTT-3.8.3-4", f"the requested QoS is {qos}")
        filters.append((name, qos))
    if not filters:
        raise RemoteProtocolError("MQTT-3.8.3-3", "SUBSCRIBE without a topic filter")
    return p.Subscribe(packet_id, tuple(filters))


def _suback(body: _Body) -> p.SubAck:
    packet_id = body.packet_id()
    codes = tuple(body.rest())
    if any(code > 2 and code != 0x80 for code in codes):
        raise RemoteProtocolError("MQTT-3.9.3-2", "SUBACK has a reserved return code")
    return p.SubAck(packet_id, codes)


def _unsubscribe(body: _Body) -> p.Unsubscribe:
    packet_id = body.packet_id()
    filters: list[str] = []
    while body.left:
        filters.append(check_filter(body.string("a topic filter")))
    if not filters:
        raise RemoteProtocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without a topic filter")
    return p.Unsubscribe(packet_id, tuple(filters))


_DECODERS: dict[int, Callable[[_Body], Packet]] = {
    p.CONNECT: _connect,
    p.CONNACK: _connack,
    p.PUBACK: lambda body: p.PubAck(body.packet_id()),
    p.SUBSCRIBE: _subscribe,
    p.SUBACK: _suback,
    p.UNSUBSCRIBE: _unsubscribe,
    p.UNSUBACK: lambda body: p.UnsubAck(body.packet_id()),
    p.PINGREQ: lambda _: p.PingReq(),
    p.PINGRESP: lambda _: p.PingResp(),
    p.DISCONNECT: lambda _: p.Disconnect(),
}


def decode(first: int, body: bytes) -> Packet:
    """The packet with the first byte `first` and everything after its length in `body`.

    Raises RemoteProtocolError; UnsupportedLevel for a CONNECT of another version; QoS 2's PUBREC, PUBREL and
    PUBCOMP are errors, as this codec's users never begin a QoS 2 exchange.
    """
    kind, flags = first >> 4, first & 15
    reader = _Body(body)
    if kind == p.PUBLISH:
        return _publish(flags, reader)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RemoteProtocolError("2.2.1", f"packet type {kind} is not expected here")
    if flags != _FLAGS[kind]:
        raise RemoteProtocolError("MQTT-2.2.2-2", f"packet type {kind} has the flags {flags:#06b}")
    packet = decoder(reader)
    reader.end()
    return packet
