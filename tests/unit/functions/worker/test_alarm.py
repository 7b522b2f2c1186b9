"""When the alarm of a worker rings. Signals of the process that runs the tests: it sends them to itself."""

import asyncio
import math
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from littoral.functions.worker.alarm import ALARM_S, QUIET_RINGS, Alarm, Overtime
from littoral.functions.worker.cpu_time import CpuTime, dozing, metered, take_steps
from littoral.functions.worker.request_task import rest_of
from littoral.functions.worker.running import Running, current_running


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    dozing.clear()
    signal.signal(signal.SIGALRM, before)


def rings() -> bool:
    return signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0)


def run(scenario: Callable[[Alarm], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario(Alarm(asyncio.get_running_loop()))

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(ALARM_S / 5)


def request_of(work: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
    """A task that works for a request whose answer is a stream: it has no deadline."""
    running = Running(math.inf, wall_s=0.01)
    running.in_app_code = True

    async def handle() -> None:
        await work()

    async def main() -> None:
        current_running.set(running)
        await metered(handle(), running.cpu)

    return asyncio.get_running_loop().create_task(main())


def test_while_requests_wait_it_does_not_ring_and_once_one_goes_on_it_does() -> None:
    async def scenario(alarm: Alarm) -> None:
        go_on = asyncio.Event()
        stopped: list[type[BaseException]] = []

        async def stream() -> None:
            await go_on.wait()
            try:
                until_s = time.monotonic() + 10
                while time.monotonic() < until_s:
                    pass
            except Overtime as error:
                stopped.append(type(error))

        alarm.want()
        streaming = request_of(stream)
        assert rings()
        await until(lambda: not rings())
        go_on.set()
        await streaming
        assert stopped == [Overtime], "it computed for longer than a request may"
        assert rings()

    run(scenario)


def test_a_request_wakes_it_as_well() -> None:
    async def scenario(alarm: Alarm) -> None:
        alarm.want()
        await until(lambda: not rings())
        alarm.want()
        assert rings()
        for _ in range(QUIET_RINGS - 1):
            signal.raise_signal(signal.SIGALRM)
        assert rings(), "it has not been quiet for long"
        signal.raise_signal(signal.SIGALRM)
        assert not rings()
        alarm.keep(busy=False)

    run(scenario)


def test_it_does_not_strike_between_two_steps() -> None:
    async def scenario(alarm: Alarm) -> None:
        async def forever() -> None:
            while True:
                await asyncio.sleep(0)

        works = forever(), forever()
        cpu = CpuTime(0)
        counted: Any = take_steps(works[0], cpu, works[0].send, None)
        rest: Any = rest_of(works[1], cpu, works[1].send(None))
        next(counted)
        next(rest)
        running = Running(deadline=0.0)
        running.in_app_code = True
        current_running.set(running)
        alarm.want()
        with pytest.raises(Overtime):
            alarm._ring(signal.SIGALRM, sys._getframe())
        for ours in (counted, rest):
            alarm._ring(signal.SIGALRM, ours.gi_frame)
            ours.close()
        for work in works:
            work.close()

    run(scenario)
