"""What the broker keeps on disk, as values: the changes it makes, and what it finds when it starts.

The broker works in memory; its disk is told of changes, and is read once, at the start. A list of changes is one
transaction: all of it is on disk when the future of `write` ends, or nothing.

What must be written (and its future have ended) before what is sent:

    KeepSession, KeepSubscription, EndSubscription, EndSession  before  CONNACK, SUBACK, UNSUBACK
    a publish: its record, Enqueue, Retain, Forward, and Receive at QoS 2  before  PUBACK, PUBREC
    Released                                                    before  PUBCOMP
    Send, of a QoS 2 message                                    before  its first PUBLISH
    Taken                                                       before  PUBREL
    Complete; Retain of a QoS 0 message; that a client is away   later

What is sent of QoS 1 while a client is connected is written nowhere: `KeepSession` without `away_ms`, which is on disk before CONNACK,
says that anything may have been. The one by which the client is away says up to which message it was.

A `Complete` that a crash loses makes a QoS 1 message be sent again, which QoS 1 allows. A QoS 2 message is then in
state "taken": PUBREL goes again, under an identifier that the client has let go of, and is answered by PUBCOMP; the
message itself does not go. Nothing uses that identifier before, as what waits is written in front of the next change.

Only sessions that outlive their connection are kept. Numbers of sessions and messages are drawn from the store, and
never drawn twice, also not after a restart.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from littoral.core.order import Order
from littoral.iot.global_records import Way
from littoral.iot.message import Message
from littoral.wire.mqtt.packets import Subscription


class _Change(Struct, frozen=True, gc=False):
    pass


# Sessions


class KeepSession(_Change, frozen=True):
    """A session is new, or its facts are different now."""

    session: int
    client_id: str
    level: int
    """The protocol's level of the client that connected last."""
    expiry_s: int
    """How long it is kept after its connection ends; `NEVER_S` for ever."""
    away_ms: int | None = None
    """When its connection ended, by the wall clock; None while it is connected."""
    sent_before: int = 0
    """While it is away: of its messages of QoS 1, those of a lesser number may have been sent, and no others were."""


class EndSession(_Change, frozen=True):
    """A session is over, with all that is kept of it: subscriptions, queue, identifiers, will."""

    session: int


class KeepWill(_Change, frozen=True):
    """What is published for the client if it vanishes; due_ms: when its delay ends, once the connection has ended."""

    session: int
    will: Message
    delay_s: int = 0
    due_ms: int | None = None


class EndWill(_Change, frozen=True):
    """The will was published, or is not wanted any more."""

    session: int


class KeepSubscription(_Change, frozen=True):
    """A subscription is new, or has other options now."""

    session: int
    subscription: Subscription
    """`filter` with its prefix `$share/NAME/`, if it has one."""
    identifier: int | None = None
    unfinished: bool = False
    """Whether retained messages that it begins with are still to be queued."""


class EndSubscription(_Change, frozen=True):
    """A subscription was taken back."""

    session: int
    filter: str


# Messages to clients


class Recipient(Struct, frozen=True, gc=False):
    """A session that gets a message, and how."""

    session: int
    qos: int
    """The lower of the message's and the subscription's; never 0: such messages are not kept."""
    retain: bool = False
    """The flag that it is sent with."""
    identifiers: tuple[int, ...] = ()


class Recipients:
    """Sessions that get the same messages. Made once for a route and used for each of its messages: what a message
    costs does not depend on how many there are."""

    __slots__ = ("encoded", "sessions")

    def __init__(self, recipients: Sequence[Recipient]) -> None:
        self.sessions = tuple(each.session for each in recipients)
        assert len(set(self.sessions)) == len(self.sessions), "a session is in here once, with its highest QoS"
        self.encoded = encode_recipients(recipients)


class Enqueue(Struct, frozen=True):
    """A message waits for sessions, until each of them has a `Complete` of it. Its body is stored once.

    `message` is a number of `SessionStore.next_message`. Messages are written in the order in which their numbers were
    drawn; each gets to a session behind those of lesser numbers.
    """

    number: int
    message: Message
    recipients: Recipients


class Send(_Change, frozen=True):
    """A message of a session's queue has this packet identifier from now on, also after a restart."""

    session: int
    message: int
    packet_id: int


class Taken(_Change, frozen=True):
    """PUBREC has come for a QoS 2 message: only PUBREL is to be sent for it."""

    session: int
    message: int


