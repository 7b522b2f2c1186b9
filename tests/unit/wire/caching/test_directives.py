"""Cache-Control: RFC 9111, sections 1.2.2, 4.2.1 and 5.2; RFC 5861."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.directives import (
    LONGEST_S,
    SILENT,
    Directives,
    RequestDirectives,
    parse_directives,
    request_directives,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", SILENT),
        ("max-age=3600", Directives(max_age=3600)),
        ("MaX-aGe=3600", Directives(max_age=3600)),
        ("foobar, max-age=3600", Directives(max_age=3600)),
        ("  max-age=1 ,s-maxage=2\t", Directives(max_age=1, s_maxage=2)),
        (",,max-age=1,,", Directives(max_age=1)),
        ('max-age="3600"', Directives(max_age=3600)),
        ("max-age=003600", Directives(max_age=3600)),
        ("max-age=0", Directives(max_age=0)),
        ("No-StOrE", Directives(no_store=True)),
        ("public, must-revalidate", Directives(public=True, must_revalidate=True)),
        ("proxy-revalidate", Directives(proxy_revalidate=True)),
        ("no-store, must-understand", Directives(no_store=True, must_understand=True)),
        (
            "stale-while-revalidate=5, stale-if-error=6",
            Directives(stale_while_revalidate=5, stale_if_error=6),
        ),
    ],
)
def test_directives_are_read(value: str, expected: Directives):
    assert parse_directives(value) == expected


@pytest.mark.parametrize(
    "argument",
    ["-3600", "'3600'", "3600.0", "3600.5", "a3600", "3600a", "", "1 2", " 3600", '"36', '"3600"x', "٣", "1e3", "+1"],
)
def test_what_is_no_number_of_seconds_is_stale(argument: str):
    assert parse_directives(f"max-age={argument}") == Directives(max_age=0)


def test_a_name_apart_from_its_argument_has_none():
    assert parse_directives("max-age =3600") == Directives(max_age=0)
    assert parse_directives("no-store =1") == Directives(no_store=True)


@pytest.mark.parametrize("digits", ["2147483648", "2147483649", "99999999999", "9" * 500, "0" * 500 + "9" * 11])
def test_what_is_too_long_is_the_longest(digits: str):
    assert parse_directives(f"max-age={digits}").max_age == LONGEST_S


def test_the_first_of_several_holds():
    assert parse_directives("max-age=1800, max-age=1").max_age == 1800
    assert parse_directives("max-age=1, max-age=1800").max_age == 1


@pytest.mark.parametrize("value", ['extension="max-age=3600", max-age=1', 'max-age=1, extension="a, max-age=3600"'])
def test_what_is_quoted_is_no_directive(value: str):
    assert parse_directives(value) == Directives(max_age=1)


def test_quotes_that_do_not_end_hide_nothing():
    assert parse_directives('a="b, no-store').no_store
    assert parse_directives(r'a="b\", no-store').no_store


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no-cache", Directives(no_cache=True)),
        ("private", Directives(private=True)),
        ('no-cache="a"', Directives(withheld=frozenset({"a"}))),
        ('private="A, b", max-age=1', Directives(max_age=1, withheld=frozenset({"a", "b"}))),
        ("private=a", Directives(withheld=frozenset({"a"}))),
        ('private=""', Directives(private=True)),
        ("no-cache=", Directives(no_cache=True)),
        ('private="a", private', Directives(private=True, withheld=frozenset({"a"}))),
        ('no-cache="a", private="b"', Directives(withheld=frozenset({"a", "b"}))),
    ],
)
def test_no_cache_and_private_may_name_fields(value: str, expected: Directives):
    assert parse_directives(value) == expected


def test_what_is_too_long_to_be_read_is_not_stored():
    assert parse_directives("max-age=1, " + "a" * 10_000).no_store


@given(st.text() | st.text(alphabet='maxge-=0123 ,"\\\t', max_size=300))
def test_nothing_raises_and_every_number_is_bounded(value: str):
    said = parse_directives(value)
    assert all(
        number is None or 0 <= number <= LONGEST_S for number in (said.max_age, said.s_maxage, said.stale_if_error)
    )


@given(st.text(alphabet="abc-,= ", max_size=40))
def test_no_store_is_found_wherever_it_stands(other: str):
    assert parse_directives(f"{other}, no-store").no_store
    assert parse_directives(f"no-store, {other}").no_store


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=5", RequestDirectives(max_age=5)),
        ("max-stale", RequestDirectives(max_stale=LONGEST_S)),
        ("max-stale=7", RequestDirectives(max_stale=7)),
        ("max-stale=x", RequestDirectives(max_stale=0)),
        ("min-fresh=3, no-cache", RequestDirectives(min_fresh=3, no_cache=True)),
        ("no-store, only-if-cached", RequestDirectives(no_store=True, only_if_cached=True)),
        ("no-transform", None),
        ("nothing-to-see-here", None),
        ("", None),
        ("no-cache, " + "a" * 10_000, None),
    ],
)
def test_a_request_may_ask(value: str, expected: RequestDirectives | None):
    assert request_directives(value, True) == expected


@pytest.mark.parametrize("value", ["no-cache", "max-age=0", "min-fresh=9", "max-stale", "NO-CACHE, max-age=0"])
def test_what_would_cost_the_origin_is_not_heard_by_default(value: str):
    assert request_directives(value, False) is None


def test_what_costs_the_origin_nothing_always_is():
    expected = RequestDirectives(no_store=True, only_if_cached=True)
    assert request_directives("no-cache, no-store, only-if-cached", False) == expected


@given(st.text(), st.booleans())
def test_no_request_raises(value: str, honour: bool):
    request_directives(value, honour)
