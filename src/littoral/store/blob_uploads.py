"""Blobs on their way in: announced, added to piece by piece, put in their place, or dropped.

    begin     make room, create the file, then the row
    append    whole blocks, each piece synced
    end       compare the digest, rename the file, then the row
    drop      rename the file back, then the row, then remove it

Each is done to its end, also where who asked for it goes away meanwhile: a file that a thread is writing to is not let go.
Nothing is acknowledged before it is synced. Who sends a blob asks how far it has come, and goes on there. Whatever a crash
leaves, the name of a file and its row say together what it is (littoral.store.blob_recovery).
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial

import msgspec

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import InvalidInput, LittoralError, NotFound, StorageFull, Unavailable
from littoral.core.limits import BLOB_PARTIAL_S, FREE_BYTES, Limits
from littoral.core.offload import Offload
from littoral.core.random import Random
from littoral.core.tasks import run_to_end
from littoral.store.blob_file import BLOCK_BYTES, create_blob_file, finished_path, partial_path
from littoral.store.blob_room import BlobRoom, Held
from littoral.store.blob_rows import BlobRow, blob_name
from littoral.store.blob_table import BlobTable, missing
from littoral.store.blob_upload import OPERATOR, PARENT, Upload
from littoral.store.store import Store
from littoral.wire.peer import BlobMark


class BlobCounters(msgspec.Struct):
    """Since the hub started."""

    received_bytes: int = 0
    """Added to blobs here, by whomever."""
    completed: int = 0
    evicted: int = 0
    """Dropped to make room; the parent has them."""


class BlobUploads(BlobTable):
    """See `littoral.store.blobs.Blobs`."""

    def __init__(
        self,
        store: Store,
        disk: Disk,
        limits: Limits,
        clock: Clock,
        random: Random,
        offload: Offload,
        parent: str,
        blob_key: bytes | None,
    ) -> None:
        """parent: its name, or empty at the root; blob_key: what files are encrypted with, where the store is."""
        super().__init__(store, clock, parent)
        self.counters = BlobCounters()
        self._disk = disk
        self._limits = limits
        self._random = random
        self._offload = offload
        self._key = blob_key
        self._uploads: dict[str, Upload] = {}
        self._room = BlobRoom(disk, limits)
        self._admission = asyncio.Lock()
        """Held while a blob is begun or discarded: what room there is must not be given twice."""
        self._unhashed: dict[str, None] = {}
        """Uploads that have come, and whose digests are to be made up."""
        self._work = asyncio.Event()

    def have(self, digest: str) -> int:
        """How much of a blob is here."""
        upload, row = self._uploads.get(digest), self._rows.get(digest)
        if upload is not None:
            return upload.have
        return row.size if row is not None else 0

    # Taking

    async def begin(self, digest: str, size: int, *, source: str = OPERATOR, send: bool = False) -> BlobMark:
        """Announce a blob; answers from where on it is wanted. source: who brings it (littoral.store.blob_upload): a child,
        by its name, an operator, or the parent, which has it then. send: it is to go up to the root.

        Raises: InvalidInput where the digest is that of a blob of another size, Unavailable while somebody else brings it,
        TooLarge, LimitReached, StorageFull.
        """
        return await run_to_end(self._begin(digest, size, source, send=send), f"begin blob {digest[:12]}")

    async def _begin(self, digest: str, size: int, source: str, *, send: bool) -> BlobMark:
        above = self.parent if source == PARENT else ""
        async with self._admission:
            upload = self._uploads.get(digest)
            if upload is not None and not self._goes_on(upload, size, source):
                await self._discard(upload)
            row = self._rows.get(digest)
            if row is None:
                await self._admit(digest, size, source, send=send, above=above)
            elif row.size != size:
                raise InvalidInput("take blob", blob_name(digest), f"it has {row.size} bytes, and not {size}")
            else:
                await self._wish(row, send=send, above=above)
            # An announcement alone keeps nothing that has not come.
            if row is not None and row.complete:
                self._touch(digest)
        return await self._mark(digest)

    def _goes_on(self, upload: Upload, size: int, source: str) -> bool:
        """Whether `source` goes on with it, or else begins it anew. Raises Unavailable where it may do neither."""
        if (upload.size == size or upload.source == source) and upload.claim(source):
            return upload.size == size
        if upload.gives_way(source, self._clock.monotonic_s()):
            return False
        raise _busy(upload.digest)

    async def append(self, digest: str, offset: int, data: bytes, *, source: str = OPERATOR) -> BlobMark:
        """Add to a blob: whole blocks of BLOCK_BYTES, but for its end. What is here already is skipped, and where something
        is missing before it nothing is added: the answer says from where on it is wanted. source: as for `begin`.

        Raises: NotFound for one that was not announced, Unavailable for one that somebody else brings, InvalidInput, also
        where all has come and the digest is wrong (it is discarded then), StorageError.
        """
        return await run_to_end(self._append(digest, offset, data, source), f"append to blob {digest[:12]}")

    async def _append(self, digest: str, offset: int, data: bytes, source: str) -> BlobMark:
        row, upload = self._rows.get(digest), self._uploads.get(digest)
        if row is not None and upload is None:
            return BlobMark(row.size, complete=True)
        if upload is None:
            raise missing("add to", digest)
        async with upload.lock:
            if self._uploads.get(digest) is upload:
                if not upload.claim(source):
                    raise _busy(digest)
                if offset <= upload.have:
                    await self._add(upload, data[upload.have - offset :])
        return await self._mark(digest)

    async def _add(self, upload: Upload, data: bytes) -> None:
        if not data:
            return
        end = upload.have + len(data)
        if end > upload.size or (end < upload.size and len(data) % BLOCK_BYTES):
            raise InvalidInput(
                "add to blob",
                blob_name(upload.digest),
                f"{len(data)} bytes at {upload.have} of {upload.size} do not fit",
                f"Send a multiple of {BLOCK_BYTES} bytes, or all that is left",
            )
        if (free := self._disk.free_bytes()) - len(data) < self._limits[FREE_BYTES]:
            self._limits.hit(FREE_BYTES)
            raise StorageFull(
                "add to blob", blob_name(upload.digest), f"{free} bytes are free on the disk", "Free some space"
            )
        await self._offload(partial(upload.write, upload.have, data))
        upload.moved_s = self._clock.monotonic_s()
        self.counters.received_bytes += len(data)
        self._touch(upload.digest)
        self._tell(upload.digest)

    async def _mark(self, digest: str) -> BlobMark:
        """How far a blob has come; one of which everything has come is put in its place."""
        upload = self._uploads.get(digest)
        if upload is not None:
            async with upload.lock:
                if self._uploads.get(digest) is upload and upload.have == upload.size:
                    await self._end(upload)
        row = self._rows.get(digest)
        if row is None:
            raise missing("go on with", digest)
        return BlobMark(self.have(digest), complete=row.complete)

    async def _admit(self, digest: str, size: int, source: str, *, send: bool, above: str) -> None:
        if source not in (OPERATOR, PARENT):
            announced = [upload for upload in self._uploads.values() if upload.source == source]
            self._room.check_announced(announced, digest, size)
        held = Held(self.count, self.held_bytes, self._coming_bytes())
        for victim in self._room.make(held, self._spares, digest, size):
            await self._remove(victim)
            self.counters.evicted += 1
        path = partial_path(digest)
        file = await self._offload(partial(create_blob_file, self._disk, path, digest, self._random, self._key))
        now_ms = self._clock.wall_ms()
        row = BlobRow(digest, size, now_ms, now_ms, complete=False, send=send, above=above, refused="")
        await self._store.submit(lambda tx: tx.put_blob(row))
        self._set(row)
        self._uploads[digest] = Upload(file, digest, size, 0, source, self._clock.monotonic_s())

    def _coming_bytes(self) -> int:
        """What is still to come of blobs that were let in."""
        return sum(upload.size - upload.have for upload in self._uploads.values())

    def _spares(self) -> list[BlobRow]:
        """What may go, the least recently used first: the parent has it."""
        spares = [row for row in self.rows() if row.complete and self.parent and row.above == self.parent]
        return sorted(spares, key=lambda row: (row.used_ms, row.digest))

    async def _wish(self, row: BlobRow, *, send: bool, above: str) -> None:
        """Somebody announces a blob again that is here, or is on its way."""
        changes: dict[str, object] = {}
        if send and (not row.send or row.refused):
            changes |= {"send": True, "refused": ""}
        if above and row.above != above:
            changes["above"] = above
        if changes:
            await self._change(row.digest, **changes)

    async def _end(self, upload: Upload) -> None:
        digest = upload.digest
        if not upload.is_hashed:
            self._unhashed[digest] = None
            self._work.set()
            return
        if not upload.is_right:
            await self._remove(digest)
            raise InvalidInput(
                "take blob",
                blob_name(digest),
                f"all of its {upload.size} bytes have come, and their digest is another; they were removed",
                "Send it again, and check what sends it",
            )
        if not upload.in_place:
            await self._offload(partial(self._disk.move, partial_path(digest), finished_path(digest)))
            upload.in_place = True
        await self._change(digest, complete=True)
        self._uploads.pop(digest, None)
        self.counters.completed += 1
        self._tell(digest)

    # Removing

    async def drop(self, digest: str) -> None:
        """Remove a blob, or what has come of it. Raises NotFound, StorageError."""
        await run_to_end(self._drop(digest), f"drop blob {digest[:12]}")

    async def _drop(self, digest: str) -> None:
        async with self._admission, self._held(self._uploads.get(digest)):
            # It may have been removed while this waited.
            if digest not in self._rows:
                raise missing("drop", digest)
            await self._remove(digest)

    async def _discard(self, upload: Upload) -> None:
        """Remove what has come of a blob, once nothing is being added to it; unless that was its end."""
        async with self._held(upload):
            if self._uploads.get(upload.digest) is upload:
                await self._remove(upload.digest)

    def _held(self, upload: Upload | None) -> AbstractAsyncContextManager[None]:
        return upload.lock if upload is not None else nullcontext()

    async def _remove(self, digest: str) -> None:
        """Raises StorageError, LimitReached; the blob is then as it was."""
        # Before its row: so that a crash does not leave a whole blob that looks as if it were wanted.
        await self._offload(partial(self._rename, finished_path(digest), partial_path(digest)))
        try:
            await self._store.submit(lambda tx: tx.delete_blob(digest))
        except LittoralError:
            if (row := self._rows.get(digest)) is not None and row.complete:
                await self._offload(partial(self._rename, partial_path(digest), finished_path(digest)))
            raise
        await self._offload(partial(self._disk.remove, partial_path(digest)))
        self._forget(digest)
        self._uploads.pop(digest, None)
        self._unhashed.pop(digest, None)
        self._tell(digest)

    def _rename(self, path: str, to: str) -> None:
        """Give a file another name, if there is one."""
        with suppress(NotFound):
            self._disk.move(path, to)

    # Keeping

    async def _hash(self, digest: str) -> None:
        """Make up the digest of an upload that has come before a restart, all or in part."""
        upload = self._uploads.get(digest)
        while upload is not None and await self._catch_up(upload):
            pass
        self._unhashed.pop(digest, None)
        if upload is not None and self._uploads.get(digest) is upload:
            self._tell(digest)
            await self._mark(digest)

    async def _catch_up(self, upload: Upload) -> bool:
        """Whether there was some more of its digest to be made up."""
        async with upload.lock:
            is_current = self._uploads.get(upload.digest) is upload
            if not is_current or upload.have != upload.size or upload.is_hashed:
                return False
            await self._offload(upload.catch_up)
            return True

    async def _forget_abandoned(self) -> None:
        oldest_ms = self._clock.wall_ms() - self._limits[BLOB_PARTIAL_S] * 1000
        for upload in list(self._uploads.values()):
            row = self.row(upload.digest)
            if row is not None and row.used_ms < oldest_ms:
                self._limits.hit(BLOB_PARTIAL_S)
                async with self._admission:
                    await self._discard(upload)


def _busy(digest: str) -> Unavailable:
    return Unavailable(
        "take blob", blob_name(digest), "somebody else is bringing it", "Come again later: it is here then"
    )
