"""Records appended in a group and not yet in a row: jobs that append to one stream share its batches."""

from collections.abc import Iterator, Sequence

from littoral.core.limits import BATCH_BYTES, BATCH_RECORDS, Limits
from littoral.core.names import StreamName


class PendingRecords:
    """Those of one stream."""

    __slots__ = ("bytes", "first", "records")

    def __init__(self, first: int) -> None:
        self.first = first
        self.records: list[bytes] = []
        self.bytes = 0
        """Of the records themselves: what they take once stored is at most `budgets.stored_bytes_most`."""

    def parts(self, most_bytes: int, most_records: int) -> Iterator[list[bytes]]:
        """The records in pieces within the bounds; a record alone may be over them."""
        if len(self.records) <= most_records and self.bytes <= most_bytes:
            yield self.records
            return
        part: list[bytes] = []
        size = 0
        for record in self.records:
            if part and (size + len(record) > most_bytes or len(part) >= most_records):
                yield part
                part, size = [], 0
            part.append(record)
            size += len(record)
        yield part


class Pending:
    """Those of all streams. A job costs what it changes, however many streams its group has touched before."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[StreamName, PendingRecords] = {}
        self._full: dict[StreamName, None] = {}
        """Streams that had enough for a batch when they were added to last; that may have been undone since."""
        self._undo: list[tuple[StreamName, PendingRecords | None, int, int]] = []
        """What to go back to, the latest last: a stream, its records before a change, how many they were and their bytes."""

    def add(self, name: StreamName, first: int, records: Sequence[bytes], size: int) -> None:
        """Records from offset `first` on, `size` bytes of them."""
        pending = self._streams.get(name)
        if pending is None:
            self._undo.append((name, None, 0, 0))
            pending = self._streams[name] = PendingRecords(first)
        else:
            self._undo.append((name, pending, len(pending.records), pending.bytes))
        pending.records.extend(records)
        pending.bytes += size
        if pending.bytes >= self._limits[BATCH_BYTES] or len(pending.records) >= self._limits[BATCH_RECORDS]:
            self._full[name] = None

    def size(self, name: StreamName) -> tuple[int, int]:
        """How many records of a stream there are, and their bytes."""
        pending = self._streams.get(name)
        return (0, 0) if pending is None else (len(pending.records), pending.bytes)

    def names(self) -> list[StreamName]:
        """The streams of which there are any."""
        return list(self._streams)

    def take_full(self) -> list[StreamName]:
        """The streams that have had enough for a batch since this was last asked."""
        names, self._full = list(self._full), {}
        return names

    def take(self, name: StreamName) -> PendingRecords | None:
        """Those of a stream, which are no longer pending."""
        pending = self._streams.pop(name, None)
        if pending is not None:
            self._undo.append((name, pending, len(pending.records), pending.bytes))
        return pending

    def clear(self) -> None:
        """Forget all."""
        self._streams, self._full = {}, {}
        self.release()

    def savepoint(self) -> int:
        """A point to go back to with `rollback_to`."""
        return len(self._undo)

    def rollback_to(self, savepoint: int) -> None:
        """Forget what was added since, and have again what was taken since."""
        while len(self._undo) > savepoint:
            name, pending, count, size = self._undo.pop()
            if pending is None:
                del self._streams[name]
                continue
            del pending.records[count:]
            pending.bytes = size
            self._streams[name] = pending

    def release(self) -> None:
        """There is no going back behind this point: no savepoint is needed any more."""
        self._undo.clear()
