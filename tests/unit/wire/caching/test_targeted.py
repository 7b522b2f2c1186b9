"""Targeted fields: RFC 9213, sections 2.1, 2.2 and 3; RFC 9651, section 3.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.directives import Directives
from littoral.wire.caching.targeted import parse_targeted, targeted_directives


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", Directives(max_age=60)),
        ("foobar, max-age=3600", Directives(max_age=3600)),
        ("max-age=3600;ext=1", Directives(max_age=3600)),
        ("max-age=2147483648", Directives(max_age=1 << 31)),
        ("max-age=99999999999", Directives(max_age=1 << 31)),
        ("MaX-aGe=3600", Directives(max_age=3600)),
        ("private", Directives(private=True)),
        ("no-store, must-revalidate", Directives(no_store=True, must_revalidate=True)),
        ('no-cache="a, b"', Directives(withheld=frozenset({"a", "b"}))),
        ("private=a", Directives(private=True)),
        ('private=("a" "b")', Directives(private=True)),
        ("none", Directives()),
        ("public=?0", Directives()),
        # The last of several holds, as in every dictionary.
        ("max-age=1, max-age=2", Directives(max_age=2)),
    ],
)
def test_a_dictionary_of_directives_is_read(value: str, expected: Directives):
    assert parse_targeted(value) == expected


@pytest.mark.parametrize(
    "value", ['max-age="10000"', "max-age=1.5", "max-age=-5", "max-age", "max-age=(1)", "max-age=x"]
)
def test_a_value_of_another_type_is_not_understood(value: str):
    assert parse_targeted(value) == Directives(max_age=0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "max-age=10000, &&&&&",
        "max-age =100",
        "max-age= 100",
        "max-age=100,",
        "max-age=100 public",
        "max-age=1000000000000000",
        'private="a',
        "max-age=1\x00",
        "é",
        "a," * 10_000 + "a",
    ],
)
def test_what_is_empty_or_no_dictionary_is_ignored(value: str):
    assert parse_targeted(value) is None


def test_the_first_of_the_list_that_is_valid_holds():
    fields = {"ours-cache-control": "&", "cdn-cache-control": "max-age=1", "cache-control": "max-age=2"}
    names = ("ours-cache-control", "cdn-cache-control")
    assert targeted_directives(fields, names) == Directives(max_age=1)
    assert targeted_directives({**fields, "ours-cache-control": "max-age=3"}, names) == Directives(max_age=3)


def test_what_is_not_on_the_list_does_nothing():
    assert targeted_directives({"cdn-cache-control": "max-age=1"}, ("ours-cache-control",)) is None
    assert targeted_directives({"cdn-cache-control": "max-age=1"}, ()) is None


@given(st.text() | st.text(alphabet='maxge-=0123 ,"\\;()?*:@', max_size=200))
def test_nothing_raises(value: str):
    parse_targeted(value)
