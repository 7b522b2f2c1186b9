"""Tasks that take their first step at once: to the code that runs in them they are tasks from the beginning."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from littoral.functions.worker.cpu_time import CpuOvertime, CpuTime
from littoral.functions.worker.request_task import RequestTask, begin

Code = Callable[[], Coroutine[Any, Any, None]]
_word = ContextVar("word", default="outside")


class Request:
    """One that is begun as a worker begins it: in a callback of the event loop."""

    def __init__(self, code: Code, allowed_ms: int = 0) -> None:
        self.cpu = CpuTime(allowed_ms)
        self.task: RequestTask | None = None
        self.others: set[asyncio.Task[Any]] = set()
        """Tasks of the loop when the first step was over."""
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._begin, code)

    def _begin(self, code: Code) -> None:
        loop = asyncio.get_running_loop()
        begin(self._tell(code), self.cpu, loop, self._made)
        self.others = asyncio.all_tasks(loop)

    def _made(self, task: RequestTask) -> None:
        self.task = task

    async def _tell(self, code: Code) -> None:
        said = "ended"
        try:
            await code()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            said = repr(error)
        self.task = None
        self.end.set_result(said)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await scenario()

    asyncio.run(main())


def current() -> RequestTask:
    task = asyncio.current_task()
    assert isinstance(task, RequestTask)
    return task


def test_what_ends_in_its_first_step_never_becomes_a_task_of_the_loop() -> None:
    async def scenario() -> None:
        async def code() -> None:
            assert current() not in asyncio.all_tasks()

        request = Request(code)
        assert await request.end == "ended"
        assert request.others == {asyncio.current_task()}
        assert request.cpu.used_us > 0

    run(scenario)


def test_the_current_task_is_the_same_from_the_first_step_on() -> None:
    async def scenario() -> None:
        found: list[asyncio.Task[Any]] = []

        async def code() -> None:
            found.append(current())
            await asyncio.sleep(0)
            found.append(current())
            await asyncio.sleep(0.001)
            found.append(current())

        assert await Request(code).end == "ended"
        assert len(set(found)) == 1

    run(scenario)


def test_a_time_limit_set_in_the_first_step_holds() -> None:
    async def scenario() -> None:
        async def code() -> None:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

        assert await Request(code).end == "TimeoutError()"

        async def later() -> None:
            async with asyncio.timeout(0.005):
                await asyncio.Event().wait()

        assert await Request(later).end == "TimeoutError()"

    run(scenario)


def test_who_cancels_itself_in_the_first_step_is_cancelled_where_it_waits() -> None:
    async def scenario() -> None:
        reached: list[str] = []

        async def code() -> None:
            current().cancel()
            reached.append("after")
            await asyncio.Event().wait()

        assert await Request(code).end == "CancelledError()"
        assert reached == ["after"]

    run(scenario)


def test_one_that_is_cancelled_before_the_loop_has_taken_it_on_ends_what_it_waits_for() -> None:
    async def scenario() -> None:
        awaited = asyncio.get_running_loop().create_future()

        async def code() -> None:
            await awaited

        request = Request(code)
        asyncio.get_running_loop().call_soon(lambda: request.task is not None and request.task.cancel())
        assert await request.end == "CancelledError()"
        assert awaited.cancelled()

    run(scenario)


@pytest.mark.parametrize("waits", [False, True])
def test_whoever_keeps_the_task_sees_it_end(waits: bool) -> None:
    async def scenario() -> None:
        kept: list[asyncio.Task[None]] = []

        async def code() -> None:
            kept.append(current())
            if waits:
                await asyncio.sleep(0)

        assert await Request(code).end == "ended"
        await asyncio.wait_for(kept[0], 1)
        assert kept[0].done()

    run(scenario)


@pytest.mark.parametrize("waits", [False, True])
def test_whoever_wants_to_hear_of_its_end_does(waits: bool) -> None:
    async def scenario() -> None:
        called: list[bool] = []
        never: list[object] = []
        heard = asyncio.Event()

        def hear(task: "asyncio.Future[None]") -> None:
            called.append(task.done())
            heard.set()

        async def code() -> None:
            current().add_done_callback(hear)
            current().add_done_callback(never.append)
            assert current().remove_done_callback(never.append) == 1
            if waits:
                await asyncio.sleep(0)

        assert await Request(code).end == "ended"
        await heard.wait()
        assert (called, never) == ([True], [])

    run(scenario)


def test_what_a_task_tells_of_itself_it_tells_in_the_first_step() -> None:
    async def scenario() -> None:
        async def code() -> None:
            task = current()
            for _ in range(2):
                assert task.get_loop() is asyncio.get_running_loop()
                assert asyncio.iscoroutine(task.get_coro())
                assert "RequestTask" in repr(task)
                assert not task.done()
                assert not task.cancelled()
                await asyncio.sleep(0)

        assert await Request(code).end == "ended"

    run(scenario)


def test_each_has_a_context_of_its_own_and_tasks_that_it_starts_inherit_it() -> None:
    async def scenario() -> None:
        heard: list[str] = []

        async def listen() -> None:
            heard.append(_word.get())

        async def code() -> None:
            heard.append(_word.get())
            _word.set("inside")
            await asyncio.get_running_loop().create_task(listen())
            heard.append(_word.get())

        for _ in range(2):
            assert await Request(code).end == "ended"
        assert heard == ["outside", "inside", "inside"] * 2
        assert _word.get() == "outside"

    run(scenario)


def test_one_that_has_had_its_cpu_time_in_the_first_step_is_ended_where_it_waits() -> None:
    async def scenario() -> None:
        async def code() -> None:
            until_ns = request.cpu.began_ns + 2_000_000
            while request.cpu.step_ns < until_ns - request.cpu.began_ns:
                pass
            await asyncio.sleep(0)

        request = Request(code, allowed_ms=1)
        assert await request.end == repr(CpuOvertime())

    run(scenario)


def test_a_fault_of_ours_reaches_the_loops_handler_and_nobody_else() -> None:
    async def scenario() -> None:
        faults: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, fault: faults.append(fault["exception"]))

        async def broken() -> None:
            raise ValueError

        begun = asyncio.Event()

        def start() -> None:
            begin(broken(), CpuTime(0), loop, lambda _: None)
            begun.set()

        loop.call_soon(start)
        await begun.wait()
        assert [type(each) for each in faults] == [ValueError]

    run(scenario)
