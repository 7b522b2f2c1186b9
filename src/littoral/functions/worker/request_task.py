"""The task of a request. Whoever starts it takes its first step at once; most requests need no second one, and then it costs the event
loop nothing: no turn, and none of what a task brings along.

Within that step it only stands for a task: the code that runs finds it as the current one, for timeouts and cancel scopes, and it is the
same that goes on. It becomes a task as soon as the code waits for something, or if somebody has kept it beyond its end.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from sys import getrefcount
from types import coroutine
from typing import Any

from littoral.functions.worker.cpu_time import CpuOvertime, CpuTime, take_step, take_steps

_NOBODY_ELSE = 2
"""References to a task that only `begin` knows: its own, and what it asks with."""


class RequestTask(asyncio.Task[None]):
    """See the module."""

    is_task = False
    """Whether it is a task already, and not only stands for one."""
    work: Coroutine[Any, Any, None]
    """What it does."""
    calls: tuple[tuple[Callable[..., object], Context | None], ...] = ()
    """What is to be called at its end, as long as it is none."""

    # What a task that was not set up does not know of itself

    def get_coro(self) -> Any:
        """See asyncio.Task."""
        return super().get_coro() if self.is_task else self.work

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """See asyncio.Future."""
        return super().get_loop() if self.is_task else asyncio.get_running_loop()

    def add_done_callback(self, call: Callable[..., object], /, *, context: Context | None = None) -> None:
        """See asyncio.Future."""
        if self.is_task:
            super().add_done_callback(call, context=context)
        else:
            self.calls = (*self.calls, (call, context))

    def remove_done_callback(self, call: Callable[..., object], /) -> int:
        """See asyncio.Future."""
        if self.is_task:
            return super().remove_done_callback(call)
        before, self.calls = self.calls, tuple(each for each in self.calls if each[0] != call)
        return len(before) - len(self.calls)

    def __repr__(self) -> str:
        return super().__repr__() if self.is_task else f"<{type(self).__name__} pending coro={self.work!r}>"

    def become_task(self, rest: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Let the event loop go on with it. rest: what is left to be done."""
        times_cancelled = self.cancelling()
        asyncio.Task.__init__(self, rest, loop=loop, context=context)
        self.is_task = True
        for call, of in self.calls:
            self.add_done_callback(call, context=of)
        for _ in range(times_cancelled):
            self.cancel()


def begin(
    work: Coroutine[Any, Any, None],
    cpu: CpuTime,
    loop: asyncio.AbstractEventLoop,
    made: Callable[[RequestTask], None],
    context: Context | None = None,
) -> None:
    """Take the first step of `work`, and have the event loop take the others. made: is told of the task before. context: which it is
    done in; without one, a copy of that which this is called in."""
    task = RequestTask.__new__(RequestTask)
    task.work = work
    made(task)
    if context is None:
        context = copy_context()
    _enter_task(loop, task)
    try:
        awaited = take_step(context, work, cpu)
    except StopIteration:
        awaited, has_ended = None, True
    except Exception as error:  # noqa: BLE001 - as tasks do: a fault of one request is not its neighbours'
        loop.call_exception_handler({"message": "a request broke off", "exception": error})
        awaited, has_ended = None, True
    else:
        has_ended = False
    finally:
        _leave_task(loop, task)
    if not has_ended:
        rest = rest_of(work, cpu, awaited)
        # What is thrown into a coroutine that has not begun never reaches the work.
        rest.send(None)
        task.become_task(rest, loop, context)
    elif task.calls or getrefcount(task) > _NOBODY_ELSE:
        task.become_task(_nothing(), loop, context)


@coroutine
def rest_of(work: Coroutine[Any, Any, None], cpu: CpuTime, awaited: Any) -> Generator[Any, Any, None]:
    """All steps but the first, at whose end it awaits this."""
    resume: Callable[[Any], Any] = work.send
    given: Any = None
    try:
        yield
        given = yield awaited
    except BaseException as error:  # noqa: BLE001 - whatever is thrown into the task is for the work to see
        if isinstance(awaited, asyncio.Future):
            awaited.cancel()
        resume, given = work.throw, error
    else:
        if cpu.is_over():
            resume, given = work.throw, CpuOvertime()
    yield from take_steps(work, cpu, resume, given)


async def _nothing() -> None:
    pass
