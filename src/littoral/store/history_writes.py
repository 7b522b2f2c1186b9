"""The writer's hands on history that comes from a neighbour: copies of others' streams, and this node's own where its
store was restored. What becomes of a batch is decided in `littoral.store.replica`.
"""

from typing import Any

import msgspec

from littoral.core.errors import Conflict, InvalidInput, StorageCorrupt
from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.store.batch import BATCH_COLUMNS, CHAIN_START, MOST_OFFSET, Batch, StoredBatch, trim
from littoral.store.heads import insert_stream, update_stream
from littoral.store.lineage import WENT_ON, WentOn, read_former
from littoral.store.replica import FORMER_STREAMS, ReplicaOutcome, Verdict, begins_anew, judge, lineage_of
from littoral.store.retention_writes import RetentionWrites
from littoral.store.stream import Reach, StreamInfo

_TAKEN = (Verdict.APPEND, Verdict.TRIM, Verdict.SKIP)
SPILLED_MOST_BYTES = 8 << 20
"""Of what is compared with one batch: it and a batch more at each end."""


class HistoryWrites(RetentionWrites):
    """See `littoral.store.transaction`."""

    # Copies

    def append_replica(self, stored: StoredBatch, via: str) -> ReplicaOutcome:
        """Take over a batch of another node's history; the rules are in `littoral.store.replica`.

        via: the neighbour that sent it.
        Raises: Conflict for a stream of our own, StorageFull.
        """
        batch = stored.batch
        name = batch.name
        if name.origin == self.node:
            raise Conflict("replicate stream", str(name), "it is this node's own")
        head = self._heads.get(name)
        verdict = self._verdict(head, stored)
        if verdict is not Verdict.CORRUPT and head is not None and begins_anew(batch.lineage, head.lineage):
            return self._begin_anew(head, stored, via)
        if verdict not in _TAKEN:
            return ReplicaOutcome(*name, verdict, head.next if head else 0)
        if head is None:
            with self.attempt():
                head = self.open_stream(
                    name, content_type=stored.content_type, lane=stored.lane, reach=stored.reach, via=via
                )
                self._check_room(head, len(batch.payload))
        else:
            self._check_room(head, len(batch.payload))
        lost = 0
        if verdict is Verdict.SKIP:
            lost = batch.first - head.next
            if head.count == 0:
                head = msgspec.structs.replace(head, first=batch.first)
        if verdict is Verdict.TRIM:
            batch = trim(batch, head.next)
        self._extend(msgspec.structs.replace(head, via=via), batch)
        return ReplicaOutcome(*name, verdict, batch.next, lost)

    def _begin_anew(self, head: StreamInfo, stored: StoredBatch, via: str) -> ReplicaOutcome:
        """The origin deleted the stream that we hold, and made another of its name. What we hold is not thrown away: the
        origin may have lost it by mistake."""
        name = head.name
        if judge(None, stored) is Verdict.GAP:
            return ReplicaOutcome(*name, Verdict.GAP, 0)
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
        if held.count:
            # The copy goes on under another number: so many rows are not deleted in this transaction.
            self._leave_rows(held)
            held = msgspec.structs.replace(held, id=self._heads.take_id())
            insert_stream(self._connection, held)
        info = msgspec.structs.replace(held, lineage=lineage, first=offset, next=offset, chain=chain, bytes=0, via=via)
        self._heads.set(info)
        return info

    def _verdict(self, head: StreamInfo | None, stored: StoredBatch) -> Verdict:
        """What is to be done with a batch, for a stream that ends with `head`; None: that is not there, or begins with it."""
        try:
            stored.batch.check()
        except StorageCorrupt:
            return Verdict.CORRUPT
        verdict = judge(head, stored)
        if head is None or verdict not in (Verdict.TRIM, Verdict.DUPLICATE):
            return verdict
        if verdict is Verdict.TRIM:
            agrees = self._agrees(head, stored.batch)
        else:
            agrees = stored.batch.lineage == head.lineage or self._has(head, stored.batch)
        return verdict if agrees else Verdict.DIVERGED

    def _has(self, head: StreamInfo, batch: Batch) -> bool:
        """Whether a batch that ends at or before our tail is of our history; not if we hold nothing of it any more."""
        row: Any = self._connection.execute(
            "SELECT next, chain FROM batches WHERE stream=? AND first<? ORDER BY first DESC LIMIT 1",
            (head.id, batch.next),
        ).fetchone()
        if row is not None:
            return bool(row == (batch.next, batch.chain))
        spilled = self._spilled.read(head.id, head.name, batch.next - 1, batch.next, SPILLED_MOST_BYTES)
        return any((each.next, each.chain) == (batch.next, batch.chain) for each in spilled)

    def _agrees(self, head: StreamInfo, batch: Batch) -> bool:
        """Whether a batch that reaches over our tail holds what we hold; not if we hold nothing to compare."""
        rows = self._connection.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND next>? AND first<? ORDER BY first",
            (head.id, batch.first, batch.next),
        ).fetchall()
        spilled = self._spilled.read(head.id, head.name, batch.first, batch.next, SPILLED_MOST_BYTES)
        theirs = batch.records()
        for ours in (*spilled, *(msgspec.convert((batch.origin, batch.path, *row), Batch) for row in rows)):
            start, end = max(ours.first, batch.first), min(ours.next, batch.next)
            if ours.records()[start - ours.first : end - ours.first] != theirs[start - batch.first : end - batch.first]:
                return False
        return bool(spilled or rows)

    # Own streams, after the store was restored

    def went_on_at(self, name: StreamName) -> int:
        """Where what was appended since the store was restored begins; the tail if nothing was, or there is no such
        stream. A store that never was restored has appended everything since."""
        self._flush(name)
        head = self._heads.get(name)
        if head is None:
            return 0
        if (went_on := self._went_on(head)) is not None:
            return went_on.next
        at = head.next
        for first, of in self._connection.execute(
            "SELECT first, lineage FROM batches WHERE stream=? UNION ALL SELECT first, lineage FROM spilled WHERE stream=?"
            " ORDER BY first DESC",
            (head.id, head.id),
        ):
            if of != head.lineage:
                break
            at = int(str(first))
        return at

    def _went_on(self, head: StreamInfo) -> WentOn | None:
        """The head as it was there. None where it went on before that was noted: what is left of the batches tells then,
        unless retention took all that is older."""
        if head.lineage != lineage_of(self._lineage, head.id):
            return WentOn(head.next, head.chain, head.lineage)
        if (noted := self.get_state(WENT_ON, str(head.id))) is not None:
            return msgspec.msgpack.decode(noted, type=WentOn)
        former = read_former(self._connection)
        made_since = not former or head.id > former[-1].last
        return WentOn(0, CHAIN_START, head.lineage) if made_since else None

    def take_back(self, stored: StoredBatch) -> ReplicaOutcome:
        """Append a batch of one of this node's own streams, which a neighbour has and the restored store has not. The
        chains decide whether it goes on from what is held; `cut_back` first what else was appended there.

        Verdict as of `append_replica`; SKIP: the neighbour lacks records before the batch as well, and the stream now
        begins with it. Raises: StorageFull.
        """
        batch = stored.batch
        name = batch.name
        assert name.origin == self.node, name
        self._flush(name)
        self._room.check(name, stored.lane)
        head = self._heads.get(name)
        verdict = self._verdict(head if head is not None and head.next else None, stored)
        if verdict not in _TAKEN:
            return ReplicaOutcome(*name, verdict, head.next if head else 0)
        if head is None:
            head = self.open_stream(name, content_type=stored.content_type, lane=stored.lane, reach=stored.reach)
        lost = 0
        if verdict is Verdict.SKIP:
            if self._has_forks(head.id, head.first):
                return ReplicaOutcome(*name, Verdict.DIVERGED, head.next)
            self._connection.execute("DELETE FROM batches WHERE stream=?", (head.id,))
            self._forget_spilled(head.id)
            lost = batch.first - head.next
            head = msgspec.structs.replace(head, first=batch.first, bytes=0)
        if verdict is Verdict.TRIM:
            batch = trim(batch, head.next)
        self._extend(head, batch)
        return ReplicaOutcome(*name, verdict, batch.next, lost)

    def cut_back(self, name: StreamName, at: int, aside: StreamName | None) -> bool:
        """Take what one of this node's own streams has from the beginning of a batch, `at`, on out of it, and append it to
        the stream `aside`, unless that is None. False, and nothing done, where a fork needs it.

        Raises: InvalidInput, LimitReached for a stream `aside` that cannot be, StorageCorrupt, Unavailable for what was
        spilled to a place that is not there.
        """
        self._flush(name)
        head = self._existing("cut back", name)
        if self._has_forks(head.id, at) or (head.fork is not None and at <= head.fork.inherited):
            return False
        went_on = self._went_on(head)
        head = self._bring_back(head, at)
        chain, size = head.chain, 0
        cut: Any = self._connection.execute(
            "SELECT first, chain_before, length(payload) FROM batches WHERE stream=? AND first>=? ORDER BY first DESC",
            (head.id, at),
        )
        for _, before, length in cut:
            chain, size = before, size + length
        if aside is not None:
            self._copy_aside(head, at, aside)
        self._connection.execute("DELETE FROM batches WHERE stream=? AND first>=?", (head.id, at))
        self._connection.execute("UPDATE folds SET next=? WHERE stream=? AND next>?", (at, head.id, at))
        row: Any = self._connection.execute(
            "SELECT lineage FROM (SELECT first, lineage FROM batches WHERE stream=? UNION ALL"
            " SELECT first, lineage FROM spilled WHERE stream=?) ORDER BY first DESC LIMIT 1",
            (head.id, head.id),
        ).fetchone()
        lineage = row[0] if row else head.lineage
        if went_on is not None and went_on.next == at:
            chain, lineage = went_on.chain, went_on.lineage
        first = min(head.first, at)  # retention may have taken what was there
        self._heads.set(
            msgspec.structs.replace(head, lineage=lineage, first=first, next=at, chain=chain, bytes=head.bytes - size)
        )
        return True

    def _copy_aside(self, head: StreamInfo, at: int, aside: StreamName) -> None:
        self.open_stream(
            aside,
            content_type=head.content_type,
            lane=head.lane,
            retention_bytes=head.retention_bytes,
            retention_ms=head.retention_ms,
            reach=head.reach,
        )
        while at < head.next:  # one at a time: they may be many
            row = self._connection.execute(
                f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND first>=? ORDER BY first LIMIT 1", (head.id, at)
            ).fetchone()
            if row is None:
                break
            batch = msgspec.convert((*head.name, *row), Batch)
            self.append(aside, batch.records(), essential=True)
            self._flush(aside)
            at = batch.next

    def _has_forks(self, stream: int, beyond: int) -> bool:
        """Whether there are forks of a stream that read rows from the offset `beyond` on."""
        row = self._connection.execute(
            "SELECT 1 FROM forks WHERE source=? AND inherited>? LIMIT 1", (stream, beyond)
        ).fetchone()
        return row is not None
