"""One application message, on its way through the broker."""

from msgspec import Struct

from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties


class Message(Struct, frozen=True, eq=False, weakref=True):
    """Made once, and shared by everything it goes to: subscribers, queues, the retained messages. It has identity: two
    messages with the same content are two messages."""

    topic: str
    payload: bytes
    qos: int = 0
    """As it was published; a subscriber gets it at the lower of this and its own."""
    retain: bool = False
    """As it was published."""
    properties: Properties = NO_PROPERTIES
    """Those that travel with the message: payload format, content type, response topic, correlation data, user
    properties."""
    expires_ms: int | None = None
    """By the node's clock, ms since the epoch: nobody is sent it from then on. None: never."""
    publisher: str = ""
    """The client's identifier; empty for the node's own messages."""

    @property
    def bytes(self) -> int:
        """What it counts for where messages wait."""
        return len(self.topic) + len(self.payload)
