"""What a bridge is told before it connects, and what it counts."""

from msgspec import Struct

from littoral.iot.bridge_topics import BridgeTopics


class BridgeTerms(Struct, frozen=True):
    """Of one connection."""

    name: str
    address: str
    topics: BridgeTopics
    level: int
    """Of the protocol at the other broker."""
    client_id: str
    """At the other broker."""
    node: str
    """What nobody else marks messages with: see `littoral.iot.bridge_hops`."""
    keep_alive_s: int
    username: str | None = None
    password: bytes | None = None
    asks_as_bridge: bool = False
    """Whether to say so, in the way of MQTT 3.1.1 that mosquitto understands."""
    begins_anew: bool = False
    """Whether the other broker is to forget a session that it may have: this node has none that belongs to it."""
    known: frozenset[str] = frozenset()
    """The filters that it may have subscriptions of."""

    @property
    def subject(self) -> str:
        """In errors."""
        return f"{self.name} to {self.address}"


class BridgeCounters(Struct):
    """Of one bridge, since the hub started."""

    connections: int = 0
    """Those that were opened."""
    sent: int = 0
    """Messages sent to the other broker, repetitions among them."""
    received: int = 0
    """Messages passed to this node's broker, repetitions among them."""
    refused: int = 0
    """Messages that either broker did not take."""
    dropped: int = 0
    """Messages that are of no topic of the bridge any more, or too large for the other side."""
    returned: int = 0
    """Messages that had been at this node before, or had passed too many bridges."""
