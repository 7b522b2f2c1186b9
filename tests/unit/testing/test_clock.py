"""Clocks in virtual time."""

import asyncio

from littoral.testing.clock import EPOCH_MS, SimClock
from littoral.testing.loop import run, running_loop


def test_the_wall_clock_follows_virtual_time():
    async def main() -> tuple[int, float]:
        clock = SimClock(running_loop())
        await asyncio.sleep(1.5)
        return clock.wall_ms() - EPOCH_MS, clock.monotonic_s()

    assert run(main) == (1500, 1.5)


def test_a_clock_can_be_ahead_drift_and_step_without_touching_the_monotonic_one():
    async def main() -> list[int]:
        clock = SimClock(running_loop(), offset_ms=5000, drift_ppm=100)
        readings = [clock.wall_ms() - EPOCH_MS]
        await asyncio.sleep(1000)
        readings.append(clock.wall_ms() - EPOCH_MS)
        clock.step(-3_600_000)
        readings.append(clock.wall_ms() - EPOCH_MS)
        assert clock.monotonic_s() == 1000
        return readings

    assert run(main) == [5000, 1_005_100, -2_594_900]


def test_a_drift_that_begins_later_does_not_make_the_clock_jump():
    async def main() -> list[int]:
        clock = SimClock(running_loop())
        await asyncio.sleep(1000)
        clock.drift(-500_000)
        readings = [clock.wall_ms() - EPOCH_MS]
        await asyncio.sleep(10)
        readings.append(clock.wall_ms() - EPOCH_MS)
        return readings

    assert run(main) == [1_000_000, 1_005_000]
