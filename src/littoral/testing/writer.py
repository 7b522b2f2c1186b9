"""The store's writer in virtual time: the same group commit, on the loop instead of a thread.

A group is committed when the disk has "synced", a seeded while after it was taken up; what is submitted meanwhile is
the next group. On a slow disk a part of that while, also seeded, comes after the commit: the group is on the disk then,
and nobody knows. When the power is cut inside a commit, the writer stops as a dead machine does: nobody hears anything.
"""

import asyncio
from collections import deque
from contextvars import copy_context

from littoral.core.errors import Unavailable
from littoral.core.limits import COMMIT_GROUP_JOBS, COMMIT_QUEUE_JOBS, Limits
from littoral.store.committer import Committed, Committer, Job
from littoral.store.writer import Published, refuse_job, resolve
from littoral.testing.disk import SimDisk
from littoral.testing.random import SeededRandom

SYNC_LEAST_S, SYNC_MOST_S = 0.0002, 0.003

Group = list[tuple[Job, "asyncio.Future[object]"]]


class SimWriter:
    """Implements `littoral.store.writer.Writer`."""

    def __init__(self, limits: Limits, random: SeededRandom, disk: SimDisk | None = None) -> None:
        """disk: whose syncs are waited for."""
        self._limits = limits
        self._random = random
        self._disk = disk
        self._queue: deque[tuple[Job, asyncio.Future[object]]] = deque()
        self._handle: asyncio.TimerHandle | None = None
        self._untold: tuple[Group, Committed] | None = None
        """What is committed and still to be told."""
        self._committer: Committer | None = None
        self._stopped = False

    def start(self, committer: Committer, published: Published) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """Of the node, whoever submits."""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._committer = committer
        self._published = published

    def submit(self, job: Job) -> "asyncio.Future[object]":
        if self._stopped or self._committer is None:
            raise Unavailable("write to", "store", "it is closed")
        if len(self._queue) >= self._limits[COMMIT_QUEUE_JOBS]:
            raise refuse_job(self._limits, len(self._queue))
        future: asyncio.Future[object] = self._loop.create_future()
        self._queue.append((job, future))
        self._take_up()
        return future

    async def stop(self) -> None:
        while (self._queue or self._untold) and not self._stopped:
            if self._untold is None:
                self._commit(self._limits[COMMIT_GROUP_JOBS], 0.0)
            else:
                self._tell()
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
        self._untold = None
        if self._handle is not None:
            self._handle.cancel()

    def _take_up(self) -> None:
        """Begin the next group, unless one is under way."""
        if not self._queue or self._handle is not None:
            return
        delay_s = self._random.uniform(SYNC_LEAST_S, SYNC_MOST_S)
        told_after_s, most = 0.0, self._limits[COMMIT_GROUP_JOBS]
        if self._disk is not None and (slow_s := self._disk.draw_sync_delay_s()) > 0:
            told_after_s = slow_s * self._random.random()
            delay_s += slow_s - told_after_s
            most = min(most, len(self._queue))  # who comes later waits for a sync of its own
        self._handle = self._loop.call_later(delay_s, self._commit, most, told_after_s, context=self._context)

    def _commit(self, most: int, told_after_s: float) -> None:
        assert self._committer is not None
        group = [self._queue.popleft() for _ in range(min(len(self._queue), most))]
        committed = self._committer.commit([job for job, _ in group])
        if self._stopped:  # the power went during the commit: whatever reached the disk, nobody is told
            return
        self._untold = (group, committed)
        if told_after_s > 0:
            self._handle = self._loop.call_later(told_after_s, self._tell, context=self._context)
        else:
            self._tell()

    def _tell(self) -> None:
        assert self._untold is not None
        (group, committed), self._untold = self._untold, None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        try:
            resolve(group, committed, self._published)
        except Exception as error:  # noqa: BLE001 -- as in the real one
            self._stopped = True
            if not self._ended.done():
                self._ended.set_exception(error)
            return
        self._take_up()
