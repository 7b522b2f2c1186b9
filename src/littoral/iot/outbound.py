"""What one client is sent: frames in the format of its version, within what it said that it takes."""

from collections.abc import Callable

from msgspec import structs

from littoral.core.clock import Clock
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_TOPIC_ALIASES
from littoral.iot.channel import Channel
from littoral.iot.message import Message
from littoral.iot.outbox import Kept, Outbox
from littoral.iot.shared_frames import SharedFrames
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Connect, Properties

RECEIVE_MOST = 65_535
"""Unacknowledged messages a client takes if it does not say otherwise (section 3.1.2.11.3)."""


class Outbound:
    """The sending half of a connection."""

    __slots__ = (
        "_aliases",
        "_aliases_most",
        "_channel",
        "_clock",
        "_frames",
        "_has_overflowed",
        "_overflowed",
        "closed",
        "failed",
        "is_v5",
        "level",
        "max_bytes",
        "outbox",
        "plain",
        "receive_maximum",
        "says_why",
        "unsendable",
    )

    def __init__(
        self,
        channel: Channel,
        limits: Limits,
        clock: Clock,
        frames: SharedFrames,
        overflowed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """overflowed: told when more waits for the client than may, and none of it may be dropped. failed: told when what has
        to be on disk before it is sent cannot be written."""
        self._channel = channel
        self._clock = clock
        self._frames = frames
        self._overflowed = overflowed
        self._has_overflowed = False
        self.failed = failed
        self._aliases: dict[str, int] = {}
        self._aliases_most = 0
        self.outbox = Outbox(limits)
        self.closed = False
        self.level = mqtt.MQTT_3_1_1
        self.is_v5 = False
        self.max_bytes: int | None = None
        """Of one packet, by the client's word."""
        self.plain = True
        """Whether a frame is the same for this client as for any other of its version."""
        self.receive_maximum = RECEIVE_MOST
        self.says_why = True
        """Whether the client takes reason strings, and user properties, on packets other than PUBLISH."""
        self.unsendable = False
        """Whether an answer was larger than the client takes: it would wait for it in vain."""

    def opened(self, connect: Connect, limits: Limits) -> None:
        """What the client said of itself."""
        properties = connect.properties
        self.level = connect.level
        self.is_v5 = connect.level == MQTT_5
        self.max_bytes = properties.maximum_packet_bytes
        self.receive_maximum = properties.receive_maximum or RECEIVE_MOST
        self.says_why = properties.request_problem_information is not False
        self._aliases_most = min(properties.topic_alias_maximum or 0, limits[MQTT_TOPIC_ALIASES])
        self.plain = self.max_bytes is None and not self._aliases_most

    @property
    def has_room(self) -> bool:
        """Whether a message that would not be dropped may be sent now."""
        return self.outbox.has_room

    def send(self, frame: bytes) -> None:
        """Queue bytes for the client."""
        if self.closed or not frame:
            return
        if not self.outbox.add(frame):
            return  # The driver knows that something waits, and takes all of it.
        if self.outbox.overflowed and not self._has_overflowed:
            self._has_overflowed = True  # Once: the goodbye that follows goes into the same full queue.
            self._overflowed()
        else:
            self._channel.wake(self.outbox)

    def answer(self, packet: mqtt.Packet) -> None:
        """Send a packet that is not a message."""
        self.send(self.encoded(packet))

    def encoded(self, packet: mqtt.Packet) -> bytes:
        """The frame of a packet that is not a message. What is only there to explain, and too much for the client, is left
        out [MQTT-3.4.2-2]; a packet that is too large even so is nothing [MQTT-3.1.2-24]."""
        frame = mqtt.encode(packet, self.level)
        if self.max_bytes is not None and len(frame) > self.max_bytes:
            frame = mqtt.encode(_without_explanation(packet), self.level)
            if len(frame) > self.max_bytes:
                self.unsendable = True
                return b""
        return frame

    def explained(self, message: str) -> Properties:
        """The properties of a packet that says what went wrong, for a client that takes such."""
        return Properties(reason_string=message) if message and self.is_v5 and self.says_why else NO_PROPERTIES

    def publish(
        self,
        message: Message,
        *,
        qos: int = 0,
        retain: bool = False,
        duplicate: bool = False,
        packet_id: int | None = None,
        identifiers: tuple[int, ...] = (),
    ) -> bool:
        """Send a message. False where it is larger than the client takes: it counts as delivered [MQTT-3.1.2-25]."""
        if packet_id is not None and self.plain and not duplicate and not identifiers and message.expires_ms is None:
            self.send(self._frames.frame(message, qos, packet_id, self.level, retain=retain))
            return True
        if not self.is_v5:
            packet = mqtt.Publish(message.topic, message.payload, qos, retain, duplicate, packet_id)
            self.send(mqtt.encode(packet, self.level))
            return True
        topic, alias = self._alias(message.topic)
        properties = self._properties(message, alias, identifiers)
        packet = mqtt.Publish(topic, message.payload, qos, retain, duplicate, packet_id, properties)
        frame = mqtt.encode(packet, self.level)
        if topic and alias and not qos:
            frame = Kept(frame)
        if self.max_bytes is not None and len(frame) > self.max_bytes:
            if topic and alias:
                del self._aliases[topic]
            return False
        self.send(frame)
        return True

    def _properties(self, message: Message, alias: int | None, identifiers: tuple[int, ...]) -> Properties:
        if alias is None and not identifiers and message.expires_ms is None:
            return message.properties
        left_s = None
        if message.expires_ms is not None:
            left_s = max(0, -((self._clock.wall_ms() - message.expires_ms) // 1000))
        return structs.replace(
            message.properties, topic_alias=alias, subscription_ids=identifiers, message_expiry_s=left_s
        )

    def _alias(self, topic: str) -> tuple[str, int | None]:
        """What to send in place of `topic`. The first topics of a connection get the aliases and keep them: which ones will be
        used most cannot be known, and one that changed hands would be sent in full each time."""
        if not self._aliases_most:
            return topic, None
        alias = self._aliases.get(topic)
        if alias is not None:
            return "", alias
        if len(self._aliases) >= self._aliases_most:
            return topic, None
        alias = self._aliases[topic] = len(self._aliases) + 1
        return topic, alias


def _without_explanation(packet: mqtt.Packet) -> mqtt.Packet:
    properties = getattr(packet, "properties", NO_PROPERTIES)
    if properties is NO_PROPERTIES:
        return packet
    return structs.replace(packet, properties=structs.replace(properties, reason_string=None, user=()))
