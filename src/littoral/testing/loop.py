"""A virtual-time event loop: when nothing is ready, time jumps to the next timer.

Rules:

- Callbacks run in the order they were scheduled; timers that are due at the same moment run in the order they were set.
- Time moves only when nothing is ready, and straight to the next timer. Computing takes no time.
- No timer, nothing ready and not done is a deadlock, and is raised with the tasks that wait.
- There are no threads, executors, sockets, signals or subprocesses: using one is an error, because its outcome would
  not depend on the seed alone.
"""

# ruff: noqa: SLF001 -- an event loop runs the handles that asyncio hands it
import asyncio
import heapq
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextvars import Context
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

from littoral.testing.random import SeededRandom

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LIMIT_S = 24 * 3600.0
"""Virtual seconds after which a run is taken to be stuck, unless told otherwise."""
STEPS_PER_MOMENT = 1_000_000
"""Passes of the loop without time moving, after which a run is taken to spin."""


class SimulationError(Exception):
    """The simulated program cannot go on. Raised out of `run`, never inside the program."""


class Deadlock(SimulationError):
    """Every task waits for something that will not happen."""


class TimeLimitExceeded(SimulationError):
    """The program was not done within its virtual time, or spins without letting time pass."""


class Forbidden(SimulationError):
    """The program used something whose outcome does not depend on the seed alone."""


class SimLoop(asyncio.BaseEventLoop):
    """The event loop. `time()` starts at 0; `random` is the run's source of chance."""

    def __init__(self, seed: int = 0, limit_s: float = LIMIT_S) -> None:
        super().__init__()
        self.random = SeededRandom(seed)
        self._now_s = 0.0
        self._limit_s = limit_s
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers: Iterator[int] = count()
        self._steps = 0
        self._ready: Any  # BaseEventLoop's deque of handles
        self._owner = threading.get_ident()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio, and timers of the same moment keep their order."""
        assert not self.is_closed(), "the simulation is over"
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`; raises Forbidden on another thread."""
        if threading.get_ident() != self._owner:
            raise Forbidden("another thread called into the simulation")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> "asyncio.Future[T]":
        """Raises Forbidden."""
        raise Forbidden(f"run_in_executor({func!r}): threads do not run in virtual time")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when they come up; asyncio counts them instead."""

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    def _process_events(self, event_list: object) -> None:
        """There is no selector that could report any."""

    def _run_once(self) -> None:
        """One pass: move time if nothing is ready, then run what was ready at its start."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if self._ready or getattr(self, "_stopping", False):
            self._count_step()
        else:
            self._advance()
        while self._timers and self._timers[0][0] <= self._now_s:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._ready.append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > STEPS_PER_MOMENT:
            self._steps = 0
            raise TimeLimitExceeded(f"the program spins at {self._now_s:.6f} s:\n{self._describe_tasks()}")

    def _advance(self) -> None:
        self._steps = 0
        if not self._timers:
            raise Deadlock(f"nothing will happen after {self._now_s:.6f} s:\n{self._describe_tasks()}")
        when = self._timers[0][0]
        if when > self._limit_s:
            limit_s, self._limit_s = self._limit_s, float("inf")  # let the tasks be cancelled and cleaned up
            raise TimeLimitExceeded(f"not done after {limit_s:g} virtual seconds:\n{self._describe_tasks()}")
        self._now_s = max(self._now_s, when)

    def _describe_tasks(self) -> str:
        lines = []
        for task in asyncio.all_tasks(self):
            frames = task.get_stack(limit=1)
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "not started"
            lines.append(f"  {task.get_name()} ({task.get_coro()!r}) waits at {where}")
        return "\n".join(sorted(lines)) or "  no tasks"


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: int = 0, limit_s: float = LIMIT_S) -> T:
    """Run `main()` in virtual time and return its result.

    `limit_s` bounds the virtual seconds. What `main` raises leaves with a note of seed and moment. Raises
    SimulationError where the program cannot go on.
    """
    loop = SimLoop(seed, limit_s)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main())
        except BaseException as error:
            error.add_note(f"simulation: seed {seed}, {loop.time():.6f} s")
            raise


def running_loop() -> SimLoop:
    """The virtual-time loop this runs in."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop), "not in a simulation: use littoral.testing.loop.run"
    return loop
