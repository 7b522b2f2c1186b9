"""The child's side of a snapshot: asks for one chunk after the other, and takes them.

    nothing on disk         ask for the first chunk; its offset is where the stream is followed from in the end
    a chunk                 is what its digest says: take it, and in the same transaction note how far we are
                            is not: refuse it, and ask for it again
    the last chunk          in its transaction the copy is begun anew at the first one's offset
    cut, restart            go on after the last chunk on disk
    410, another parent     the stream has gone on without us: begin anew
    others of its state     are noted in the last chunk's transaction: they are begun anew too, whatever comes between

The next chunk is asked for while the one before is written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from littoral.core.errors import Gone, InvalidInput, Unavailable
from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.stream import Reach
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import CHUNK_BYTES, SnapshotPart, Snapshots, array_of, digest_of
from littoral.streams.parent_link import ParentLink
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

ARRIVING = "arriving"
"""Scope of the Arriving by ORIGIN/PATH; empty for a stream that is to be begun anew, and of which nothing has come yet."""
DUE = b""
"""In place of an Arriving."""
TRIES = 3
"""A chunk that is wrong so often is not wrong by accident."""


class Arriving(msgspec.Struct, frozen=True, array_like=True):
    """How far a snapshot has come, on disk."""

    parent: str
    lineage: str
    offset: int
    """Where the stream was when the first chunk was read; with the chain there."""
    chain: bytes
    content_type: str
    lane: Lane
    reach: Reach
    cursor: str | None
    """Of the last chunk that was taken."""
    horizon: int
    """The greatest of the chunks'."""
    along: bool = False
    """It is begun anew because another of its state was."""


