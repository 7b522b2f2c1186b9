"""How fast a lane is sent, and when it will be empty."""

import asyncio

import pytest

from littoral.streams.flow import AVERAGED_S, Flow, Rate
from littoral.testing.clock import SimClock
from littoral.testing.loop import run


def test_an_average_is_right_from_the_first_second_on_and_follows_a_change():
    rate = Rate(100.0)
    assert rate.per_s(100.0) == 0
    for tenth in range(20):
        rate.add(85, 100 + tenth / 10)
    assert rate.per_s(102.0) == pytest.approx(850, rel=0.05)
    assert rate.per_s(102 + 5 * AVERAGED_S) < 8
    for second in range(120):
        rate.add(10, 300.0 + second)
    assert rate.per_s(420.0) == pytest.approx(10, rel=0.1)


def test_a_queue_that_shrinks_says_when_it_is_empty_and_one_that_does_not_says_nothing():
    async def main() -> None:
        flow = Flow(SimClock(asyncio.get_running_loop()))
        assert flow.of("telemetry", 5).empty_s is None, "nothing is known"
        for _ in range(60):
            await asyncio.sleep(1)
            flow.arrived("telemetry", 100)
            flow.shipped("telemetry", 300, 30_000)
            flow.arrived("bulk", 300)
            flow.shipped("bulk", 100, 10_000)
        shrinks = flow.of("telemetry", 2_000)
        assert shrinks.records_s == pytest.approx(300, rel=0.05)
        assert shrinks.bytes_s == pytest.approx(30_000, rel=0.05)
        assert shrinks.empty_s == pytest.approx(10, rel=0.05)
        grows = flow.of("bulk", 2_000)
        assert grows.records_s == pytest.approx(100, rel=0.05)
        assert grows.empty_s is None
        assert flow.of("bulk", 0).empty_s == 0

    run(main)
