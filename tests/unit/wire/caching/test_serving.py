"""What is done with a request: RFC 9111, sections 4, 4.2.4 and 5.2.1; RFC 5861."""

import pytest

from littoral.wire.caching.directives import LONGEST_S, RequestDirectives
from littoral.wire.caching.serving import Decision, age_s, decide, may_serve_on_error
from littoral.wire.caching.storing import NEVER, Stored

BORN_S = 1000.0


def entry(*, etag: str = "", modified: str = "", strict: bool = False, fresh_until_s: float = 1010.0) -> Stored:
    """Fresh for 10 seconds, then 5 seconds to be validated meanwhile, or 20 to stand in for an error."""
    return Stored(
        status=200,
        fields=(),
        born_s=BORN_S,
        date_s=BORN_S,
        fresh_until_s=fresh_until_s,
        revalidate_until_s=NEVER if strict else 1015.0,
        error_until_s=NEVER if strict else 1030.0,
        etag=etag,
        modified=modified,
        must_revalidate=strict,
    )


@pytest.mark.parametrize(
    ("now_s", "expected"),
    [
        (999.0, Decision.FRESH),
        (1000.0, Decision.FRESH),
        (1009.9, Decision.FRESH),
        (1010.0, Decision.STALE_WHILE_REVALIDATE),
        (1014.9, Decision.STALE_WHILE_REVALIDATE),
        (1015.0, Decision.VALIDATE),
    ],
)
def test_it_is_fresh_then_stale(now_s: float, expected: Decision):
    assert decide(entry(etag='"x"'), None, now_s) is expected


def test_what_has_no_validator_is_fetched_again():
    assert decide(entry(), None, 1020.0) is Decision.FETCH
    assert decide(entry(modified="x"), None, 1020.0) is Decision.VALIDATE
    assert decide(None, None, 1020.0) is Decision.FETCH


def test_what_is_never_fresh_is_validated():
    assert decide(entry(etag='"x"', strict=True, fresh_until_s=NEVER), None, 1000.0) is Decision.VALIDATE


@pytest.mark.parametrize(
    ("asked", "now_s", "expected"),
    [
        (RequestDirectives(no_cache=True), 1001.0, Decision.VALIDATE),
        (RequestDirectives(max_age=5), 1005.0, Decision.FRESH),
        (RequestDirectives(max_age=5), 1006.0, Decision.VALIDATE),
        (RequestDirectives(max_age=0), 1001.0, Decision.VALIDATE),
        (RequestDirectives(min_fresh=5), 1005.0, Decision.FRESH),
        (RequestDirectives(min_fresh=5), 1006.0, Decision.VALIDATE),
        (RequestDirectives(max_stale=10), 1020.0, Decision.STALE),
        (RequestDirectives(max_stale=10), 1021.0, Decision.VALIDATE),
        (RequestDirectives(max_stale=LONGEST_S), 1020.0, Decision.STALE),
        (RequestDirectives(max_stale=10), 1005.0, Decision.FRESH),
        (RequestDirectives(max_stale=10), 1011.0, Decision.STALE_WHILE_REVALIDATE),
        (RequestDirectives(max_stale=10, max_age=5), 1011.0, Decision.VALIDATE),
        (RequestDirectives(only_if_cached=True), 1005.0, Decision.FRESH),
        (RequestDirectives(only_if_cached=True), 1011.0, Decision.STALE_WHILE_REVALIDATE),
        (RequestDirectives(only_if_cached=True), 1020.0, Decision.NOT_CACHED),
        (RequestDirectives(only_if_cached=True, max_stale=10), 1020.0, Decision.STALE),
        (RequestDirectives(only_if_cached=True, no_cache=True), 1005.0, Decision.NOT_CACHED),
        (RequestDirectives(no_store=True), 1005.0, Decision.FRESH),
    ],
)
def test_a_client_may_ask_for_more_or_less(asked: RequestDirectives, now_s: float, expected: Decision):
    assert decide(entry(etag='"x"'), asked, now_s) is expected


def test_only_what_is_here():
    assert decide(None, RequestDirectives(only_if_cached=True), 1000.0) is Decision.NOT_CACHED
    assert decide(None, RequestDirectives(max_stale=5), 1000.0) is Decision.FETCH


def test_what_must_be_validated_is_not_served_stale_to_whoever_asks():
    found = entry(etag='"x"', strict=True)
    assert decide(found, RequestDirectives(max_stale=LONGEST_S), 1011.0) is Decision.VALIDATE
    assert not may_serve_on_error(found, 1011.0)


def test_for_a_time_it_stands_in_for_an_error():
    assert may_serve_on_error(entry(), 1029.9)
    assert not may_serve_on_error(entry(), 1030.0)


def test_its_age_has_whole_seconds_and_is_none_below_zero():
    assert age_s(entry(), 1002.9) == 2
    assert age_s(entry(), 990.0) == 0
