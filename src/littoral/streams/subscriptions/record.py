"""What the store keeps of subscriptions, in the tables of state.

    scope `subscriptions`           key SUBSCRIPTION   Subscription
    scope `subscription-wakes`      key SUBSCRIPTION   Wake, while there is one
    scope `subscription/<key>`      key NODE/PATH      Link: the cursor of one stream
    scope `subscription-floor`      key `generation`   the greatest generation of those that were deleted

A stream that a pattern means and that has no link is linked at its beginning: those that were there when the subscription
was made got their link with it. So an append needs no write of ours to be followed by a wake: what a subscription has to
do is what its streams hold beyond its cursors, whenever one looks.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import msgspec

from littoral.core.names import SYSTEM_STREAMS, StreamName, check_stream_path, parse_stream_name
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.subscriptions import Glob, Kind

SUBSCRIPTIONS_SCOPE = "subscriptions"
WAKES_SCOPE = "subscription-wakes"
FLOOR_SCOPE = "subscription-floor"
FLOOR_KEY = "generation"

RootName = Literal["own", "tree"]
Phase = Literal["sending", "announced", "held"]


class Root(msgspec.Struct, frozen=True):
    """Where paths begin: this node's own streams (`/v1/stream/`), or those of all nodes (`/v1/streams/`). Each has
    subscriptions of its own."""

    name: RootName
    node: str

    def stream(self, path: str) -> StreamName:
        """Which stream a path means. Raises InvalidInput."""
        if self.name == "own":
            return StreamName(self.node, check_stream_path(path))
        return parse_stream_name(path)

    def path(self, name: StreamName) -> str:
        """Its path from here."""
        return name.path if self.name == "own" else str(name)

    def has(self, name: StreamName) -> bool:
        """Whether the stream is one that paths from here can mean."""
        return self.name == "tree" or name.origin == self.node


class Owner(msgspec.Struct, frozen=True):
    """Who made a subscription: its wakes tell of what they may read."""

    operator: bool
    client: str | None = None
    """None for somebody unknown."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. Changes by replacement only."""

    root: RootName
    id: str
    kind: Kind
    pattern: str | None
    url: str | None
    wake_stream: StreamName | None
    lease_ttl_ms: int
    description: str | None
    digest: str
    """Of the configuration: another PUT with the same one is no other subscription."""
    owner: Owner
    base_url: str
    """Where those who are woken call back: the address at which the subscription was made."""
    created_ms: int
    generation: int
    """Of the last wake."""
    not_before_ms: int = 0
    """No wake begins before."""
    failures: int = 0
    """Tries to wake in a row that failed."""
    error: str = ""
    """Of the last of them."""
    failing_since_ms: int = 0

    @property
    def key(self) -> str:
        """Its name in the store."""
        return f"{self.root}/{self.id}"


class Woken(msgspec.Struct, frozen=True, array_like=True):
    """A stream in a wake."""

    stream: str
    """Which incarnation of the name (see `incarnation`)."""
    acked: int
    tail: int
    explicit: bool


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """A wake in flight. The subscription's generation is its.

    webhook      sending ──2xx──► held ──callback done, or the answer said so──► (gone)
                    ▲  └─ else, later                └─ lease over ─► (gone)
    pull-wake    announced ──claim──► held ──ack done, release──► (gone)
                                         └─ lease over ─► (gone)
    """

    id: str
    phase: Phase
    due_ms: int
    """sending: when it is sent next. held: when the lease ends. announced: before this it is not told of again."""
    streams: dict[str, Woken]
    """NODE/PATH -> what was told."""
    holder: str = ""
    """Who claimed it."""
    progress: bool = False
    """Whether a cursor moved."""
    told: tuple[str, int] | None = None
    """announced: incarnation of the wake stream, and the offset of the event there."""


class Link(msgspec.Struct, frozen=True, array_like=True):
    """The cursor of one stream."""

    stream: str = ""
    """Which incarnation of the name the cursor is of; empty for a stream that was never there."""
    acked: int = 0
    """Records before this are processed."""
    explicit: bool = False


class State(Protocol):
    """The committed store, or a transaction."""

    def stream(self, name: StreamName) -> StreamInfo | None: ...

    def state(self, scope: str) -> dict[str, bytes]: ...


_encode = msgspec.msgpack.Encoder().encode
_subscription = msgspec.msgpack.Decoder(Subscription)
_wake = msgspec.msgpack.Decoder(Wake)
_link = msgspec.msgpack.Decoder(Link)
NO_LINK = Link()