class Complete(_Change, frozen=True):
    """A session is done with a message: it was acknowledged, completed, refused, dropped, or has expired. That of one
    that is not in its queue changes nothing."""

    session: int
    message: int


# Messages from clients


class Receive(_Change, frozen=True):
    """A QoS 2 message came with this identifier; another with it is the same one, until `Released`."""

    session: int
    packet_id: int


class Released(_Change, frozen=True):
    """PUBREL has come: the identifier may be used anew."""

    session: int
    packet_id: int


class Retain(_Change, frozen=True):
    """The retained message of a topic; None: there is none any more."""

    topic: str
    message: Message | None


# Messages of and for other nodes


class Forward(Struct, frozen=True):
    """A message of this node's clients goes to other nodes."""

    way: Way
    message: Message


class Passed(_Change, frozen=True):
    """All messages of a stream `mqtt-tree/NAME` before the offset `next` have come to the sessions."""

    name: str
    next: int


Change = (
    KeepSession
    | EndSession
    | KeepWill
    | EndWill
    | KeepSubscription
    | EndSubscription
    | Enqueue
    | Send
    | Taken
    | Complete
    | Receive
    | Released
    | Retain
    | Forward
    | Passed
)
Late = Complete | Retain | KeepSession | KeepWill | EndWill
"""What may be written later."""


# What was kept


class KeptMessage(Struct, gc=False):
    """A message in a session's queue."""

    number: int
    message: Message
    """The same object for all sessions that have it."""
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()
    packet_id: int | None = None
    """If it was sent (QoS 2, and QoS 1 where `Send` was written)."""
    taken: bool = False
    """Only PUBREL is to be sent."""
    sent: bool = False
    """Whether it may have been sent at QoS 1: of a client that was connected when the process ended, nobody knows."""


class KeptWill(Struct):
    """See `KeepWill`."""

    will: Message
    delay_s: int
    due_ms: int | None


class KeptSession(Struct):
    """All that is known of a session."""

    session: int
    client_id: str
    level: int
    expiry_s: int
    away_ms: int | None
    """None: it was connected when the process ended."""
    subscriptions: list[tuple[Subscription, int | None]]
    queue: list[KeptMessage]
    """In order of their numbers."""
    received: set[int]
    """Identifiers of QoS 2 messages that came, and were not released."""
    will: KeptWill | None = None
    unfinished: set[str] = msgspec.field(default_factory=set)
    """Filters: see `KeepSubscription`."""


class SessionStore(Protocol):
    """The broker's disk. `littoral.iot.durable_sessions` is the one that keeps; `littoral.iot.volatile_sessions` keeps
    nothing."""

    def load(self) -> list[KeptSession]:
        """What was kept, of all sessions. To be called once, before any other."""
        ...

    def load_retained(self) -> Iterable[tuple[str, bytes]]:
        """The topics of the retained messages, each with what `session_rows.encode_message` made of its message; before the first
        change."""
        ...

    def next_session(self) -> int:
        """A number for a session that is to be kept."""
        ...

    def next_message(self) -> int:
        """A number for a message that is to be kept: greater than all before."""
        ...

    def write(self, changes: Sequence[Change], order: Order, records: Sequence[bytes] = ()) -> "asyncio.Future[object]":
        """Do all of it in one transaction; done once it is synced to disk. Changes are done in the order of calls.
        Nothing of an order is written once something of it could not be.

        records: raw readings for the intake (see `littoral.core.intake.Intake.store`), written with the changes.
        Raises: LimitReached, Unavailable; the future: StorageError.
        """
        ...

    def later(self, changes: Sequence[Late]) -> None:
        """Write them soon, of a row that changes again only the last. A crash may lose them until then; a disk that
        takes no writes does not: they are tried again."""
        ...


def encode_recipients(recipients: Sequence[Recipient]) -> bytes:
    """As they stand in the row of a message: [[qos, retain, [identifier, ...], [session, ...]], ...]."""
    alike: dict[tuple[int, bool, tuple[int, ...]], list[int]] = {}
    for each in recipients:
        alike.setdefault((each.qos, each.retain, each.identifiers), []).append(each.session)
    return _encode([(*how, sessions) for how, sessions in alike.items()])


def decode_recipients(encoded: bytes) -> list[Recipient]:
    """What `encode_recipients` was given, in another order."""
    return [
        Recipient(session, qos, retain, identifiers)
        for qos, retain, identifiers, sessions in _decode(encoded)
        for session in sessions
    ]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, bool, tuple[int, ...], list[int]]]).decode
