"""The packets that another broker sends, from the bytes as they come.

A message that is larger than this node takes is told of without its payload, so that it can be acknowledged: refused by closing the
connection, it would come again with each connection, and nothing behind it ever.
"""

from collections.abc import Iterator

from msgspec import Struct

from littoral.wire import mqtt
from littoral.wire.mqtt import RemoteProtocolError

_PUBLISH_BITS, _PUBLISH, _QOS_BITS = 0xF0, 0x30, 0x06
_LARGEST_BYTES = 1 << 28
"""Of any packet (section 2.2.3 of 3.1.1, 1.5.5 of 5): four bytes of seven bits, and the fixed header."""


class Oversized(Struct, frozen=True):
    """A PUBLISH that is left out."""

    qos: int
    packet_id: int | None


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

    def packets(self) -> Iterator[mqtt.Packet | Oversized]:
        """Those that are whole. May be left at any time, and goes on where it was. Raises RemoteProtocolError."""
        while self._position < len(self._data):
            data, position = self._data, self._position
            found = mqtt.header(data, position, _LARGEST_BYTES, self._level)
            if found is None:
                return
            body, end = found
            if end - body > self._most_bytes:
                large = self._oversized(body, end)
                if large is None:
                    return
                yield large
                continue
            if end > len(data):
                return
            self._position = end
            yield mqtt.decode(data[position], data[body:end], self._level)

    def _oversized(self, body: int, end: int) -> Oversized | None:
        """Leave out the packet here; None while its identifier has not come."""
        data, first = self._data, self._data[self._position]
        if first & _PUBLISH_BITS != _PUBLISH:
            raise RemoteProtocolError("2.2.1", f"a packet of {end - body} bytes that is no message")
        qos = (first & _QOS_BITS) >> 1
        if len(data) < body + 2:
            return None
        cut = body + 2 + (data[body] << 8 | data[body + 1])
        if len(data) < cut + 2:
            return None
        packet_id = data[cut] << 8 | data[cut + 1] if qos else None
        if qos > 2 or packet_id == 0 or cut + 2 > end:
            raise RemoteProtocolError("3.3.1.2", "a message has no valid QoS, topic or packet identifier")
        self._position = min(end, len(data))
        self._skip = end - self._position
        return Oversized(qos, packet_id)
