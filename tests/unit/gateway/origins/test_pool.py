"""Which target a request goes to."""

from collections import Counter

import pytest

from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.pool import FULL, Pool
from littoral.gateway.origins.settings import ActiveHealth, Balance, Breaking, Crowding, PassiveHealth
from littoral.testing.random import SeededRandom
from tests.support.pools import host, pool_of

QUICK = PassiveHealth(failures_in_a_row=1, ejected_s=10, ejected_most_share=0.5, panic_share=0.34)
NO_BREAKING = Breaking(failures_in_a_row=0)


def chosen(pool, now_s=0.0, **how):
    return {host(pool.choose(now_s, **how)) for _ in range(20)}


@pytest.mark.parametrize("policy", ["round-robin", "least-request", "consistent-hash"])
def test_every_policy_uses_all_that_may_be_used(policy):
    pool = pool_of("a", "b", "c", balance=Balance(policy))
    counts = Counter(host(pool.choose(0.0, hash_key=str(number))) for number in range(90))
    assert min(counts[name] for name in "abc") >= 15
    assert chosen(pool, tried=pool.members[1:]) == {"a"}


def test_least_request_goes_by_what_is_under_way():
    pool = pool_of("a", "b", balance=Balance("least-request"))
    pool.members[0].inflight = 1
    assert chosen(pool) == {"b"}


def test_the_same_key_goes_to_the_same_target():
    pool = pool_of("a", "b", "c", balance=Balance("consistent-hash"))
    assert len(chosen(pool, hash_key="key")) == 1


def test_nobody_is_left():
    pool = pool_of("a")
    assert pool.choose(0.0, tried=pool.members) is None


def test_the_ejected_get_nothing_until_their_time_is_over():
    pool = pool_of("a", "b", passive=QUICK, breaking=NO_BREAKING)
    pool.failed(pool.members[0], 0)
    assert chosen(pool, 9.9) == {"b"}
    assert chosen(pool, 10) == {"a", "b"}
    assert (pool.members[0].meter.failures, pool.members[0].meter.ejections) == (1, 1)


def test_an_answer_in_between_ends_a_row_of_failures():
    pool = pool_of("a", "b", passive=PassiveHealth(failures_in_a_row=2), breaking=NO_BREAKING)
    for _ in range(5):
        pool.failed(pool.members[0], 0)
        pool.members[0].succeeded(0)
    assert chosen(pool) == {"a", "b"}


def test_a_share_of_the_pool_is_never_ejected():
    pool = pool_of("a", "b", "c", "d", passive=QUICK, breaking=NO_BREAKING)
    for each in pool.members:
        pool.failed(each, 0)
    assert chosen(pool) == {"c", "d"}
    alone = pool_of("a", passive=QUICK, breaking=NO_BREAKING)
    alone.failed(alone.members[0], 0)
    assert chosen(alone) == {"a"}


def test_when_too_few_are_healthy_all_are_used():
    pool = pool_of("a", "b", "c", active=ActiveHealth("/"), passive=QUICK)
    pool.members[0].active.answered(None)
    assert chosen(pool) == {"b", "c"}
    pool.members[1].active.answered(None)
    assert chosen(pool) == {"a", "b", "c"}, "one of three is less than the share"
    pool.members[2].active.answered(None)
    assert chosen(pool) == {"a", "b", "c"}


def test_panic_may_be_switched_off():
    pool = pool_of("a", active=ActiveHealth("/"), passive=PassiveHealth(panic_share=0))
    pool.members[0].active.answered(None)
    assert pool.choose(0.0) is None


def test_an_open_circuit_is_open_in_panic_too():
    pool = pool_of("a", "b", breaking=Breaking(failures_in_a_row=1, open_s=5), passive=PassiveHealth(panic_share=1))
    for each in pool.members:
        pool.failed(each, 0)
    assert pool.choose(4.9) is None
    assert chosen(pool, 5) == {"a", "b"}
    assert [each.meter.opened for each in pool.members] == [1, 1]
    pool.members[0].succeeded(5)
    assert chosen(pool, 4.9) == {"a"}


def test_who_has_enough_to_do_gets_no_more():
    pool = pool_of("a", "b", crowding=Crowding(target_requests=2))
    pool.members[0].inflight = 2
    assert chosen(pool) == {"b"}
    pool.members[1].inflight = 2
    assert pool.choose(0.0) is FULL
    assert pool.choose(0.0, tried=pool.members) is None


def test_the_nearest_region_first():
    regions = ("x", "x", "y")
    pool = pool_of("a", "b", "c", region="x", regions=regions, passive=QUICK, breaking=NO_BREAKING)
    assert chosen(pool) == {"a", "b"}
    pool.failed(pool.members[0], 0)
    assert chosen(pool) == {"b"}
    assert chosen(pool, tried=pool.members[:2]) == {"c"}
    assert chosen(pool_of("a", "b", "c", region="z", regions=regions)) == {"a", "b", "c"}
    anywhere = pool_of("a", "b", "c", region="x", regions=regions, balance=Balance(nearest_region=False))
    assert chosen(anywhere) == {"a", "b", "c"}


def test_a_client_comes_back_to_where_it_was():
    pool = pool_of("a", "b", "c", passive=QUICK, breaking=NO_BREAKING)
    mark = pool.members[1].mark
    assert chosen(pool, affinity=mark) == {"b"}
    assert chosen(pool, affinity=mark, tried=[pool.members[1]]) == {"a", "c"}
    pool.failed(pool.members[1], 0)
    assert chosen(pool, affinity=mark) == {"a", "c"}
    assert chosen(pool, affinity="made up", now_s=20) == {"a", "b", "c"}


def test_a_mark_tells_nothing_and_is_the_same_in_every_gateway():
    first, again = pool_of("10.0.0.1", "10.0.0.2").members, pool_of("10.0.0.2", "10.0.0.1").members
    assert [each.mark for each in first] == [each.mark for each in reversed(again)]
    assert len(first[0].mark) == 24
    assert first[0].mark != first[1].mark
    other = Pool(pool_of("10.0.0.1").settings, SeededRandom(0), PoolMeter(), key=b"another").members
    assert other[0].mark != first[0].mark, "nobody makes up a mark"
