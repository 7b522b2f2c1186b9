"""The child's side of a snapshot: asks for one chunk after the other, and takes them.

    nothing on disk         ask for the first chunk; its offset is where the stream is followed from in the end
    a chunk                 is what its digest says: take it, and in the same transaction note how far we are
                            is not: refuse it, and ask for it again
    the last chunk          in its transaction the copy is begun anew at the first one's offset
    cut, restart            go on after the last chunk on disk
    410, another parent     the stream has gone on without us: begin anew

The next chunk is asked for while the one before is written.
"""

import asyncio
from functools import partial

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
"""Scope of the Arriving by ORIGIN/PATH."""
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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Arriving).decode


class Arrival:
    """Brings the snapshots of one parent."""

    def __init__(self, store: Store, link: ParentLink, snapshots: Snapshots, state: UplinkState) -> None:
        self._store = store
        self._link = link
        self._snapshots = snapshots
        self._state = state

    async def bring(self, name: StreamName, *, urgent: bool) -> None:
        """Take over what the parent has folded from a stream; the copy then stands where the snapshot was begun. Raises
        NotFound, InvalidInput, Unavailable, and as `ParentLink.call`."""
        arriving = self._on_disk(name)
        if arriving is not None:
            self._state.resumed_snapshots += 1
            try:
                await self._transfer(name, arriving, urgent=urgent)
            except Gone:
                arriving = None
            else:
                return
        try:
            await self._transfer(name, None, urgent=urgent)
        except Gone as error:
            raise Unavailable(
                "begin stream", str(name), f"it is written faster than its snapshot comes ({error})"
            ) from error

    def _on_disk(self, name: StreamName) -> Arriving | None:
        value = self._store.state_value(ARRIVING, str(name))
        arriving = _decode(value) if value is not None else None
        return arriving if arriving is not None and arriving.parent == self._link.parent else None

    async def _transfer(self, name: StreamName, arriving: Arriving | None, *, urgent: bool) -> None:
        """The chunks after those on disk. Raises Gone where they do not belong together."""
        taken: asyncio.Future[None] | None = None
        try:
            while True:
                after = arriving.cursor if arriving is not None else None
                page = await self._chunk(name, arriving, urgent=urgent)
                first = arriving is None
                # The offset of the first chunk counts: what changed while the others were read comes again by the stream.
                arriving = self._begun_at(page) if arriving is None else arriving
                horizon = max(arriving.horizon, page.horizon)
                arriving = msgspec.structs.replace(arriving, cursor=page.cursor, horizon=horizon)
                if taken is not None:
                    await taken
                part = SnapshotPart(_array(page), page.cursor, page.horizon)
                taken = self._store.submit(partial(self._take, name, part, after, arriving, first=first))
                if page.cursor is None:
                    await taken
                    return
        finally:
            if taken is not None:
                taken.add_done_callback(_heard)

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

    def _begun_at(self, page: peer.SnapshotPage) -> Arriving:
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
        )

    def _take(
        self,
        name: StreamName,
        part: SnapshotPart,
        after: str | None,
        arriving: Arriving,
        tx: Transaction,
        *,
        first: bool,
    ) -> None:
        if first:
            self._snapshots.begin(tx, name)
        self._snapshots.take(tx, name, part, after)
        if part.cursor is not None:
            tx.put_state(ARRIVING, str(name), _encode(arriving))
            return
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


def _heard(taken: "asyncio.Future[None]") -> None:
    # Who asked for it has failed of something else. What was not taken is asked for again.
    if not taken.cancelled():
        taken.exception()
