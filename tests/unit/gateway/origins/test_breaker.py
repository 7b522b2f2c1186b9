"""A circuit breaker as a transcript."""

from littoral.gateway.origins.breaker import Breaker
from littoral.gateway.origins.settings import Breaking

SETTINGS = Breaking(failures_in_a_row=3, open_s=5, open_most_s=12)


def failing(breaker, count, now_s=0.0):
    return [breaker.failed(now_s) for _ in range(count)]


def test_failures_in_a_row_open_it():
    breaker = Breaker(SETTINGS)
    assert failing(breaker, 2) == [False, False]
    breaker.succeeded()
    assert failing(breaker, 2) == [False, False]
    assert breaker.allows(0)
    assert breaker.is_closed
    assert failing(breaker, 1) == [True]
    assert not breaker.is_closed
    assert not breaker.allows(4.9)


def test_one_may_try():
    breaker = Breaker(SETTINGS)
    failing(breaker, 3)
    assert breaker.allows(5)
    breaker.begin()
    assert not breaker.allows(5), "one, and no more"
    breaker.succeeded()
    assert breaker.allows(5)
    assert breaker.is_closed
    assert failing(breaker, 2) == [False, False]


def test_a_try_that_fails_opens_it_for_longer():
    breaker = Breaker(SETTINGS)
    failing(breaker, 3)
    opens = [5.0]
    for _ in range(3):
        now_s = opens[-1]
        assert breaker.allows(now_s)
        breaker.begin()
        assert breaker.failed(now_s)
        waits = next(s for s in range(100) if breaker.allows(now_s + s))
        opens.append(now_s + waits)
    assert opens == [5, 15, 27, 39]


def test_a_try_that_was_given_up_leaves_it_to_the_next():
    breaker = Breaker(SETTINGS)
    failing(breaker, 3)
    breaker.begin()
    breaker.given_up()
    assert breaker.allows(5)
    assert not breaker.is_closed


def test_what_was_under_way_when_it_opened_does_not_open_it_for_longer():
    breaker = Breaker(SETTINGS)
    failing(breaker, 3)
    assert failing(breaker, 5, 4.0) == [False] * 5
    assert breaker.allows(5)


def test_it_may_be_switched_off():
    breaker = Breaker(Breaking(failures_in_a_row=0))
    assert not any(failing(breaker, 1000))
    assert breaker.allows(0)
