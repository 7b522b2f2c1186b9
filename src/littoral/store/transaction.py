"""What a job may do to the store. All of one job happens, or nothing of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw
import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, InvalidInput, LimitReached, NotFound, StorageCorrupt, TooLarge
from littoral.core.hlc import HybridClock
from littoral.core.kv import KvEntry
from littoral.core.lanes import Lane
from littoral.core.limits import BATCH_BYTES, BATCH_RECORDS, RECORD_BYTES, STREAM_BYTES, STREAMS, Limits
from littoral.core.names import StreamName, check_node_name, check_stream_path
from littoral.store import forks
from littoral.store.batch import BATCH_COLUMNS, CHAIN_START, MOST_OFFSET, Batch, StoredBatch, make_batch, trim
from littoral.store.heads import Heads, insert_stream, update_stream
from littoral.store.kv import KV_STREAMS, KvTable, Merged, kv_down_stream, kv_stream, read_entries, stand_in
from littoral.store.pending import Pending
from littoral.store.replica import FORMER_STREAMS, ReplicaOutcome, Verdict, begins_anew, judge, lineage_of
from littoral.store.stream import Fork, Reach, Span, StreamInfo

_encode_entries = msgspec.msgpack.Encoder().encode


class Transaction:
    """The writer's hands, for the time of one job. Must not be kept beyond it."""

    def __init__(
        self,
        connection: apsw.Connection,
        heads: Heads,
        node: str,
        lineage: str,
        clock: Clock,
        limits: Limits,
        hlc: HybridClock,
    ) -> None:
        self.node = node
        self._connection = connection
        self._heads = heads
        self._lineage = lineage
        self._clock = clock
        self._limits = limits
        self._kv = KvTable(connection, hlc)
        self._pending = Pending()

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
            fork=fork,
        )
        insert_stream(self._connection, info)
        self._heads.set(info)
        return info

    def append(self, name: StreamName, records: Sequence[bytes]) -> Span:
        """Put `records` at the end of one of this node's own streams.

        Raises: NotFound, Conflict if it is closed or another node's, TooLarge.
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
        self._pending.add(name, info.next, records, size)
        span = Span(info.next, info.next + len(records))
        self._heads.set(msgspec.structs.replace(info, next=span.next))
        return span

    def append_replica(self, stored: StoredBatch, via: str) -> ReplicaOutcome:
        """Take over a batch of another node's history; the rules are in `littoral.store.replica`.

        via: the neighbour that sent it.
        Raises: Conflict for a stream of our own.
        """
        batch = stored.batch
        name = batch.name
        if name.origin == self.node:
            raise Conflict("replicate stream", str(name), "it is this node's own")
        head = self._heads.get(name)
        try:
            batch.check()
        except StorageCorrupt:
            return ReplicaOutcome(name.origin, name.path, Verdict.CORRUPT, head.next if head else 0)
        if head is not None and begins_anew(batch.lineage, head.lineage):
            return self._begin_anew(head, stored, via)
        verdict = judge(head, stored)
        if verdict is Verdict.TRIM and head is not None and not self._agrees(head, batch):
            verdict = Verdict.DIVERGED
        if verdict in (Verdict.DUPLICATE, Verdict.GAP, Verdict.DIVERGED):
            return ReplicaOutcome(name.origin, name.path, verdict, head.next if head else 0)
        if head is None:
            head = self.open_stream(
                name, content_type=stored.content_type, lane=stored.lane, reach=stored.reach, via=via
            )
        lost = 0
        if verdict is Verdict.SKIP:
            lost = batch.first - head.next
            if head.count == 0:
                head = msgspec.structs.replace(head, first=batch.first)
        if verdict is Verdict.TRIM:
            batch = trim(batch, head.next)
        self._write_batch(head.id, batch)
        self._heads.set(
            msgspec.structs.replace(
                head,
                lineage=batch.lineage,
                next=batch.next,
                chain=batch.chain,
                bytes=head.bytes + len(batch.payload),
                via=via,
            )
        )
        return ReplicaOutcome(name.origin, name.path, verdict, batch.next, lost)

    def _begin_anew(self, head: StreamInfo, stored: StoredBatch, via: str) -> ReplicaOutcome:
        """The origin deleted the stream that we hold, and made another of its name. What we hold is not thrown away: the
        origin may have lost it by mistake."""
        name = head.name
        if judge(None, stored) is Verdict.GAP:
            return ReplicaOutcome(name.origin, name.path, Verdict.GAP, 0)
        with self.attempt():
            former = StreamName(name.origin, FORMER_STREAMS + name.path)
            if self._heads.get(former) is not None:
                self.delete_stream(former)
            self._heads.delete(name)
            aside = msgspec.structs.replace(head, name=former, reach="node")
            self._heads.set(aside)
            update_stream(self._connection, aside)
            return self.append_replica(stored, via)

    def reset_replica(
        self,
        name: StreamName,
        *,
        lineage: str,
        offset: int,
        chain: bytes,
        content_type: str,
        lane: Lane,
        reach: Reach,
        via: str,
    ) -> StreamInfo:
        """Begin the copy of another node's stream anew, with nothing in it, at an offset of its history; `chain` is the
        chain hash there. For after a snapshot was applied.

        Raises: Conflict for a stream of our own, InvalidInput for an offset that is none.
        """
        if name.origin == self.node:
            raise Conflict("replicate stream", str(name), "it is this node's own")
        if not 0 <= offset <= MOST_OFFSET:
            raise InvalidInput("replicate stream", str(name), f"offset {offset} is none")
        held = self.open_stream(name, content_type=content_type, lane=lane, reach=reach, via=via)
        self._connection.execute("DELETE FROM batches WHERE stream=?", (held.id,))
        info = msgspec.structs.replace(held, lineage=lineage, first=offset, next=offset, chain=chain, bytes=0, via=via)
        self._heads.set(info)
        return info

    def _agrees(self, head: StreamInfo, batch: Batch) -> bool:
        """Whether a batch that reaches over our tail holds what we hold; not if we hold nothing to compare."""
        rows = self._connection.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND next>? AND first<? ORDER BY first",
            (head.id, batch.first, batch.next),
        ).fetchall()
        theirs = batch.records()
        for row in rows:
            ours = msgspec.convert((batch.origin, batch.path, *row), Batch)
            start, end = max(ours.first, batch.first), min(ours.next, batch.next)
            if ours.records()[start - ours.first : end - ours.first] != theirs[start - batch.first : end - batch.first]:
                return False
        return bool(rows)

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
        self._connection.execute("INSERT INTO deleted(stream, origin, path) VALUES(?,?,?)", (info.id, *name))
        self._connection.execute("DELETE FROM folds WHERE stream=?", (info.id,))
        self._connection.execute("DELETE FROM streams WHERE id=?", (info.id,))
        self._heads.delete(name)

    def is_held(self, name: StreamName) -> bool:
        """Whether a stream of this name was deleted while it had forks, and one of them lives."""
        return forks.is_held(self._connection, name)

    def purge(self, most_batches: int) -> int:
        """Delete up to so many rows of one deleted stream that no fork needs; returns how many, 0 if there is no such
        stream."""
        stream = forks.purgeable(self._connection)
        # A stream without a row counts as one, or whoever asks again as long as there is something would stop there.
        return 0 if stream is None else max(1, forks.purge(self._connection, stream, most_batches))

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
        begins = forks.begin(self._connection, info, at, part)
        made = self.open_stream(
            name,
            content_type=info.content_type,
            retention_bytes=info.retention_bytes,
            retention_ms=info.retention_ms,
            ttl_s=ttl_s,
            expires_at=expires_at,
            fork=Fork(info.id, begins.inherited, asked),
        )
        made = msgspec.structs.replace(
            made, first=min(info.first, begins.inherited), next=begins.inherited, chain=begins.chain
        )
        if begins.part is not None:
            batch = make_batch(
                name, made.lineage, begins.inherited, begins.records, begins.part.appended_ms, begins.chain
            )
            self._write_batch(made.id, batch)
            made = msgspec.structs.replace(made, next=batch.next, chain=batch.chain, bytes=len(batch.payload))
        self._heads.set(made)
        return made

    def _part_of_record(self, info: StreamInfo, offset: int, count: int) -> bytes | None:
        """The first `count` bytes of a record; None if that is all of it."""
        record = forks.record_at(self._connection, info, offset)
        if count > len(record):
            raise InvalidInput(
                "fork stream", str(info.name), f"the record at offset {offset} has {len(record)} bytes, not {count}"
            )
        return record[:count] if count < len(record) else None

    # Retention

    def retain(self, name: StreamName, now_ms: int, most_batches: int) -> int:
        """Delete the oldest batches as far as the stream's retention asks, at most `most_batches`; returns how many.

        The slowest reader is not looked at: one that comes too late is told so (410) and fetches a snapshot.
        """
        info = self._existing("drop from stream", name)
        oldest_ms = now_ms - info.retention_ms if info.retention_ms is not None else None
        rows: Any = self._connection.execute(
            "SELECT next, appended_ms, length(payload) FROM batches WHERE stream=? ORDER BY first LIMIT ?",
            (info.id, most_batches),
        )
        first, size, count = info.first, info.bytes, 0
        for following, appended_ms, length in rows.fetchall():
            if size <= info.retention_bytes and (oldest_ms is None or appended_ms >= oldest_ms):
                break
            first, size, count = following, size - length, count + 1
        if count:
            self._connection.execute("DELETE FROM batches WHERE stream=? AND next<=?", (info.id, first))
            self._heads.set(msgspec.structs.replace(info, first=first, bytes=size))
            self._retain_forks(info.id, first)
        return count

    def _retain_forks(self, stream: int, first: int) -> None:
        """What retention took of a stream, its forks lack as well."""
        for name, inherited in forks.living_below(self._connection, stream):
            fork = self._existing("drop from stream", name)
            self._heads.set(msgspec.structs.replace(fork, first=max(fork.first, min(first, inherited))))

    def set_retention(self, name: StreamName, retention_bytes: int) -> None:
        """Keep at most so many bytes of the stream from now on; `retain` takes the rest. Raises NotFound."""
        info = msgspec.structs.replace(self._existing("set retention of", name), retention_bytes=retention_bytes)
        self._heads.set(info)

    # Folds

    def fold_offset(self, fold: str, source: StreamName) -> int:
        """Up to where `fold` has applied `source`; 0 if never."""
        info = self._existing("read fold of", source)
        row = self._connection.execute("SELECT next FROM folds WHERE fold=? AND stream=?", (fold, info.id)).fetchone()
        return row[0] if row else 0

    def set_fold(self, fold: str, source: StreamName, offset: int) -> None:
        """`fold` has applied `source` up to `offset`, with everything else that this job does."""
        info = self._existing("write fold of", source)
        self._connection.execute(
            "INSERT INTO folds(fold, stream, next) VALUES(?,?,?) ON CONFLICT DO UPDATE SET next=excluded.next",
            (fold, info.id, offset),
        )

    def get_state(self, scope: str, key: str) -> bytes | None:
        """A value put by `put_state`."""
        row = self._connection.execute("SELECT value FROM state WHERE scope=? AND key=?", (scope, key)).fetchone()
        return row[0] if row else None

    def state(self, scope: str) -> dict[str, bytes]:
        """All values under `scope`."""
        return dict(self._connection.execute("SELECT key, value FROM state WHERE scope=?", (scope,)))

    def put_state(self, scope: str, key: str, value: bytes | None) -> None:
        """Keep a value under (scope, key); None removes it."""
        if value is None:
            self._connection.execute("DELETE FROM state WHERE scope=? AND key=?", (scope, key))
        else:
            self._connection.execute(
                "INSERT INTO state(scope, key, value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                (scope, key, value),
            )

    def clear_state(self, scope: str) -> None:
        """Remove all values under `scope`."""
        self._connection.execute("DELETE FROM state WHERE scope=?", (scope,))

    # Key-value

    def kv_put(self, namespace: str, key: str, value: bytes | None) -> KvEntry:
        """A local write (None deletes): newer than everything seen here, published in this node's stream."""
        entry = self._kv.write_local(namespace, key, value, self.node)
        self._publish_kv(kv_stream(self.node, namespace), [entry])
        return entry

    def kv_merge_from_below(self, namespace: str, entries: Sequence[KvEntry]) -> Merged:
        """Apply writes of a child's, or of nodes below it, by last writer wins; what wins is published to all neighbours.

        A doubtful one is refused, and the tombstone in its place published as a write of this node's: so it goes again
        wherever it is. Who wrote it has to be told.
        Raises: InvalidInput for an entry too far in the future.
        """
        merged = self._kv.merge(namespace, entries, refuse=True)
        self._publish_kv(kv_stream(self.node, namespace), merged.won)
        # Whoever sent what lost to a tombstone may have forgotten it: see `kv_merge_from_above`.
        self._publish_kv(kv_down_stream(self.node, namespace), merged.buried)
        return merged

    def kv_merge_from_above(self, namespace: str, entries: Sequence[KvEntry]) -> Merged:
        """Apply the parent's writes by last writer wins; what wins is published to the children.

        A doubtful one is applied: this node forgets only what its parent has, so that the parent's word counts for more
        than this node's doubt. But the parent's two streams are read one after the other, and the tombstone may have
        been in the one that came first. So the write is published to the parent, too, which says its tombstone again
        where it has it, refuses the write where that is forgotten there, and is silent where the key lives.
        Raises: InvalidInput for an entry too far in the future.
        """
        merged = self._kv.merge(namespace, entries, refuse=False)
        doubtful = frozenset(merged.doubtful)
        certain = [entry for entry in merged.won if entry not in doubtful]
        self._publish_kv(kv_down_stream(self.node, namespace), certain)
        self._publish_kv(kv_stream(self.node, namespace), merged.doubtful)
        return merged

    def kv_bury_absent(
        self, namespace: str, after: str, last: str | None, present: frozenset[str], horizon: int
    ) -> list[KvEntry]:
        """Delete the living entries up to `horizon` with keys in (after, last] that are not `present` at the parent,
        which has forgotten tombstones up to there; last: None for all keys that follow. Returns them.

        The tombstones are published to all neighbours, as a write of this node's: should the parent know better by now
        than when it was asked, both end with the same.
        """
        absent = self._kv.bury_absent(namespace, after, last, present, horizon)
        self._publish_kv(kv_stream(self.node, namespace), [stand_in(entry) for entry in absent])
        return absent

    def kv_forget(self, namespace: str, before: int, most: int) -> int:
        """Forget up to `most` tombstones of the namespace older than the timestamp `before`; returns how many."""
        return self._kv.forget(namespace, before, most)

    def kv_raise_horizon(self, namespace: str, hlc: int) -> None:
        """The table now lacks tombstones that a neighbour has forgotten, up to `hlc`."""
        self._kv.raise_horizon(namespace, hlc)

    def kv_publish_again(self, namespace: str, after: str, most_entries: int, most_bytes: int) -> str | None:
        """Append what the table holds now, tombstones included, to this node's stream again: the entries with keys
        greater than `after`, at least one if there are any, and no more than either bound. Returns the last key, None
        at the end. Who has an entry already is not disturbed: it does not win again.
        """
        part: list[KvEntry] = []
        size = 0
        for entry in read_entries(self._connection, namespace, after, most_entries):
            size += len(entry.key) + len(entry.value or b"")
            if part and size > most_bytes:
                break
            part.append(entry)
        if not part:
            return None
        self._publish_kv(kv_stream(self.node, namespace), part)
        return part[-1].key

    def _publish_kv(self, name: StreamName, entries: Sequence[KvEntry]) -> None:
        if not entries:
            return
        reach: Reach = "link" if name.path.startswith(KV_STREAMS) else "node"
        self.open_stream(name, content_type="application/msgpack", lane="state", reach=reach)
        self.append(name, [_encode_entries(entry) for entry in entries])

    # Undoing

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """If the block raises, undo what it did and raise on."""
        mark, heads_mark = self._pending.mark(), self._heads.mark()
        self._connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            # After an error of the storage SQLite may have ended the transaction, and the savepoint with it.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO attempt")
                self._connection.execute("RELEASE attempt")
            self._pending.reset(mark)
            self._heads.reset(heads_mark)
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
        for name, pending in self._pending.items():
            full = pending.bytes >= self._limits[BATCH_BYTES] or len(pending.records) >= self._limits[BATCH_RECORDS]
            if full or not full_only:
                self._flush(name)

    def write_heads(self) -> None:
        """Write the rows of all streams that changed."""
        for info in self._heads.changed():
            update_stream(self._connection, info)

    def _flush(self, name: StreamName) -> None:
        pending = self._pending.take(name)
        if pending is None:
            return
        info = self._existing("append to stream", name)
        first, chain, size = pending.first, info.chain, info.bytes
        lineage = lineage_of(self._lineage, info.id)
        for records in pending.parts(self._limits[BATCH_BYTES], self._limits[BATCH_RECORDS]):
            batch = make_batch(name, lineage, first, records, self._clock.wall_ms(), chain)
            self._write_batch(info.id, batch)
            first, chain, size = batch.next, batch.chain, size + len(batch.payload)
        self._heads.set(msgspec.structs.replace(info, chain=chain, lineage=lineage, bytes=size))

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

    def _existing(self, operation: str, name: StreamName) -> StreamInfo:
        info = self._heads.get(name)
        if info is None:
            raise NotFound(operation, str(name), "there is no such stream on this node")
        return info
