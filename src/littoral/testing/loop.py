"""A virtual-time event loop: when nothing is ready, time jumps to the next timer.

Rules:

- Callbacks run in the order they were scheduled; timers that are due at the same moment run in the order they were set.
- Time moves only when nothing is ready, and straight to the next timer. Computing takes no time.
- No timer, nothing ready and not done is a deadlock, and is raised with the tasks that wait.
- There are no threads, executors, sockets, signals or subprocesses: using one is an error, because its outcome would
  not depend on the seed alone.
- What runs in the context of a node (`node_context`) belongs to that node: callbacks, timers and tasks inherit it. A
  node that is paused does none of it until it is resumed, and then does it in the order in which it would have.
"""

# ruff: noqa: SLF001 -- an event loop runs the handles that asyncio hands it
import asyncio
import gc
import heapq
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

from littoral.testing.random import SeededRandom, seeded_sqlite

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LIMIT_S = 24 * 3600.0
"""Virtual seconds after which a run is taken to be stuck, unless told otherwise."""
STEPS_PER_MOMENT = 1_000_000
"""Passes of the loop without time moving, after which a run is taken to spin."""
COLLECT_PASSES = 20_000
"""Passes of the loop between two collections of garbage. Python's own collector runs when so much was allocated, which
differs between processes, and with it the moment at which a forgotten generator ends."""

COLLECT_ALL_RUNS = 200
"""Runs between two collections of all garbage of the process."""
_runs = count(1)

NODE: ContextVar[str] = ContextVar("node")
"""The node that what is running belongs to. Not set: the world around the nodes."""


def node_context(node: str) -> Context:
    """A copy of the current context in which what is run, and all that it starts, belongs to `node`."""
    context = copy_context()
    context.run(NODE.set, node)
    return context


class SimulationError(Exception):
    """The simulated program cannot go on. Raised out of `run`, never inside the program."""


class Deadlock(SimulationError):
    """Every task waits for something that will not happen."""


class TimeLimitExceeded(SimulationError):
    """The program was not done within its virtual time, or spins without letting time pass."""


class Forbidden(SimulationError):
    """The program used something whose outcome does not depend on the seed alone."""


class _Handle(asyncio.Handle):
    """As asyncio's, without what only its debug mode needs: there is one for every step of every task."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    """As `_Handle`."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False

    def cancel(self) -> None:
        """As in asyncio. The loop drops what was cancelled when it comes up."""
        self._cancelled = True
        self._callback = None  # type: ignore[assignment]
        self._args = None  # type: ignore[assignment]


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
        self._passes = 0
        self._ready: deque[Any]  # BaseEventLoop's, of handles
        self._stopping: bool  # BaseEventLoop's
        self._closed: bool  # BaseEventLoop's
        self._parked: dict[str, list[Any]] = {}
        """What the nodes that are paused would have done."""
        self._owner = threading.get_ident()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def pause(self, node: str) -> None:
        """Let nothing run that belongs to `node`, as when its process is stopped. Its timers come due all the same."""
        self._parked.setdefault(node, [])

    def resume(self, node: str) -> None:
        """Run what `node` would have done meanwhile, in that order, and let it go on. Nothing if it is not paused.

        Also when it died while it was paused: its tasks, cancelled by then, need a step to end.
        """
        self._ready.extend(self._parked.pop(node, ()))

    def close(self) -> None:
        """As in asyncio. Timers that were never due hold on to nothing from here on."""
        super().close()
        self._timers.clear()
        self._parked.clear()

    def resume_all(self) -> None:
        """Resume every node that is paused."""
        for node in list(self._parked):
            self.resume(node)

    def paused(self, node: str) -> bool:
        """Whether `node` is paused."""
        return node in self._parked

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As in asyncio."""
        assert not self._closed, "the simulation is over"
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio, and timers of the same moment keep their order."""
        assert not self._closed, "the simulation is over"
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio."""
        assert not self._closed, "the simulation is over"
        when = self._now_s + delay
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

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

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    def _process_events(self, event_list: object) -> None:
        """There is no selector that could report any."""

    def _run_once(self) -> None:
        """Until the loop is to stop: move time if nothing is ready, then run what was ready at its start."""
        timers, ready, parked = self._timers, self._ready, self._parked
        while True:
            self._passes += 1
            if self._passes % COLLECT_PASSES == 0:
                gc.collect()
            if ready or self._stopping:
                self._count_step()
            else:
                self._advance()
            while timers and timers[0][0] <= self._now_s:
                ready.append(heapq.heappop(timers)[2])
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                if parked and self._park(handle):
                    continue
                # Not handle._run(), which would be one call more for every step of every task.
                try:
                    handle._context.run(handle._callback, *handle._args)
                except BaseException as error:  # noqa: BLE001 -- as asyncio does
                    self._callback_failed(handle, error)
            if self._stopping:
                return

    def _callback_failed(self, handle: Any, error: BaseException) -> None:
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise error
        self.call_exception_handler({"message": f"Exception in {handle._callback!r}", "exception": error})

    def _park(self, handle: Any) -> bool:
        """Whether it belongs to a node that is paused; then it is run once that is resumed."""
        node = handle._context.get(NODE)
        if node not in self._parked:
            return False
        self._parked[node].append(handle)
        return True

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > STEPS_PER_MOMENT:
            self._steps = 0
            raise TimeLimitExceeded(f"the program spins at {self._now_s:.6f} s:\n{self._describe_tasks()}")

    def _advance(self) -> None:
        self._steps = 0
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"nothing will happen after {self._now_s:.6f} s:\n{self._describe_tasks()}")
        when = timers[0][0]
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
    sqlite = seeded_sqlite(SeededRandom(seed).fork("sqlite"))
    with sqlite, _collected_by_the_loop(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main())
        except BaseException as error:
            loop.resume_all()  # what is paused could not be ended
            error.add_note(f"simulation: seed {seed}, {loop.time():.6f} s")
            raise


@contextmanager
def _collected_by_the_loop() -> Iterator[None]:
    """Leave the collection of garbage to the loop, and what there is already out of it."""
    if not gc.isenabled():
        yield
        return
    if next(_runs) % COLLECT_ALL_RUNS == 0:
        gc.collect()  # what earlier runs left behind while somebody still held it
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()  # while it looks at nothing but what this run has made
        gc.unfreeze()
        gc.enable()


def running_loop() -> SimLoop:
    """The virtual-time loop this runs in."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop), "not in a simulation: use littoral.testing.loop.run"
    return loop
