"""The operating system's clocks."""

import asyncio
import time

import uvloop

from littoral.drivers.clock import SystemClock


def test_the_wall_clock_is_the_system_s():
    assert abs(SystemClock().wall_ms() - time.time() * 1000) < 1000


def test_the_monotonic_clock_is_the_one_of_the_event_loops():
    async def difference_s() -> float:
        return abs(asyncio.get_running_loop().time() - SystemClock().monotonic_s())

    assert asyncio.run(difference_s()) < 0.5
    assert uvloop.run(difference_s()) < 0.5
