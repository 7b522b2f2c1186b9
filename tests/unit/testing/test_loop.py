"""The virtual-time event loop."""

import asyncio
import gc
import threading
import time

import pytest

from littoral.testing.loop import Deadlock, Forbidden, TimeLimitExceeded, node_context, run, running_loop


def test_an_hour_passes_at_once():
    async def main() -> float:
        await asyncio.sleep(3600)
        return running_loop().time()

    began_s = time.monotonic()
    assert run(main) == 3600
    assert time.monotonic() - began_s < 5


def test_things_happen_in_the_order_of_their_times_and_then_of_their_making():
    seen: list[str] = []

    async def after(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        seen.append(f"{running_loop().time():g} {name}")

    async def main() -> None:
        await asyncio.gather(after("a", 2), after("b", 1), *(after(f"c{i}", 1) for i in range(5)), after("d", 0))

    run(main)
    assert seen == ["0 d", "1 b", "1 c0", "1 c1", "1 c2", "1 c3", "1 c4", "2 a"]


def test_timeouts_and_cancellation_work_in_virtual_time():
    async def main() -> str:
        began_s = running_loop().time()
        try:
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        except TimeoutError:
            return f"timed out after {running_loop().time() - began_s:g} s"
        return "no"

    assert run(main) == "timed out after 30 s"


def test_a_cancelled_timer_does_not_move_time():
    async def main() -> float:
        running_loop().call_later(500, lambda: None).cancel()
        await asyncio.sleep(1)
        return running_loop().time()

    assert run(main) == 1


def test_a_deadlock_names_who_waits_where():
    async def wait_for_godot() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_godot(), name="estragon")
            await asyncio.sleep(5)

    with pytest.raises(Deadlock, match=r"after 5\.000000 s:(.|\n)*estragon .*wait_for_godot.*test_loop\.py") as caught:
        run(main, seed=42)
    assert caught.value.__notes__ == ["simulation: seed 42, 5.000000 s"]


def test_what_is_not_done_in_its_virtual_time_is_ended_and_cleaned_up():
    cleaned = []

    async def main() -> None:
        try:
            while True:
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            cleaned.append(True)

    with pytest.raises(TimeLimitExceeded, match="not done after 3600 virtual seconds"):
        run(main, limit_s=3600)
    assert cleaned == [True]


def test_spinning_without_letting_time_pass_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("littoral.testing.loop.STEPS_PER_MOMENT", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TimeLimitExceeded, match=r"spins at 0\.000000 s"):
        run(main)


def test_threads_are_forbidden():
    async def main() -> None:
        await asyncio.to_thread(time.monotonic)

    with pytest.raises(Forbidden, match="threads do not run in virtual time"):
        run(main)


def test_another_thread_may_not_call_in():
    refused: list[BaseException] = []

    def call_in(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(print)
        except Forbidden as error:
            refused.append(error)

    async def main() -> None:
        thread = threading.Thread(target=call_in, args=(running_loop(),))
        thread.start()
        thread.join()

    run(main)
    assert len(refused) == 1


def test_sockets_do_not_exist_in_it():
    async def main() -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    with pytest.raises((Forbidden, NotImplementedError)):
        run(main)


def test_the_same_seed_is_the_same_run_and_another_is_not():
    async def main() -> list[str]:
        log: list[str] = []

        async def worker(name: str) -> None:
            for _ in range(20):
                await asyncio.sleep(running_loop().random.uniform(0, 1))
                log.append(f"{running_loop().time():.9f} {name}")

        await asyncio.gather(*(worker(name) for name in "abc"))
        return log

    assert run(main, seed=1) == run(main, seed=1)
    assert run(main, seed=1) != run(main, seed=2)


def test_the_result_and_the_error_of_main_come_out():
    async def fail() -> None:
        await asyncio.sleep(2)
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        run(fail, seed=3)
    assert caught.value.__notes__ == ["simulation: seed 3, 2.000000 s"]


class TestPause:
    def test_a_paused_node_does_nothing_and_then_all_of_it_in_order(self):
        seen: list[str] = []

        def note(what: str) -> None:
            seen.append(f"{running_loop().time():g} {what}")

        async def work() -> None:
            running_loop().call_later(4, note, "timer of the task")
            for _ in range(3):
                await asyncio.sleep(3)
                note("step")

        async def main() -> None:
            loop = running_loop()
            node = node_context("a")
            task = loop.create_task(work(), context=node)
            loop.call_later(2, note, "timer of a", context=node)
            loop.call_later(2, note, "timer of b", context=node_context("b"))
            await asyncio.sleep(1)
            loop.pause("a")
            assert loop.paused("a")
            loop.call_soon(note, "called meanwhile", context=node)
            await asyncio.sleep(9)
            loop.resume("a")
            loop.resume("b")
            await task

        run(main)
        assert seen == [
            "2 timer of b",
            "10 called meanwhile",
            "10 timer of a",
            "10 timer of the task",
            "10 step",
            "13 step",
            "16 step",
        ]

    def test_what_was_cancelled_meanwhile_does_not_run(self):
        async def main() -> list[str]:
            loop, seen = running_loop(), list[str]()
            loop.pause("a")
            timer = loop.call_later(1, seen.append, "timer", context=node_context("a"))
            task = loop.create_task(asyncio.sleep(1), context=node_context("a"))
            await asyncio.sleep(2)
            timer.cancel()
            task.cancel()
            loop.resume("a")
            await asyncio.wait([task])
            assert task.cancelled()
            return seen

        assert run(main) == []


def test_garbage_is_collected_at_moments_of_the_run_and_not_of_the_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("littoral.testing.loop.COLLECT_PASSES", 100)
    ended: list[int] = []

    class Forgotten:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            ended.append(passes)

    passes = 0

    async def main() -> None:
        nonlocal passes
        Forgotten()
        for passes in range(250):  # noqa: B007 -- what `__del__` reads
            _ = [[] for _ in range(1000)]
            await asyncio.sleep(0)

    run(main)
    assert gc.isenabled()
    first = ended.copy()
    ended.clear()
    run(main)
    assert ended == first
    assert 90 < first[0] < 110
