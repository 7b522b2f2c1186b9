"""Header fields: RFC 9110, sections 5.3, 5.6.1 and 7.6.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.fields import (
    OF_THE_CONNECTION,
    REMEMBERED_CHARACTERS,
    combined,
    connection_names,
    members,
    remembered,
    table,
    without,
)

FIELDS = [("vary", "a"), ("etag", '"x"'), ("vary", "b"), ("vary", "")]


def test_lines_of_one_name_are_one_list():
    assert combined(FIELDS, "vary") == "a, b, "
    assert combined(FIELDS, "etag") == '"x"'
    assert combined(FIELDS, "age") is None


def test_a_table_has_each_name_once():
    assert table(FIELDS) == {"vary": "a, b, ", "etag": '"x"'}
    assert table([("a", "1"), ("b", "2")]) == {"a": "1", "b": "2"}
    assert table([]) == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text())))
def test_a_table_says_what_combining_says(fields: list[tuple[str, str]]):
    assert table(fields) == {name: combined(fields, name) for name, _ in fields}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        (" , ,\t", ()),
        ("a", ("a",)),
        ("a ,b,, c", ("a", "b", "c")),
        ('"a,b", c', ('"a,b"', "c")),
        ('x="a,b", c', ('x="a,b"', "c")),
        (r'"a\",b", c', (r'"a\",b"', "c")),
        ('"a, b', ('"a, b',)),
    ],
)
def test_a_list_is_split_between_its_members(value: str, expected: tuple[str, ...]):
    assert members(value) == expected


@given(st.text(alphabet='a, "\\=\t', max_size=200))
def test_no_list_raises_and_none_has_an_empty_member(value: str):
    assert all(member.strip(" \t") for member in members(value))


def test_what_is_of_the_connection_is_known_and_named():
    assert connection_names(None) == OF_THE_CONNECTION
    assert connection_names("close, X-Thing") == OF_THE_CONNECTION | {"close", "x-thing"}


def test_fields_are_left_out_by_name():
    assert without(FIELDS, {"vary"}) == [("etag", '"x"')]


def test_only_short_values_are_remembered():
    read: list[str] = []

    def length(value: str) -> int:
        read.append(value)
        return len(value)

    find = remembered(length)
    long = "a" * (REMEMBERED_CHARACTERS + 1)
    assert [find("a"), find("a"), find(long), find(long)] == [1, 1, len(long), len(long)]
    assert read == ["a", long, long]
