"""What passed lately, by topic: for operators who look."""

from collections import OrderedDict
from collections.abc import Iterator

from littoral.core.clock import Clock
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_TOPIC_NOTES, MQTT_TOPIC_VALUE_BYTES, MQTT_TOPIC_VALUES

TOPIC_BYTES_MOST = 1024
"""Longer topics are not noted: few clients must not fill the memory with long names."""
_REFILL_MS = 1000


class TopicValue:
    """The last message of one topic."""

    __slots__ = ("at_ms", "bytes", "count", "payload")

    def __init__(self) -> None:
        self.payload = b""
        """Its beginning."""
        self.bytes = 0
        """Of the whole payload."""
        self.count = 0
        """Messages noted since the topic is in the table."""
        self.at_ms = 0
        """When it passed, ms since the epoch."""


class TopicValues:
    """A bounded table: the topic that was quiet longest makes room.

    Nobody waits for it, so it must cost the intake nothing that counts: there is a budget of messages a second. As long as no more
    pass, each of them is noted; of more, those that come first in a second. Connections ask for `budget` before they note anything,
    and of a run of QoS 0 publishes they hand over the bytes once it is folded: the loop that folds does not know of this.
    """

    __slots__ = ("_clock", "_filled_ms", "_limits", "_most", "_payload_most", "_values", "budget", "noted")

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._most = limits[MQTT_TOPIC_VALUES]
        self._payload_most = limits[MQTT_TOPIC_VALUE_BYTES]
        self._values: OrderedDict[bytes, TopicValue] = OrderedDict()
        self._filled_ms = clock.wall_ms()
        self.noted = 0
        """Messages so far."""
        self.budget = limits[MQTT_TOPIC_NOTES] if self._most else 0
        """How many more may be noted before the next `refill`; none or less: none."""

    def __len__(self) -> int:
        return len(self._values)

    def get(self, topic: str) -> TopicValue | None:
        """What is known of a topic."""
        return self._values.get(topic.encode())

    def __iter__(self) -> Iterator[tuple[str, TopicValue]]:
        """Topics with what is known of them, the quietest first. The table must not change meanwhile."""
        for topic, value in self._values.items():
            yield topic.decode(), value

    def refill(self) -> None:
        """To be called about every second."""
        if not self._most:
            return
        if self.budget <= 0:
            self._limits.hit(MQTT_TOPIC_NOTES)
        self.budget = self._limits[MQTT_TOPIC_NOTES]
        self._filled_ms = self._clock.wall_ms()

    def note(self, topic: bytes, payload: bytes) -> None:
        """A message has passed; `topic` is a valid name. To be called while there is a budget."""
        self._note(topic, payload, self._clock.wall_ms())

    def note_own(self, topic: bytes, payload: bytes) -> None:
        """As `note`, where nobody has looked whether there is a budget: a node publishes without clients that call `refill`, too."""
        now_ms = self._clock.wall_ms()
        if self.budget <= 0 and not 0 <= now_ms - self._filled_ms < _REFILL_MS:
            self.refill()
        if self.budget > 0:
            self._note(topic, payload, now_ms)

    def note_run(self, data: bytes, position: int, end: int, pad_bytes: int) -> None:
        """QoS 0 publishes of one run have passed: `data` from `position` to `end` is nothing but whole frames of at most 129 bytes.
        pad_bytes: see FastPath."""
        now_ms = self._clock.wall_ms()
        note = self._note
        while position < end and self.budget > 0:
            following = position + 2 + data[position + 1]
            cut = position + 4 + (data[position + 2] << 8 | data[position + 3])
            note(data[position + 4 : cut], data[cut + pad_bytes : following], now_ms)
            position = following

    def _note(self, topic: bytes, payload: bytes, now_ms: int) -> None:
        self.budget -= 1
        self.noted += 1
        value = self._values.get(topic)
        if value is not None:
            self._values.move_to_end(topic)
        elif len(topic) > TOPIC_BYTES_MOST:
            return
        else:
            if len(self._values) >= self._most:
                self._limits.hit(MQTT_TOPIC_VALUES)
                self._values.popitem(last=False)
            value = self._values[topic] = TopicValue()
        value.payload = payload[: self._payload_most]
        value.bytes = len(payload)
        value.count += 1
        value.at_ms = now_ms
