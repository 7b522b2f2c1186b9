"""What the operator API says of the MQTT broker: its clients, what passes, and what operators publish."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

PATH = "/v1/mqtt"
CLIENTS = f"{PATH}/clients"
KICK = f"{PATH}/kick"
BRIDGES = f"{PATH}/bridges"
PUBLISH = f"{PATH}/publish"
TOPICS = f"{PATH}/topics"
WATCHES = f"{PATH}/watches"
STATES = ("", "connected", "away", "waiting")
"""Which clients are asked for: all, connected ones, sessions that wait for theirs, those for which messages wait."""
CLIENTS_MOST = 1000
"""Told at a time."""
TOPICS_MOST = 1000
"""Likewise."""
WATCHED_MOST = 1000
"""Messages of one answer."""
FILTERS_MOST = 100
TEXT_MOST = 200
"""Characters that are looked for in clients and topics."""

Topic = Annotated[str, Meta(min_length=1, max_length=16_000)]
Words = Annotated[str, Meta(max_length=4096)]
Qos = Annotated[int, Meta(ge=0, le=2)]


class MqttClient(Struct, frozen=True):
    """A client that is connected, or whose session is kept."""

    client: str
    connected: bool
    version: str
    """Of the protocol."""
    subscriptions: int
    waiting: int
    """Messages of QoS 1 and 2 that it has not taken over."""
    dropped: int
    """Messages that there was no room for, since the session began or the hub started."""
    expiry_s: int
    """How long its session is kept after its connection; 0 for no longer, 4294967295 for ever."""
    has_will: bool
    username: str | None = None
    """Of this and the next two: of the connection before, where it is away; nothing since before the hub started."""
    address: str = ""
    """IP address."""
    listener: str = ""
    """By which it came: "mqtt" for `listen.mqtt`, else the address in the node's document."""
    since_ms: int | None = None
    """When it connected; None where it is not."""
    in_flight: int = 0
    """Messages among those that it has been sent, and has not acknowledged."""
    queued_bytes: int = 0
    """Of those that it has not been sent yet."""


class MqttClients(Struct):
    """Answer of GET /v1/mqtt/clients."""

    clients: list[MqttClient]
    total: int
    """Sessions, as in what follows: of all clients, whoever was asked for."""
    found: int = 0
    """Those that are like what was asked for."""
    connected: int = 0
    waiting: int = 0
    """Messages in all queues."""
    queued_bytes: int = 0
    dropped: int = 0
    """Messages, since the hub started."""
    received: int = 0
    """Likewise: publishes taken in."""
    at_ms: int = 0
    """When this was so."""


class KickOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/mqtt/kick."""

    client: str


class Kicked(Struct, frozen=True):
    """Its answer."""

    client: str


class PublishOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of POST /v1/mqtt/publish: a message of MQTT 5."""

    topic: Topic
    payload: bytes = b""
    """In base64."""
    qos: Qos = 0
    retain: bool = False
    content_type: Words | None = None
    response_topic: Words | None = None
    expiry_s: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] | None = None
    user: Annotated[list[tuple[Words, Words]], Meta(max_length=100)] = []
    """User properties: pairs of name and value."""


class Published(Struct, frozen=True):
    """Its answer."""

    topic: str
    stored: bool
    """Whether it is synced to disk, as messages of QoS 1 and 2 are."""


class WatchOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/mqtt/watches."""

    filters: Annotated[list[Topic], Meta(min_length=1, max_length=FILTERS_MOST)]
    retained: Literal["also", "never", "only"] = "also"
    """Whether retained messages come first, or not at all, or nothing comes but them."""


class Watching(Struct, frozen=True):
    """Its answer."""

    watch: str


class WatchedMessage(Struct, frozen=True, omit_defaults=True):
    """One message that passed."""

    topic: str
    payload: bytes
    """In base64."""
    at_ms: int
    """When it passed, or was found retained; ms since the epoch."""
    qos: int = 0
    """As it was published."""
    retain: bool = False
    """Whether it was retained before, or was published to be."""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user: list[tuple[str, str]] = []


class WatchPage(Struct, frozen=True):
    """Answer of GET /v1/mqtt/watches/WATCH."""

    messages: list[WatchedMessage]
    next: int
    """What to ask for to go on after these; they are forgotten then."""
    dropped: int
    """Messages that there was no room for, since the watch began."""
    has_retained: bool
    """Whether more retained messages are to come."""


class TopicEntry(Struct, frozen=True):
    """A topic, and what lies below it where that is not told one by one."""

    topic: str
    topics: int
    """How many there are of it and below it; 1 where it is told by itself."""
    payload: bytes | None = None
    """The beginning of its last message, in base64. None: it has none of its own."""
    bytes: int = 0
    """Of the whole payload."""
    at_ms: int | None = None
    """When that passed; None: before the hub started."""
    count: int = 0
    """Messages noted since the topic is in the table."""
    retained: bool = False


class TopicPage(Struct, frozen=True):
    """Answer of GET /v1/mqtt/topics."""

    topics: list[TopicEntry]
    """In the order of their levels."""
    total: int
    """Lines that there are of what was asked for."""
    known: int
    """Topics that were looked at: of the prefix, with any text."""
    left_out: bool
    """Whether there are more retained messages than were looked at."""
    noted: int
    """Messages noted since the hub started."""
    sampled: int
    """Seconds since then in which more messages passed than are noted."""


class BridgeState(Struct, frozen=True):
    """A bridge of this node to another broker."""

    name: str
    address: str
    state: str
    """connected: messages go over. connecting: on the way there. waiting: until it is tried again."""
    since_ms: int
    """When it came to that, by the wall clock."""
    error: str | None
    """What keeps it, or a part of it, from working."""
    waiting: int
    """Messages of QoS 1 and 2 that the other broker has not taken over."""
    overflowed: int
    """Messages that its queue had no room for."""
    connections: int
    """Those that were opened since the hub started, like all that follows."""
    sent: int
    received: int
    refused: int
    """Messages that one of the two brokers did not take."""
    dropped: int
    """Messages that are of no topic of the bridge any more, too large for the other side, or against a rule of MQTT."""
    returned: int
    """Messages that had been at this node before."""


class BridgeStates(Struct, frozen=True):
    """Answer of GET /v1/mqtt/bridges."""

    bridges: list[BridgeState]
