"""Bytes waiting to be sent to one client."""

from collections import deque

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_SEND_QUEUE_BYTES


class Kept(bytes):
    """A QoS 0 message that must not be dropped: it says what a topic alias stands for."""

    __slots__ = ()


class Outbox:
    """What the driver has not taken yet, bounded: a client that reads too slowly loses its oldest QoS 0 messages.

    Acknowledgements are never dropped. A client that lets them pile up over the bound does not read at all:
    `overflowed` then says that it must go.
    """

    __slots__ = ("_items", "_limit", "_limits", "bytes", "dropped")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limit = limits[MQTT_SEND_QUEUE_BYTES]
        self._items: deque[bytes] = deque()
        self.bytes = 0
        self.dropped = 0
        """Messages dropped so far."""

    @property
    def has_room(self) -> bool:
        """Whether a QoS 1 message may be added: those wait in the session instead of being dropped here. The other half
        of the bound is for acknowledgements and QoS 0."""
        return self.bytes < self._limit // 2

    @property
    def overflowed(self) -> bool:
        """Whether more than the bound is waiting that may not be dropped."""
        return self.bytes > self._limit

    def add(self, frame: bytes) -> bool:
        """Queue one frame, or several that may not be dropped. The newest frame is kept, the oldest messages go. Returns whether
        somebody must hear of it: it is the first that waits, or more waits than may."""
        self._items.append(frame)
        before = self.bytes
        self.bytes = after = before + len(frame)
        if after > self._limit:
            self._shrink()
            return True
        return not before

    def _shrink(self) -> None:
        self._limits.hit(MQTT_SEND_QUEUE_BYTES)
        kept: deque[bytes] = deque()
        while self._items and self.bytes > self._limit:
            frame = self._items.popleft()
            if frame[0] & 0xF6 == 0x30 and type(frame) is not Kept:  # PUBLISH, QoS 0
                self.bytes -= len(frame)
                self.dropped += 1
            else:
                kept.append(frame)
        self._items.extendleft(reversed(kept))

    def take(self) -> bytes:
        """Everything that waits, in order."""
        if len(self._items) == 1:
            data = self._items.popleft()
        else:
            data = b"".join(self._items)
            self._items.clear()
        self.bytes = 0
        return data
