import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.core.hlc import COUNTER_BITS, FUTURE_SKEW_MS, LEAD_MOST_MS, HybridClock, hlc_ms


class SetClock:
    """A wall clock that shows what it was set to."""

    def __init__(self, wall_ms: int) -> None:
        self.ms = wall_ms

    def wall_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        raise AssertionError("the hybrid clock needs the wall clock only")


def test_a_timestamp_carries_the_wall_clock():
    assert hlc_ms(HybridClock(SetClock(1_700_000_000_000)).now()) == 1_700_000_000_000


def test_timestamps_of_one_millisecond_differ():
    hybrid = HybridClock(SetClock(1000))
    first, second, third = hybrid.now(), hybrid.now(), hybrid.now()
    assert (second - first, third - second) == (1, 1)
    assert hlc_ms(third) == 1000


def test_a_clock_set_back_does_not_take_timestamps_back():
    clock = SetClock(5000)
    hybrid = HybridClock(clock)
    before = hybrid.now()
    clock.ms = 1000
    assert hybrid.now() == before + 1


def test_a_clock_set_back_while_the_node_was_off_does_not_either():
    stored = 9000 << COUNTER_BITS
    assert HybridClock(SetClock(1000), last=stored).now() == stored + 1


def test_a_full_counter_runs_on_into_the_next_millisecond():
    last_of_ms = (1000 << COUNTER_BITS) + (1 << COUNTER_BITS) - 1
    assert hlc_ms(HybridClock(SetClock(1000), last=last_of_ms).now()) == 1001


def test_a_write_after_an_observed_one_is_later():
    hybrid = HybridClock(SetClock(1000))
    seen = 3000 << COUNTER_BITS
    hybrid.observe(seen)
    assert hybrid.now() > seen


def test_observing_the_past_changes_nothing():
    hybrid = HybridClock(SetClock(1000))
    mine = hybrid.now()
    hybrid.observe(mine - 1)
    assert hybrid.last == mine


def test_a_timestamp_at_the_allowed_skew_is_taken():
    hybrid = HybridClock(SetClock(1000))
    at_bound = (1000 + FUTURE_SKEW_MS) << COUNTER_BITS
    hybrid.observe(at_bound)
    assert hybrid.last == at_bound


def test_a_timestamp_beyond_the_allowed_skew_is_refused_and_leaves_no_trace():
    hybrid = HybridClock(SetClock(1000))
    mine = hybrid.now()
    with pytest.raises(InvalidInput, match=f"{FUTURE_SKEW_MS + 1} ms ahead.*NTP"):
        hybrid.observe((1000 + FUTURE_SKEW_MS + 1) << COUNTER_BITS)
    assert hybrid.last == mine


Steps = st.lists(st.tuples(st.sampled_from(["now", "observe"]), st.integers(0, 100_000)), max_size=50)


def test_a_clock_set_back_by_more_than_the_lead_takes_later_timestamps_with_it():
    clock = SetClock(86_400_000)
    hybrid = HybridClock(clock)
    hybrid.now()
    clock.ms = 1000
    first, second = hybrid.now(), hybrid.now()
    assert (hlc_ms(first), second - first) == (1000, 1)


def test_one_key_from_the_far_future_is_beaten_and_drags_no_other_along():
    hybrid = HybridClock(SetClock(1000))
    far = 86_400_000 << COUNTER_BITS
    assert hybrid.after(far) == far + 1
    assert hlc_ms(hybrid.after(0)) == 1000


@given(Steps)
def test_timestamps_only_grow_unless_the_clock_is_set_back_beyond_the_lead(steps: list[tuple[str, int]]):
    clock = SetClock(0)
    hybrid = HybridClock(clock)
    greatest = 0
    for verb, value in steps:
        if verb == "observe":
            clock.ms = value
            seen = (value + FUTURE_SKEW_MS) << COUNTER_BITS
            hybrid.observe(seen)
            greatest = max(greatest, seen)
        else:
            clock.ms = value
            issued = hybrid.now()
            assert issued > greatest or hlc_ms(greatest) > value + LEAD_MOST_MS
            assert value <= hlc_ms(issued) <= value + LEAD_MOST_MS + 1
            greatest = issued
