"""The one thread of a process that changes what its node's gateways have on disk of HTTP answers.

Jobs wait in two lines. Purges come first: who asked for one waits for it. What came meanwhile is done in one transaction.
Between them, when there is time, what is left to be given back is: bit by bit, so that nobody waits for it for long.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import apsw

from littoral.core.errors import StorageError
from littoral.drivers.cache_index import DAMAGED, as_storage, transaction
from littoral.drivers.cache_put import Store
from littoral.drivers.disk import storage_error

LINGER_S = 0.02
"""What nobody waits for waits so long for more of its kind."""
JOBS_AT_ONCE = 256
BYTES_AT_ONCE = 8 << 20
REMOVED_AT_ONCE = 64
WAITING_MOST = 100_000
"""Jobs. With more of them the disk does not answer."""


class Job:
    """Something to be done within a transaction."""

    number = 0
    """Its place among those that are done in their turn."""

    def __init__(
        self,
        apply: Callable[[], Any],
        *,
        prepare: Callable[[], None] | None = None,
        weight: int = 0,
        done: "asyncio.Future[Any] | None" = None,
    ) -> None:
        """prepare: what comes before the transaction. weight: bytes that it holds in memory. done: is told what `apply` returned,
        or why it could not be done: StorageError. Neither of the calls raises anything but apsw.Error."""
        self.apply = apply
        self.prepare = prepare
        self.weight = weight
        self._done = done
        self._loop = done.get_loop() if done is not None else None

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody does."""
        return self._done is not None

    def tell(self, outcome: object) -> None:
        """Whoever waits for it. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                self._loop.call_soon_threadsafe(self._resolve, outcome)

    def _resolve(self, outcome: object) -> None:
        assert self._done is not None
        if self._done.done():
            return
        if isinstance(outcome, StorageError):
            self._done.set_exception(outcome)
        else:
            self._done.set_result(outcome)


class CacheWriter:
    """See above."""

    def __init__(self, connection: apsw.Connection, store: Store) -> None:
        self.failure: StorageError | None = None
        """Why it does nothing any more."""
        self.submitted = 0
        """How many jobs there were, purges apart."""
        self.finished = 0
        """How many of these are done."""
        self.waiting_bytes = 0
        self._connection = connection
        self._store = store
        self._index = store.index
        self._place = store.place
        self._lock = threading.Condition()
        self._first: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self._is_hurried = False
        """Whether somebody waits for one of the jobs."""
        self._is_ending = False
        self._unswept: list[str] = []
        """Folders that may hold files without a name in the index."""
        self._thread = threading.Thread(target=self._run, name="cache-writer", daemon=True)

    def start(self, *, sweeps: bool) -> None:
        """Begin. sweeps: whether to look for all that was left behind. Raises OSError, apsw.Error."""
        with transaction(self._connection):
            for instance in self._place.remove_ended():
                self._index.end_instance(instance)
        if sweeps:
            self._unswept = self._place.folders()
        self._thread.start()

    def stop(self) -> None:
        """End, once all is done that was asked for."""
        with self._lock:
            self._is_ending = True
            self._lock.notify()
        self._thread.join()

    def submit(self, job: Job) -> int:
        """Do it in its turn; returns its number. Raises StorageError where nothing is done any more."""
        with self._lock:
            self._check()
            self.submitted += 1
            job.number = self.submitted
            self.waiting_bytes += job.weight
            self._jobs.append(job)
            self._is_hurried = self._is_hurried or job.is_waited_for
            self._lock.notify()
            return job.number

    def submit_first(self, job: Job) -> None:
        """Do it before all others. Raises StorageError where nothing is done any more."""
        with self._lock:
            self._check()
            self._first.append(job)
            self._lock.notify()

    def _check(self) -> None:
        if self.failure is None and len(self._jobs) >= WAITING_MOST:
            self.failure = StorageError(
                "write", self._place.index, f"{WAITING_MOST} changes wait for the disk", "See the disk's own messages"
            )
        if self.failure is not None:
            raise self.failure

    # The thread

    def _run(self) -> None:
        is_tidy = False
        while (batch := self._take(wait=is_tidy)) is not None:
            is_tidy = self._guarded(self._do, batch) and self._guarded(self._tidy)
            with self._lock:
                self.waiting_bytes -= sum(job.weight for job in batch)
                if self.failure is not None:
                    self._first.extendleft(batch)
                    break
        failure = self.failure or StorageError("write", self._place.index, "it was closed")
        for job in (*self._first, *self._jobs):
            job.tell(failure)

    def _guarded(self, work: Callable[..., bool], *arguments: Any) -> bool:
        """What the work says. Where it fails, nothing more is done."""
        try:
            return work(*arguments)
        except apsw.Error as error:
            if isinstance(error, DAMAGED):
                self._place.mark_damaged()
            self.fail(as_storage(error, "write", self._place.index))
        except OSError as error:
            self.fail(storage_error("write", self._place.index, error))
        except Exception as error:  # noqa: BLE001 -- a fault of ours: whoever waits is told, and the node goes on without this
            self.fail(StorageError("write", self._place.index, repr(error)))
        return True

    def fail(self, error: StorageError) -> None:
        """Do nothing any more."""
        with self._lock:
            self.failure = self.failure or error
            self._lock.notify()

    def _take(self, *, wait: bool) -> list[Job] | None:
        """What is done next, which may be nothing if there is no `wait`; None at the end."""
        with self._lock:
            # Other processes want to write, too, while this one gives back a lot.
            self._lock.wait_for(lambda: self._first or self._jobs or self._is_ending, None if wait else LINGER_S)
            if self._jobs:
                self._lock.wait_for(lambda: self._first or self._is_hurried or self._is_ending, LINGER_S)
            if self._is_ending and not (self._first or self._jobs):
                return None
            batch = list(self._first)
            self._first.clear()
            size = 0
            while self._jobs and len(batch) < JOBS_AT_ONCE and size <= BYTES_AT_ONCE:
                batch.append(self._jobs.popleft())
                size += batch[-1].weight
            self._is_hurried = any(job.is_waited_for for job in self._jobs)
            return batch

    def _do(self, batch: list[Job]) -> bool:
        if not batch:
            return True
        for place, job in enumerate(batch):
            if job.prepare is not None:
                if place and self._first:
                    self._put_back(batch, place)
                    break
                job.prepare()
        with transaction(self._connection):
            self._index.begin()
            outcomes = [job.apply() for job in batch]
        for job, outcome in zip(batch, outcomes, strict=True):
            job.tell(outcome)
            self.finished = max(self.finished, job.number)
        return True

    def _put_back(self, batch: list[Job], place: int) -> None:
        """Somebody waits for a purge: do the rest of these afterwards."""
        with self._lock:
            self._jobs.extendleft(reversed(batch[place:]))
            del batch[place:]

    # What is left to be given back

    def _tidy(self) -> bool:
        """A bit of it. Whether nothing more is to be done."""
        with transaction(self._connection):
            self._index.begin()
            files = self._index.garbage(REMOVED_AT_ONCE)
            for file in files:
                self._place.remove(file)
            self._index.removed(files)
            given_back = self._index.give_back()
            excess = self._index.taken_bytes() - self._store.most_bytes
            evicted = self._index.evict(excess) if excess > 0 else 0
            if self._unswept:
                self._sweep(self._unswept.pop())
        return not (files or given_back or evicted or self._unswept)

    def _sweep(self, folder: str) -> None:
        """Nobody puts a file in its place meanwhile."""
        for file in self._place.files(folder):
            if not self._index.is_known(file):
                self._place.remove(file)
