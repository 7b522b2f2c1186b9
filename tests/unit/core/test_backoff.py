import pytest

from littoral.core.backoff import FIRST_DELAY_S, Backoff
from littoral.testing.random import SeededRandom


def test_delays_double_up_to_the_cap_and_half_of_each_is_fixed(seed: int):
    backoff = Backoff(SeededRandom(seed), cap_ms=3000)
    ceiling = FIRST_DELAY_S
    for _ in range(20):
        assert ceiling / 2 <= backoff.next_delay_s() <= ceiling
        ceiling = min(ceiling * 2, 3.0)
    assert ceiling == 3.0


def test_after_a_success_it_begins_anew():
    backoff = Backoff(SeededRandom(1), cap_ms=30_000)
    for _ in range(10):
        backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() <= FIRST_DELAY_S


def test_a_herd_spreads():
    delays = [Backoff(SeededRandom(n), cap_ms=30_000).next_delay_s() for n in range(50)]
    assert max(delays) - min(delays) > FIRST_DELAY_S / 4


@pytest.mark.parametrize("cap_ms", [1, 50, 100])
def test_a_cap_below_the_first_delay_holds(cap_ms: int):
    backoff = Backoff(SeededRandom(1), cap_ms)
    assert all(backoff.next_delay_s() <= cap_ms / 1000 for _ in range(5))


def test_those_that_failed_together_spread_over_as_long_as_they_are_asked_to_and_keep_the_wait_they_are_asked_for():
    delays = [Backoff(SeededRandom(n), cap_ms=30_000).next_delay_s(least_s=2.0, spread_s=10.0) for n in range(200)]
    assert min(delays) >= 2.0
    assert max(delays) <= 12.0 + FIRST_DELAY_S
    assert all(sum(low <= delay < low + 1 for delay in delays) <= 40 for low in range(2, 12)), "a fifth in no second"
