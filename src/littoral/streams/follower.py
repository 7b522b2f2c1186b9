"""What comes down: hold the notification channel; read every stream whose tail moved, append it here.

    listen      the channel: which streams have moved (littoral.streams.due_marks)
    fetch       one stream after the other, each to its end; those that go first also between two pieces of another
    cannot now  a stream that the parent, or our disk, cannot give or take just now is put off, and tried again ever more
                rarely; the others go on. One that there is no budget for waits for that

The channel is read on whatever is fetched.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from littoral.core.errors import (
    Gone,
    InvalidInput,
    LimitReached,
    LittoralError,
    NotFound,
    PeerUnreachable,
    StorageError,
    Unavailable,
)
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.batch import StoredBatch
from littoral.store.replica import begins_anew, lineage_parts
from littoral.store.store import Store
from littoral.streams.arrival import Arrival, Bringing
from littoral.streams.bandwidth import EVENT_BYTES
from littoral.streams.blocked import NOT_TAKEN, Blocked
from littoral.streams.bootstrap import Snapshots
from littoral.streams.due_marks import DueMarks
from littoral.streams.holds import Holds
from littoral.streams.link_budget import BudgetSpent
from littoral.streams.outbox import Outbox
from littoral.streams.parent_link import ParentLink
from littoral.streams.take_over import take_over_all
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

SILENCE_S = 15.0
"""Three heartbeats of the parent's. A link that is silent for longer is taken for half-open."""
EVENT_BYTES_MOST = 4 << 20
"""Of one event on the notification channel: the tails of as many streams as a node may hold."""

_log = logging.getLogger("littoral.hub")


