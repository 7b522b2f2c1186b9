"""A node's store: streams, the state folded from them, and key-value, in one SQLite file with one writer."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

import apsw
import msgspec

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import Gone, IncompatibleStore, NotFound, StartupError, StorageCorrupt
from littoral.core.hlc import HybridClock
from littoral.core.kv import KvEntry, KvPage
from littoral.core.limits import Limits
from littoral.core.names import StreamName, check_node_name
from littoral.core.random import Random
from littoral.core.resources.model import Storage
from littoral.security.store_key import StoreKey
from littoral.store import forks, kv, tail
from littoral.store.atomic import atomic
from littoral.store.batch import BATCH_COLUMNS, Batch, StoredBatch
from littoral.store.blob_rows import BlobRow, read_blobs
from littoral.store.bounds import Bounds
from littoral.store.budgets import Budgets
from littoral.store.committer import Committed, Committer
from littoral.store.database import DATABASE, open_database, open_reader, translated
from littoral.store.lineage import LINEAGE_BYTES, FormerLineage, read_former, read_meta
from littoral.store.log import WriteAheadLog
from littoral.store.replica import FORMER_STREAMS, ReplicaOutcome
from littoral.store.room import Room
from littoral.store.spill import SET_UP, SpillReader, spill_place
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.store.writer import Writer

T = TypeVar("T")

VERSION_FILE = "VERSION"
DIRECTORY_VERSION = 1
"""Version of the data directory as a whole; a greater one was written by a newer Littoral."""


class StoreCounters(msgspec.Struct):
    """Since the store was opened. Only what is on disk counts."""

    commits: int = 0
    """Groups, each one transaction and one sync."""
    jobs: int = 0
    appended_records: int = 0
    """To streams of this node's own."""
    replicated_records: int = 0
    """To copies of other nodes' streams."""
    verdicts: dict[str, int] = {}
    """Batches that neighbours sent, by what became of them (littoral.store.replica)."""

    def judged(self, outcomes: Sequence[ReplicaOutcome]) -> None:
        """Count what became of a frame."""
        for outcome in outcomes:
            verdict = outcome.verdict.value
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1


