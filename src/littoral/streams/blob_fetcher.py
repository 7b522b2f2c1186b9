"""Blobs that are not here are fetched from the parent, which does the same: a blob of the root's comes down through every
relay, piece by piece, and stays at each of them.

    read      what is here; else begin to fetch, and wait for the bytes that are asked for
    fetch     ask from where on it is wanted here, add what comes; one at a time for each blob, for all who read it
    failure   wait, go on at the same byte, for as long as somebody reads

The last block of a blob is given to nobody before the digest of the whole is right: who read a wrong one lacks its end. Of
one that a child or an operator is bringing nothing is given before: where it ends is their word alone.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, LittoralError, NotFound, Unavailable
from littoral.core.limits import BLOB_PIECE_BYTES, Limits
from littoral.core.tasks import Tasks
from littoral.store.blob_file import BLOCK_BYTES
from littoral.store.blob_rows import BlobRow, blob_name
from littoral.store.blob_upload import PARENT
from littoral.store.blobs import Blobs
from littoral.streams.parent_link import ParentLink
from littoral.wire import peer

IDLE_S = 120.0
"""A fetch that nobody has asked for in so long ends; what has come stays, and is gone on with."""
LOOK_AGAIN_S = 1.0
"""How often it is looked whether a blob that has come is right."""
DAMAGED_MOST = 5
"""Pieces in a row that may come damaged."""


class _Damaged(InvalidInput):
    """A piece that came is not what was sent, or the parent says so of what it was asked."""


class _Fetch(msgspec.Struct):
    """One blob on its way down."""

    wanted_s: float
    """When it was last asked for."""
    error: LittoralError | None = None
    """What it ended with."""


class BlobFetcher:
    """Reads blobs, here or from above."""

    def __init__(
        self,
        blobs: Blobs,
        link: ParentLink | None,
        tasks: Tasks,
        clock: Clock,
        backoff: Callable[[], Backoff],
        limits: Limits,
    ) -> None:
        """link: None at the root. tasks: what fetches run in. backoff: makes the waits of one fetch."""
        self._blobs = blobs
        self._link = link
        self._tasks = tasks
        self._clock = clock
        self._backoff = backoff
        self._limits = limits
        self._fetches: dict[str, _Fetch] = {}
        self._moved: dict[str, list[asyncio.Event]] = {}
        """Who waits for a blob to get further."""
        blobs.watch(self._tell)

    async def size(self, digest: str) -> int:
        """Of a blob that is here, or anywhere on the way to the root. Raises NotFound, Unavailable."""
        row = self._blobs.row(digest)
        if row is not None and (row.complete or self._is_fetched(row)):
            return row.size
        part = await self._ask(digest, 0, 0)
        return part.size

    async def read(self, digest: str, offset: int, length: int, patience_s: float) -> bytes:
        """Bytes of a blob from `offset` on, as many as are here up to `length`; if none are, those that come within
        `patience_s`. Empty at the end, and where none came.

        Raises: NotFound, Unavailable, StorageCorrupt, and what keeps the blob from being taken here.
        """
        row = self._blobs.row(digest)
        if row is not None and row.complete:
            size = row.size
        else:
            size = await self.size(digest)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._until(digest, offset, size)
        here = self._given(digest, size)
        if here <= offset:
            return b""
        return await self._blobs.read(digest, offset, min(length, here - offset))

    def _is_fetched(self, row: BlobRow) -> bool:
        """Whether what has come of a blob came from the parent."""
        return bool(row.above) and row.above == self._blobs.parent

    def _given(self, digest: str, size: int) -> int:
        """How much is given away of a blob that is of this size above."""
        row = self._blobs.row(digest)
        if row is None:
            return 0
        if row.complete:
            return row.size
        if row.size != size or not self._is_fetched(row):
            return 0
        return min(self._blobs.have(digest), max(0, row.size - 1) // BLOCK_BYTES * BLOCK_BYTES)

    async def _until(self, digest: str, offset: int, size: int) -> None:
        """Fetch it, until what lies at `offset` may be given away."""
        moved = asyncio.Event()
        self._moved.setdefault(digest, []).append(moved)
        try:
            while self._given(digest, size) <= offset < size:
                moved.clear()
                self._want(digest, size)
                await moved.wait()
        finally:
            self._moved[digest].remove(moved)
            if not self._moved[digest]:
                del self._moved[digest]

    def _want(self, digest: str, size: int) -> None:
        """Go on fetching, or begin to. Raises what the last fetch ended with."""
        fetch = self._fetches.get(digest)
        if fetch is not None and fetch.error is not None:
            del self._fetches[digest]
            raise fetch.error
        if fetch is None:
            fetch = self._fetches[digest] = _Fetch(0.0)
            self._tasks.start(self._run(digest, size, fetch), f"fetch {digest[:12]}")
        fetch.wanted_s = self._clock.monotonic_s()

    def _tell(self, digest: str) -> None:
        for event in self._moved.get(digest, ()):
            event.set()

    async def _run(self, digest: str, size: int, fetch: _Fetch) -> None:
        try:
            await self._fetch(digest, size, fetch)
        except LittoralError as error:
            fetch.error = error
            if digest not in self._moved:
                del self._fetches[digest]  # nobody is there to be told
        else:
            del self._fetches[digest]
        self._tell(digest)

    async def _fetch(self, digest: str, size: int, fetch: _Fetch) -> None:
        backoff = self._backoff()
        mark: peer.BlobMark | None = None
        damaged = 0
        while mark is None or not mark.complete:
            if self._clock.monotonic_s() - fetch.wanted_s > IDLE_S:
                return
            try:
                mark = await self._step(digest, size, mark)
            except _Damaged:
                damaged += 1
                if damaged > DAMAGED_MOST:
                    raise
                await asyncio.sleep(backoff.next_delay_s())
            except Unavailable:
                # The parent, or what is here: somebody else brings it just now.
                mark = None
                await asyncio.sleep(backoff.next_delay_s())
            else:
                backoff.reset()
                damaged = 0

    async def _step(self, digest: str, size: int, mark: peer.BlobMark | None) -> peer.BlobMark:
        """Begin, or go on where `mark` says; how far it is then."""
        if mark is not None and mark.have < size:
            data = await self._piece(digest, mark.have)
            return await self._blobs.append(digest, mark.have, data, source=PARENT)
        if mark is not None:
            await asyncio.sleep(LOOK_AGAIN_S)
        return await self._blobs.begin(digest, size, source=PARENT)

    async def _piece(self, digest: str, offset: int) -> bytes:
        assert self._link is not None
        most = min(self._limits[BLOB_PIECE_BYTES], self._link.most(self._link.down))
        try:
            part = await self._ask(digest, offset, max(BLOCK_BYTES, most // BLOCK_BYTES * BLOCK_BYTES))
            return peer.check_crc(part.data, part.crc, f"piece of blob {blob_name(digest)}")
        except InvalidInput as error:
            raise _Damaged(error.operation, error.subject, error.cause, error.remedy) from error

    async def _ask(self, digest: str, offset: int, most: int) -> peer.BlobPart:
        """The parent's answer; most: 0 to learn the size alone. Raises NotFound, Unavailable."""
        link = self._link
        if link is None:
            raise NotFound("find blob", blob_name(digest), "it is nowhere on the way to the root")
        query = {"digest": blob_name(digest), "offset": str(offset), "most": str(most)}
        response = await link.call(
            "GET", peer.BLOB, query=query, pace=link.down if most else None, urgent=not most, expected_bytes=most
        )
        return peer.decode(response.body, peer.BlobPart, "part of a blob")
