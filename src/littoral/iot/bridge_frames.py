"""The packets that another broker sends, from the bytes as they come.

A message that this node does not take, being too large, or because the other broker allows what MQTT does not (mosquitto 2.0 looks at
no response topic), is told of without its payload, so that it can be acknowledged: refused by closing the connection, it would come
again with each connection, and nothing behind it ever.
"""

from collections.abc import Iterator

from msgspec import Struct

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, RemoteProtocolError

_PUBLISH_BITS, _PUBLISH, _QOS_BITS = 0xF0, 0x30, 0x06
_CONNACK, _CONNACK_BYTES = 0x20, 2
_LARGEST_BYTES = 1 << 28
"""Of any packet (section 2.2.3 of 3.1.1, 1.5.5 of 5): four bytes of seven bits, and the fixed header."""


class LeftOut(Struct, frozen=True):
    """A PUBLISH that is left out."""

    qos: int
    packet_id: int | None
    is_large: bool = True
    """Whether it is larger than what is kept; otherwise it breaks a rule of MQTT."""


class BridgeFrames:
    """Feed with `add`, and take with `packets` until it has no more."""

    def __init__(self, level: int, most_bytes: int) -> None:
        """most_bytes: of a packet's body that is kept."""
        self._level = level
        self._most_bytes = most_bytes
        self._data = b""
        self._position = 0
        self._skip = 0

    def add(self, data: bytes) -> None:
        """Bytes, as they came."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._data = self._data[self._position :] + data[skipped:]
        self._position = 0

    def packets(self) -> Iterator[mqtt.Packet | LeftOut]:
        """Those that are whole. May be left at any time, and goes on where it was. Raises RemoteProtocolError."""
        while self._position < len(self._data):
            data, position = self._data, self._position
            found = mqtt.header(data, position, _LARGEST_BYTES, self._level)
            if found is None:
                return
            body, end = found
            if end - body > self._most_bytes:
                large = self._left_out(body, end)
                if large is None:
                    return
                yield large
                continue
            if end > len(data):
                return
            self._position = end
            yield self._decoded(data[position], data[body:end])

    def _decoded(self, first: int, body: bytes) -> mqtt.Packet | LeftOut:
        level = self._level
        if first == _CONNACK and len(body) == _CONNACK_BYTES:
            # A broker that knows MQTT 3.1.1 only says so in that; in MQTT 5 it would have properties.
            level = MQTT_3_1_1
        try:
            return mqtt.decode(first, body, level)
        except RemoteProtocolError:
            if first & _PUBLISH_BITS != _PUBLISH or len(body) < 2:
                raise
            cut = 2 + (body[0] << 8 | body[1])
            identified = _identified(first, body[cut : cut + 2])
            if identified is None or cut > len(body):
                raise
            return LeftOut(*identified, is_large=False)

    def _left_out(self, body: int, end: int) -> LeftOut | None:
        """Leave out the packet here; None while its identifier has not come."""
        data, first = self._data, self._data[self._position]
        if first & _PUBLISH_BITS != _PUBLISH:
            raise RemoteProtocolError("2.2.1", f"a packet of {end - body} bytes that is no message")
        if len(data) < body + 2:
            return None
        cut = body + 2 + (data[body] << 8 | data[body + 1])
        if len(data) < cut + 2:
            return None
        identified = _identified(first, data[cut : cut + 2])
        if identified is None or cut + 2 > end:
            raise RemoteProtocolError("3.3.1.2", "a message has no valid QoS, topic or packet identifier")
        self._position = min(end, len(data))
        self._skip = end - self._position
        return LeftOut(*identified)


def _identified(first: int, packet_id: bytes) -> tuple[int, int | None] | None:
    """The QoS of a message, and its identifier. None where it cannot be acknowledged."""
    qos = (first & _QOS_BITS) >> 1
    if qos > 2 or (qos and (len(packet_id) < 2 or packet_id == b"\0\0")):
        return None
    return qos, int.from_bytes(packet_id, "big") if qos else None
