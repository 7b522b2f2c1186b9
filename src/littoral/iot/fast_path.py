"""What the hot path of QoS 0 looks up; see docs/explanation/mqtt-intake.md."""

from io import BytesIO

from littoral.core.intake import Fold
from littoral.iot.broker_counters import BrokerCounters
from littoral.wire.mqtt import MQTT_5

Shapes = dict[bytes, tuple[int, int]]


class FastPath:
    """For the connections of one version of the protocol; a client with rules of its own has one to itself."""

    __slots__ = ("folds", "pad", "pad_bytes", "shapes")

    def __init__(self, level: int, shapes: Shapes | None = None) -> None:
        self.pad = b"\0" if level == MQTT_5 else b""
        """What follows a topic where there are no properties. It is looked up as a part of the topic: no topic has a zero
        byte, so one lookup says both."""
        self.pad_bytes = len(self.pad)
        self.folds: dict[bytes, Fold] = {}
        """What takes a payload, by the topic's bytes and the pad. Cleared in place: connections hold on to it."""
        self.shapes: Shapes = {} if shapes is None else shapes
        """The lengths of topic (with the pad) and payload, by the first four bytes of a frame. There are fewer than 8,000:
        it has only frames of at most 129 bytes with a payload. (Without one, a topic cut off by the end of a read could
        pass for another.)"""

    def run(self, data: bytes, position: int, counters: BrokerCounters) -> int:
        """Take QoS 0 publishes until one comes that is incomplete, of an unknown topic or shape, or something else.

        Reading a BytesIO costs half of what slicing does, and the first four bytes of a frame say where its parts are:
        a dictionary finds that sooner than arithmetic on single bytes.
        """
        shapes, folds = self.shapes, self.folds
        stream = BytesIO(data)
        stream.seek(position)
        read, tell = stream.read, stream.tell
        count = 0
        try:
            while True:
                try:
                    topic_bytes, payload_bytes = shapes[header := read(4)]
                except KeyError:
                    return tell() - len(header)
                try:
                    fold = folds[topic := read(topic_bytes)]
                except KeyError:
                    return tell() - 4 - len(topic)
                payload = read(payload_bytes)
                if len(payload) != payload_bytes:
                    return tell() - 4 - len(topic) - len(payload)
                count += 1
                fold(payload)
        finally:
            counters.received += count
