"""A message is encoded once for all whom it is sent to in the same way."""

from littoral.iot.message import Message
from littoral.wire import mqtt

_FRAME_BYTES_MOST = 1 << 28


class SharedFrames:
    """The frame of the message that was sent last, without its packet identifier: a message goes to all its subscribers in a
    row, and their frames differ in nothing else."""

    __slots__ = ("_head", "_level", "_message", "_qos", "_retain", "_tail")

    def __init__(self) -> None:
        self._message: Message | None = None
        self._qos = self._level = 0
        self._retain = False
        self._head = self._tail = b""

    def frame(self, message: Message, qos: int, packet_id: int, level: int, *, retain: bool) -> bytes:
        """A PUBLISH of QoS 1 or 2 with the message's own properties."""
        if message is not self._message or qos != self._qos or level != self._level or retain != self._retain:
            self._cut(message, qos, level, retain=retain)
        return b"%b%b%b" % (self._head, packet_id.to_bytes(2, "big"), self._tail)

    def _cut(self, message: Message, qos: int, level: int, *, retain: bool) -> None:
        packet = mqtt.Publish(message.topic, message.payload, qos, retain, packet_id=1, properties=message.properties)
        frame = mqtt.encode(packet, level)
        found = mqtt.header(frame, 0, _FRAME_BYTES_MOST, level)
        assert found is not None, len(frame)
        at = found[0] + 2 + (frame[found[0]] << 8 | frame[found[0] + 1])
        self._head, self._tail = frame[:at], frame[at + 2 :]
        self._message, self._qos, self._level, self._retain = message, qos, level, retain
