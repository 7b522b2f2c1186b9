"""What one has to know at every append: which subscriptions a stream concerns, and which streams may be ahead of their
cursors.

All of it follows from the store and is built from there. A stream is matched against the patterns once, at its first
append after the subscriptions changed; from then on an append costs a look-up per subscription that it concerns, and none
where it concerns none.
"""

from collections.abc import Callable, Iterator

from littoral.core.errors import LittoralError
from littoral.core.names import StreamName, parse_stream_name
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.subscriptions.record import (
    NO_LINK,
    SUBSCRIPTIONS_SCOPE,
    WAKES_SCOPE,
    Members,
    Owner,
    Subscription,
    Wake,
    acked_of,
    decode_link,
    decode_subscription,
    decode_wake,
    incarnation,
    links_of,
    links_scope,
)

PENDING_MOST = 1024
"""Streams found for one wake: about what a body holds. What is beyond them has its turn in the next."""


Readable = Callable[[Owner, StreamName], bool]


class Entry:
    """A subscription, as last committed."""

    def __init__(self, subscription: Subscription, node: str, readable: "Readable") -> None:
        self.subscription = subscription
        self._readable = readable
        self.wake: Wake | None = None
        self.members = Members(subscription, node)
        self.explicit: frozenset[StreamName] = frozenset()
        self.behind: dict[StreamName, None] = {}
        """Streams that may be ahead of their cursors, those that have waited longest first."""

    def means(self, name: StreamName) -> bool:
        """Whether the stream is linked, and may be told of."""
        linked = name in self.explicit or self.members.matched(name)
        return linked and self._readable(self.subscription.owner, name)


class Index:
    """Of one store. On the event loop only."""

    def __init__(self, store: Store, readable: Readable, poke: Callable[[str], None]) -> None:
        """readable: whether who made a subscription may read a stream. poke: told of a subscription that may have
        something to do."""
        self._store = store
        self._readable = readable
        self._node = store.node
        self._poke = poke
        self._entries: dict[str, Entry] = {}
        self._concerned: dict[StreamName, tuple[str, ...]] = {}
        self._told: dict[StreamName, set[str]] = {}
        """Wake stream -> subscriptions."""

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        """All that are known, in no order."""
        return iter(self._entries.values())

    def keys_in_store(self) -> list[str]:
        """All subscriptions there are."""
        return sorted(self._store.state(SUBSCRIPTIONS_SCOPE))

    def entry(self, key: str) -> Entry | None:
        """A subscription as committed by now; None where there is none. Raises StorageError."""
        value = self._store.state_value(SUBSCRIPTIONS_SCOPE, key)
        if value is None:
            self._remove(key)
            return None
        entry = self._entries.get(key)
        subscription = decode_subscription(value)
        if entry is None or entry.subscription.created_ms != subscription.created_ms:
            self._remove(key)
            entry = self._entries[key] = Entry(subscription, self._node, self._readable)
            if subscription.wake_stream is not None:
                self._told.setdefault(subscription.wake_stream, set()).add(key)
            self.relink(key)
        entry.subscription = subscription
        entry.wake = decode_wake(self._store.state_value(WAKES_SCOPE, key))
        return entry

    def relink(self, key: str) -> None:
        """The links of a subscription were made or changed: look at all streams once. Raises StorageError, and whoever
        asks for the subscription next has it done."""
        entry = self._entries.get(key)
        if entry is None:
            return
        try:
            links = links_of(self._store, key)
        except LittoralError:
            self._remove(key)
            self._poke(key)
            raise
        entry.explicit = frozenset(parse_stream_name(name) for name, link in links.items() if link.explicit)
        entry.behind = {}
        for info in self._store.streams():
            link = links.get(str(info.name), NO_LINK)
            if entry.means(info.name) and info.next > acked_of(link, info, self._node):
                entry.behind[info.name] = None
        self._concerned.clear()
        self._poke(key)

    def pending(self, key: str, most: int = PENDING_MOST) -> list[StreamName]:
        """The streams of a subscription that have something to do, the first `most` of them."""
        entry = self._entries.get(key)
        found: list[StreamName] = []
        if entry is None:
            return found
        for name in list(entry.behind):
            info = self._store.stream(name)
            link = decode_link(self._store.state_value(links_scope(key), str(name)))
            if info is None or not entry.means(name) or info.next <= acked_of(link, info, self._node):
                del entry.behind[name]
                continue
            found.append(name)
            if len(found) == most:
                break
        return found

    def woken(self, key: str) -> None:
        """A wake tells of some streams: the others come first in the next."""
        entry = self.entry(key)
        if entry is None or entry.wake is None:
            return
        for name in map(parse_stream_name, entry.wake.streams):
            if name in entry.behind:
                del entry.behind[name]
                entry.behind[name] = None

    def untold(self, entry: Entry) -> bool:
        """Whether the wake stream has lost (or never had) the event of a wake that waits to be claimed."""
        wake, name = entry.wake, entry.subscription.wake_stream
        if wake is None or wake.phase != "announced" or name is None:
            return False
        info = self._store.stream(name)
        if wake.told is None or info is None:
            return True
        stream, offset = wake.told
        return stream != incarnation(info, self._node) or offset < info.first

    # Told by the store

    def changed(self, info: StreamInfo) -> None:
        """A stream was committed."""
        if not self._entries:
            return
        keys = self._concerned.get(info.name)
        if keys is None:
            keys = self._concerned[info.name] = self._concerned_by(info.name)
        for key in keys:
            entry = self._entries[key]
            entry.behind[info.name] = None
            if entry.wake is None:  # Who ends a wake looks again.
                self._poke(key)
        for key in self._told.get(info.name, ()):
            self._poke(key)

    def deleted(self, name: StreamName) -> tuple[str, ...]:
        """A stream is gone; which subscriptions it concerned."""
        keys = self._concerned.pop(name, None)
        if keys is None:
            keys = self._concerned_by(name)
        for key in self._told.get(name, ()):
            self._poke(key)
        return keys

    def _concerned_by(self, name: StreamName) -> tuple[str, ...]:
        return tuple(key for key, entry in self._entries.items() if entry.means(name))

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._concerned.clear()
        name = entry.subscription.wake_stream
        if name is not None:
            self._told[name].discard(key)
            if not self._told[name]:
                del self._told[name]
