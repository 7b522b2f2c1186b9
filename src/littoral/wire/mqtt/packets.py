"""The packets as values."""

from enum import IntEnum

from msgspec import Struct

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

LEVEL = 4
"""The protocol level of MQTT 3.1.1."""


class ConnectCode(IntEnum):
    """Return codes of CONNACK (table 3.1)."""

    ACCEPTED = 0
    UNACCEPTABLE_LEVEL = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_CREDENTIALS = 4
    NOT_AUTHORIZED = 5


class _Packet(Struct, frozen=True, gc=False):
    pass


class Will(_Packet, frozen=True):
    """What the server publishes for a client that vanishes."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(_Packet, frozen=True):
    """Opens a session."""

    client_id: str
    clean_session: bool
    keep_alive_s: int
    """0: the client may stay silent for ever."""
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None


class ConnAck(_Packet, frozen=True):
    """Answers CONNECT."""

    session_present: bool
    code: int


class Publish(_Packet, frozen=True):
    """A message."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int | None = None
    """None exactly where qos is 0."""


class PubAck(_Packet, frozen=True):
    """The receiver has taken over a QoS 1 message."""

    packet_id: int


class Subscribe(_Packet, frozen=True):
    """Asks for messages."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]
    """Topic filters with the QoS asked for."""


class SubAck(_Packet, frozen=True):
    """Answers SUBSCRIBE."""

    packet_id: int
    codes: tuple[int, ...]
    """For each filter the QoS granted, or 0x80."""


class Unsubscribe(_Packet, frozen=True):
    """Takes filters back."""

    packet_id: int
    filters: tuple[str, ...]


class UnsubAck(_Packet, frozen=True):
    """Answers UNSUBSCRIBE."""

    packet_id: int


class PingReq(_Packet, frozen=True):
    """Are you there?"""


class PingResp(_Packet, frozen=True):
    """Yes."""


class Disconnect(_Packet, frozen=True):
    """A clean end: the will is forgotten."""


Packet = (
    Connect | ConnAck | Publish | PubAck | Subscribe | SubAck | Unsubscribe | UnsubAck | PingReq | PingResp | Disconnect
)