class Follower:
    """Keeps the copies of the parent's streams, session by session."""

    def __init__(
        self,
        store: Store,
        link: ParentLink,
        outbox: Outbox,
        snapshots: Snapshots,
        state: UplinkState,
        holds: Holds,
        first: Callable[[StreamName], bool],
    ) -> None:
        """holds: the streams that could not be followed when that was tried; first: which go before all others."""
        self._store = store
        self._link = link
        self._outbox = outbox
        self._snapshots = snapshots
        self._arrival = Arrival(store, link, snapshots, state)
        self._state = state
        self._holds = holds
        self._due = DueMarks(holds, first)
        self._first = first
        self._begun: set[StreamName] = set()
        """Streams that were begun from a snapshot in this session."""

    def begin_session(self) -> None:
        """Forget what was so in the last one."""
        self._begun.clear()
        self._due.clear()

    async def listen(self) -> None:
        """Hear which streams move until the channel ends. Raises LittoralError."""
        link = self._link
        await link.connect(requests=1)
        async with link.stream(peer.NOTIFY, SILENCE_S) as channel:
            if channel.status != 200:
                raise PeerUnreachable("follow", link.url, f"it answered {channel.status}")
            buffer = b""
            async for chunk in channel.chunks:
                if link.budget is not None:
                    link.budget.carried(EVENT_BYTES + len(chunk))
                    link.budget.check(urgent=True)
                if link.budget is None or not link.budget.spent:
                    self._due.again()  # the parent's heartbeats see to it that this is asked
                *events, buffer = (buffer + chunk).split(b"\n\n")
                if len(buffer) > EVENT_BYTES_MOST:
                    raise InvalidInput("follow", link.url, f"it sent an event of more than {EVENT_BYTES_MOST} bytes")
                for event in events:
                    for mark in self._marks_in(event):
                        self._due.put(mark)
        raise PeerUnreachable("follow", link.url, "the notification channel ended")

    async def fetch(self) -> None:
        """Bring our copies up to where the parent's are, until cancelled. Raises LittoralError."""
        while True:
            while (mark := self._due.take()) is not None:
                await self._try(mark)
            await self._due.wait()

    async def read(self, name: StreamName, offset: int) -> list[StoredBatch]:
        """The parent's batches of a stream from `offset` on. Raises Gone, and as `ParentLink.call`."""
        link = self._link
        most = link.most(link.down)
        query = {"stream": str(name), "offset": str(offset), "most": str(most)}
        response = await link.call(
            "GET", peer.READ, query=query, pace=link.down, urgent=self._is_urgent(name), expected_bytes=most
        )
        return peer.decode(response.body, list[StoredBatch], "stream")

    async def _try(self, mark: peer.Mark) -> None:
        """Follow a stream, unless it is not to be had. Raises LittoralError for what ends the session."""
        name, budget = StreamName(mark.origin, mark.path), self._link.budget
        try:
            await self._fetch(mark)
        except InvalidInput as error:
            self._outbox.block(name, "unreadable", str(error))
        except PeerUnreachable:
            raise
        except NotFound:
            # It was deleted, or is another's to follow now; the channel tells if it comes back.
            self._holds.release(name)
        except BudgetSpent:
            self._due.put_off(mark)
        except (LimitReached, Unavailable, StorageError) as error:
            if budget is not None and budget.spent:
                raise  # not even what is urgent may go
            if self._holds.reasons.get(name) != str(error):
                _log.warning("%s: not followed for now: %s", name, error)
            self._holds.hold(name, str(error))
            self._due.put_off(mark)
        else:
            self._holds.release(name)

    async def _let_first(self) -> None:
        """Between two pieces of a stream: follow those that go before it."""
        while (mark := self._due.take_first()) is not None:
            await self._try(mark)

    def _marks_in(self, event: bytes) -> list[peer.Mark]:
        try:
            return msgspec.json.decode(event.removeprefix(b"data: "), type=list[peer.Mark])
        except UNDECODABLE as error:
            raise InvalidInput("follow", self._link.url, f"it sent an event that is none ({error})") from error

    async def _fetch(self, mark: peer.Mark) -> None:
        """Bring our copy of a stream up to where the parent's is."""
        name = StreamName(mark.origin, mark.path)
        if name in self._outbox.blocked:
            return
        if self._is_another(name, mark):
            if self._snapshots.covers(name):
                await self._begin(name)
            elif (info := self._store.stream(name)) is not None and info.via == self._outbox.parent:
                # Nothing is folded from it that could be taken over: what the origin has now is all there is.
                await self._store.submit(lambda tx: tx.delete_stream(name))
        if (info := self._store.stream(name)) is not None and info.via != self._outbox.parent:
            # What stands here of it is as good as what comes, but it was had from a former parent.
            await self._store.submit(lambda tx: tx.follow_from(name, self._outbox.parent))
        blocked = await self._go_on(name, mark)
        if (blocked is not None or self._ends_otherwise(mark)) and self._snapshots.covers(name):
            # The parent was restored, perhaps, and took back what it had sent before: what it wrote in between is gone.
            await self._begin(name)
            blocked = await self._go_on(name, mark)
        if blocked is not None:
            self._outbox.blocked[name] = blocked

    async def _go_on(self, name: StreamName, mark: peer.Mark) -> Blocked | None:
        """Append what the parent has beyond our copy; returns why that cannot be, if so."""
        while (have := self._have(mark)) < mark.next:
            try:
                frame = await self.read(name, have)
            except Gone:
                await self._begin(name)
                continue
            if not frame:
                break
            outcomes = await self._store.submit(partial(take_over_all, frame, self._outbox.parent))
            self._store.counters.judged(outcomes)
            self._state.followed_records += outcomes[-1].next - have
            if self._have(mark) <= have:
                verdict = outcomes[0].verdict
                reason = f"{verdict.value} at offset {have} of our copy of the parent's"
                return Blocked(NOT_TAKEN.get(verdict, "unreadable"), reason)
            await self._between(name)()
        return None

    def _ends_otherwise(self, mark: peer.Mark) -> bool:
        """Whether our copy reaches to where the parent's ends, and holds something else up to there."""
        info = self._store.stream(StreamName(mark.origin, mark.path))
        if info is None or not mark.chain or info.lineage != mark.lineage or info.next < mark.next:
            return False
        if info.next == mark.next:
            return info.chain != mark.chain
        if mark.next <= info.first:
            return False  # What stood there is not kept.
        # Ours is longer: the mark is older than what was read last; or the parent's was written anew, and is shorter.
        last = self._store.read(info.name, mark.next - 1, 1)[0]
        return last.next != mark.next or last.chain != mark.chain

    def _is_another(self, name: StreamName, mark: peer.Mark) -> bool:
        """Whether there is no copy of the stream here, or one of before its origin was restored: how much of that is
        still so, nobody can tell. Of one that is folded also whether its origin has made it anew: then its state has
        changed in more than what is in the stream; and whether it is to be begun anew, or was in part."""
        info = self._store.stream(name)
        if info is None:
            return True
        if self._snapshots.covers(name) and (begins_anew(mark.lineage, info.lineage) or self._arrival.is_open(name)):
            return True
        held, at_parent = lineage_parts(info.lineage), lineage_parts(mark.lineage)
        return name not in self._begun and held is not None and at_parent is not None and held[0] != at_parent[0]

    async def _begin(self, name: StreamName) -> None:
        """Begin a stream from a snapshot, and with it those that the same state is folded from: what is held here of
        them may end before the snapshot was taken, and what follows there be older than it."""
        siblings = self._snapshots.siblings(name)
        if self._arrival.is_due(name):
            # One of them was begun, perhaps long ago, and this one was not: what follows there comes before this snapshot.
            await self._catch_up(siblings)
            if not self._arrival.is_due(name):
                return
        elif name not in self._begun:
            # Those that were begun in this session are not begun again: what follows there comes before this snapshot, too.
            await self._catch_up([each for each in siblings if each in self._begun])
        await self._bootstrap(name)
        for sibling in siblings:
            if self._arrival.is_due(sibling):
                try:
                    await self._bootstrap(sibling)
                except NotFound:
                    await self._arrival.give_up(sibling)

    async def _catch_up(self, names: Sequence[StreamName]) -> None:
        """Follow the streams now, if they have moved. What keeps them from it keeps from what was to come after."""
        for name in names:
            if (mark := self._due.take_of(name)) is not None:
                try:
                    await self._fetch(mark)
                except LittoralError:
                    self._due.put(mark)
                    raise

    async def _bootstrap(self, name: StreamName) -> None:
        """Take over what the parent has folded from a stream, and follow the stream from there."""
        again = name in self._begun
        siblings = [each for each in self._snapshots.siblings(name) if again or each not in self._begun]
        await self._arrival.bring(Bringing(name, siblings, self._is_urgent(name), self._between(name)))
        self._begun.add(name)
        self._state.bootstraps += 1

    def _between(self, name: StreamName) -> Callable[[], Awaitable[None]]:
        """What is to be done between two pieces of a stream."""
        return _nothing if self._first(name) else self._let_first

    def _is_urgent(self, name: StreamName) -> bool:
        """Of a stream at the parent: whether it is read before what is not urgent goes up, budget or none. So is what was
        lost of our own: until it is back, nothing of its stream goes up, urgent or not."""
        budget = self._link.budget
        return name.origin == self._store.node or (budget is not None and budget.essential(name))

    def _have(self, mark: peer.Mark) -> int:
        """Up to where we have what the mark is of."""
        info = self._store.stream(StreamName(mark.origin, mark.path))
        return 0 if info is None or begins_anew(mark.lineage, info.lineage) else info.next


async def _nothing() -> None:
    """Of a stream that goes first itself."""
