"""What a node's gateways have on disk of HTTP answers, as one of them uses it: metadata in an index, bodies in it or in files.

the event loop      looks things up in the index: some ten microseconds while its pages are in memory
threads             read and write bodies
one thread          changes the index, and writes what is to be kept (littoral.drivers.cache_writer)
"""

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from littoral.core.clock import Clock
from littoral.core.errors import StorageError
from littoral.core.random import Random
from littoral.drivers.cache_body import FileBody, FileSpool, Shelf
from littoral.drivers.cache_changes import IndexWriter
from littoral.drivers.cache_index import (
    DAMAGED,
    UNUSABLE,
    IndexReader,
    New,
    Place,
    Row,
    State,
    as_storage,
    open_index,
    place_of,
)
from littoral.drivers.cache_place import CachePlace
from littoral.drivers.cache_put import PutFromMemory, PutSpooled, Store
from littoral.drivers.cache_summary import CacheSummary
from littoral.drivers.cache_writer import CacheWriter, Job
from littoral.drivers.disk import storage_error
from littoral.gateway.cache.disk_objects import Found
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.meters import DiskMeter
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge, tags_of
from littoral.wire.caching.validation import expired

THREADS = 4
ATTEMPTS = 3
"""To open what several processes find damaged at once."""
USED_S = 600
"""That an object was used is written down once in so long."""
FREE_PART = 2
"""Of what would be free without it, it takes one part in so many at most."""
FILE_NAME_BYTES = 16


