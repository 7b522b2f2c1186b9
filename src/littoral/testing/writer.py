"""The store's writer in virtual time: the same group commit, on the loop instead of a thread.

A group is committed when the disk has "synced", a seeded while after it was taken up; what is submitted meanwhile is
the next group. When the power is cut inside a commit, the writer stops as a dead machine does: nobody hears anything.
"""

import asyncio
from collections import deque

from littoral.core.errors import Unavailable
from littoral.core.limits import COMMIT_GROUP_JOBS, Limits
from littoral.store.committer import Committer, Job
from littoral.store.writer import Published, resolve
from littoral.testing.random import SeededRandom

SYNC_LEAST_S, SYNC_MOST_S = 0.0002, 0.003


class SimWriter:
    """Implements `littoral.store.writer.Writer`."""

    def __init__(self, limits: Limits, random: SeededRandom) -> None:
        self._limits = limits
        self._random = random
        self._queue: deque[tuple[Job, asyncio.Future[object]]] = deque()
        self._handle: asyncio.TimerHandle | None = None
        self._committer: Committer | None = None
        self._stopped = False

    def start(self, committer: Committer, published: Published) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._committer = committer
        self._published = published

    def submit(self, job: Job) -> "asyncio.Future[object]":
        if self._stopped or self._committer is None:
            raise Unavailable("write to", "store", "it is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        self._queue.append((job, future))
        if self._handle is None:
            self._handle = self._loop.call_later(self._random.uniform(SYNC_LEAST_S, SYNC_MOST_S), self._commit)
        return future

    async def stop(self) -> None:
        while self._queue and not self._stopped:
            self._commit()
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
        if not self._ended.done():
            self._ended.set_result(None)

    async def ended(self) -> None:
        await asyncio.shield(self._ended)

    def kill(self) -> None:
        """As when the process dies: what is queued is never committed, and nobody is told."""
        self._stopped = True
        self._queue.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _commit(self) -> None:
        assert self._committer is not None
        self._handle = None
        count = min(len(self._queue), self._limits[COMMIT_GROUP_JOBS])
        group = [self._queue.popleft() for _ in range(count)]
        committed = self._committer.commit([job for job, _ in group])
        if self._stopped:  # the power went during the commit: whatever reached the disk, nobody is told
            return
        try:
            resolve(group, committed, self._published)
        except Exception as error:  # noqa: BLE001 -- as in the real one
            self._stopped = True
            if not self._ended.done():
                self._ended.set_exception(error)
            return
        if self._queue and self._handle is None:
            self._handle = self._loop.call_later(self._random.uniform(SYNC_LEAST_S, SYNC_MOST_S), self._commit)
