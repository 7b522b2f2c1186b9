"""Retained messages: the last one of a topic, for whoever subscribes later (section 3.3.1.3)."""

import msgspec

from littoral.core.limits import MQTT_RETAINED, MQTT_RETAINED_BYTES, Limits
from littoral.core.resources import topic_matches


class RetainedMessage(msgspec.Struct, frozen=True, gc=False):
    """What a new subscriber is sent."""

    topic: str
    payload: bytes
    qos: int


class Retained:
    """The retained messages of one broker, in memory: they end with its process. Bounded in number and bytes; a message
    over a bound is delivered, not retained, and counted."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[str, RetainedMessage] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, topic: str, payload: bytes, qos: int) -> None:
        """Replace the message of `topic`; an empty payload removes it [MQTT-3.3.1-10]."""
        old = self._messages.pop(topic, None)
        if old is not None:
            self._bytes -= len(old.payload)
        if not payload:
            return
        if len(self._messages) >= self._limits[MQTT_RETAINED]:
            self._limits.hit(MQTT_RETAINED)
            return
        if self._bytes + len(payload) > self._limits[MQTT_RETAINED_BYTES]:
            self._limits.hit(MQTT_RETAINED_BYTES)
            return
        self._messages[topic] = RetainedMessage(topic, payload, qos)
        self._bytes += len(payload)

    def match(self, topic_filter: str) -> list[RetainedMessage]:
        """The messages a new subscription to `topic_filter` gets."""
        return [message for topic, message in self._messages.items() if topic_matches(topic_filter, topic)]
