"""The writer's hands on streams: making, appending, forking, deleting, and undoing what a job did; and on what is kept
besides."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw
import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, InvalidInput, LimitReached, NotFound, TooLarge
from littoral.core.lanes import Lane
from littoral.core.limits import BATCH_BYTES, BATCH_RECORDS, FORK_DEPTH, RECORD_BYTES, STREAM_BYTES, STREAMS, Limits
from littoral.core.names import StreamName, check_node_name, check_stream_path
from littoral.core.resources.model import BudgetPolicy
from littoral.store import forks
from littoral.store.batch import CHAIN_START, Batch, make_batch
from littoral.store.bounds import Bounds
from littoral.store.budgets import stored_bytes_most
from littoral.store.database import INCREMENTAL
from littoral.store.heads import Heads, insert_stream, update_stream
from littoral.store.lineage import WENT_ON, WentOn
from littoral.store.pending import Pending
from littoral.store.replica import lineage_of
from littoral.store.spill import SpillReader
from littoral.store.stream import Fork, Reach, Span, StreamInfo

FREE_PAGES = 4_096
"""16 MB: fewer free pages are kept, for what is written next needs them again."""
FREE_SHARE = 0.25
"""Of the file: as many are kept, too. A store that loses and gains as much each day would move its pages for nothing."""


class StreamWrites:
    """See `littoral.store.transaction`."""

    def __init__(
        self,
        connection: apsw.Connection,
        heads: Heads,
        node: str,
        lineage: str,
        clock: Clock,
        limits: Limits,
        bounds: Bounds,
    ) -> None:
        self.node = node
        self._room = bounds.room
        self._budgets = bounds.budgets
        self._place = bounds.spill
        self._spilled = SpillReader(connection, bounds.spill)
        self._connection = connection
        self._heads = heads
        self._lineage = lineage
        self._clock = clock
        self._limits = limits
        self._pending = Pending(limits)

    @property
    def now_ms(self) -> int:
        """The wall clock, ms since the epoch."""
        return self._clock.wall_ms()

    # Streams

    def stream(self, name: StreamName) -> StreamInfo | None:
        """The stream as this job sees it, or None."""
        return self._heads.get(name)

    def open_stream(
        self,
        name: StreamName,
        *,
        content_type: str = "application/json",
        lane: Lane = "telemetry",
        retention_bytes: int | None = None,
        retention_ms: int | None = None,
        ttl_s: int | None = None,
        expires_at: str | None = None,
        closed: bool = False,
        policy: BudgetPolicy = "drop-oldest",
        reach: Reach = "root",
        via: str = "",
        fork: Fork | None = None,
    ) -> StreamInfo:
        """The stream, created if it is not there. An existing one is returned as it is.

        Raises: InvalidInput for a bad name, LimitReached.
        """
        if (info := self._heads.get(name)) is not None:
            return info
        check_node_name(name.origin)
        check_stream_path(name.path)
        if len(self._heads) >= self._limits[STREAMS]:
            self._limits.hit(STREAMS)
            raise LimitReached(
                "create stream",
                str(name),
                f"this node holds {len(self._heads)} streams, its limit",
                "Raise limit streams",
            )
        number = self._heads.take_id()
        info = StreamInfo(
            id=number,
            name=name,
            lineage=lineage_of(self._lineage, number),
            content_type=content_type,
            lane=lane,
            first=0,
            next=0,
            chain=CHAIN_START,
            bytes=0,
            created_ms=self._clock.wall_ms(),
            closed=closed,
            retention_bytes=retention_bytes or self._limits[STREAM_BYTES],
            retention_ms=retention_ms,
            ttl_s=ttl_s,
            expires_at=expires_at,
            reach=reach,
            via=via,
            policy=policy,
            fork=fork,
        )
        insert_stream(self._connection, info)
        self._heads.set(info)
        return info

    def append(self, name: StreamName, records: Sequence[bytes], *, essential: bool = False) -> Span:
        """Put `records` at the end of one of this node's own streams. essential: also where the disk has little room,
        whatever the lane; for what follows from records that were acknowledged.

        Raises: NotFound, Conflict if it is closed or another node's, TooLarge, StorageFull.
        """
        info = self._existing("append to stream", name)
        if name.origin != self.node:
            raise Conflict("append to stream", str(name), f"it is a copy; only {name.origin} appends to it")
        if info.closed:
            raise Conflict("append to stream", str(name), "it is closed")
        most = self._limits[RECORD_BYTES]
        size = 0
        for record in records:
            if len(record) > most:
                self._limits.hit(RECORD_BYTES)
                raise TooLarge(
                    "append to stream", str(name), f"a record of {len(record)} bytes; at most {most} are allowed"
                )
            size += len(record)
        if not essential:
            waiting, waiting_bytes = self._pending.size(name)
            self._check_room(info, stored_bytes_most(waiting_bytes + size, waiting + len(records)))
        self._pending.add(name, info.next, records, size)
        span = Span(info.next, info.next + len(records))
        self._heads.set(msgspec.structs.replace(info, next=span.next))
        return span

    def check_room(self, name: StreamName, lane: Lane) -> None:
        """Raise StorageFull where the disk lets nothing more of this lane in; for what is not appended to the stream, but
        folded from it. Raises StorageError."""
        self._room.check(name, lane)

    def _check_room(self, info: StreamInfo, adding_bytes: int) -> None:
        """Raise StorageFull where the disk, the stream's budget or the node's lets nothing more in."""
        self._room.check(info.name, info.lane)
        self._budgets.check(info, adding_bytes, self._heads.bytes)

    def close_stream(self, name: StreamName) -> StreamInfo:
        """No record is ever appended after this. Closing twice is no error. Raises NotFound."""
        info = msgspec.structs.replace(self._existing("close stream", name), closed=True)
        self._heads.set(info)
        return info

    def delete_stream(self, name: StreamName) -> None:
        """Remove the stream. What it holds goes in small pieces later (`purge`), once no fork needs it. Raises
        NotFound."""
        info = self._existing("delete stream", name)
        self._pending.take(name)
        self._leave_rows(info)
        self._heads.delete(name)

    def is_held(self, name: StreamName) -> bool:
        """Whether a stream of this name was deleted while it had forks, and one of them lives."""
        return forks.is_held(self._connection, name)

    def purge(self, most_batches: int) -> int:
        """Delete up to so many rows of one deleted stream that no fork needs; returns how many, 0 if there is no such
        stream."""
        found = forks.purgeable(self._connection)
        # A stream without a row counts as one, or whoever asks again as long as there is something would stop there.
        return 0 if found is None else max(1, forks.purge(self._connection, found, most_batches))

    def give_back(self, most_pages: int) -> int:
        """Give pages of the store's file that hold nothing back to the file system; returns how many, 0 where so few are
        free that they are better kept for what comes."""
        free, all_pages = self._connection.pragma("freelist_count"), self._connection.pragma("page_count")
        assert isinstance(free, int), free
        assert isinstance(all_pages, int), all_pages
        if free < max(FREE_PAGES, all_pages * FREE_SHARE) or self._connection.pragma("auto_vacuum") != INCREMENTAL:
            return 0
        # Each step of the statement gives one page back.
        for _ in self._connection.execute(f"PRAGMA incremental_vacuum({min(free, most_pages)})"):
            pass
        left = self._connection.pragma("page_count")
        assert isinstance(left, int), left
        return all_pages - left

    # Forks

    def fork_stream(
        self,
        name: StreamName,
        source: StreamName,
        at: int,
        *,
        part_bytes: int = 0,
        asked: str,
        ttl_s: int | None = None,
        expires_at: str | None = None,
    ) -> StreamInfo:
        """A new stream of this node that has what `source` has before offset `at`; part_bytes: and so many bytes of
        the record there. `asked`: see Fork.

        Raises: NotFound without the source, Conflict if it is a copy, InvalidInput for a point it does not have,
        LimitReached.
        """
        self._flush(source)
        info = self._existing("fork stream", source)
        if source.origin != self.node:
            raise Conflict("fork stream", str(source), "it is a copy", f"Fork it at {source.origin}")
        if not info.first <= at <= info.next:
            raise InvalidInput("fork stream", str(source), f"it has offsets {info.first} to {info.next}, not {at}")
        part = self._part_of_record(info, at, part_bytes) if part_bytes else None
        if part_bytes and part is None:
            at += 1
        if (depth := forks.depth(self._connection, info) + 1) > self._limits[FORK_DEPTH]:
            self._limits.hit(FORK_DEPTH)
            raise LimitReached(
                "fork stream",
                str(source),
                f"a read from the beginning of the fork would go through {depth} other streams",
                "Fork a stream that is nearer to the first of them, or raise limit fork-depth",
            )
        begins = forks.begin(self._connection, self._spilled, info, at, part)
        made = self.open_stream(
            name,
            content_type=info.content_type,
            retention_bytes=info.retention_bytes,
            retention_ms=info.retention_ms,
            ttl_s=ttl_s,
            expires_at=expires_at,
            policy=info.policy,
            fork=Fork(info.id, begins.inherited, asked),
        )
        made = msgspec.structs.replace(
            made, first=min(info.first, begins.inherited), next=begins.inherited, chain=begins.chain
        )
        if begins.part is not None:
            batch = make_batch(
                name, made.lineage, begins.inherited, begins.records, begins.part.appended_ms, begins.chain
            )
            return self._extend(made, batch)
        self._heads.set(made)
        return made

    def _part_of_record(self, info: StreamInfo, offset: int, count: int) -> bytes | None:
        """The first `count` bytes of a record; None if that is all of it."""
        record = forks.record_at(self._connection, self._spilled, info, offset)
        if count > len(record):
            raise InvalidInput(
                "fork stream", str(info.name), f"the record at offset {offset} has {len(record)} bytes, not {count}"
            )
        return record[:count] if count < len(record) else None

    # State

    def get_state(self, scope: str, key: str) -> bytes | None:
        """A value put by `put_state`."""
        row = self._connection.execute("SELECT value FROM state WHERE scope=? AND key=?", (scope, key)).fetchone()
        return row[0] if row else None

    def put_state(self, scope: str, key: str, value: bytes | None) -> None:
        """Keep a value under (scope, key); None removes it."""
        if value is None:
            self._connection.execute("DELETE FROM state WHERE scope=? AND key=?", (scope, key))
        else:
            self._connection.execute(
                "INSERT INTO state(scope, key, value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                (scope, key, value),
            )

    # Undoing

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """If the block raises, undo what it did and raise on."""
        savepoint, heads_savepoint = self._pending.savepoint(), self._heads.savepoint()
        self._connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            # After an error of the storage SQLite may have ended the transaction, and the savepoint with it.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO attempt")
                self._connection.execute("RELEASE attempt")
            self._pending.rollback_to(savepoint)
            self._heads.rollback_to(heads_savepoint)
            raise
        self._connection.execute("RELEASE attempt")

    # For the committer

    def abandon(self) -> None:
        """The group failed: forget all that is pending."""
        self._pending.clear()

    def flush(self, *, full_only: bool = False) -> None:
        """Write pending records as rows; with `full_only`, those that fill a batch.

        Only between jobs: a row holds records of several, and the failure of one must not take another's along.
        """
        for name in self._pending.take_full() if full_only else self._pending.names():
            self._flush(name)
        self._pending.release()
        self._heads.release()

    def write_heads(self) -> None:
        """Write the rows of all streams that changed."""
        for info in self._heads.changed():
            update_stream(self._connection, info)

    def _flush(self, name: StreamName) -> None:
        pending = self._pending.take(name)
        if pending is None:
            return
        info = self._existing("append to stream", name)
        first = pending.first
        lineage = lineage_of(self._lineage, info.id)
        if info.lineage != lineage:
            went_on = WentOn(first, info.chain, info.lineage)
            self.put_state(WENT_ON, str(info.id), msgspec.msgpack.encode(went_on))
        for records in pending.parts(self._limits[BATCH_BYTES], self._limits[BATCH_RECORDS]):
            info = self._extend(info, make_batch(name, lineage, first, records, self._clock.wall_ms(), info.chain))
            first = info.next

    def _extend(self, info: StreamInfo, batch: Batch) -> StreamInfo:
        """The batch is the last of the stream: its row, and the stream with it."""
        self._write_batch(info.id, batch)
        size = info.bytes + len(batch.payload)
        info = msgspec.structs.replace(info, lineage=batch.lineage, next=batch.next, chain=batch.chain, bytes=size)
        self._heads.set(info)
        return info

    def _write_batch(self, stream: int, batch: Batch) -> None:
        self._connection.execute(
            "INSERT INTO batches(stream, first, next, lineage, appended_ms, codec, crc, chain_before, chain, payload)"
            " VALUES(?,?,?,?,?,?,?,?,?,?)",
            (
                stream,
                batch.first,
                batch.next,
                batch.lineage,
                batch.appended_ms,
                batch.codec,
                batch.crc,
                batch.chain_before,
                batch.chain,
                batch.payload,
            ),
        )

    def _leave_rows(self, info: StreamInfo) -> None:
        """The rows are no stream's any more, and go in small pieces later."""
        self._connection.execute(
            "INSERT INTO deleted(stream, origin, path, bytes) VALUES(?,?,?,?)", (info.id, *info.name, info.bytes)
        )
        self._connection.execute("DELETE FROM folds WHERE stream=?", (info.id,))
        self.put_state(WENT_ON, str(info.id), None)
        self._connection.execute("DELETE FROM streams WHERE id=?", (info.id,))

    def _existing(self, operation: str, name: StreamName) -> StreamInfo:
        info = self._heads.get(name)
        if info is None:
            raise NotFound(operation, str(name), "there is no such stream on this node")
        return info
