"""The blobs of a node: files beside the database, and a row for each.

    begin     make room, create the file, then the row
    append    whole blocks, each piece synced
    end       compare the digest, rename the file, then the row
    drop      rename the file back, then the row, then remove it

Each is done to its end, also where who asked for it goes away meanwhile: a file that a thread is writing to is not let go.
Nothing is acknowledged before it is synced. Who sends a blob asks how far it has come, and goes on there. Whatever a crash
leaves, the name of a file and its row say together what it is (littoral.store.blob_recovery).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial

import msgspec

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import InvalidInput, LittoralError, NotFound, StorageCorrupt, StorageFull, Unavailable
from littoral.core.limits import BLOB_PARTIAL_S, FREE_BYTES, Limits
from littoral.core.offload import Offload
from littoral.core.random import Random
from littoral.core.tasks import run_to_end
from littoral.security.blob_seal import BLOB_KEY_BYTES
from littoral.store.blob_arrival import OPERATOR, PARENT, UNKNOWN, Arrival
from littoral.store.blob_check import BLOB_KEY, BLOB_STATE
from littoral.store.blob_file import (
    BLOCK_BYTES,
    create_blob_file,
    finished_path,
    open_blob_file,
    partial_path,
)
from littoral.store.blob_recovery import Found, find_blobs, reseal
from littoral.store.blob_room import BlobRoom
from littoral.store.blob_rows import ALGORITHM, BlobRow
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.wire.peer import BlobMark

UPKEEP_S = 60.0
"""How often it is looked for what is to be forgotten, and kept which blobs were used."""


class BlobCounters(msgspec.Struct):
    """Since the hub started."""

    received_bytes: int = 0
    """Added to blobs here, by whomever."""
    completed: int = 0
    evicted: int = 0
    """Dropped to make room; the parent has them."""


class Blobs:
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
        """parent: its name, or empty at the root; blob_key: what files are encrypted with, where the store is."""
        self.parent = parent
        self.counters = BlobCounters()
        self._store = store
        self._disk = disk
        self._limits = limits
        self._clock = clock
        self._random = random
        self._offload = offload
        self._key = blob_key
        self._warn = warn
        self._rows: dict[str, BlobRow] = {}
        self._waiting: dict[str, None] = {}
        """Whole blobs that are to go to the parent."""
        self.held_bytes = 0
        """Of all blobs here, those included that are on their way with all that is still to come."""
        self._arrivals: dict[str, Arrival] = {}
        self._used: dict[str, int] = {}
        """When blobs were used, where that is not kept on disk yet."""
        self._room = BlobRoom(disk, limits, parent)
        self._admission = asyncio.Lock()
        """Held while a blob is begun or discarded: what room there is must not be given twice."""
        self._unhashed: dict[str, None] = {}
        """Arrivals that have come, and whose digests are to be made up."""
        self._plain: list[str] = []
        """Blobs of an encrypted store that are not encrypted yet."""
        self._work = asyncio.Event()
        self._watchers: list[Callable[[str], None]] = []

    # Looking

    def row(self, digest: str) -> BlobRow | None:
        """What is known of a blob; None of one that is not here, nor any part of it."""
        row = self._rows.get(digest)
        if row is None or digest not in self._used:
            return row
        return msgspec.structs.replace(row, used_ms=self._used[digest])

    def rows(self) -> list[BlobRow]:
        """All, by digest, also those of which only a part is here."""
        return [row for digest in sorted(self._rows) if (row := self.row(digest)) is not None]

    @property
    def count(self) -> int:
        """How many there are, also of which only a part is here."""
        return len(self._rows)

    def have(self, digest: str) -> int:
        """How much of a blob is here."""
        arrival, row = self._arrivals.get(digest), self._rows.get(digest)
        if arrival is not None:
            return arrival.have
        return row.size if row is not None else 0

    def waiting(self) -> list[BlobRow]:
        """Whole blobs that are to go to the parent, the oldest first."""
        return sorted((self._rows[digest] for digest in self._waiting), key=lambda row: (row.created_ms, row.digest))

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed` with the digest of every blob that has got further, or is gone; returns what ends it."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def read(self, digest: str, offset: int, length: int) -> bytes:
        """Bytes of a blob from `offset` on: up to `length`, as far as they are here. Each block is checked.

        Raises: NotFound, StorageCorrupt, StorageError.
        """
        row, arrival = self._rows.get(digest), self._arrivals.get(digest)
        if row is None:
            raise _missing("read", digest)
        if row.complete:
            self._touch(digest)
        if arrival is not None and not arrival.in_place:
            most = max(0, min(length, arrival.have - offset))
            # It may get its final name just now.
            with suppress(NotFound):
                return await self._offload(partial(arrival.file.read, offset, most, row.size))
        return await self._offload(partial(self._read, digest, offset, length, row.size))

    def _read(self, digest: str, offset: int, length: int, size: int) -> bytes:
        try:
            return open_blob_file(self._disk, finished_path(digest), digest, self._key).read(offset, length, size)
        except NotFound as error:
            raise StorageCorrupt(
                "read blob", _name(digest), "its file is missing", "Start the node again, and send the blob again"
            ) from error

    # Taking

    async def begin(self, digest: str, size: int, *, source: str = OPERATOR, send: bool = False) -> BlobMark:
        """Announce a blob; answers from where on it is wanted. source: who brings it (littoral.store.blob_arrival): a child,
        by its name, an operator, or the parent, which has it then. send: it is to go up to the root.

        Raises: InvalidInput where the digest is that of a blob of another size, Unavailable while somebody else brings it,
        TooLarge, LimitReached, StorageFull.
        """
        return await run_to_end(self._begin(digest, size, source, send=send), f"begin blob {digest[:12]}")

    async def _begin(self, digest: str, size: int, source: str, *, send: bool) -> BlobMark:
        above = self.parent if source == PARENT else ""
        async with self._admission:
            arrival = self._arrivals.get(digest)
            if arrival is not None and not self._goes_on(arrival, size, source):
                await self._discard(arrival)
            row = self._rows.get(digest)
            if row is None:
                await self._admit(digest, size, source, send=send, above=above)
            elif row.size != size:
                raise InvalidInput("take blob", _name(digest), f"it has {row.size} bytes, and not {size}")
            else:
                await self._wish(row, send=send, above=above)
            # An announcement alone keeps nothing that has not come.
            if row is not None and row.complete:
                self._touch(digest)
        return await self._mark(digest)

    def _goes_on(self, arrival: Arrival, size: int, source: str) -> bool:
        """Whether `source` goes on with it, or else begins it anew. Raises Unavailable where it may do neither."""
        if (arrival.size == size or arrival.source == source) and arrival.claim(source):
            return arrival.size == size
        if arrival.gives_way(source, self._clock.monotonic_s()):
            return False
        raise _busy(arrival.digest)

    async def append(self, digest: str, offset: int, data: bytes, *, source: str = OPERATOR) -> BlobMark:
        """Add to a blob: whole blocks of BLOCK_BYTES, but for its end. What is here already is skipped, and where something
        is missing before it nothing is added: the answer says from where on it is wanted. source: as for `begin`.

        Raises: NotFound for one that was not announced, Unavailable for one that somebody else brings, InvalidInput, also
        where all has come and the digest is wrong (it is discarded then), StorageError.
        """
        return await run_to_end(self._append(digest, offset, data, source), f"append to blob {digest[:12]}")

    async def _append(self, digest: str, offset: int, data: bytes, source: str) -> BlobMark:
        row, arrival = self._rows.get(digest), self._arrivals.get(digest)
        if row is not None and arrival is None:
            return BlobMark(row.size, complete=True)
        if arrival is None:
            raise _missing("add to", digest)
        async with arrival.lock:
            if self._arrivals.get(digest) is arrival:
                if not arrival.claim(source):
                    raise _busy(digest)
                if offset <= arrival.have:
                    await self._add(arrival, data[arrival.have - offset :])
        return await self._mark(digest)

    async def _add(self, arrival: Arrival, data: bytes) -> None:
        if not data:
            return
        end = arrival.have + len(data)
        if end > arrival.size or (end < arrival.size and len(data) % BLOCK_BYTES):
            raise InvalidInput(
                "add to blob",
                _name(arrival.digest),
                f"{len(data)} bytes at {arrival.have} of {arrival.size} do not fit",
                f"Send a multiple of {BLOCK_BYTES} bytes, or all that is left",
            )
        if (free := self._disk.free_bytes()) - len(data) < self._limits[FREE_BYTES]:
            self._limits.hit(FREE_BYTES)
            raise StorageFull(
                "add to blob", _name(arrival.digest), f"{free} bytes are free on the disk", "Free some space"
            )
        await self._offload(partial(arrival.write, arrival.have, data))
        arrival.moved_s = self._clock.monotonic_s()
        self.counters.received_bytes += len(data)
        self._touch(arrival.digest)
        self._tell(arrival.digest)

    async def _mark(self, digest: str) -> BlobMark:
        """How far a blob has come; one of which everything has come is put in its place."""
        arrival = self._arrivals.get(digest)
        if arrival is not None:
            async with arrival.lock:
                if self._arrivals.get(digest) is arrival and arrival.have == arrival.size:
                    await self._end(arrival)
        row = self._rows.get(digest)
        if row is None:
            raise _missing("go on with", digest)
        return BlobMark(self.have(digest), complete=row.complete)

    async def _admit(self, digest: str, size: int, source: str, *, send: bool, above: str) -> None:
        if source not in (OPERATOR, PARENT):
            announced = [arrival for arrival in self._arrivals.values() if arrival.source == source]
            self._room.check_announced(announced, digest, size)
        for victim in self._room.make(self.rows, self._coming_bytes, digest, size):
            await self._remove(victim)
            self.counters.evicted += 1
        path = partial_path(digest)
        file = await self._offload(partial(create_blob_file, self._disk, path, digest, self._random, self._key))
        now_ms = self._clock.wall_ms()
        row = BlobRow(digest, size, now_ms, now_ms, complete=False, send=send, above=above, refused="")
        await self._store.submit(lambda tx: tx.put_blob(row))
        self._set(row)
        self._arrivals[digest] = Arrival(file, digest, size, 0, source, self._clock.monotonic_s())

    def _coming_bytes(self) -> int:
        """What is still to come of blobs that were let in."""
        return sum(arrival.size - arrival.have for arrival in self._arrivals.values())

    async def _wish(self, row: BlobRow, *, send: bool, above: str) -> None:
        """Somebody announces a blob again that is here, or is on its way."""
        changes: dict[str, object] = {}
        if send and (not row.send or row.refused):
            changes |= {"send": True, "refused": ""}
        if above and row.above != above:
            changes["above"] = above
        if changes:
            await self._change(row.digest, **changes)

    async def _end(self, arrival: Arrival) -> None:
        digest = arrival.digest
        if not arrival.is_hashed:
            self._unhashed[digest] = None
            self._work.set()
            return
        if not arrival.is_right:
            await self._remove(digest)
            raise InvalidInput(
                "take blob",
                _name(digest),
                f"all of its {arrival.size} bytes have come, and their digest is another; they were removed",
                "Send it again, and check what sends it",
            )
        if not arrival.in_place:
            await self._offload(partial(self._disk.move, partial_path(digest), finished_path(digest)))
            arrival.in_place = True
        await self._change(digest, complete=True)
        self._arrivals.pop(digest, None)
        self.counters.completed += 1
        self._tell(digest)

    # Deciding

    async def drop(self, digest: str) -> None:
        """Remove a blob, or what has come of it. Raises NotFound, StorageError."""
        await run_to_end(self._drop(digest), f"drop blob {digest[:12]}")

    async def _drop(self, digest: str) -> None:
        async with self._admission, self._held(self._arrivals.get(digest)):
            # It may have been removed while this waited.
            if digest not in self._rows:
                raise _missing("drop", digest)
            await self._remove(digest)

    async def note_above(self, digest: str) -> None:
        """The parent has it. Nothing is noted of what is not here as a whole any more, and may be another's by now."""
        row = self._rows.get(digest)
        if row is not None and row.complete:
            await self._change(digest, above=self.parent, refused="")

    async def refuse(self, digest: str, reason: str) -> None:
        """The parent does not take it: it is not sent again unless somebody asks, and put into the dead letters."""
        now_ms = self._clock.wall_ms()

        def give_up(tx: Transaction) -> BlobRow | None:
            append_dead_letters(tx, dead_letters(f"blob {_name(digest)}", reason, b"", now_ms))
            return tx.change_blob(digest, refused=reason)

        self._take_over(digest, await self._store.submit(give_up))

    async def _change(self, digest: str, **changes: object) -> None:
        self._take_over(digest, await self._store.submit(lambda tx: tx.change_blob(digest, **changes)))

    def _take_over(self, digest: str, row: BlobRow | None) -> None:
        """A row as it was committed."""
        if row is not None and digest in self._rows:
            self._set(row)
            self._tell(digest)

    def _set(self, row: BlobRow) -> None:
        """The blob is now this."""
        self.held_bytes += row.size - (self._rows[row.digest].size if row.digest in self._rows else 0)
        self._rows[row.digest] = row
        self._waiting.pop(row.digest, None)
        if self.parent and row.complete and row.send and row.above != self.parent and not row.refused:
            self._waiting[row.digest] = None

    async def _discard(self, arrival: Arrival) -> None:
        """Remove what has come of a blob, once nothing is being added to it; unless that was its end."""
        async with self._held(arrival):
            if self._arrivals.get(arrival.digest) is arrival:
                await self._remove(arrival.digest)

    def _held(self, arrival: Arrival | None) -> AbstractAsyncContextManager[None]:
        return arrival.lock if arrival is not None else nullcontext()

    async def _remove(self, digest: str) -> None:
        await self._offload(partial(self._put_aside, digest))
        await self._store.submit(lambda tx: tx.delete_blob(digest))
        await self._offload(partial(self._disk.remove, partial_path(digest)))
        if (row := self._rows.get(digest)) is not None:
            self.held_bytes -= row.size
        for each in (self._rows, self._arrivals, self._used, self._unhashed, self._waiting):
            each.pop(digest, None)
        self._tell(digest)

    def _put_aside(self, digest: str) -> None:
        """Take its name from a whole blob, so that a crash does not leave one that looks as if it were wanted."""
        with suppress(NotFound):
            self._disk.move(finished_path(digest), partial_path(digest))

    def _touch(self, digest: str) -> None:
        if digest in self._rows:
            self._used[digest] = self._clock.wall_ms()

    def _tell(self, digest: str) -> None:
        for changed in tuple(self._watchers):
            changed(digest)

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

    async def _hash(self, digest: str) -> None:
        """Make up the digest of an arrival that has come before a restart, all or in part."""
        arrival = self._arrivals.get(digest)
        while arrival is not None and await self._catch_up(arrival):
            pass
        self._unhashed.pop(digest, None)
        if arrival is not None and self._arrivals.get(digest) is arrival:
            self._tell(digest)
            await self._mark(digest)

    async def _catch_up(self, arrival: Arrival) -> bool:
        """Whether there was some more of its digest to be made up."""
        async with arrival.lock:
            is_current = self._arrivals.get(arrival.digest) is arrival
            if not is_current or arrival.have != arrival.size or arrival.is_hashed:
                return False
            await self._offload(arrival.catch_up)
            return True

    async def _encrypt_all(self) -> None:
        """Encrypt what is not yet. One that is damaged is left as it is until the next start: who reads it is told."""
        plain, self._plain = self._plain, []
        for digest in reversed(plain):
            if (row := self._rows.get(digest)) is None or not row.complete:
                continue
            try:
                await self._offload(partial(reseal, self._disk, digest, row.size, self._random, None, self._key))
            except LittoralError as error:
                self._warn(str(error))
                if not isinstance(error, (StorageCorrupt, NotFound)):
                    self._plain.append(digest)

    async def _forget_abandoned(self) -> None:
        oldest_ms = self._clock.wall_ms() - self._limits[BLOB_PARTIAL_S] * 1000
        for arrival in list(self._arrivals.values()):
            row = self.row(arrival.digest)
            if row is not None and row.used_ms < oldest_ms:
                self._limits.hit(BLOB_PARTIAL_S)
                async with self._admission:
                    await self._discard(arrival)

    async def _keep_uses(self) -> None:
        used = {digest: at_ms for digest, at_ms in self._used.items() if at_ms != self._rows[digest].used_ms}
        if not used:
            return

        def keep(tx: Transaction) -> list[BlobRow | None]:
            return [tx.change_blob(digest, used_ms=at_ms) for digest, at_ms in used.items()]

        for row in await self._store.submit(keep):
            if row is not None and row.digest in self._rows:
                self._set(row)

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
            self._warn(f"blob {_name(row.digest)} is not here any more: its file is missing")
        for path in found.unreadable:
            self._warn(f"{path} is no blob that this store can read; it is left alone")
        self._plain = found.plain
        for row in found.rows.values():
            self._set(row)
        for digest, (file, have) in found.partials.items():
            row = found.rows[digest]
            source = PARENT if row.above and row.above == self.parent else UNKNOWN
            self._arrivals[digest] = Arrival(file, digest, row.size, have, source, self._clock.monotonic_s())


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
            append_dead_letters(tx, dead_letters(f"blob {_name(row.digest)}", "its file is missing", b"", now_ms))
    for row in found.rows.values():
        tx.put_blob(row)


def _name(digest: str) -> str:
    return f"{ALGORITHM}{digest}"


def _missing(operation: str, digest: str) -> NotFound:
    return NotFound(f"{operation} blob", _name(digest), "there is no such blob on this node")


def _busy(digest: str) -> Unavailable:
    return Unavailable("take blob", _name(digest), "somebody else is bringing it", "Come again later: it is here then")
