"""What a bridge is told before it connects, and what it counts."""

from collections.abc import Mapping

from msgspec import Struct

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_BRIDGE_SESSION_S, MQTT_PACKET_BYTES, MQTT_RECEIVE_MAXIMUM
from littoral.iot.bridge_topics import BridgeTopics
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Properties


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
    subscribed: Mapping[str, int] = {}
    """MQTT 3.1.1: those that it has said that it has, with the QoS that was asked for."""

    @property
    def subject(self) -> str:
        """In errors."""
        return f"{self.name} to {self.address}"

    def connect(self, limits: Limits) -> mqtt.Connect:
        """What the bridge begins a connection with."""
        properties = NO_PROPERTIES
        if self.level == MQTT_5:
            properties = Properties(
                session_expiry_s=None if self.begins_anew else limits[MQTT_BRIDGE_SESSION_S],
                receive_maximum=limits[MQTT_RECEIVE_MAXIMUM],
                maximum_packet_bytes=limits[MQTT_PACKET_BYTES],
            )
        return mqtt.Connect(
            self.client_id,
            self.begins_anew,
            self.keep_alive_s,
            None,
            self.username,
            self.password,
            self.level,
            properties,
            self.asks_as_bridge,
        )


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
    """Messages that are of no topic of the bridge any more, too large for the other side, or against a rule of MQTT."""
    returned: int = 0
    """Messages that had been at this node before, or had passed too many bridges."""
