"""CPU time of one request: what its task and the tasks that it starts take of the event loop's thread, step by step.

Reading the thread's own clock is a call of the kernel, and a request that is answered at once would pay for it twice. So short steps
are counted by the wall clock: they can be overstated by what the kernel gave to others meanwhile, and each by no more than SHORT_NS.
A step that takes longer meets the worker's alarm, which has it counted by the thread's clock from there on (`CpuTime.look`).

A step that does not end is interrupted by the alarm, which asks `CpuTime.is_over`; between steps `metered` looks itself. What threads of
the app compute is not counted: the kernel shares processors among threads, and the request's wall time ends.
"""

import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

MORE_NS = 100_000_000
"""Code that goes on when it was interrupted is interrupted again after so much more."""
SHORT_NS = 50_000_000
"""After so long the alarm has rung."""

dozing: list[Callable[[], None]] = []
"""Wakes the alarm, where it does not ring though there are requests: none of them computes, and the next step that one takes, which is
not its first, calls this."""

_now_ns = time.perf_counter_ns
_thread_ns = time.thread_time_ns


class CpuOvertime(BaseException):
    """Raised inside the app's code at its bound. Not an Exception, so that `except Exception` does not swallow it."""


class CpuTime:
    """Of one request."""

    __slots__ = ("_before_ns", "_looked_ns", "allowed_ns", "began_ns", "is_looked_at", "used_ns")

    def __init__(self, allowed_ms: int) -> None:
        """allowed_ms: 0 for as much as it likes."""
        self.allowed_ns = allowed_ms * 1_000_000
        self.used_ns = 0
        """In the steps that have ended."""
        self.began_ns = 0
        """By the wall clock, when the step under way began; 0 between steps."""
        self.is_looked_at = False
        """Whether the step under way is counted by the thread's clock."""
        self._looked_ns = 0
        """That clock when it began to be."""
        self._before_ns = 0
        """What the step had taken by then."""

    @property
    def used_us(self) -> int:
        """Until now, in microseconds."""
        return (self.used_ns + self.step_ns) // 1000

    @property
    def step_ns(self) -> int:
        """How much of it the step took that is under way."""
        if self.is_looked_at:
            return self._before_ns + _thread_ns() - self._looked_ns
        return min(_now_ns() - self.began_ns, SHORT_NS) if self.began_ns else 0

    def look(self) -> None:
        """The step takes long: count what it takes from now on by the thread's clock."""
        if self.began_ns and not self.is_looked_at:
            self._before_ns = self.step_ns
            self._looked_ns = _thread_ns()
            self.is_looked_at = True

    def end_step(self) -> None:
        """Count a step that took long."""
        self.used_ns += self.step_ns
        self.began_ns = 0
        self.is_looked_at = False

    def is_over(self) -> bool:
        """Whether it has had all that it may take; if so, it may take a little more to come to an end."""
        used_ns = self.used_ns + self.step_ns
        if not self.allowed_ns or used_ns <= self.allowed_ns:
            return False
        self.allowed_ns = used_ns + MORE_NS
        return True


def take_step(context: Context, work: Coroutine[Any, Any, object], cpu: CpuTime) -> Any:
    """The first step of `work`, counted. Returns what it awaits; raises StopIteration at its end, and what it raises."""
    began_ns = cpu.began_ns = _now_ns()
    try:
        return context.run(work.send, None)
    finally:
        # As below.
        took_ns = _now_ns() - began_ns
        if took_ns < SHORT_NS and not cpu.is_looked_at:
            cpu.used_ns += took_ns
            cpu.began_ns = 0
        else:
            cpu.end_step()


@coroutine
def take_steps(
    work: Coroutine[Any, Any, Result], cpu: CpuTime, resume: Callable[[Any], Any], given: Any
) -> Generator[Any, Any, Result]:
    """All steps of `work`, or those that are left, counted. resume, given: how the first of them is taken."""
    while True:
        if dozing:
            dozing.pop()()
        began_ns = cpu.began_ns = _now_ns()
        try:
            awaited = resume(given)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            # Written out for steps that are short, as nearly all are: a call would cost more than what it does.
            took_ns = _now_ns() - began_ns
            if took_ns < SHORT_NS and not cpu.is_looked_at:
                cpu.used_ns += took_ns
                cpu.began_ns = 0
            else:
                cpu.end_step()
        try:
            given = yield awaited
            resume = work.send
        except BaseException as error:  # noqa: BLE001 - whatever is thrown into the task is for the work to see
            resume, given = work.throw, error
        else:
            if cpu.allowed_ns and cpu.used_ns > cpu.allowed_ns and cpu.is_over():
                resume, given = work.throw, CpuOvertime()


async def metered(work: Coroutine[Any, Any, Result], cpu: CpuTime) -> Result:
    """The result of `work`, whose steps are counted; at the bound, CpuOvertime is thrown into it."""
    return await take_steps(work, cpu, work.send, None)
