"""CPU time of requests is counted in steps, and ends work that takes too much between them."""

import asyncio
import time

import pytest

from littoral.functions.worker import cpu_time
from littoral.functions.worker.cpu_time import SHORT_NS, CpuOvertime, CpuTime, metered


def compute(ms: int) -> None:
    until_ns = time.thread_time_ns() + ms * 1_000_000
    while time.thread_time_ns() < until_ns:
        pass


def test_only_its_own_steps_count():
    async def work() -> str:
        compute(5)
        await asyncio.sleep(0)
        compute(5)
        return "done"

    async def main() -> tuple[CpuTime, CpuTime]:
        one, other = CpuTime(0), CpuTime(0)
        results = await asyncio.gather(metered(work(), one), metered(asyncio.sleep(0), other))
        assert tuple(results) == ("done", None)
        return one, other

    one, other = asyncio.run(main())
    assert one.used_us >= 10_000
    assert other.used_us < one.used_us


def test_work_that_awaits_is_ended_at_its_bound():
    async def work() -> None:
        while True:
            compute(1)
            await asyncio.sleep(0)

    with pytest.raises(CpuOvertime):
        asyncio.run(metered(work(), CpuTime(20)))


def test_work_that_swallows_it_is_interrupted_again():
    interrupted = 0

    async def work() -> None:
        nonlocal interrupted
        while interrupted < 2:
            try:
                while True:
                    compute(1)
                    await asyncio.sleep(0)
            except CpuOvertime:
                interrupted += 1

    cpu = CpuTime(5)
    asyncio.run(metered(work(), cpu))
    assert cpu.used_us >= 100_000


def test_a_step_knows_that_it_is_over_and_gets_a_little_more():
    cpu = CpuTime(1)
    cpu.began_ns = time.perf_counter_ns()
    compute(2)
    assert cpu.is_over()
    assert not cpu.is_over()


class Clocks:
    """Of the wall and of the thread, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_ns = self.thread_ns = 1
        monkeypatch.setattr(cpu_time, "_now_ns", lambda: self.wall_ns)
        monkeypatch.setattr(cpu_time, "_thread_ns", lambda: self.thread_ns)

    def run(self, wall_ns: int, thread_ns: int) -> None:
        self.wall_ns += wall_ns
        self.thread_ns += thread_ns


def test_what_is_long_is_counted_by_the_clock_of_the_thread(monkeypatch: pytest.MonkeyPatch):
    clocks = Clocks(monkeypatch)

    async def work(cpu: CpuTime) -> None:
        clocks.run(SHORT_NS, SHORT_NS)
        cpu.look()
        clocks.run(10 * SHORT_NS, 7_000)
        assert cpu.step_ns == SHORT_NS + 7_000, "the time in which it waited is nobody's"

    cpu = CpuTime(0)
    asyncio.run(metered(work(cpu), cpu))
    assert (cpu.used_ns, cpu.step_ns) == (SHORT_NS + 7_000, 0)


def test_what_is_not_looked_at_counts_as_short(monkeypatch: pytest.MonkeyPatch):
    clocks = Clocks(monkeypatch)

    async def work() -> None:
        clocks.run(10 * SHORT_NS, 0)

    cpu = CpuTime(0)
    asyncio.run(metered(work(), cpu))
    assert cpu.used_ns == SHORT_NS


def test_cancelling_and_exceptions_pass_through():
    seen = []

    async def work() -> None:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise ValueError("after") from None

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(metered(work(), CpuTime(0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(ValueError, match="after"):
            await task

    asyncio.run(main())
    assert seen == ["cancelled"]
