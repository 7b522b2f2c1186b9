"""The notification channels of a parent's children: who is told of which stream.

    stream moved      the channels of the children that follow it are woken, and no other is touched
    stream appeared   who follows it is worked out once, and kept; of one that is meant for one child, no other is asked
    channel opened    so is what its child follows; a child has one channel, and a newer one ends the older
    review            the same again, for one child or for all: what one follows depends on more than streams

A parent of ten thousand children whose records arrive a thousand times a second must not ask, at each of these, each of
those. Most streams are followed by nobody below, which the family knows without looking at a child.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Protocol

from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.stream import StreamInfo


class Followers(Protocol):
    """Who of the children follows what; implemented by the registry."""

    def is_shared(self, info: StreamInfo) -> bool:
        """Whether any child could follow this stream. Quick: it is asked for every stream that moves."""
        ...

    def addressee(self, name: StreamName) -> str | None:
        """The one child that such a stream is for; None where it is not for one alone."""
        ...

    def follows(self, child: str, info: StreamInfo) -> bool:
        """Whether `child` is to have this stream of ours. Changes with `via`, or else somebody calls `review`."""
        ...


class Channel:
    """One child's: what it has not been told of yet."""

    __slots__ = ("_ended", "_waiter", "changed", "child")

    def __init__(self, child: str) -> None:
        self.child = child
        self.changed: dict[StreamName, None] = {}
        """Streams that moved since the child was last told, in the order in which they did."""
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether a newer one has taken its place."""
        return self._ended

    def note(self, name: StreamName) -> None:
        """There is something to tell."""
        self.changed[name] = None
        self._wake()

    def end(self) -> None:
        """Nothing more is told here."""
        self._ended = True
        self._wake()

    def take(self) -> list[StreamName]:
        """What there is to tell, which then is told."""
        names = list(self.changed)
        self.changed.clear()
        return names

    async def wait(self, most_s: float) -> None:
        """Return once there is something to tell, the channel has ended, or `most_s` have passed."""
        if self.changed or self._ended:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # A timer alone: every idle child costs one at each heartbeat, and a timeout would be twice as dear.
        timer = loop.call_later(most_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Channels:
    """Those of one parent."""

    def __init__(self, store: Store, family: Followers) -> None:
        self._store = store
        self._family = family
        self._open: dict[str, Channel] = {}
        """The latest of each child."""
        self._common: dict[StreamName, _Followed] = {}
        """Of every stream that any child may follow."""
        self._addressed: dict[str, dict[StreamName, _Followed]] = {}
        """Of each child, the streams that are for it alone."""
        self.review()
        store.watch(self._moved, self._deleted)

    def children(self) -> list[str]:
        """Those that hold one, by name."""
        return sorted(self._open)

    def open(self, child: str) -> Channel:
        """A new channel, with all that the child follows to be told."""
        if (older := self._open.get(child)) is not None:
            older.end()
            self._drop(older)
        channel = self._open[child] = Channel(child)
        self._join(channel)
        return channel

    def end(self, child: str) -> None:
        """Tell a child nothing more on the channel it has."""
        if (channel := self._open.get(child)) is not None:
            channel.end()
            self.close(channel)

    def close(self, channel: Channel) -> None:
        """The child does not listen there any more."""
        if self._open.get(channel.child) is channel:
            del self._open[channel.child]
            self._drop(channel)

    def review(self, child: str | None = None) -> None:
        """Who follows what may have changed, though no stream did: for one child, or for all."""
        if child is not None:
            if (channel := self._open.get(child)) is not None:
                self._drop(channel)
                channel.changed.clear()
                self._join(channel)
            return
        self._common.clear()
        self._addressed.clear()
        for channel in self._open.values():
            channel.changed.clear()
        for info in self._store.streams():
            self._moved(info)

    def _moved(self, info: StreamInfo) -> None:
        child = self._family.addressee(info.name)
        table = self._common if child is None else self._addressed.setdefault(child, {})
        followed = table.get(info.name)
        if followed is None and not self._family.is_shared(info):
            return
        if followed is None or followed.via != info.via:
            followed = table[info.name] = _Followed(info.via, self._following(info, child))
        for channel in followed.channels:
            channel.note(info.name)

    def _deleted(self, name: StreamName) -> None:
        child = self._family.addressee(name)
        table = self._common if child is None else self._addressed.get(child, {})
        followed = table.pop(name, None)
        if followed is not None:
            for channel in followed.channels:
                channel.changed.pop(name, None)

    def _following(self, info: StreamInfo, child: str | None) -> Iterable[Channel]:
        if child is None:
            return [channel for channel in self._open.values() if self._family.follows(channel.child, info)]
        channel = self._open.get(child)
        return [channel] if channel is not None and self._family.follows(child, info) else []

    def _followed_by(self, child: str) -> Iterator[tuple[StreamName, "_Followed"]]:
        """All that the child could follow."""
        yield from self._common.items()
        yield from self._addressed.get(child, {}).items()

    def _join(self, channel: Channel) -> None:
        for name, followed in self._followed_by(channel.child):
            info = self._store.stream(name)
            if info is not None and self._family.follows(channel.child, info):
                followed.channels[channel] = None
                channel.note(name)

    def _drop(self, channel: Channel) -> None:
        for _, followed in self._followed_by(channel.child):
            followed.channels.pop(channel, None)


class _Followed:
    """A stream that somebody may follow."""

    __slots__ = ("channels", "via")

    def __init__(self, via: str, channels: Iterable[Channel]) -> None:
        self.via = via
        self.channels: dict[Channel, None] = dict.fromkeys(channels)
        """In the order in which they were opened, so that a simulation repeats exactly."""
