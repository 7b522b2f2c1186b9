"""What comes down: hold the notification channel; read every stream whose tail moved, append it here."""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import msgspec

from littoral.core.errors import Gone, InvalidInput, NotFound, PeerUnreachable
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.replica import begins_anew, lineage_parts
from littoral.store.store import Store
from littoral.streams.arrival import Arrival
from littoral.streams.bandwidth import EVENT_BYTES
from littoral.streams.bootstrap import Snapshots
from littoral.streams.link_budget import BudgetSpent, LinkBudget
from littoral.streams.outbox import Outbox
from littoral.streams.parent_link import ParentLink
from littoral.streams.take_over import take_over_all
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

SILENCE_S = 15.0
"""Three heartbeats of the parent's. A link that is silent for longer is taken for half-open."""
EVENT_BYTES_MOST = 4 << 20
"""Of one event on the notification channel: the tails of as many streams as a node may hold."""


class Follower:
    """Keeps the copies of the parent's streams, session by session."""

    def __init__(
        self, store: Store, link: ParentLink, outbox: Outbox, snapshots: Snapshots, state: UplinkState
    ) -> None:
        self._store = store
        self._link = link
        self._outbox = outbox
        self._snapshots = snapshots
        self._arrival = Arrival(store, link, snapshots, state)
        self._state = state
        self._put_off: dict[StreamName, peer.Mark] = {}
        """Streams of the parent's that are not read any further until there is a budget for it again."""
        self._begun: set[StreamName] = set()
        """Streams that were begun from a snapshot in this session."""

    def begin_session(self) -> None:
        """Forget what was so in the last one."""
        self._begun.clear()
        self._put_off.clear()

    async def run(self) -> None:
        """Follow until the channel ends. Raises LittoralError."""
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
                    await self._fetch_all(self._due(link.budget))
                *events, buffer = (buffer + chunk).split(b"\n\n")
                if len(buffer) > EVENT_BYTES_MOST:
                    raise InvalidInput("follow", link.url, f"it sent an event of more than {EVENT_BYTES_MOST} bytes")
                for event in events:
                    await self._fetch_all(self._marks_in(event))
        raise PeerUnreachable("follow", link.url, "the notification channel ended")

    async def read(self, name: StreamName, offset: int) -> list[StoredBatch]:
        """The parent's batches of a stream from `offset` on. Raises Gone, and as `ParentLink.call`."""
        link = self._link
        most = link.most(link.down)
        query = {"stream": str(name), "offset": str(offset), "most": str(most)}
        response = await link.call(
            "GET", peer.READ, query=query, pace=link.down, urgent=self._is_urgent(name), expected_bytes=most
        )
        return peer.decode(response.body, list[StoredBatch], "stream")

    async def _fetch_all(self, marks: Iterable[peer.Mark]) -> None:
        for mark in marks:
            try:
                await self._fetch(mark)
            except InvalidInput as error:
                self._outbox.block(StreamName(mark.origin, mark.path), str(error))
            except BudgetSpent:
                self._put_off[StreamName(mark.origin, mark.path)] = mark

    def _due(self, budget: LinkBudget) -> list[peer.Mark]:
        """What was put off, once there is a budget for it again; the parent's heartbeats see to it that this is asked."""
        if not self._put_off or budget.spent:
            return []
        due = list(self._put_off.values())
        self._put_off.clear()
        return due

    def _marks_in(self, event: bytes) -> list[peer.Mark]:
        try:
            return msgspec.json.decode(event.removeprefix(b"data: "), type=list[peer.Mark])
        except msgspec.DecodeError as error:
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
        while (have := self._have(mark)) < mark.next:
            try:
                frame = await self.read(name, have)
            except Gone:
                await self._begin(name)
                continue
            if not frame:
                return
            outcomes = await self._store.submit(partial(take_over_all, frame, self._outbox.parent))
            self._store.counters.judged(outcomes)
            self._state.followed_records += outcomes[-1].next - have
            if self._have(mark) <= have:
                self._outbox.block(name, f"{outcomes[-1].verdict.value} at offset {have} of our copy of the parent's")
                return

    def _is_another(self, name: StreamName, mark: peer.Mark) -> bool:
        """Whether there is no copy of the stream here, or one of before its origin was restored: how much of that is
        still so, nobody can tell. Of one that is folded also whether its origin has made it anew: then its state has
        changed in more than what is in the stream."""
        info = self._store.stream(name)
        if info is None or (self._snapshots.covers(name) and begins_anew(mark.lineage, info.lineage)):
            return True
        held, at_parent = lineage_parts(info.lineage), lineage_parts(mark.lineage)
        return name not in self._begun and held is not None and at_parent is not None and held[0] != at_parent[0]

    async def _begin(self, name: StreamName) -> None:
        """Begin a stream from a snapshot, and with it those that the same state is folded from: what is held here of
        them may end before the snapshot was taken, and what follows there be older than it."""
        await self._bootstrap(name)
        for sibling in self._snapshots.siblings(name):
            if self._store.stream(sibling) is not None and sibling not in self._begun:
                with suppress(NotFound):  # the parent has it no more
                    await self._bootstrap(sibling)

    async def _bootstrap(self, name: StreamName) -> None:
        """Take over what the parent has folded from a stream, and follow the stream from there."""
        await self._arrival.bring(name, urgent=self._is_urgent(name))
        self._begun.add(name)
        self._state.bootstraps += 1

    def _is_urgent(self, name: StreamName) -> bool:
        """Of a stream at the parent: whether it is read before what is not urgent goes up, budget or none. So is what was
        lost of our own: until it is back, nothing of its stream goes up, urgent or not."""
        budget = self._link.budget
        return name.origin == self._store.node or (budget is not None and budget.essential(name))

    def _have(self, mark: peer.Mark) -> int:
        """Up to where we have what the mark is of."""
        info = self._store.stream(StreamName(mark.origin, mark.path))
        return 0 if info is None or begins_anew(mark.lineage, info.lineage) else info.next