class Bringing(NamedTuple):
    """A snapshot that is wanted."""

    name: StreamName
    siblings: Sequence[StreamName]
    """Those to be begun anew as well, unless this one is because one of them was."""
    urgent: bool
    between: Callable[[], Awaitable[None]]
    """Called after each chunk but the last."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Arriving).decode


class Arrival:
    """Brings the snapshots of one parent."""

    def __init__(self, store: Store, link: ParentLink, snapshots: Snapshots, state: UplinkState) -> None:
        self._store = store
        self._link = link
        self._snapshots = snapshots
        self._state = state

    def is_due(self, name: StreamName) -> bool:
        """Whether a stream is to be begun anew because another of its state was, and nothing has come of its snapshot."""
        return self._store.state_value(ARRIVING, str(name)) == DUE

    def is_open(self, name: StreamName) -> bool:
        """Whether a stream is to be begun anew, whatever has come of its snapshot."""
        return self.is_due(name) or self._on_disk(name) is not None

    async def give_up(self, name: StreamName) -> None:
        """The parent has no such stream any more."""
        await self._store.submit(lambda tx: tx.put_state(ARRIVING, str(name), None))

    async def bring(self, bringing: Bringing) -> None:
        """Take over what the parent has folded from a stream; the copy then stands where the snapshot was begun. Raises
        NotFound, InvalidInput, Unavailable, and as `ParentLink.call`."""
        name = bringing.name
        along = self.is_due(name)
        arriving = self._on_disk(name)
        if arriving is not None:
            self._state.resumed_snapshots += 1
            try:
                await self._transfer(bringing, arriving)
            except Gone:
                pass
            else:
                return
        try:
            await self._transfer(bringing, None, along=along)
        except Gone as error:
            raise Unavailable(
                "begin stream", str(name), f"it is written faster than its snapshot comes ({error})"
            ) from error

    def _on_disk(self, name: StreamName) -> Arriving | None:
        value = self._store.state_value(ARRIVING, str(name))
        arriving = _decode(value) if value else None
        return arriving if arriving is not None and arriving.parent == self._link.parent else None

    async def _transfer(self, bringing: Bringing, arriving: Arriving | None, *, along: bool = False) -> None:
        """The chunks after those on disk. Raises Gone where they do not belong together."""
        taking: Taking | None = None
        try:
            while True:
                after = arriving.cursor if arriving is not None else None
                page = await self._chunk(bringing.name, arriving, urgent=bringing.urgent)
                first = arriving is None
                # The offset of the first chunk counts: what changed while the others were read comes again by the stream.
                arriving = self._begun_at(page, along=along) if arriving is None else arriving
                horizon = max(arriving.horizon, page.horizon)
                arriving = msgspec.structs.replace(arriving, cursor=page.cursor, horizon=horizon)
                if taking is not None:
                    await taking.end()
                part = SnapshotPart(_array(page), page.cursor, page.horizon)
                taking = Taking(self._store, partial(self._take, bringing, part, after, arriving, first))
                if page.cursor is None:
                    await taking.end()
                    return
                await bringing.between()
        finally:
            if taking is not None:
                taking.future.add_done_callback(_heard)

    async def _chunk(self, name: StreamName, arriving: Arriving | None, *, urgent: bool) -> peer.SnapshotPage:
        """The chunk after those taken. Raises Gone; InvalidInput for one that is always wrong."""
        link = self._link
        most = min(link.most(link.down), CHUNK_BYTES)
        query = {"stream": str(name), "most": str(most), "chunked": "1"}
        if arriving is not None:
            query |= {"cursor": arriving.cursor or "", "offset": str(arriving.offset), "lineage": arriving.lineage}
        wrong = ""
        for _ in range(TRIES):
            response = await link.call(
                "GET", peer.SNAPSHOT, query=query, pace=link.down, urgent=urgent, expected_bytes=most
            )
            try:
                page = peer.decode(response.body, peer.SnapshotPage, "snapshot")
            except InvalidInput as error:
                wrong = str(error)
            else:
                wrong = _fault(page, arriving)
                if not wrong:
                    self._state.snapshot_chunks += 1
                    return page
            self._state.refused_chunks += 1
        raise InvalidInput("take snapshot of", str(name), wrong)

    def _begun_at(self, page: peer.SnapshotPage, *, along: bool) -> Arriving:
        return Arriving(
            self._link.parent,
            page.lineage,
            page.offset,
            page.chain,
            page.content_type,
            page.lane,
            page.reach,
            cursor=None,
            horizon=0,
            along=along,
        )

    def _take(
        self,
        bringing: Bringing,
        part: SnapshotPart,
        after: str | None,
        arriving: Arriving,
        first: bool,
        at: str | None,
        tx: Transaction,
    ) -> str | None:
        """Take a chunk from `at` on, and note it with the last piece; returns where to go on, None at the end."""
        name = bringing.name
        tx.check_room(name, arriving.lane)
        if first and at is None:
            self._snapshots.begin(tx, name)
        if (going_on := self._snapshots.take(tx, name, part, after, at)) is not None:
            return going_on
        if part.cursor is not None:
            tx.put_state(ARRIVING, str(name), _encode(arriving))
            return None
        tx.put_state(ARRIVING, str(name), None)
        tx.reset_replica(
            name,
            lineage=arriving.lineage,
            offset=arriving.offset,
            chain=arriving.chain,
            content_type=arriving.content_type,
            lane=arriving.lane,
            reach=arriving.reach,
            via=arriving.parent,
        )
        self._snapshots.finish(tx, name, arriving.offset, arriving.horizon)
        if not arriving.along:
            _note_due(tx, bringing.siblings)
        return None


class Taking:
    """A chunk on its way to the disk, in as many transactions as it takes: where the parent has few keys, this node may
    have many."""

    def __init__(self, store: Store, job: Callable[[str | None, Transaction], str | None]) -> None:
        self._store = store
        self._job = job
        self.future = store.submit(partial(job, None))
        """The latest."""

    async def end(self) -> None:
        """Return once all of it is on disk. Raises what the job raises, LimitReached, StorageError."""
        while (at := await self.future) is not None:
            self.future = self._store.submit(partial(self._job, at))


def _note_due(tx: Transaction, siblings: Sequence[StreamName]) -> None:
    """What is held of them, or has come of their snapshots, may end before that of which it is noted was taken."""
    for sibling in siblings:
        if tx.stream(sibling) is not None or tx.get_state(ARRIVING, str(sibling)) is not None:
            tx.put_state(ARRIVING, str(sibling), DUE)


def _fault(page: peer.SnapshotPage, arriving: Arriving | None) -> str:
    """What is wrong with a chunk; empty if nothing is."""
    if page.digest and page.digest != digest_of(page, _array(page)):
        return "a chunk is not what its digest says"
    after = arriving.cursor if arriving is not None else None
    if after is not None and page.cursor is not None and page.cursor <= after:
        return f"the chunk after {after[:80]!r} ends before it"
    return ""


def _array(page: peer.SnapshotPage) -> bytes:
    return page.items if isinstance(page.items, bytes) else array_of(page.items)


def _heard(taken: "asyncio.Future[str | None]") -> None:
    # Who asked for it has failed of something else. What was not taken is asked for again.
    if not taken.cancelled():
        taken.exception()
