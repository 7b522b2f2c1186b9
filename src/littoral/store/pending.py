"""Records appended in a group and not yet in a row: jobs that append to one stream share its batches."""

from collections.abc import Iterator, Sequence

from littoral.core.names import StreamName


class PendingRecords:
    """Those of one stream."""

    __slots__ = ("bytes", "first", "records")

    def __init__(self, first: int) -> None:
        self.first = first
        self.records: list[bytes] = []
        self.bytes = 0

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


Mark = dict[StreamName, tuple[PendingRecords, int, int]]


class Pending:
    """Those of all streams."""

    def __init__(self) -> None:
        self._streams: dict[StreamName, PendingRecords] = {}

    def add(self, name: StreamName, first: int, records: Sequence[bytes], size: int) -> None:
        """Records from offset `first` on, `size` bytes of them."""
        pending = self._streams.get(name)
        if pending is None:
            pending = self._streams[name] = PendingRecords(first)
        pending.records.extend(records)
        pending.bytes += size

    def of(self, name: StreamName) -> PendingRecords:
        """Those of a stream; none are added to what is returned."""
        return self._streams.get(name) or PendingRecords(0)

    def items(self) -> list[tuple[StreamName, PendingRecords]]:
        """What is to be written, by stream."""
        return list(self._streams.items())

    def take(self, name: StreamName) -> PendingRecords | None:
        """Those of a stream, which are no longer pending."""
        return self._streams.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._streams = {}

    def mark(self) -> Mark:
        """A point to go back to with `reset`."""
        return {name: (pending, len(pending.records), pending.bytes) for name, pending in self._streams.items()}

    def reset(self, mark: Mark) -> None:
        """Forget what was added since `mark`, and have again what was taken since."""
        self._streams = {}
        for name, (pending, count, size) in mark.items():
            del pending.records[count:]
            pending.bytes = size
            self._streams[name] = pending
