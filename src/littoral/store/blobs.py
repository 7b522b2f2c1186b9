"""The blobs of a node: files beside the database, and a row for each.

Their rows are in `blob_table`, how they come and go in `blob_uploads`, what a crash leaves of them in `blob_recovery`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import LittoralError, NotFound, StorageCorrupt
from littoral.core.limits import Limits
from littoral.core.offload import Offload
from littoral.core.random import Random
from littoral.security.blob_seal import BLOB_KEY_BYTES
from littoral.store.blob_check import BLOB_KEY, BLOB_STATE
from littoral.store.blob_file import finished_path, open_blob_file
from littoral.store.blob_recovery import Found, find_blobs, sealed_aside
from littoral.store.blob_rows import BlobRow, blob_name
from littoral.store.blob_table import missing
from littoral.store.blob_upload import PARENT, UNKNOWN, Upload
from littoral.store.blob_uploads import BlobUploads
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.transaction import Transaction

UPKEEP_S = 60.0
"""How often it is looked for what is to be forgotten, and kept which blobs were used."""


class Blobs(BlobUploads):
    """All blobs of a node. Made by `open_blobs`."""

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
        warn: Callable[[str], None],
    ) -> None:
        """As of BlobUploads. warn: told in words what fails of the upkeep."""
        super().__init__(store, disk, limits, clock, random, offload, parent, blob_key)
        self._warn = warn
        self._plain: list[str] = []
        """Blobs of an encrypted store that are not encrypted yet."""

    async def read(self, digest: str, offset: int, length: int) -> bytes:
        """Bytes of a blob from `offset` on: up to `length`, as far as they are here. Each block is checked.

        Raises: NotFound, StorageCorrupt, StorageError.
        """
        row, upload = self._rows.get(digest), self._uploads.get(digest)
        if row is None:
            raise missing("read", digest)
        if row.complete:
            self._touch(digest)
        if upload is not None and not upload.in_place:
            most = max(0, min(length, upload.have - offset))
            # It may get its final name just now.
            with suppress(NotFound):
                return await self._offload(partial(upload.file.read, offset, most, row.size))
        return await self._offload(partial(self._read, digest, offset, length, row.size))

    def read_here(self, digest: str, offset: int, length: int) -> bytes:
        """As `read`, of a blob that is here as a whole; on the thread that calls it, which is not the hub's. Raises as that."""
        row = self._rows.get(digest)
        if row is None or not row.complete:
            raise missing("read", digest)
        return self._read(digest, offset, length, row.size)

    def _read(self, digest: str, offset: int, length: int, size: int) -> bytes:
        path = finished_path(digest)
        try:
            with suppress(StorageCorrupt):
                return open_blob_file(self._disk, path, digest, self._key).read(offset, length, size)
            # It may just have been encrypted: one that was begun with the file of before cannot be read to its end.
            return open_blob_file(self._disk, path, digest, self._key).read(offset, length, size)
        except NotFound as error:
            raise StorageCorrupt(
                "read blob", blob_name(digest), "its file is missing", "Start the node again, and send the blob again"
            ) from error

    # Keeping

    async def run(self) -> None:
        """Make up digests, forget what nobody goes on with, and keep which blobs were used, until cancelled."""
        while True:
            self._work.clear()
            await self._encrypt_all()
            for digest in list(self._unhashed):
                await self._warned(self._hash(digest))
            await self._warned(self._forget_abandoned())
            await self._warned(self._keep_uses())
            with suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP_S):
                    await self._work.wait()

    async def _warned(self, work: Awaitable[None]) -> None:
        """What fails of the upkeep is tried again with the next one, and keeps nothing else from being done."""
        try:
            await work
        except LittoralError as error:
            self._warn(str(error))

    async def _encrypt_all(self) -> None:
        """Encrypt what is not yet. One that is damaged is left as it is until the next start: who reads it is told."""
        plain, self._plain = self._plain, []
        for digest in reversed(plain):
            if (row := self._rows.get(digest)) is None or not row.complete:
                continue
            try:
                await self._encrypt(row)
            except LittoralError as error:
                self._warn(str(error))
                if not isinstance(error, (StorageCorrupt, NotFound)):
                    self._plain.append(digest)

    async def _encrypt(self, row: BlobRow) -> None:
        aside = await self._offload(
            partial(sealed_aside, self._disk, row.digest, row.size, self._random, None, self._key)
        )
        async with self._admission:
            # It may have been dropped meanwhile: a file by its name would be taken for a blob that somebody wanted.
            held = self._rows.get(row.digest)
            if held is not None and held.complete:
                await self._offload(partial(self._disk.move, aside, finished_path(row.digest)))
            else:
                await self._offload(partial(self._disk.remove, aside))

    async def recover(self) -> None:
        """Bring files and rows together, as a crash may have left them."""
        rows = {row.digest: row for row in self._store.blobs()}
        found = await self._offload(partial(find_blobs, self._disk, rows, self._clock.wall_ms(), self._key))
        lost = [rows[digest] for digest in found.lost]
        if lost or found.rows != rows:
            await self._store.submit(partial(_settle, found, lost, self._clock.wall_ms()))
        for path in found.garbage:
            await self._offload(partial(self._disk.remove, path))
        for row in lost:
            if not row.complete or row.digest in found.dropped:
                continue
            self._warn(f"blob {blob_name(row.digest)} is not here any more: its file is missing")
        for path in found.unreadable:
            self._warn(f"{path} is no blob that this store can read; it is left alone")
        self._plain = found.plain
        self._load(found.rows.values())
        for digest, (file, have) in found.partials.items():
            row = found.rows[digest]
            source = PARENT if row.above and row.above == self.parent else UNKNOWN
            self._uploads[digest] = Upload(file, digest, row.size, have, source, self._clock.monotonic_s())


async def open_blobs(
    store: Store,
    disk: Disk,
    limits: Limits,
    clock: Clock,
    random: Random,
    offload: Offload,
    parent: str,
    warn: Callable[[str], None],
    *,
    encrypted: bool,
) -> Blobs:
    """The blobs beside a store; encrypted: as the store is. Raises StorageError."""
    blob_key = await _blob_key(store, random) if encrypted else None
    blobs = Blobs(store, disk, limits, clock, random, offload, parent, blob_key, warn)
    await blobs.recover()
    return blobs


async def _blob_key(store: Store, random: Random) -> bytes:
    """The key of all blobs of an encrypted store. It is kept in the store, whose own key encrypts it: another one of those
    is another lock for this one, and no blob has to be written anew."""
    key = store.state_value(BLOB_STATE, BLOB_KEY)
    if key is None:
        key = random.token_bytes(BLOB_KEY_BYTES)
        await store.submit(partial(Transaction.put_state, scope=BLOB_STATE, key=BLOB_KEY, value=key))
    return key


def _settle(found: Found, lost: list[BlobRow], now_ms: int, tx: Transaction) -> None:
    """Let the rows say what the files say."""
    for row in lost:
        tx.delete_blob(row.digest)
        if row.complete and row.send and not row.above and row.digest not in found.dropped:
            append_dead_letters(tx, dead_letters(f"blob {blob_name(row.digest)}", "its file is missing", b"", now_ms))
    for row in found.rows.values():
        tx.put_blob(row)
