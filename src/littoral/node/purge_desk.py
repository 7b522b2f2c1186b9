"""The purges of a node: kept as a stream, told to its gateways as they come, and to one that was away what it missed.

purge        written to the node's own stream, which the nodes below follow (littoral.fleet.purges)
tell         whatever comes into that stream is told to all gateways at once, whoever wrote it
since        a gateway that connects says up to where it knows the stream, and is told what follows; or everything, where
             that cannot be known, as of one that was not connected yet: it may have stored what was purged meanwhile
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.core.names import StreamName
from littoral.fleet.purges import PURGES, submit_purge
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import EVERYTHING, Purge, check_purge, decode_purge
from littoral.node.own_purges import OwnPurges
from littoral.node.purge_messages import CachedObject, PurgeOutcome, Told
from littoral.node.replies import Replies
from littoral.store.database import STORAGE_ERRORS
from littoral.store.replica import lineage_of
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction

CONFIRM_S = 5.0
"""How long who purges waits for the gateways of the node."""
TOLD_MOST = 1000
"""A gateway that missed more purges than these purges everything."""
TOLD_BYTES = CONTROL_FRAME_BYTES.default // 2
"""... and so does one that is to be told more at once than goes into a frame."""
PURGE_BYTES = 64
"""Of one in a frame, besides its value."""
WAITED_FOR_MOST = 64


class Caches(Protocol):
    """The gateways of the node, as many as are connected (littoral.node.control_server)."""

    def purge(self, told: Told) -> Replies[list[int]]:
        """Tell all. Each says how many objects each purge was meant for."""
        ...

    def inspect(self, url: str) -> "Replies[list[CachedObject]]":
        """Ask all what they hold of a URL."""
        ...

    def top(self, count: int) -> "Replies[list[CachedObject]]":
        """Ask all what they have given most often."""
        ...


class _Batch(NamedTuple):
    first: int
    next: int
    replies: Replies[list[int]]


class PurgeDesk:
    """See above."""

    def __init__(self, store: Store, clock: Clock, parent: str = "") -> None:
        """parent: its name; empty at the root."""
        self._store = store
        self._clock = clock
        self._name = StreamName(store.node, PURGES)
        self._own = OwnPurges(store, parent, clock) if parent else None
        self._caches: Caches | None = None
        self._told = self._position().next
        self._batches: deque[_Batch] = deque(maxlen=WAITED_FOR_MOST)
        """The last that gateways were told."""
        store.watch(self._note)

    def attach(self, caches: Caches) -> None:
        """From now on tell these. Those that connect ask `since` by themselves."""
        self._caches = caches

    def since(self, known: Position | None) -> Told:
        """What a gateway has to be told that knows the stream up to `known`; None: it does not know."""
        told = self._since(known)
        return told if self._own is None else msgspec.structs.replace(told, before_parent=self._own.all())

    def _since(self, known: Position | None) -> Told:
        now = self._position()
        if known == now:
            return Told([], now)
        info = self._store.stream(self._name)
        if known is None or info is None or known.log not in (info.lineage, ""):
            return Told([EVERYTHING], now)
        if not info.first <= known.next <= info.next or info.next - known.next > TOLD_MOST:
            return Told([EVERYTHING], now)
        return Told(self._read(known.next, info.next), now)

    @property
    def is_restored(self) -> bool:
        """Whether the store was restored since the last purge that it has: there may have been others."""
        info = self._store.stream(self._name)
        return info is not None and lineage_of(self._store.lineage, info.id) != info.lineage

    async def begin_anew(self, warn: Callable[[str], None]) -> None:
        """Purge everything here and below, in place of those that the backup did not have. warn: told what keeps it from it."""
        purge = msgspec.structs.replace(EVERYTHING, at_ms=self._clock.wall_ms())

        def submit(tx: Transaction) -> None:
            submit_purge(tx, purge)

        await commit_stubbornly(self._store, submit, lambda text: warn(text) if text else None)

    async def purge(self, purge: Purge) -> PurgeOutcome:
        """Purge here and at all nodes below; returns once it is on disk and all gateways of this node have done it, or have
        had time to. Raises InvalidInput, and as `Store.submit`."""
        purge = msgspec.structs.replace(check_purge(purge), at_ms=self._clock.wall_ms())
        number = await self._store.submit(lambda tx: submit_purge(tx, purge))
        # Whoever watches the store has been told before.
        batch = next((each for each in reversed(self._batches) if each.first <= number < each.next), None)
        if batch is None:
            return PurgeOutcome(number, 0, 0, 0)
        await batch.replies.wait(CONFIRM_S)
        said = batch.replies.said
        return PurgeOutcome(
            number, len(said), sum(_at(each, number - batch.first) for each in said), batch.replies.missing
        )

    async def inspect(self, url: str) -> list[list[CachedObject]]:
        """What each gateway holds of a URL."""
        if self._caches is None:
            return []
        replies = self._caches.inspect(url)
        await replies.wait(CONFIRM_S)
        return replies.said

    async def top(self, count: int) -> list[list[CachedObject]]:
        """What each gateway has given most often."""
        if self._caches is None:
            return []
        replies = self._caches.top(count)
        await replies.wait(CONFIRM_S)
        return replies.said

    def _position(self) -> Position:
        info = self._store.stream(self._name)
        return Position("", 0) if info is None else Position(info.lineage, info.next)

    def _note(self, info: StreamInfo) -> None:
        if info.name != self._name or info.next == self._told:
            return
        first, self._told = self._told, info.next
        if self._caches is None and self._own is None:
            return
        # One that is shorter than it was is another.
        purges = self._read(first, info.next) if first < info.next else [EVERYTHING]
        before_parent = self._own.new(purges) if self._own is not None else None
        if self._caches is not None:
            replies = self._caches.purge(Told(purges, Position(info.lineage, info.next), before_parent))
            self._batches.append(_Batch(first, info.next, replies))

    def _read(self, first: int, end: int) -> list[Purge]:
        """Those of the node's own stream. What cannot be read purges everything."""
        purges: list[Purge] = []
        at = first
        try:
            while at < end:
                for batch in self._store.read(self._name, at, TOLD_BYTES):
                    purges += map(decode_purge, batch.records()[at - batch.first :])
                    at = batch.next
        except (LittoralError, *STORAGE_ERRORS):
            return [EVERYTHING]
        size = sum(PURGE_BYTES + len(purge.value) + len(purge.app) for purge in purges)
        return purges[: end - first] if size <= TOLD_BYTES else [EVERYTHING]


def _at(counts: list[int], place: int) -> int:
    """How many objects a gateway says a purge was meant for; none where it was told of everything in its place."""
    return counts[place] if place < len(counts) else sum(counts)
