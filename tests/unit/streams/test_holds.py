"""Streams that cannot be sent just now."""

from littoral.streams.holds import Holds
from littoral.testing.random import SeededRandom
from tests.support.fakes import FakeClock
from tests.support.stores import name

S, OTHER = name("plant-a/s"), name("plant-a/other")


def test_each_waits_by_itself_ever_longer_until_it_is_released():
    clock = FakeClock()
    holds = Holds(clock, SeededRandom(1), 30_000)
    waits = []
    for _ in range(5):
        holds.hold(S, "full")
        wait_s = holds.next_s(clock.monotonic_s())
        assert wait_s is not None
        waits.append(wait_s)
        assert holds.is_held(S)
        assert not holds.is_held(OTHER)
        clock.advance(seconds=wait_s)
        assert not holds.is_held(S)
    assert waits == sorted(waits)
    assert holds.reasons == {S: "full"}
    holds.release(S)
    assert holds.reasons == {}
    assert holds.next_s(0.0) is None


def test_a_wait_that_ends_between_the_look_and_the_timer_is_not_forgotten():
    clock = FakeClock()
    holds = Holds(clock, SeededRandom(1), 30_000)
    holds.hold(S, "full")
    looked_s = clock.monotonic_s()
    assert holds.is_held(S), "the look"
    clock.advance(seconds=1)
    ended_s = holds.next_s(looked_s)
    assert ended_s is not None
    assert ended_s <= 0
    assert holds.next_s(clock.monotonic_s()) is None, "the next look has seen that it ended"
