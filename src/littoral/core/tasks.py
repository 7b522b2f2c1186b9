"""Background tasks that somebody owns: none is garbage-collected while it runs, and no exception is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """The background tasks of one object. An exception in any of them goes to `failed`, which must not ignore it."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self.failed = failed
        """Receives what ends a task."""
        # In the order in which they were started: they are ended in that order, and a simulation repeats exactly.
        self._running: dict[asyncio.Task[Any], None] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[None, None, T], name: str) -> asyncio.Task[T]:
        """Run `work` until it ends or `stop` is called."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    def abandon(self) -> None:
        """Cancel all without waiting; what they end with is nobody's business any more."""
        self.failed = lambda error: None
        for task in self._running:
            task.cancel()

    async def stop(self) -> None:
        """Cancel all, and wait until they have ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def run_to_end(work: Coroutine[None, None, T], name: str) -> T:
    """Wait for `work` in a task of its own, which goes on when the caller is cancelled.

    For what must not be left half done: files and rows that change together. A lock that keeps others out meanwhile is taken
    within `work`, so that it is held until the end, and nobody has to wait for a disk that does not answer to stop waiting.
    """
    return await asyncio.shield(asyncio.get_running_loop().create_task(work, name=name))


async def run_apart(work: Coroutine[None, None, T], name: str) -> T:
    """Wait for `work` in a task of its own, so that a cancellation of the caller ends it, and is never lost.

    For what uses task groups: up to Python 3.12 a group that is failing at that moment raises its failures in place of the
    cancellation, and who handles those and goes on cannot be stopped any more.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()
