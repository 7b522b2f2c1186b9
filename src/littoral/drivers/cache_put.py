"""One object on its way to the disk, from memory or from the spool."""

from littoral.core.clock import Clock
from littoral.drivers.cache_body import FileSpool
from littoral.drivers.cache_changes import IndexWriter
from littoral.drivers.cache_index import New, Place, Put, cost_of, digest_of, place_of
from littoral.drivers.cache_place import CachePlace
from littoral.drivers.cache_summary import CacheSummary
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.meters import DiskMeter
from littoral.gateway.cache.position import Position

INLINE_BYTES = 32 << 10
"""A body up to this lies in the index: a file of its own would take longer to open than to read."""


class Store:
    """What objects are put into. The writer's thread uses it."""

    def __init__(
        self, index: IndexWriter, summary: CacheSummary, place: CachePlace, clock: Clock, meter: DiskMeter
    ) -> None:
        self.index = index
        self._summary = summary
        self.place = place
        self.most_bytes = 0
        self._clock = clock
        self._meter = meter
        self.reserved_bytes = 0
        """For bodies that are still coming."""

    def put(self, new: New, before: Place | None, known: Position) -> bool:
        """Whether the body is to be put in its place now: its object is in the index. What is not stored is not to be found any
        more as it was before, either. Raises apsw.Error."""
        outcome = Put.REFUSED
        if self.index.make_room(self.most_bytes, cost_of(new)):
            outcome = self.index.put(new, before, known, self.now_s())
            self._summary.add(new.key)
        self._count(outcome, place_of(new.key, new.variant, new.stored))
        return outcome is Put.INSERTED

    def freshen(self, new: New, known: Position) -> None:
        """An object whose body is in a file has other fields now. Raises apsw.Error."""
        outcome = self.index.freshen(new, known, self.now_s())
        self._count(outcome, place_of(new.key, new.variant, new.stored))

    def move(self, new: New) -> bool:
        """Put a body in its place. Whether that could be done. Raises apsw.Error."""
        try:
            self.place.put_in_place(new.file)
        except OSError:
            self._meter.errors += 1
            self.index.drop_file(new.file)
            return False
        return True

    def reserve(self, more: int) -> bool:
        """Bodies that are still coming may take so much more, or less. Whether there is room. Raises apsw.Error."""
        if more > 0 and not self.index.make_room(self.most_bytes, more):
            self._meter.refused += 1
            return False
        self.reserved_bytes = max(0, self.reserved_bytes + more)
        self.index.reserve(self.place.instance, self.reserved_bytes)
        return True

    def now_s(self) -> int:
        """By the wall clock."""
        return self._clock.wall_ms() // 1000

    def failed(self) -> None:
        """A body could not be written."""
        self._meter.errors += 1

    def _count(self, outcome: Put, place: Place) -> None:
        if outcome is Put.REFUSED:
            self._meter.refused += 1
            self.index.drop(place)
        else:
            self._meter.stored += 1


class PutFromMemory:
    """A body that memory holds, too."""

    def __init__(self, store: Store, entry: Entry, before: Place | None, known: Position, file: str) -> None:
        """file: the name of its file, if it gets one."""
        self._store = store
        self._entry = entry
        self._before = before
        self._known = known
        body = entry.pieces[0]
        is_inline = len(body) <= INLINE_BYTES
        self._new = New(entry.key, entry.variant, entry.stored, len(body), None, file, None)
        if is_inline:
            self._new = self._new._replace(body=body, file="")
        self._is_written = False

    def prepare(self) -> None:
        """Write what is not there yet. Raises apsw.Error."""
        body, store = self._entry.pieces[0], self._store
        self._new = self._new._replace(digest=digest_of(body))
        if self._new.file and store.index.held(self._new) is None:
            try:
                store.place.write(self._new.file, body)
                self._is_written = True
            except OSError:
                store.failed()

    def apply(self) -> None:
        """Put it in. Raises apsw.Error."""
        store, new = self._store, self._new
        if store.put(new, self._before, self._known) and new.file:
            if self._is_written:
                store.move(new)
            else:
                store.index.drop_file(new.file)
        elif self._is_written:
            store.place.remove_spooled(new.file)


class PutSpooled:
    """A body that was written as it came."""

    def __init__(self, store: Store, entry: Entry, before: Place | None, known: Position, spool: FileSpool) -> None:
        self._store = store
        self._new = New(entry.key, entry.variant, entry.stored, spool.written, None, spool.name, None)
        self._before = before
        self._known = known
        self._spool = spool

    def apply(self) -> bool:
        """Whether it is an object now. Raises apsw.Error."""
        store, spool = self._store, self._spool
        store.reserve(-spool.reserved)
        spool.reserved = 0
        spool.is_kept = store.put(self._new, self._before, self._known) and store.move(self._new)
        return spool.is_kept
