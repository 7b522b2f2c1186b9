"""The writer's hands on what streams hold for how long: dropping the oldest of them, and moving it to spill files."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from littoral.core.names import StreamName
from littoral.store import forks
from littoral.store.batch import BATCH_COLUMNS, MOST_OFFSET, PIECE_BYTES, Batch
from littoral.store.meta import put_meta
from littoral.store.spill import FILE_BYTES, FILE_COLUMNS, KEY, KEY_BYTES, SET_UP, SpillFile
from littoral.store.stream import StreamInfo
from littoral.store.stream_writes import StreamWrites


class Spilling(NamedTuple):
    """Batches on their way to a spill file."""

    info: StreamInfo
    number: int
    file: str
    key: bytes
    batches: list[Batch]


class RetentionWrites(StreamWrites):
    """See `littoral.store.transaction`.

    What is spilled of a stream is older than all of it that is in the table `batches`.
    """

    def set_retention(self, name: StreamName, retention_bytes: int) -> None:
        """Keep at most so many bytes of the stream from now on; `retain` takes the rest. Raises NotFound."""
        info = msgspec.structs.replace(self._existing("set retention of", name), retention_bytes=retention_bytes)
        self._heads.set(info)

    # Dropping

    def retain(self, name: StreamName, now_ms: int, most_batches: int, most_bytes: int | None = None) -> int:
        """Delete the oldest batches that are over the stream's age, and where its budget drops the oldest, those that are
        beyond its bytes; at most `most_batches`. Returns how many, a spill file counting as one.
        most_bytes: keep no more than this, where the budget allows more.

        The slowest reader is not looked at: one that comes too late is told so (410) and fetches a snapshot.
        """
        info = self._existing("drop from stream", name)
        budget = self._budgets.of(info)
        oldest_ms = now_ms - budget.age_ms if budget.age_ms is not None else None
        most = info.bytes
        if budget.policy == "drop-oldest":
            most = min(budget.bytes, info.bytes if most_bytes is None else most_bytes)
        files = self._files_of(info.id, most_batches)
        due = [*takewhile(lambda file: info.bytes > most or file.newest_ms < (oldest_ms or 0), files)]
        for file in due:
            self._connection.execute("UPDATE spilled SET stream=NULL WHERE number=?", (file.number,))
        if due:
            self._begins_later(info.id)
        if len(due) == most_batches or len(due) < len(files):
            # As long as there are files nothing is dropped of the rows, which are newer, whatever a clock says that jumped.
            return len(due)
        latest = self._existing("drop from stream", name)
        return len(due) + self._drop_rows(latest, most, oldest_ms, most_batches - len(due))

    def release(self, name: StreamName, before: int, most_batches: int) -> bool:
        """Delete up to `most_batches` batches of records before `before`, which nobody needs any more, whatever the stream's
        budget says; whether there are more. Raises NotFound."""
        info = self._existing("release records of", name)
        rows: Any = self._connection.execute(
            "SELECT next, length(payload) FROM batches WHERE stream=? AND next<=? ORDER BY first LIMIT ?",
            (info.id, before, most_batches),
        ).fetchall()
        if not rows:
            return False
        first = rows[-1][0]
        self._connection.execute("DELETE FROM batches WHERE stream=? AND next<=?", (info.id, first))
        size = sum(length for _, length in rows)
        self._heads.set(msgspec.structs.replace(info, first=first, bytes=info.bytes - size))
        self._retain_forks(info.id, first)
        return len(rows) == most_batches

    def _drop_rows(self, info: StreamInfo, most_bytes: int, oldest_ms: int | None, most_batches: int) -> int:
        rows: Any = self._connection.execute(
            "SELECT next, appended_ms, length(payload) FROM batches WHERE stream=? ORDER BY first LIMIT ?",
            (info.id, most_batches),
        )
        first, size, count = info.first, info.bytes, 0
        for following, appended_ms, length in rows.fetchall():
            if size <= most_bytes and (oldest_ms is None or appended_ms >= oldest_ms):
                break
            if count and info.bytes - size + length > PIECE_BYTES:
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

    # Spilling (littoral.store.spiller)

    def note_spill_directory(self, directory: str) -> None:
        """This directory is set up as the place of spill files."""
        put_meta(self._connection, SET_UP, directory)

    def begin_spill(self, name: StreamName, most_bytes: int) -> "Spilling | None":
        """Take the oldest batches of a stream, as long as it has more than `most_bytes` in the store, for a file to be
        written; None if there are none. Raises NotFound."""
        info = self._existing("spill", name)
        place = self._place
        assert place is not None
        if not (batches := self._oldest(info, info.bytes - most_bytes)):
            return None
        last = batches[-1]
        self._connection.execute(
            "INSERT INTO spilled(stream, first, next, lineage, newest_ms, bytes, file) VALUES(NULL,?,?,?,?,0,'')",
            (batches[0].first, last.next, last.lineage, max(each.appended_ms for each in batches)),
        )
        number = self._connection.last_insert_rowid()
        file = place.file(self._lineage, number)
        self._connection.execute("UPDATE spilled SET file=? WHERE number=?", (file, number))
        if not (key := self._spilled.key()):
            key = place.random.token_bytes(KEY_BYTES)
            put_meta(self._connection, KEY, key.hex())
        return Spilling(info, number, file, key, batches)

    def end_spill(self, spilling: "Spilling", size: int) -> int:
        """The file is on its disk, of `size` bytes: it now holds these batches, unless they are not the oldest of the stream
        any more. Returns the bytes that left the store."""
        info = self._heads.get(spilling.info.name)
        first, last = spilling.batches[0], spilling.batches[-1]
        found: Any = self._connection.execute(
            "SELECT (SELECT min(first) FROM batches WHERE stream=?), (SELECT chain FROM batches WHERE stream=? AND first=?)",
            (spilling.info.id, spilling.info.id, last.first),
        ).fetchone()
        if info is None or info.id != spilling.info.id or found != (first.first, last.chain):
            return 0
        self._connection.execute(
            "UPDATE spilled SET stream=?, bytes=? WHERE number=?", (info.id, size, spilling.number)
        )
        self._connection.execute("DELETE FROM batches WHERE stream=? AND next<=?", (info.id, last.next))
        moved = sum(len(batch.payload) for batch in spilling.batches)
        self._heads.set(msgspec.structs.replace(info, bytes=info.bytes - moved))
        assert self._place is not None
        self._drop_beyond(self._place.most_bytes)
        return moved

    def forget_spill_files(self, numbers: Sequence[int]) -> None:
        """These files, which were of no stream any more, are removed."""
        self._connection.executemany("DELETE FROM spilled WHERE number=?", [(number,) for number in numbers])

    def _oldest(self, info: StreamInfo, over_bytes: int) -> list[Batch]:
        """The oldest batches of one lineage that have so many bytes together, or a file's, and are not all there are."""
        batches: list[Batch] = []
        size = 0
        rows = self._connection.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND next<(SELECT max(next) FROM batches WHERE stream=?)"
            " ORDER BY first",
            (info.id, info.id),
        )
        for row in rows:
            batch = msgspec.convert((*info.name, *row), Batch)
            if size >= min(over_bytes, FILE_BYTES) or (batches and batch.lineage != batches[0].lineage):
                break
            batches.append(batch)
            size += len(batch.payload)
        # The statement ends with its cursor. Not by close(): apsw 3.54 then keeps the cursor for ever.
        del rows
        return batches

    # Spill files

    def _files_of(self, stream: int, most_files: int) -> list[SpillFile]:
        """The oldest files of a stream."""
        rows = self._connection.execute(
            f"SELECT {FILE_COLUMNS} FROM spilled WHERE stream=? ORDER BY first LIMIT ?", (stream, most_files)
        ).fetchall()
        return msgspec.convert(rows, list[SpillFile])

    def _drop_beyond(self, most_bytes: int) -> None:
        """Drop the oldest files until all together hold no more than this."""
        rows: Any = self._connection.execute("SELECT sum(bytes) FROM spilled WHERE stream IS NOT NULL").fetchone()
        over = (rows[0] or 0) - most_bytes
        while over > 0:
            row: Any = self._connection.execute(
                "SELECT number, stream, bytes FROM spilled WHERE stream IS NOT NULL ORDER BY number LIMIT 1"
            ).fetchone()
            number, stream, size = row
            self._connection.execute("UPDATE spilled SET stream=NULL WHERE number=?", (number,))
            self._begins_later(stream)
            over -= size

    def _begins_later(self, stream: int) -> None:
        """The oldest files of a stream were dropped: it begins where the oldest of what it holds does."""
        row: Any = self._connection.execute(
            "SELECT coalesce((SELECT min(first) FROM spilled WHERE stream=?),"
            " (SELECT min(first) FROM batches WHERE stream=?))",
            (stream, stream),
        ).fetchone()
        name: Any = self._connection.execute("SELECT origin, path FROM streams WHERE id=?", (stream,)).fetchone()
        first = row[0]
        if name is not None:
            info = self._existing("drop from stream", StreamName(*name))
            first = info.next if first is None else first
            self._heads.set(msgspec.structs.replace(info, first=first))
        # Of a deleted stream nothing may be left: its forks have none of what they inherited.
        self._retain_forks(stream, MOST_OFFSET if first is None else first)

    def _forget_spilled(self, stream: int) -> None:
        """Nothing of what was spilled of a stream is needed any more."""
        self._connection.execute("UPDATE spilled SET stream=NULL WHERE stream=?", (stream,))

    def _bring_back(self, info: StreamInfo, offset: int) -> StreamInfo:
        """Have in the table again what was spilled of a stream from the file that holds `offset` on: for who changes a
        stream's past. Returns the stream with it. Raises Unavailable, StorageCorrupt, StorageError."""
        brought = 0
        while files := self._spilled.files(info.id, offset, info.next):
            for file in files:
                for batch in self._spilled.batches(file):
                    self._write_batch(info.id, batch)
                    brought += len(batch.payload)
                self._connection.execute("UPDATE spilled SET stream=NULL WHERE number=?", (file.number,))
        info = msgspec.structs.replace(info, bytes=info.bytes + brought)
        self._heads.set(info)
        return info
