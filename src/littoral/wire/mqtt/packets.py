"""The packets of MQTT 3.1.1 and 5 as values: one set for both. What only MQTT 5 has is at its default in 3.1.1."""

from msgspec import Struct

from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties
from littoral.wire.mqtt.reasons import ReasonCode

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT, AUTH = 12, 13, 14, 15

MQTT_3_1_1, MQTT_5 = 4, 5
"""Protocol levels: what CONNECT calls the versions."""
BRIDGE_BIT = 0x80
"""Of the level in a CONNECT of MQTT 3.1.1: see Connect.is_bridge."""


class _Packet(Struct, frozen=True, gc=False):
    pass


class Will(_Packet, frozen=True):
    """What the server publishes for a client that vanishes."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = NO_PROPERTIES


class Connect(_Packet, frozen=True):
    """Opens a session."""

    client_id: str
    clean_start: bool
    """MQTT 3.1.1 calls it clean session: there, it also says that the session ends with the connection."""
    keep_alive_s: int
    """0: the client may stay silent for ever."""
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    level: int = MQTT_3_1_1
    properties: Properties = NO_PROPERTIES
    is_bridge: bool = False
    """Whether the client is another broker, in the way that mosquitto understands: the highest bit of the protocol's level is set.
    It is not sent what it published itself, and retained messages as such. In MQTT 5 there are options of subscriptions for both."""


class ConnAck(_Packet, frozen=True):
    """Answers CONNECT."""

    session_present: bool
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class Publish(_Packet, frozen=True):
    """A message."""

    topic: str
    """Empty where a topic alias stands for it."""
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int | None = None
    """None exactly where qos is 0."""
    properties: Properties = NO_PROPERTIES


class PubAck(_Packet, frozen=True):
    """The receiver has taken over a QoS 1 message."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class PubRec(_Packet, frozen=True):
    """The receiver has taken over a QoS 2 message, and keeps its identifier until PUBREL."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class PubRel(_Packet, frozen=True):
    """The sender will not send a QoS 2 message again."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class PubComp(_Packet, frozen=True):
    """A QoS 2 exchange is over; its identifier is free."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class Subscription(_Packet, frozen=True):
    """One filter of a SUBSCRIBE, with its options."""

    filter: str
    qos: int
    """The highest QoS at which messages are wanted."""
    no_local: bool = False
    """Do not send what this client itself publishes."""
    retain_as_published: bool = False
    """Forward messages with the retain flag that they came with."""
    retain_handling: int = 0
    """Send retained messages: 0 always, 1 if the subscription is new, 2 never."""


class Subscribe(_Packet, frozen=True):
    """Asks for messages."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = NO_PROPERTIES


class SubAck(_Packet, frozen=True):
    """Answers SUBSCRIBE."""

    packet_id: int
    reasons: tuple[ReasonCode, ...]
    """For each filter the QoS granted, or why not. MQTT 3.1.1 knows only UNSPECIFIED_ERROR."""
    properties: Properties = NO_PROPERTIES


class Unsubscribe(_Packet, frozen=True):
    """Takes filters back."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = NO_PROPERTIES


class UnsubAck(_Packet, frozen=True):
    """Answers UNSUBSCRIBE."""

    packet_id: int
    reasons: tuple[ReasonCode, ...] = ()
    """One for each filter; MQTT 3.1.1 has none."""
    properties: Properties = NO_PROPERTIES


class PingReq(_Packet, frozen=True):
    """Are you there?"""


class PingResp(_Packet, frozen=True):
    """Yes."""


class Disconnect(_Packet, frozen=True):
    """The last packet. From a client, a normal one: the will is forgotten."""

    reason: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties = NO_PROPERTIES


class Auth(_Packet, frozen=True):
    """A step of an enhanced authentication (section 4.12); only in MQTT 5."""

    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)
