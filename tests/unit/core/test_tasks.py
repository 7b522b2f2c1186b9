import asyncio
import gc

import pytest

from littoral.core.tasks import Tasks, run_apart, run_to_end


def never_fails(error: BaseException) -> None:
    raise AssertionError("no task should have failed") from error


def test_a_task_that_ends_is_forgotten():
    async def run() -> None:
        tasks = Tasks(never_fails)
        done = asyncio.Event()

        async def work() -> None:
            done.set()

        task = tasks.start(work(), "work")
        assert len(tasks) == 1
        assert task.get_name() == "work"
        await task
        assert done.is_set()
        assert len(tasks) == 0

    asyncio.run(run())


def test_an_exception_reaches_the_owner():
    async def run() -> list[BaseException]:
        failed: list[BaseException] = []
        tasks = Tasks(failed.append)
        error = OSError("the disk is gone")

        async def work() -> None:
            raise error

        with pytest.raises(OSError, match="the disk is gone"):
            await tasks.start(work(), "work")
        assert failed == [error]
        return failed

    asyncio.run(run())


def test_a_task_nobody_else_holds_is_not_collected():
    async def run() -> None:
        tasks = Tasks(never_fails)
        ended: list[str] = []
        gates: list[asyncio.Future[None]] = []

        async def work() -> None:
            gate = asyncio.get_running_loop().create_future()
            gates.append(gate)
            await gate
            ended.append("work")

        tasks.start(work(), "work")
        await asyncio.sleep(0)
        gc.collect()
        assert len(tasks) == 1
        gates.pop().set_result(None)
        while len(tasks):
            await asyncio.sleep(0)
        assert ended == ["work"]

    asyncio.run(run())


def test_stop_cancels_all_and_waits_for_their_last_words():
    async def run() -> list[str]:
        tasks = Tasks(never_fails)
        said: list[str] = []

        async def work(name: str) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0)
                said.append(name)

        tasks.start(work("a"), "a")
        tasks.start(work("b"), "b")
        await asyncio.sleep(0)
        await tasks.stop()
        assert len(tasks) == 0
        return said

    assert sorted(asyncio.run(run())) == ["a", "b"]


def test_an_exception_while_stopping_reaches_the_owner_too():
    async def run() -> list[BaseException]:
        failed: list[BaseException] = []
        tasks = Tasks(failed.append)

        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                raise OSError("could not flush")

        tasks.start(work(), "work")
        await asyncio.sleep(0)
        await tasks.stop()
        return failed

    assert [str(error) for error in asyncio.run(run())] == ["could not flush"]


def test_stop_with_nothing_to_stop():
    tasks = Tasks(never_fails)
    asyncio.run(tasks.stop())
    assert len(tasks) == 0


def test_a_cancellation_is_not_lost_in_a_group_that_is_failing():
    async def run() -> None:
        tasks = Tasks(never_fails)
        failing, closing = asyncio.Event(), asyncio.Event()

        async def fails() -> None:
            await failing.wait()
            raise OSError("the link is gone")

        async def takes_long_to_end() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                closing.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        async def group() -> None:
            async with asyncio.TaskGroup() as both:
                both.create_task(fails())
                both.create_task(takes_long_to_end())

        async def again_and_again() -> None:
            while True:
                try:
                    await run_apart(group(), "group")
                except* OSError:
                    failing.clear()

        owner = tasks.start(again_and_again(), "owner")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        failing.set()
        await closing.wait()
        owner.cancel()
        await asyncio.wait([owner], timeout=10)
        assert owner.cancelled()

    asyncio.run(run())


def test_what_runs_apart_gives_its_result_or_its_failure():
    async def seven() -> int:
        return 7

    async def fails() -> int:
        raise OSError("no")

    assert asyncio.run(run_apart(seven(), "seven")) == 7
    with pytest.raises(OSError, match="no"):
        asyncio.run(run_apart(fails(), "fails"))


def test_what_must_be_done_is_done_when_nobody_waits_for_it_any_more():
    async def main() -> None:
        lock, done = asyncio.Lock(), asyncio.Event()

        async def work(*, fails: bool) -> int:
            async with lock:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                done.set()
                if fails:
                    raise ValueError
                return 7

        assert await run_to_end(work(fails=False), "work") == 7
        with pytest.raises(ValueError):
            await run_to_end(work(fails=True), "work")
        for fails in (False, True):
            done.clear()
            caller = asyncio.ensure_future(run_to_end(work(fails=fails), "work"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            async with lock:
                assert done.is_set()

    asyncio.run(main())