def links_scope(key: str) -> str:
    """Where a subscription's links are."""
    return f"subscription/{key}"


def incarnation(info: StreamInfo, node: str) -> str:
    """Tells a stream from another of its name: one that was deleted and made again, and of a copy, one whose history went
    another way. A cursor of another incarnation counts for nothing."""
    return str(info.id) if info.name.origin == node else f"{info.id}.{info.lineage}"


def acked_of(link: Link, info: StreamInfo, node: str) -> int:
    """Up to where a stream is processed. A stream that has no cursor is at its beginning; a fork's is where it parts from
    its source."""
    if link.stream == incarnation(info, node):
        return link.acked
    return info.fork.inherited if info.fork is not None else 0


def decode_subscription(value: bytes) -> Subscription:
    """As it is in the store."""
    return _subscription.decode(value)


def decode_wake(value: bytes | None) -> Wake | None:
    """As it is in the store."""
    return None if value is None else _wake.decode(value)


def decode_link(value: bytes | None) -> Link:
    """As it is in the store."""
    return NO_LINK if value is None else _link.decode(value)


def links_of(state: State, key: str) -> dict[str, Link]:
    """NODE/PATH -> link."""
    return {name: _link.decode(value) for name, value in state.state(links_scope(key)).items()}


class Members:
    """Which streams a subscription means."""

    def __init__(self, subscription: Subscription, node: str) -> None:
        self._root = Root(subscription.root, node)
        self._glob = Glob(subscription.pattern) if subscription.pattern is not None else None
        self._not = subscription.wake_stream

    def matched(self, name: StreamName) -> bool:
        """Whether the pattern means the stream. Streams that Littoral writes itself are meant by their name only, not by
        `*`: many would wake a worker every few seconds. The wake stream is not meant: it would wake by being told of."""
        glob = self._glob
        if glob is None or name == self._not or not self._root.has(name):
            return False
        first = name.path.partition("/")[0]
        if first in SYSTEM_STREAMS:
            place = 0 if self._root.name == "own" else 1
            if "**" in glob.parts[: place + 1] or glob.parts[place : place + 1] != [first]:
                return False
        return glob.matches(self._root.path(name))


class Ledger:
    """Reads and writes subscriptions within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    def subscription(self, key: str) -> Subscription | None:
        """None where there is none (any more)."""
        value = self.tx.get_state(SUBSCRIPTIONS_SCOPE, key)
        return None if value is None else _subscription.decode(value)

    def count(self) -> int:
        """How many there are."""
        return len(self.tx.state(SUBSCRIPTIONS_SCOPE))

    def put(self, subscription: Subscription) -> None:
        """Write it."""
        self.tx.put_state(SUBSCRIPTIONS_SCOPE, subscription.key, _encode(subscription))

    def wake(self, key: str) -> Wake | None:
        """The one in flight."""
        return decode_wake(self.tx.get_state(WAKES_SCOPE, key))

    def put_wake(self, key: str, wake: Wake | None) -> None:
        """Write it; None: it is over."""
        self.tx.put_state(WAKES_SCOPE, key, None if wake is None else _encode(wake))

    def link(self, key: str, name: StreamName | str) -> Link:
        """Of one stream."""
        return decode_link(self.tx.get_state(links_scope(key), str(name)))

    def put_link(self, key: str, name: StreamName | str, link: Link | None) -> None:
        """Write it; None removes it."""
        self.tx.put_state(links_scope(key), str(name), None if link is None else _encode(link))

    @property
    def floor(self) -> int:
        """New subscriptions count their generations from here on: what was given to a deleted one of the same id is then
        of an earlier generation, for ever."""
        value = self.tx.get_state(FLOOR_SCOPE, FLOOR_KEY)
        return 0 if value is None else int(value)

    def delete(self, subscription: Subscription) -> None:
        """Forget all of it but the generation it had come to."""
        key = subscription.key
        floor = max(self.floor, subscription.generation)
        self.tx.put_state(FLOOR_SCOPE, FLOOR_KEY, str(floor).encode())
        self.tx.put_state(SUBSCRIPTIONS_SCOPE, key, None)
        self.put_wake(key, None)
        self.tx.clear_state(links_scope(key))


def names_of(links: Mapping[str, Link]) -> Iterator[tuple[StreamName, Link]]:
    """The links by stream."""
    for text, link in links.items():
        yield parse_stream_name(text), link
