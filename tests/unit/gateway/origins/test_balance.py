"""How requests are spread."""

from collections import Counter

import pytest

from littoral.gateway.origins.balance import by_hash, in_turns, least_loaded
from littoral.testing.random import SeededRandom
from tests.support.pools import host, pool_of


def members(*weights):
    return pool_of(*"abcdefgh"[: len(weights)], weights=weights).members


def test_round_robin_is_smooth():
    given = members(5, 1, 1)
    assert "".join(host(in_turns(given)) for _ in range(14)) == "aabacaa" * 2
    given = members(1, 1, 1)
    assert "".join(host(in_turns(given)) for _ in range(6)) == "abcabc"


def test_round_robin_goes_on_when_one_is_left_out():
    given = members(1, 1, 1)
    assert Counter(host(in_turns(given[:2])) for _ in range(100)) == {"a": 50, "b": 50}
    assert Counter(host(in_turns(given)) for _ in range(300))["c"] == 100


def test_least_request_takes_the_lesser_of_two():
    given, random = members(1, 1), SeededRandom(1)
    given[0].inflight = 5
    assert {host(least_loaded(given, random)) for _ in range(50)} == {"b"}


def test_least_request_goes_by_weight():
    given, random = members(3, 1), SeededRandom(2)
    given[0].inflight, given[1].inflight = 4, 1
    assert {host(least_loaded(given, random)) for _ in range(50)} == {"a"}
    given = members(4, 2, 1, 1)
    for _ in range(800):
        least_loaded(given, random).inflight += 1
    for each in given:
        assert each.inflight == pytest.approx(100 * each.weight, rel=0.15)


def test_least_request_draws_by_weight():
    given, random = members(8, 1, 1), SeededRandom(3)
    counts = Counter(host(least_loaded(given, random)) for _ in range(2000))
    assert counts["a"] > 1700
    assert min(counts.values()) > 0


KEYS = [f"/path/{number}" for number in range(4000)]


def test_a_hash_spreads_by_weight():
    given = members(1, 2, 4, 1)
    counts = Counter(host(by_hash(given, key, 1000)) for key in KEYS)
    for each in given:
        assert counts[host(each)] == pytest.approx(len(KEYS) * each.weight / 8, rel=0.1)


def test_a_hash_moves_only_what_was_of_the_one_that_is_gone():
    given = members(1, 2, 4, 1)
    before = {key: host(by_hash(given, key, 1000)) for key in KEYS}
    after = {key: host(by_hash(given[:2] + given[3:], key, 1000)) for key in KEYS}
    assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == "c"}
    assert {after[key] for key in KEYS if before[key] == "c"} == {"a", "b", "d"}


def test_a_hash_is_the_same_everywhere():
    assert [host(by_hash(members(1, 1, 1), key, 2)) for key in ("x", "y", "z", "\udcff")] == ["a", "a", "c", "c"]


def test_a_hash_gives_nobody_much_more_than_its_share():
    given = members(1, 1, 1, 1)
    for _ in range(100):
        by_hash(given, "the one key", 1.25).inflight += 1
    assert max(each.inflight for each in given) <= 33
    first = by_hash(members(1, 1, 1, 1), "the one key", 1.25)
    assert next(each for each in given if host(each) == host(first)).inflight >= 30
