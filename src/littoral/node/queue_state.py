"""Which messages of a queue are to be given to its consumer, decided without I/O.

A queue is a stream: each message has an offset. Below `read` a message is settled unless it has a row; from `read` on none
was given to anybody. `taken` is the memory of who has one now, and is lost with the process: after a restart all that have a
row wait, and are given again.

    a message          becomes        when
    -----------------  -------------  -----------------------------------------------------------------
    seen               later, ready   it has a delay, or none
    later              ready          its time has come
    ready              taken          it is put into a batch; its row then says one attempt more
    taken              settled        it is done, or dead: its row goes
    taken              later          it is to be given again: its row says from when

What changes the rows is returned as `Rows`, to be written in one transaction before anything rests on it: a batch is given
away only when its attempts are on disk, so that a message by which the node ends is counted, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from msgspec import Struct


class Row(Struct, frozen=True, array_like=True):
    """What is kept of a message below `read` that is not settled."""

    attempts: int
    """How often it was given to a consumer."""
    due_ms: int
    """It is not given before; ms since the epoch, 0 for at once."""


@dataclass
class Rows:
    """What is to be written."""

    read: int
    put: dict[int, Row] = field(default_factory=dict)
    remove: list[int] = field(default_factory=list)
    keep_from: int = 0
    """Nobody needs what is before it."""


class Seen(Struct, frozen=True):
    """A message as it stands in the stream."""

    offset: int
    due_ms: int
    size: int


@dataclass(slots=True)
class _Entry:
    attempts: int
    due_ms: int
    size: int
    has_row: bool
    is_taken: bool = False


class QueueState:
    """The messages of one queue."""

    def __init__(self, read: int, rows: Mapping[int, Row]) -> None:
        """read, rows: as they were written last. The messages that have rows are told by `see` as well."""
        self.read = read
        """No message from here on was given to anybody."""
        self.seen = read
        """No message from here on is known here."""
        self._rows = dict(rows)
        """Of messages that `see` has not told of yet."""
        self._entries: dict[int, _Entry] = {}
        self._later: list[tuple[int, int]] = []
        self._ready: list[int] = []
        self._lowest = sorted(rows)
        """A heap of offsets that are not settled, and of some that are."""
        self.below = len(rows)
        """Messages before `read` that are not settled."""
        self.taken = 0
        """Messages that a consumer has now."""

    @property
    def unseen_rows(self) -> list[int]:
        """Offsets of the messages that have rows, and that nobody has told of yet."""
        return sorted(self._rows)

    @property
    def known(self) -> int:
        """Messages that are known and not settled."""
        return len(self._entries) + len(self._rows)

    def unsettled(self, most: int) -> list[tuple[int, int, int]]:
        """The oldest that are known: offset, attempts, and before when it is not given."""
        offsets = sorted(self._entries)[:most]
        return [(offset, self._entries[offset].attempts, self._entries[offset].due_ms) for offset in offsets]

    def ready(self, now_ms: int) -> int:
        """How many could be given to a consumer now."""
        while self._later and self._later[0][0] <= now_ms:
            _, offset = heappop(self._later)
            heappush(self._ready, offset)
        return len(self._ready)

    def next_due_ms(self) -> int | None:
        """When the next of those will be ready that are not."""
        return self._later[0][0] if self._later else None

    def see(self, messages: Iterable[Seen]) -> None:
        """Those at the end of what is known here, in order, or those of `unseen_rows`."""
        for message in messages:
            row = self._rows.pop(message.offset, None)
            if row is None:
                if message.offset < self.seen:
                    continue
                entry = _Entry(0, message.due_ms, message.size, has_row=False)
                self.seen = message.offset + 1
                heappush(self._lowest, message.offset)
            else:
                entry = _Entry(row.attempts, row.due_ms, message.size, has_row=True)
            self._entries[message.offset] = entry
            self._wait(message.offset, entry)

    def skip(self, first: int) -> None:
        """There is nothing before `first` any more."""
        for offset in [offset for offset in self._rows if offset < first]:
            del self._rows[offset]
            self.below -= 1
        self.seen = max(self.seen, first)

    def take(self, now_ms: int, most: int, most_bytes: int) -> tuple[list[tuple[int, int]], Rows]:
        """A batch: offsets with the attempts that this one is, oldest first; one message at least, if there is any."""
        self.ready(now_ms)
        batch: list[tuple[int, int]] = []
        size = 0
        while self._ready and len(batch) < most:
            entry = self._entries[self._ready[0]]
            size += entry.size
            if batch and size > most_bytes:
                break
            batch.append((heappop(self._ready), entry.attempts + 1))
            entry.is_taken = True
            entry.attempts += 1
        rows = Rows(max([self.read, *(offset + 1 for offset, _ in batch)]))
        for offset in range(self.read, rows.read):
            # What is passed over has to be found again.
            if (passed := self._entries.get(offset)) is not None:
                passed.has_row = True
                self.below += 1
                rows.put[offset] = Row(passed.attempts, passed.due_ms)
        rows.put.update({offset: Row(attempts, 0) for offset, attempts in batch})
        self.taken += len(batch)
        self.read = rows.read
        return batch, self._complete(rows)

    def settle(self, done: Iterable[int], again: Mapping[int, int]) -> Rows:
        """What became of messages that were taken. again: offset -> not before, ms since the epoch."""
        rows = Rows(self.read)
        for offset in done:
            if self._entries.pop(offset, None) is not None:
                rows.remove.append(offset)
                self.below -= 1
                self.taken -= 1
        for offset, due_ms in again.items():
            if (entry := self._entries.get(offset)) is not None:
                self._release(entry)
                entry.due_ms = due_ms
                rows.put[offset] = Row(entry.attempts, due_ms)
                self._wait(offset, entry)
        return self._complete(rows)

    def give_back(self, offsets: Iterable[int]) -> Rows:
        """These were taken, and nobody got them: it was no attempt."""
        rows = Rows(self.read)
        for offset in offsets:
            if (entry := self._entries.get(offset)) is not None:
                self._release(entry)
                entry.attempts -= 1
                entry.due_ms = 0
                rows.put[offset] = Row(entry.attempts, 0)
                self._wait(offset, entry)
        return self._complete(rows)

    def purge(self, end: int) -> Rows:
        """Nothing before `end` is to be given to anybody."""
        rows = Rows(
            max(self.read, end), remove=[*self._rows, *(o for o, each in self._entries.items() if each.has_row)]
        )
        self.read = self.seen = rows.read
        self._rows.clear()
        self._entries.clear()
        self._later.clear()
        self._ready.clear()
        self.below = self.taken = 0
        return self._complete(rows)

    def _release(self, entry: _Entry) -> None:
        entry.is_taken = False
        self.taken -= 1

    def _wait(self, offset: int, entry: _Entry) -> None:
        if entry.due_ms:
            heappush(self._later, (entry.due_ms, offset))
        else:
            heappush(self._ready, offset)

    def _complete(self, rows: Rows) -> Rows:
        while self._lowest and self._lowest[0] not in self._entries and self._lowest[0] not in self._rows:
            heappop(self._lowest)
        rows.keep_from = min(rows.read, self._lowest[0]) if self._lowest else rows.read
        return rows