class CacheDisk:
    """Implements `littoral.gateway.cache.disk_objects.DiskObjects`."""

    def __init__(self, root: Path, clock: Clock, random: Random, meter: DiskMeter) -> None:
        """Set `queue_bytes`, and `resize` it, before it is opened."""
        self.queue_bytes = 0
        """Of bodies that wait to be written."""
        self._clock = clock
        self._random = random
        self._meter = meter
        self._wanted_bytes = 0
        self._rules: dict[bytes, None] = {}
        self._place = CachePlace(root, random.token_bytes(FILE_NAME_BYTES).hex())
        self._threads = ThreadPoolExecutor(THREADS, "cache-disk")
        self._shelf = Shelf(self._place, self._threads, self._opened, self._lost)
        self._connections: list[apsw.Connection] = []
        self._writer: CacheWriter | None = None
        self._has_missed = False
        """Whether something is to be forgotten that nobody wrote down."""
        self._pending: OrderedDict[str, int] = OrderedDict()
        """URLs of which something is on its way into the index, and by which job."""
        self._spools: dict[str, FileSpool] = {}
        self._reading = threading.Lock()

    # Beginning and end

    async def open(self) -> Position | None:
        """See DiskObjects.open."""
        loop = asyncio.get_running_loop()
        await self._stop()
        position = await loop.run_in_executor(self._threads, self._open)
        if self._has_missed:
            await self.clear()
            self._has_missed = False
        return position

    async def close(self) -> None:
        """See DiskObjects.close."""
        await self._stop()
        await asyncio.get_running_loop().run_in_executor(self._threads, self._place.leave)
        self._threads.shutdown()

    async def _stop(self) -> None:
        if self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._writer.stop)
            self._has_missed = self._has_missed or self._writer.finished < self._writer.submitted
            self._writer = None
            self._summary.close()
        for connection in self._connections:
            connection.close(force=True)
        self._connections.clear()
        self._pending.clear()

    def _open(self) -> Position | None:
        """By a thread. Raises StorageError."""
        for _ in range(ATTEMPTS):
            is_alone = self._place.enter()
            if not self._place.is_damaged:
                try:
                    return self._connect(sweeps=is_alone)
                except UNUSABLE:
                    self._place.mark_damaged()
                except apsw.Error as error:
                    raise as_storage(error, "open", self._place.index) from error
                except OSError as error:
                    raise storage_error("open", self._place.index, error) from error
            if is_alone:
                self._place.begin_anew()
        # Another process uses it. It notices in a moment, and lets go of it, too.
        self._place.let_go()
        raise _damaged(self._place)

    def _connect(self, *, sweeps: bool) -> Position | None:
        """Raises apsw.Error, OSError, StorageError, UnknownFormat."""
        self._place.settle()
        try:
            for _ in range(3):
                self._connections.append(open_index(self._place.index))
            self._finder, self._reader = map(IndexReader, self._connections[:2])
            index = IndexWriter(self._connections[2], self._meter)
            index.use(list(self._rules))
            state = self._reader.state()
            self._note_state(state)
            self._summary = self._summarise(is_alone=sweeps)
            self._store = Store(index, self._summary, self._place, self._clock, self._meter)
            self._store.most_bytes = self._most_bytes(state.bytes)
            writer = CacheWriter(self._connections[2], self._store)
            writer.start(sweeps=sweeps)
            self._place.share()
        except BaseException:
            for connection in self._connections:
                connection.close(force=True)
            self._connections.clear()
            raise
        self._writer = writer
        return state.position

    def _summarise(self, *, is_alone: bool) -> CacheSummary:
        """Raises OSError, apsw.Error."""
        summary = CacheSummary(self._place.summary)
        if summary.is_new or (is_alone and summary.is_full):
            summary.fill(self._reader.keys())
        return summary

    def resize(self, most_bytes: int) -> None:
        """See DiskObjects.resize."""
        self._wanted_bytes = most_bytes
        self.look()
        if self._writer is not None:
            with contextlib.suppress(StorageError):  # Then nothing is written at all.
                self._writer.submit(Job(lambda: None))

    def _most_bytes(self, held_bytes: int) -> int:
        """What all objects may take now. Raises OSError."""
        return min(self._wanted_bytes, (held_bytes + self._place.free_bytes()) // FREE_PART)

    def look(self) -> None:
        """Bring the meter up to date, and the bound to what is free."""
        if self._writer is None:
            return
        if self._place.is_damaged:
            self._writer.fail(_damaged(self._place))
        with contextlib.suppress(apsw.Error, OSError):  # Whoever needs it is told.
            state = self._finder.state()
            self._note_state(state)
            self._store.most_bytes = self._most_bytes(state.bytes)

    def _note_state(self, state: State) -> None:
        self._meter.objects, self._meter.bytes = state.objects, state.bytes

    @property
    def is_idle(self) -> bool:
        """Whether all is done that was asked for."""
        return self._writer is None or self._writer.finished == self._writer.submitted

    @property
    def reserved_bytes(self) -> int:
        """What this process may write of bodies that are still coming."""
        return self._store.reserved_bytes

    # What is there

    def find(self, key: str) -> list[Found]:
        """See DiskObjects.find."""
        if not self._may_look(key) or not self._summary.may_have(key):
            return []
        with self._readable():
            return [self._found(row) for row in self._finder.find(key)]

    def of_url(self, url: str) -> list[Found]:
        """See DiskObjects.of_url."""
        if not self._may_look(url):
            return []
        with self._readable():
            return [self._found(row) for row in self._finder.of_url(url)]

    def _may_look(self, key: str) -> bool:
        """Whether all that was done with it is done in the index. Raises StorageError where nothing is done any more."""
        writer = self._writer
        if writer is None:
            return False
        if writer.failure is not None:
            raise writer.failure
        return not self._pending or self._pending.get(key.partition(SEPARATOR)[0], 0) <= writer.finished

    def _found(self, row: Row) -> Found:
        stored = expired(row.stored) if row.is_expired else row.stored
        if not row.file:
            if self._store.now_s() - row.used_s > USED_S:
                self._submit(row.key, partial(self._store.index.touch, row.id, self._store.now_s()))
            return Found(row.id, row.key, row.variant, stored, tags_of(stored.fields), row.size, None)
        body = FileBody(row.file, row.size, row.used_s, self._shelf)
        return Found(row.id, row.key, row.variant, stored, tags_of(stored.fields), row.size, body)

    def _opened(self, body: FileBody) -> None:
        self._meter.hits += 1
        self._used(body)

    def _used(self, body: FileBody) -> None:
        now_s = self._store.now_s()
        if now_s - body.used_s > USED_S:
            body.used_s = now_s
            self._submit(None, partial(self._store.index.touch_file, body.name, now_s))

    def _lost(self, body: FileBody) -> None:
        """It is not there, or not as it was."""
        self._submit(None, partial(self._store.index.drop_file, body.name))

    async def load(self, found: Found) -> bytes | None:
        """See DiskObjects.load."""
        body = await asyncio.get_running_loop().run_in_executor(self._threads, self._load, found)
        if isinstance(found.body, FileBody):
            if body is None:
                self._lost(found.body)
            else:
                self._used(found.body)
        return body

    def _load(self, found: Found) -> bytes | None:
        """By a thread. Raises StorageError."""
        if isinstance(found.body, FileBody):
            return found.body.read_whole()
        with self._reading, self._readable():
            return self._reader.body(found.number)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Raises StorageError for what SQLite does."""
        try:
            yield
        except apsw.Error as error:
            if isinstance(error, DAMAGED):
                self._place.mark_damaged()
            raise as_storage(error, "read", self._place.index) from error

    # What changes

    def put(self, entry: Entry, before: Entry | None, known: Position) -> None:
        """See DiskObjects.put."""
        writer, stands = self._writer, None if before is None else _place_of(before)
        if writer is None:
            self._has_missed = True
        elif isinstance(entry.body, FileBody):
            new = New(entry.key, entry.variant, entry.stored, entry.body.size, None, entry.body.name, None)
            self._submit(entry.key, partial(self._store.freshen, new, known))
        elif writer.waiting_bytes + entry.size > self.queue_bytes:
            self._meter.refused += 1
            self.drop(entry)
        else:
            put = PutFromMemory(self._store, entry, stands, known, self._file_name())
            self._submit(entry.key, put.apply, prepare=put.prepare, weight=entry.size)

    def put_spooled(self, entry: Entry, before: Entry | None, known: Position) -> Awaitable[bool]:
        """See DiskObjects.put_spooled."""
        assert isinstance(entry.body, FileBody), entry.key
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        stands = None if before is None else _place_of(before)
        put = PutSpooled(self._store, entry, stands, known, self._spools[entry.body.name])
        self._submit(entry.key, put.apply, done=done)
        return self._settled(done)

    @staticmethod
    async def _settled(done: Awaitable[bool]) -> bool:
        with contextlib.suppress(StorageError):  # Whoever looks something up next is told.
            return await done
        return False

    def drop(self, entry: Entry) -> None:
        """See DiskObjects.drop."""
        if self._writer is None:
            self._has_missed = True
        else:
            self._submit(entry.key, partial(self._store.index.drop, _place_of(entry)))

    def drop_url(self, url: str) -> None:
        """See DiskObjects.drop_url."""
        if self._writer is None:
            self._has_missed = True
        else:
            self._submit(url, partial(self._store.index.drop_url, url))

    def use(self, rules: Iterable[bytes]) -> None:
        """See DiskObjects.use."""
        self._rules |= dict.fromkeys(rules)
        if self._writer is not None:
            self._submit(None, partial(self._store.index.use, list(self._rules)))

    def purge(self, purges: Sequence[Purge], until: Position, known: Position | None) -> Awaitable[list[int]]:
        """See DiskObjects.purge."""
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._submit_first(lambda: self._store.index.purge(purges, until, known), done)
        return done

    def clear(self) -> Awaitable[None]:
        """See DiskObjects.clear."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit_first(lambda: self._store.index.clear(), done)
        return done

    def spool(self) -> FileSpool | None:
        """See DiskObjects.spool."""
        if self._writer is None:
            return None
        try:
            spool = FileSpool(self._file_name(), self._shelf, self._reserve, self._finish, self._close)
        except OSError:
            self._meter.errors += 1
            return None
        self._spools[spool.name] = spool
        return spool

    async def _reserve(self, more: int) -> bool:
        """Whether a body that is still coming may take so much more."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._submit(None, partial(self._store.reserve, more), done=done)
        return await self._settled(done)

    def _finish(self, spool: FileSpool) -> FileBody:
        return FileBody(spool.name, spool.written, self._store.now_s(), self._shelf)

    def _close(self, spool: FileSpool) -> None:
        """Nobody reads it any more."""
        del self._spools[spool.name]
        if not spool.is_kept:
            self._submit(None, partial(self._give_up, spool))

    def _give_up(self, spool: FileSpool) -> None:
        """By the writer's thread."""
        self._place.remove_spooled(spool.name)
        self._store.reserve(-spool.reserved)

    def _submit(
        self,
        key: str | None,
        apply: Callable[[], object],
        *,
        prepare: Callable[[], None] | None = None,
        weight: int = 0,
        done: "asyncio.Future[bool] | None" = None,
    ) -> None:
        """Have the writer do something. key: under which nothing is looked up before it is done."""
        try:
            if self._writer is None:
                raise _closed(self._place)
            number = self._writer.submit(Job(apply, prepare=prepare, weight=weight, done=done))
        except StorageError as error:
            self._has_missed = True
            if done is not None:
                done.set_exception(error)
            return
        if key is not None:
            self._note_pending(key.partition(SEPARATOR)[0], number, self._writer.finished)

    def _submit_first(self, apply: Callable[[], object], done: "asyncio.Future[Any]") -> None:
        try:
            if self._writer is None:
                raise _closed(self._place)
            self._writer.submit_first(Job(apply, done=done))
        except StorageError as error:
            done.set_exception(error)

    def _note_pending(self, url: str, number: int, finished: int) -> None:
        self._pending[url] = number
        self._pending.move_to_end(url)
        while self._pending and next(iter(self._pending.values())) <= finished:
            self._pending.popitem(last=False)

    def _file_name(self) -> str:
        return self._random.token_bytes(FILE_NAME_BYTES).hex()


def _place_of(entry: Entry) -> Place:
    return place_of(entry.key, entry.variant, entry.stored)


def _damaged(place: CachePlace) -> StorageError:
    return StorageError("use", place.index, "it is damaged", "It is begun anew once no gateway of the node uses it")


def _closed(place: CachePlace) -> StorageError:
    return StorageError("write", place.index, "it is not open")