class Store:
    """The open store. Reads run on the caller's (the event loop's) thread, writes are submitted to the writer."""

    def __init__(
        self,
        node: str,
        lineage: str,
        connection: apsw.Connection,
        reader: apsw.Connection,
        writer: Writer,
        committer: Committer,
        bounds: Bounds,
        former: list[FormerLineage],
        log: WriteAheadLog | None,
    ) -> None:
        """Use `open_store`."""
        self.node = node
        self.lineage = lineage
        self.former = former
        """What the store was before it was restored."""
        self.log = log
        """None where the disk has no shared memory: then SQLite moves its log by itself."""
        self.committer = committer
        self.bounds = bounds
        self._connection = connection
        self._reader = reader
        self._spilled = SpillReader(reader, bounds.spill)
        self._writer = writer
        self._streams = committer.streams()
        self._waiters: dict[StreamName, list[asyncio.Future[None]]] = {}
        self.counters = StoreCounters()
        self._watchers: list[tuple[Callable[[StreamInfo], None], Callable[[StreamName], None]]] = []

    # Writing

    def submit(self, job: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Run `job` on the writer. The future ends once the group that holds it is synced to disk.

        Raises: LimitReached, Unavailable; the future: whatever the job raises, StorageError.
        """
        return cast("asyncio.Future[T]", self._writer.submit(job))

    # Streams

    def stream(self, name: StreamName) -> StreamInfo | None:
        """The stream as last committed, or None."""
        return self._streams.get(name)

    def heads(self) -> list[StreamInfo]:
        """All streams, in any order: of many, what costs least."""
        return list(self._streams.values())

    def streams(self) -> list[StreamInfo]:
        """All streams, by name."""
        return [self._streams[name] for name in sorted(self._streams)]

    def read(self, name: StreamName, offset: int, max_bytes: int) -> list[Batch]:
        """Committed batches from the one that holds `offset` on: at least one if there is any, then up to `max_bytes`
        of payload.

        Raises: NotFound, Gone for an offset that retention has taken, StorageCorrupt for one that is missing, Unavailable
        for one that was spilled to a place that is not there, StorageError.
        """
        info = self._streams.get(name)
        if info is None:
            raise NotFound("read stream", str(name), "there is no such stream on this node")
        if offset < info.first:
            raise _gone(name, offset, info.first)
        batches: list[Batch] = []
        at, left = offset, max_bytes
        with translated("read stream", str(name)):
            for segment in forks.segments(self._reader, info, offset):
                if at >= segment.end:
                    continue
                part = self._read_segment(info, segment, at, left, at_least_one=not batches)
                if part:
                    at, left = part[-1].next, left - sum(len(batch.payload) for batch in part)
                batches += part
                if at < segment.end:
                    break
        return self._before_hole(info, offset, batches) if name.origin == self.node else batches

    def _before_hole(self, info: StreamInfo, offset: int, batches: list[Batch]) -> list[Batch]:
        """Those that follow each other from `offset` on: our own streams have no holes but by damage."""
        at = offset
        for place, batch in enumerate(batches):
            if batch.first > at:
                batches = batches[:place]
                break
            at = batch.next
        if batches or offset >= info.next:
            return batches
        with translated("read stream", str(info.name)):
            head = self._reader.execute("SELECT first, next FROM streams WHERE id=?", (info.id,)).fetchone()
        following = self.next_batch(info, offset)
        if head is None or not head[0] <= offset < head[1]:
            # Retention or deletion is on disk already, and not yet published.
            raise _gone(info.name, offset, following)
        raise StorageCorrupt(
            "read stream",
            str(info.name),
            f"its records [{offset}, {following}) are missing",
            "Check the store with `littoral store check`; a backup may have them",
        )

    def next_batch(self, info: StreamInfo, offset: int) -> int:
        """Where the first batch after `offset` begins; the stream's tail if there is none."""
        with translated("read stream", str(info.name)):
            row = self._reader.execute(
                "SELECT coalesce((SELECT min(first) FROM spilled WHERE stream=? AND first>?),"
                " (SELECT min(first) FROM batches WHERE stream=? AND first>?))",
                (info.id, offset, info.id, offset),
            ).fetchone()
        return info.next if row is None or row[0] is None else row[0]

    def _read_segment(
        self, info: StreamInfo, segment: forks.Segment, offset: int, max_bytes: int, *, at_least_one: bool
    ) -> list[Batch]:
        """As `read`, and of the batches of one stream only."""
        batches = self._read_rows(info, segment, offset, max_bytes, at_least_one=at_least_one)
        if not (batches and batches[0].first <= offset):
            # Looked at after the rows: batches go from there to here, and are never in neither.
            end = batches[0].first if batches else segment.end
            spilled = self._spilled.read(segment.stream, info.name, offset, end, max_bytes)
            size = sum(len(batch.payload) for batch in spilled)
            if spilled and (at_least_one or size <= max_bytes):
                more = self._read_rows(info, segment, spilled[-1].next, max_bytes - size, at_least_one=False)
                batches = spilled + more if more and more[0].first == spilled[-1].next else spilled
        if segment.stream != info.id:  # A row says whose it is; what a fork reads is its own history.
            return [msgspec.structs.replace(batch, lineage=info.lineage) for batch in batches]
        return batches

    def _read_rows(
        self, info: StreamInfo, segment: forks.Segment, offset: int, max_bytes: int, *, at_least_one: bool
    ) -> list[Batch]:
        """As `_read_segment`, of what is in the table."""
        batches: list[Batch] = []
        size = 0
        rows = self._reader.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND first>=coalesce((SELECT max(first) FROM"
            " batches WHERE stream=? AND first<=?), 0) AND next<=? ORDER BY first",
            (segment.stream, segment.stream, offset, segment.end),
        )
        for row in rows:
            if row[2] <= offset:
                continue
            size += len(row[8])
            if size > max_bytes and (batches or not at_least_one):
                break
            batches.append(Batch(*info.name, *row))
        # The statement ends with its cursor. Not by close(): apsw 3.54 then keeps the cursor for ever.
        del rows
        return batches

    def appended_ms(self, info: StreamInfo, offset: int) -> int | None:
        """When the batch that holds `offset`, or the first one after it, was appended; of one in a spill file, when the
        newest in it was. Reads no payload. None if there is none. Raises StorageError."""
        with translated("look into stream", str(info.name)):
            return tail.appended_ms(self._reader, info, offset)

    def first_since(self, info: StreamInfo, offset: int, since_ms: int, most: int) -> tail.Aged:
        """Where the first batch of a stream from `offset` on begins that was appended at `since_ms` or later, by a look at up
        to `most` batches. Of a spill file, all that it has from `offset` on counts as its newest. Raises StorageError."""
        with translated("look into stream", str(info.name)):
            return tail.first_since(self._reader, info, offset, since_ms, most)

    def spill_directory(self) -> str | None:
        """The directory that was set up as the place of spill files; None if none was."""
        with translated("look for", "spill files"):
            row = self._reader.execute("SELECT value FROM meta WHERE key=?", (SET_UP,)).fetchone()
        return row[0] if row is not None else None

    def has_spilled(self) -> bool:
        """Whether spill files were written, of which some may have been dropped."""
        with translated("look for", "spill files"):
            return self._reader.execute("SELECT 1 FROM spilled LIMIT 1").fetchone() is not None

    def spill_files(self) -> tuple[int, int]:
        """How many spill files hold something of streams, and their bytes."""
        with translated("count", "spill files"):
            row = self._reader.execute(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM spilled WHERE stream IS NOT NULL"
            ).fetchone()
        return msgspec.convert(row, tuple[int, int])

    def dropped_spill_files(self, most: int) -> list[tuple[int, str]]:
        """The first spill files that are of no stream (any more): number and path."""
        with translated("look for", "spill files"):
            rows = self._reader.execute(
                "SELECT number, file FROM spilled WHERE stream IS NULL ORDER BY number LIMIT ?", (most,)
            ).fetchall()
        return msgspec.convert(rows, list[tuple[int, str]])

    def spilled_to(self, info: StreamInfo) -> int:
        """Up to where the stream's own batches are in spill files; 0 if none is."""
        with translated("look for spill files of", str(info.name)):
            row = self._reader.execute("SELECT max(next) FROM spilled WHERE stream=?", (info.id,)).fetchone()
        return row[0] if row is not None and row[0] is not None else 0

    def has_purgeable(self) -> bool:
        """Whether there are rows of deleted streams that nobody reads."""
        with translated("look for deleted streams in", "store"):
            return forks.purgeable(self._reader) is not None

    def deleted_bytes(self) -> int:
        """What deleted streams still hold: what forks read of them, for the most part."""
        with translated("look for deleted streams in", "store"):
            return forks.deleted_bytes(self._reader)

    def is_held(self, name: StreamName) -> bool:
        """Whether a stream of this name was deleted while it had forks, and one of them lives."""
        with translated("look for forks of", str(name)):
            return forks.is_held(self._reader, name)

    def read_stored(self, name: StreamName, offset: int, max_bytes: int) -> list[StoredBatch]:
        """As `read`, with what a neighbour needs to know of the stream; of a copy up to the next hole."""
        info = self._streams.get(name)
        batches = self.read(name, offset, max_bytes)
        assert info is not None
        stored = [StoredBatch(batch, info.content_type, info.lane, info.reach, info.first) for batch in batches]
        return stored if name.origin == self.node else _up_to_hole(stored, offset)

    def latest(self, name: StreamName, before: int, max_bytes: int, most: int) -> list[Batch]:
        """Committed batches with records before offset `before`, the latest first; see `tail.latest_batches`. Raises
        NotFound, StorageError."""
        info = self._streams.get(name)
        if info is None:
            raise NotFound("read stream", str(name), "there is no such stream on this node")
        with translated("read stream", str(name)):
            return tail.latest_batches(self._reader, info, before, max_bytes, most)

    def recent(self, info: StreamInfo, since_ms: int, most: int) -> tail.Recent:
        """What was appended to the stream since a moment, by a look at up to `most` batches. Raises StorageError."""
        with translated("read stream", str(info.name)):
            return tail.recent(self._reader, info, since_ms, most)

    async def wait(self, name: StreamName, offset: int, *, expected: bool = False) -> None:
        """Return once the stream's tail is beyond `offset`, or it is closed. Raises NotFound when it is deleted; expected:
        one that is not there is waited for."""
        while True:
            info = self._streams.get(name)
            if info is None and not expected:
                raise NotFound("wait for stream", str(name), "there is no such stream on this node")
            if info is not None and (info.next > offset or info.closed):
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(name, []).append(waiter)
            try:
                await waiter
            finally:
                self._drop_waiter(name, waiter)

    def watch(
        self, changed: Callable[[StreamInfo], None], deleted: Callable[[StreamName], None] = lambda name: None
    ) -> Callable[[], None]:
        """Call `changed` on the event loop for every stream that a commit changed, and `deleted` for every one it
        deleted; returns what ends it. A stream that was deleted and made anew in one commit has changed, and has another
        `id`. Neither may raise: it would end the writer.
        """
        watcher = (changed, deleted)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    # Folds and state

    def fold_offset(self, fold: str, source: StreamName) -> int:
        """Up to where `fold` has applied `source`, as committed; 0 if never."""
        info = self._streams.get(source)
        if info is None:
            return 0
        with translated("read fold", fold):
            row = self._reader.execute("SELECT next FROM folds WHERE fold=? AND stream=?", (fold, info.id)).fetchone()
        return row[0] if row else 0

    def state(self, scope: str) -> dict[str, bytes]:
        """All values under `scope`, as committed."""
        with translated("read state", scope):
            return dict(self._reader.execute("SELECT key, value FROM state WHERE scope=?", (scope,)))

    def state_part(self, scope: str, after: str, most_bytes: int) -> tuple[list[tuple[str, bytes]], bool]:
        """Values under `scope` with keys greater than `after`, in order, as committed: at least one if there is any, then
        up to `most_bytes`; and whether they are the last."""
        part: list[tuple[str, bytes]] = []
        size, complete = 0, True
        with translated("read state", scope):
            rows: Any = self._reader.execute(
                "SELECT key, value FROM state WHERE scope=? AND key>? ORDER BY key", (scope, after)
            )
            for key, value in rows:
                size += len(value)
                if part and size > most_bytes:
                    complete = False
                    break
                part.append((key, value))
            # The statement ends with its cursor. Not by close(): apsw 3.54 then keeps the cursor for ever.
            del rows
        return part, complete

    def state_value(self, scope: str, key: str) -> bytes | None:
        """One value under `scope`, as committed."""
        with translated("read state", scope):
            row = self._reader.execute("SELECT value FROM state WHERE scope=? AND key=?", (scope, key)).fetchone()
        return row[0] if row else None

    # Blobs

    def blobs(self) -> list[BlobRow]:
        """All rows of the table, as committed."""
        with translated("read blobs of", "store"):
            return read_blobs(self._reader)

    # Key-value

    def kv_get(self, namespace: str, key: str) -> KvEntry | None:
        """The key as last written, tombstones included."""
        with translated("read key", key):
            return kv.read_entry(self._reader, namespace, key)

    def kv_page(self, namespace: str, prefix: str, cursor: str | None, limit: int) -> KvPage:
        """Living keys that begin with `prefix`."""
        with translated("list keys of", namespace):
            return kv.read_page(self._reader, namespace, prefix, cursor, limit)

    def kv_entries(self, namespace: str, after: str, limit: int) -> list[KvEntry]:
        """Entries in order of keys, tombstones included."""
        with translated("read namespace", namespace):
            return kv.read_entries(self._reader, namespace, after, limit)

    def kv_snapshot(
        self, namespace: str, after: str, most_entries: int, most_bytes: int
    ) -> tuple[list[kv.KvRow], bool, int]:
        """A snapshot's chunk: entries in order of keys, tombstones included, whether they are the last, and the horizon of
        the namespace at the same moment."""
        with translated("read namespace", namespace):
            return kv.read_snapshot(self._reader, namespace, after, most_entries, most_bytes)

    def kv_horizon(self, namespace: str) -> int:
        """The greatest timestamp of a tombstone of the namespace that was forgotten; 0 where none was."""
        with translated("read namespace", namespace):
            return kv.read_horizon(self._reader, namespace)

    def kv_with_tombstones(self, before: int) -> list[str]:
        """The namespaces that hold tombstones older than the timestamp `before`."""
        with translated("look for tombstones in", "store"):
            return kv.namespaces_with_tombstones(self._reader, before)

    async def writer_ended(self) -> None:
        """Return after `close`. Raises what ended the writer before: the node must not go on."""
        await self._writer.ended()

    async def close(self) -> None:
        """Commit what is queued, and close. Safe to call twice."""
        await self._writer.stop()
        if self.log is not None:
            self.log.close()
        if self._reader is not self._connection:
            self._reader.close()
        with contextlib.suppress(apsw.Error):
            # A disk that takes no writes keeps SQLite from tidying up; the next start does it. Nothing is lost by that.
            self._connection.close()

    def abandon(self) -> None:
        """As when the process dies: the files are let go of as they are, without a word to anybody."""
        with contextlib.suppress(apsw.Error):
            self._connection.close(True)

    def published(self, committed: Committed) -> None:
        """For the writer: a group is on disk."""
        counters = self.counters
        counters.commits += 1
        counters.jobs += len(committed.results)
        for name, info in committed.streams.items():
            old = self._streams.pop(name, None)
            if info is None:
                for _, deleted in tuple(self._watchers):
                    deleted(name)
            else:
                self._streams[name] = info
                self._count(old, info)
                for changed, _ in tuple(self._watchers):
                    changed(info)
            for waiter in self._waiters.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def _count(self, old: StreamInfo | None, info: StreamInfo) -> None:
        if info.name.path.startswith(FORMER_STREAMS):
            return  # counted under its former name
        begins = info.fork.inherited if info.fork is not None else info.first
        # A stream that was cut back is shorter; what is counted only grows.
        grown = max(0, info.next - (old.next if old is not None and old.id == info.id else begins))
        if info.name.origin == self.node:
            self.counters.appended_records += grown
        else:
            self.counters.replicated_records += grown

    def _drop_waiter(self, name: StreamName, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters.get(name)
        if waiters and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[name]


def _up_to_hole(batches: list[StoredBatch], offset: int) -> list[StoredBatch]:
    """Of a copy, those that follow each other. What is missing before the first was lost before it could come here, and
    is missing for ever: the first says so, for `StreamInfo.first` does not."""
    if batches and (first := batches[0].batch.first) > offset:
        batches[0] = msgspec.structs.replace(batches[0], earliest=first)
    for place, (before, after) in enumerate(pairwise(batches), 1):
        if after.batch.first > before.batch.next:
            return batches[:place]
    return batches


def _gone(name: StreamName, offset: int, oldest: int) -> Gone:
    return Gone(
        "read stream",
        str(name),
        f"offset {offset} is no longer held; the oldest is {oldest}",
        "Read from there, or fetch a snapshot of what you fold from it",
    )


def open_store(
    node: str,
    disk: Disk,
    clock: Clock,
    random: Random,
    limits: Limits,
    writer: Writer,
    key: StoreKey | None = None,
    storage: Storage | None = None,
    spill_disk: Disk | None = None,
) -> Store:
    """Open or create the store of `node` on `disk`, encrypted with `key` if one is given. Call with the event loop
    running. storage: what bounds it besides its limits; spill_disk: the directory that it names, if it does.

    Raises: IncompatibleStore, StorageError, StartupError if the directory is another node's, or the key is not the
    store's.
    """
    check_node_name(node)
    _check_directory(disk)
    connection = open_database(disk, key)
    try:
        with translated("open", disk.database_path(DATABASE)):
            lineage = _identify(connection, disk, node, random)
            former = read_former(connection)
            hlc = HybridClock(clock, kv.greatest_hlc(connection))
            place = spill_place(node, storage, spill_disk, random)
            bounds = Bounds(Room(disk, clock, limits), Budgets(limits, storage), place)
            log = WriteAheadLog(connection, open_reader(disk, key)) if disk.shared_memory else None
            committer = Committer(connection, node, lineage, clock, limits, hlc, bounds, log)
            reader = open_reader(disk, key) if disk.shared_memory else connection
    except BaseException:
        # Who tries again finds no lock left behind.
        with contextlib.suppress(apsw.Error):
            connection.close()
        raise
    store = Store(node, lineage, connection, reader, writer, committer, bounds, former, log)
    writer.start(committer, store.published)
    return store


def _check_directory(disk: Disk) -> None:
    found = disk.read(VERSION_FILE)
    if found is None:
        disk.write(VERSION_FILE, f"{DIRECTORY_VERSION}\n".encode())
        return
    text = found.decode("ascii", "replace").strip()
    if not text.isdigit() or int(text) > DIRECTORY_VERSION:
        raise IncompatibleStore(
            "open",
            disk.database_path("."),
            f"{VERSION_FILE} says {text[:20]!r}, this Littoral knows up to {DIRECTORY_VERSION}",
            "Run the version of Littoral that wrote it, or a newer one",
        )


def _identify(connection: apsw.Connection, disk: Disk, node: str, random: Random) -> str:
    """The store's lineage; a new store is given one, and the node's name."""
    meta = read_meta(connection)
    if not meta:
        meta = {"node": node, "lineage": random.token_bytes(LINEAGE_BYTES).hex()}
        with atomic(connection):
            connection.executemany("INSERT INTO meta(key, value) VALUES(?,?)", meta.items())
    if meta["node"] != node:
        raise StartupError(
            "open",
            disk.database_path("."),
            f"it is the data directory of node {meta['node']!r}, not of {node!r}",
            "Give each node a directory of its own",
        )
    return meta["lineage"]
