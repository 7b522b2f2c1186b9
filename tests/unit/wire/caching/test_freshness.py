"""Age and freshness: RFC 9111, sections 4.2 and 5.1; RFC 9213."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.directives import LONGEST_S
from littoral.wire.caching.freshness import Received, age_value, initial_age_s, lifetime_s, read_response
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import DAY_S, CachePolicy

NOW_S = 1_800_000_000.0
POLICY = CachePolicy()


def at(seconds: float) -> str:
    """A date so many seconds from now."""
    return format_date(NOW_S + seconds)


def received(
    *fields: tuple[str, str], status: int = 200, policy: CachePolicy = POLICY, delay_s: float = 0.0
) -> Received:
    return read_response(status, fields, NOW_S - delay_s, NOW_S, policy)


def fresh_s(
    *fields: tuple[str, str], status: int = 200, policy: CachePolicy = POLICY, asked: dict[str, str] | None = None
) -> float:
    return lifetime_s(asked or {}, received(*fields, status=status, policy=policy), policy)


def cc(value: str) -> tuple[str, str]:
    return ("cache-control", value)


DATE = ("date", at(0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([cc("max-age=3600")], 3600),
        ([cc("max-age=1"), cc("s-maxage=3600")], 3600),
        ([cc("max-age=3600, s-maxage=1")], 1),
        ([cc("max-age=0, s-maxage=3600"), ("expires", at(-10))], 3600),
        ([cc("max-age=3600"), ("expires", at(-7200)), DATE], 3600),
        ([cc("max-age=3600"), ("expires", "0"), DATE], 3600),
        ([cc("max-age=0"), ("expires", at(3600)), DATE], 0),
        ([cc("max-age=99999999999")], LONGEST_S),
        ([("expires", at(300)), DATE], 300),
        ([("expires", at(300))], 300),
        ([("expires", at(10)), ("date", "foo")], 10),
        ([("expires", at(300)), ("date", at(400))], 0),
        ([("expires", at(-300)), DATE], 0),
        ([("expires", "0"), DATE], 0),
        ([("expires", at(300)), ("expires", at(301)), DATE], 0),
        ([DATE], 0),
        ([("last-modified", at(-1000)), DATE], 100),
        ([("last-modified", at(-(10**7))), DATE], DAY_S),
        ([("last-modified", at(1000)), DATE], 0),
        ([("last-modified", "yesterday"), DATE], 0),
    ],
)
def test_how_long_a_response_is_fresh(fields: list[tuple[str, str]], expected: float):
    """Section 4.2.1: s-maxage, then max-age, then Expires, then a heuristic."""
    assert fresh_s(*fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([cc("max-age=3600"), DATE, ("age", "1000")], 2600),
        ([cc("max-age=3600"), DATE, ("age", "7200")], -3600),
        ([cc("max-age=3600"), ("date", at(-7200))], -3600),
        ([cc("max-age=3600"), ("date", at(-100)), ("age", "50")], 3500),
        ([cc("max-age=3600"), ("date", at(100)), ("age", "50")], 3550),
        ([("expires", at(10)), ("date", at(-10)), ("age", "25")], -5),
        ([("expires", at(20)), ("date", at(10)), ("age", "15")], -5),
        ([cc("max-age=3600"), DATE, ("age", "7200, 0")], -3600),
    ],
)
def test_its_age_counts(fields: list[tuple[str, str]], expected: float):
    """Section 4.2.3: the greater of what its date and what its Age say."""
    assert fresh_s(*fields) - initial_age_s(received(*fields)) == expected


def test_the_time_that_it_took_to_come_counts():
    came = received(("age", "10"), delay_s=5)
    assert initial_age_s(came) == 15


def test_a_part_of_a_second_is_no_age():
    came = read_response(200, [DATE], NOW_S + 0.9, NOW_S + 0.9, POLICY)
    assert initial_age_s(came) == 0


def test_a_clock_that_went_back_makes_no_younger():
    assert initial_age_s(received(("age", "10"), delay_s=-5)) == 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        ("30", 30),
        ("0030", 30),
        ("abc", 0),
        ("-7200", 0),
        ("7200.0", 0),
        ("7200;foo=bar", 0),
        ("", 0),
        ("0, 7200", 0),
        ("7200, 0", 7200),
        ("2147483649", LONGEST_S),
        ("9" * 5000, LONGEST_S),
    ],
)
def test_age_is_the_first_number(value: str | None, expected: float):
    """Section 5.1."""
    assert age_value(value) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("cdn-cache-control", "max-age=3600"), cc("max-age=1")], 3600),
        ([("cdn-cache-control", "max-age=1"), cc("max-age=3600")], 1),
        ([("cdn-cache-control", "max-age=60"), cc("no-store")], 60),
        ([("cdn-cache-control", "max-age=60"), cc("private")], 60),
        ([("cdn-cache-control", "max-age=0"), ("expires", at(1000)), DATE], 0),
        ([("cdn-cache-control", "none"), ("expires", at(1000)), DATE], 0),
        ([("cdn-cache-control", "&"), cc("max-age=5")], 5),
        ([("cdn-cache-control", ""), cc("max-age=5")], 5),
        ([("surrogate-control", "max-age=60"), cc("max-age=5")], 5),
    ],
)
def test_a_targeted_field_goes_before_cache_control_and_expires(fields: list[tuple[str, str]], expected: float):
    assert fresh_s(*fields) == expected


@pytest.mark.parametrize(
    ("policy", "status", "fields", "expected"),
    [
        (CachePolicy(ttl_by_status_s={404: 30}), 404, [], 30),
        (CachePolicy(ttl_by_status_s={503: 3}), 503, [], 3),
        (CachePolicy(ttl_by_status_s={404: 30}), 404, [cc("max-age=5")], 5),
        (CachePolicy(ttl_by_status_s={404: 30}), 404, [("last-modified", at(-1000)), DATE], 30),
        (CachePolicy(default_ttl_s=30), 200, [], 30),
        (CachePolicy(default_ttl_s=30), 200, [("last-modified", at(-1000)), DATE], 100),
        (CachePolicy(default_ttl_s=30, heuristic_fraction=0.0), 200, [("last-modified", at(-1000)), DATE], 30),
        (CachePolicy(default_ttl_s=30, ttl_by_status_s={404: 3}), 404, [], 3),
        (CachePolicy(default_ttl_s=30), 503, [cc("public")], 30),
        (CachePolicy(default_ttl_s=30), 200, [cc("max-age=5")], 5),
        (CachePolicy(minimum_ttl_s=10), 200, [cc("max-age=1")], 10),
        (CachePolicy(minimum_ttl_s=10), 200, [cc("max-age=11")], 11),
        (CachePolicy(maximum_ttl_s=10), 200, [cc("max-age=11")], 10),
        (CachePolicy(override_ttl_s=7), 200, [cc("max-age=11")], 7),
        (CachePolicy(override_ttl_s=7), 200, [], 7),
        (CachePolicy(heuristic_fraction=0.0), 200, [("last-modified", at(-1000)), DATE], 0),
        (CachePolicy(heuristic_most_s=5), 200, [("last-modified", at(-1000)), DATE], 5),
        (CachePolicy(targeted_fields=()), 200, [("cdn-cache-control", "max-age=9"), cc("max-age=5")], 5),
    ],
)
def test_a_policy_sets_how_long(policy: CachePolicy, status: int, fields: list[tuple[str, str]], expected: float):
    assert fresh_s(*fields, status=status, policy=policy) == expected


@given(st.text())
def test_no_age_raises_and_none_is_below_zero(value: str):
    assert 0 <= age_value(value) <= LONGEST_S
