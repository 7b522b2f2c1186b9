"""What an app has a worker do beside its answers (`ctx.waitUntil`)."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from littoral.functions.messages import WorkerSpec
from littoral.functions.worker.failures import Failures
from littoral.functions.worker.running import Running, current_running


class Background:
    """The tasks of one worker that no answer waits for."""

    def __init__(
        self, spec: WorkerSpec, failures: Failures, began: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        """began, ended: are called as each does."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._spec = spec
        self._failures = failures
        self._began = began
        self._ended = ended
        self._tasks: set[asyncio.Future[object]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether there are any."""
        return bool(self._tasks)

    def start(self, work: Awaitable[object]) -> None:
        """Raises RuntimeError where there are too many."""
        if len(self._tasks) >= self._spec.background:
            raise RuntimeError(f"ctx.waitUntil holds {self._spec.background} tasks already, which is its limit")
        if threading.get_ident() != self._thread:
            # Applications have threads of their own, and the loop is only to be touched from within.
            self._loop.call_soon_threadsafe(self.start, work)
            return
        # It has bounds of its own, and not what its request has left of them.
        running = Running(math.inf, math.inf, self._spec.bounds.cpu_ms)
        running.in_app_code = True
        context = copy_context()
        context.run(current_running.set, running)
        task = self._loop.create_task(_await(work), context=context)
        self._tasks.add(task)
        self._began()
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Future[object]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.raised_in_background(error)
        self._ended()


async def _await(work: Awaitable[object]) -> object:
    return await work
