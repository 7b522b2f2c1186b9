"""What is asked of a link at once follows what it carries."""

import asyncio
from functools import partial

import pytest

from littoral.streams.pace import FLOOR_BYTES, REQUEST_TIMEOUT_S, REST_S, START_BYTES, Pace
from littoral.testing.loop import run
from tests.support.fakes import FakeClock
from tests.support.neighbours import CHILD, Neighbours
from tests.support.stores import name

MOST = 1 << 20
S, ALERTS = name(f"{CHILD}/s"), name(f"{CHILD}/alerts")


class Pipe:
    """A link that carries one thing after the other, and what is sent on it without a pause."""

    def __init__(self, rate: float, round_trip_s: float) -> None:
        self.clock = FakeClock()
        self.pace = Pace(self.clock, MOST, 4)
        self.rate = rate
        self.round_trip_s = round_trip_s
        self.worst_s = 0.0
        """The longest that a frame took since this was set to 0."""

    def send(self, *sizes: int) -> None:
        """All at once."""
        began = [(self.pace.sent(), size) for size in sizes]
        self.clock.advance(seconds=self.round_trip_s)
        for sent, size in began:
            self.clock.advance(seconds=size / self.rate)
            took_s = self.clock.monotonic_s() - sent.at_s
            self.worst_s = max(self.worst_s, took_s)
            self.pace.ended()
            if took_s > self.pace.timeout_s:
                self.pace.failed()
            else:
                self.pace.answered(sent, size)

    def fill(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            self.send(*[self.pace.bytes] * self.pace.frames)


def test_a_quick_link_carries_large_frames_and_several_at_once():
    pipe = Pipe(100e6, 0.02)
    pipe.fill()
    assert (pipe.pace.bytes, pipe.pace.frames) == (MOST, 4)


def test_a_long_link_that_is_quick_is_not_idle_between_frames():
    pipe = Pipe(10e6, 0.15)
    pipe.fill()
    assert pipe.pace.bytes == MOST
    assert pipe.pace.frames >= 3


@pytest.mark.parametrize("rate", [20e3, 50e3, 100e3, 250e3, 1e6])
@pytest.mark.parametrize("hello", [0, 500])
def test_at_a_slow_link_what_is_on_its_way_takes_about_a_second_from_the_beginning(rate, hello):
    pipe = Pipe(rate, 0.1)
    if hello:
        pipe.send(hello)
    pipe.send(pipe.pace.bytes)
    assert pipe.worst_s < 4, "what is not known yet"
    pipe.worst_s = 0.0
    pipe.fill(100)
    assert pipe.worst_s < 1.3
    assert pipe.pace.bytes * pipe.pace.frames > rate / 2


def test_large_frames_do_not_hide_that_a_link_has_become_slow():
    pipe = Pipe(10e6, 0.1)
    pipe.send(500)
    pipe.fill()
    pipe.rate = 250e3
    pipe.fill(1)
    pipe.worst_s = 0.0
    pipe.fill(200)
    assert pipe.worst_s < 1.5


@pytest.mark.parametrize("size", [200, 6_000, 20_000])
def test_after_quiet_traffic_no_more_is_sent_at_once_than_at_the_beginning(size):
    pipe = Pipe(10e6, 0.05)
    pipe.fill()
    for _ in range(60):
        pipe.send(size)
        pipe.clock.advance(seconds=1)
    pipe.rate = 100e3
    assert pipe.pace.bytes * pipe.pace.frames <= 4 * START_BYTES
    pipe.worst_s = 0.0
    pipe.fill()
    assert pipe.worst_s < 3


def test_after_a_rest_it_begins_anew():
    pipe = Pipe(10e6, 0.05)
    pipe.fill()
    pipe.clock.advance(seconds=REST_S)
    assert (pipe.pace.bytes, pipe.pace.frames) == (START_BYTES, 1)


def test_a_parent_that_answers_late_is_not_sent_smaller_frames_for_it():
    pipe = Pipe(100e6, 6.0)
    pipe.send(500)
    pipe.fill()
    assert pipe.pace.bytes == MOST


def test_a_parent_that_no_longer_answers_late_does_not_hide_that_the_link_is_slow():
    pipe = Pipe(100e6, 6.0)
    pipe.send(500)
    pipe.fill()
    pipe.rate, pipe.round_trip_s = 250e3, 0.1
    pipe.fill(2)
    pipe.worst_s = 0.0
    pipe.fill()
    assert pipe.worst_s < 1.5


def test_a_small_piece_behind_a_large_one_does_not_say_how_long_the_way_is():
    pipe = Pipe(250e3, 0.1)
    pipe.send(500)
    for _ in range(300):
        pipe.send(pipe.pace.bytes, 500)
    pipe.worst_s = 0.0
    pipe.fill(1)
    assert pipe.worst_s < 1.3


def test_what_is_never_answered_in_time_is_made_smaller_and_then_waited_for():
    pace = Pace(FakeClock(), MOST, 4)
    for _ in range(2):
        pace.failed()
    assert (pace.bytes, pace.timeout_s) == (FLOOR_BYTES, REQUEST_TIMEOUT_S)
    pace.failed()
    assert (pace.bytes, pace.timeout_s) == (FLOOR_BYTES, REQUEST_TIMEOUT_S * 2)
    sent = pace.sent()
    pace.ended()
    pace.answered(sent, 500)
    assert pace.timeout_s == REQUEST_TIMEOUT_S * 2, "a small piece says nothing of a large one"


@pytest.mark.parametrize("quiet", [False, True], ids=["backlog", "quiet"])
@pytest.mark.parametrize("rate", [50e3, 100e3, 250e3])
def test_at_a_full_link_an_alert_waits_for_about_a_second(rate, quiet, seed):
    async def main() -> None:
        both = Neighbours(seed)
        both.link.delay_s, both.link.bytes_per_s = 0.05, rate
        loop, random = asyncio.get_running_loop(), both.below.random
        if quiet:
            both.start()
            for _ in range(30):
                await both.append(both.child, S, random.token_bytes(200))
                await asyncio.sleep(1)
        for _ in range(int(rate) * 20 // 20_000):
            await both.append(both.child, S, *(random.token_bytes(1_000) for _ in range(20)))
        if not quiet:
            both.start()
        waits = []
        for n in range(8):
            await asyncio.sleep(random.uniform(0.5, 1.5))
            began_s = loop.time()
            await both.append(both.child, ALERTS, b"%d" % n, lane="alerts")
            await both.until(partial(_has, both, n + 1))
            waits.append(loop.time() - began_s)
        assert both.uplink.outbox.depth("telemetry").records, "the link was full all the time"
        assert max(waits) < 2.5, waits
        assert sum(waits) / len(waits) < 1.6, waits
        assert both.uplink.state.sessions == 1
        await both.stop()

    run(main, seed)


def _has(both: Neighbours, count: int) -> bool:
    return len(both.at_parent(ALERTS)) == count
