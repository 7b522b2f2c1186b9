"""When groups are committed, and on which thread.

`ThreadWriter` is the real one: it commits at once when idle, and whatever arrives during a sync is the next
group; there is no timer. The simulator brings its own (`littoral.testing.writer`), which commits in virtual time.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from littoral.core.errors import LimitReached, Unavailable
from littoral.core.limits import COMMIT_GROUP_JOBS, COMMIT_QUEUE_JOBS, Limits
from littoral.store.committer import Committed, Committer, Job, deliver

Published = Callable[[Committed], None]


class Writer(Protocol):
    """Takes jobs from the event loop, and gives their results back on it."""

    def start(self, committer: Committer, published: Published) -> None:
        """Begin. `published` is called on the event loop after each group, before its futures are resolved."""
        ...

    def submit(self, job: Job) -> "asyncio.Future[object]":
        """Queue a job. The future ends after the group that holds it is synced.

        Raises: LimitReached when too many are waiting, Unavailable after `stop`.
        """
        ...

    async def stop(self) -> None:
        """Commit what is queued, then end."""
        ...

    async def ended(self) -> None:
        """Return after `stop`. Raises what ended the writer before: nothing is written from then on."""
        ...


def refuse_job(limits: Limits, waiting: int) -> LimitReached:
    """The error for a job that finds so many waiting that it cannot."""
    limits.hit(COMMIT_QUEUE_JOBS)
    return LimitReached("write to", "store", f"{waiting} jobs are waiting for the disk", "Slow down; try again later")


class ThreadWriter:
    """One thread that owns the connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queue: deque[tuple[Job, asyncio.Future[object]]] = deque()
        self._work = threading.Condition()
        self._stopping = False
        self._watch_failure: Exception | None = None
        """What who watches the store failed with."""
        self._thread: threading.Thread | None = None

    def start(self, committer: Committer, published: Published) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(committer, published), name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> "asyncio.Future[object]":
        if self._stopping or self._thread is None:
            raise Unavailable("write to", "store", "it is closed")
        if len(self._queue) >= self._limits[COMMIT_QUEUE_JOBS]:
            raise refuse_job(self._limits, len(self._queue))
        future: asyncio.Future[object] = self._loop.create_future()
        with self._work:
            self._queue.append((job, future))
            self._work.notify()
        return future

    @property
    def waiting(self) -> int:
        """Jobs not yet taken up."""
        return len(self._queue)

    async def stop(self) -> None:
        if self._thread is None:
            return
        with self._work:
            self._stopping = True
            self._work.notify()
        await asyncio.wait([self._ended])

    async def ended(self) -> None:
        await asyncio.shield(self._ended)

    def _take(self) -> list[tuple[Job, "asyncio.Future[object]"]]:
        with self._work:
            while not self._queue and not self._stopping:
                self._work.wait()
            count = min(len(self._queue), self._limits[COMMIT_GROUP_JOBS])
            return [self._queue.popleft() for _ in range(count)]

    def _run(self, committer: Committer, published: Published) -> None:
        group: list[tuple[Job, asyncio.Future[object]]] = []
        failure: Exception | None = None
        try:
            while group := self._take():
                committed = committer.commit([job for job, _ in group])
                self._loop.call_soon_threadsafe(self._resolve, group, committed, published)
                group = []
                committer.settle()
        except BaseException as error:  # noqa: BLE001 -- the end of a thread: `ended` raises it
            # Not the exception itself: SystemExit would end the event loop, and not by way of the hub.
            failure = RuntimeError(f"the store's writer ended: {error!r}")
            failure.__cause__ = error
        self._loop.call_soon_threadsafe(self._end, group, failure)

    def _resolve(
        self, group: "list[tuple[Job, asyncio.Future[object]]]", committed: Committed, published: Published
    ) -> None:
        try:
            resolve(group, committed, published)
        except Exception as error:  # noqa: BLE001 -- who watches the store failed: `ended` raises it
            # Not before the thread is through: whoever is told closes what it works on.
            self._watch_failure = self._watch_failure or error
            with self._work:
                self._stopping = True
                self._work.notify()

    def _end(self, group: "list[tuple[Job, asyncio.Future[object]]]", failure: Exception | None) -> None:
        """The thread is gone: nobody is going to do what it has left."""
        self._stopping = True
        for _, future in (*group, *self._queue):
            if not future.done():
                future.set_exception(Unavailable("write to", "store", f"its writer failed ({failure})"))
        self._queue.clear()
        if (failure := self._watch_failure or failure) is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)


def resolve(group: "list[tuple[Job, asyncio.Future[object]]]", committed: Committed, published: Published) -> None:
    """Tell everybody about a group that is on disk (or failed). Raises what a watcher raises, after that."""
    try:
        published(committed)
    finally:
        for (_, future), result in zip(group, committed.results, strict=True):
            if future.done():
                continue
            value, error = deliver(result)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
