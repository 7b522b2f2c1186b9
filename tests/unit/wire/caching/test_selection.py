"""Variants: RFC 9111, section 4.1; RFC 9110, sections 12.4.2 and 12.5.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.selection import normal_preferences, normal_value, parse_vary, variant_key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("", ()),
        ("Foo", ("foo",)),
        ("Foo, Bar,foo", ("bar", "foo")),
        ("*", None),
        ("*, *", None),
        (", *", None),
        ("*, Foo", None),
        ("Foo, *", None),
        ("a," * 10_000, None),
    ],
)
def test_vary_names_fields(value: str | None, expected: tuple[str, ...] | None):
    assert parse_vary(value) == expected


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("foo", "1,2", " 1, 2 "),
        ("foo", "1 ,\t2", "1, 2"),
        ("foo", "a  b", "a b"),
        ("accept-language", "en, de", "de, en"),
        ("accept-language", "en, de", "eN, De"),
        ("accept-language", "en, de", " en ,   de"),
        ("accept-language", "de;q=0.5, en", "en;q=1.0, de; Q=0.50"),
        ("accept-encoding", "gzip, br", "br,gzip"),
        ("accept-encoding", "gzip;q=1", "GZIP"),
        ("accept", "text/html;level=1;q=0.4, */*", "*/*, text/html;level=1; q=0.400"),
        ("accept-charset", "utf-8", "UTF-8"),
    ],
)
def test_what_means_the_same_selects_the_same(name: str, one: str, other: str):
    assert variant_key((name,), {name: one}) == variant_key((name,), {name: other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"foo": "1"}, {"foo": "2"}),
        ({"foo": "1"}, {}),
        ({"foo": ""}, {}),
        ({"foo": "a"}, {"foo": "A"}),
        ({"foo": "1, 2"}, {"foo": "2, 1"}),
        ({"foo": '"a,b"'}, {"foo": '"a, b"'}),
        ({"foo": "1", "bar": "2"}, {"foo": "2", "bar": "1"}),
        ({"accept-language": "en, de;q=0.5"}, {"accept-language": "de, en;q=0.5"}),
        ({"accept-encoding": "gzip;q=0"}, {"accept-encoding": "gzip"}),
        ({"accept": "text/html;a=B"}, {"accept": "text/html;a=b"}),
    ],
)
def test_what_differs_does_not(one: dict[str, str], other: dict[str, str]):
    names = ("accept", "accept-encoding", "accept-language", "bar", "foo")
    assert variant_key(names, one) != variant_key(names, other)


def test_fields_that_are_not_named_do_not_matter():
    assert variant_key(("foo",), {"foo": "1", "other": "2"}) == variant_key(("foo",), {"foo": "1"})
    assert variant_key((), {"foo": "1"}) == ""


LINE = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


@given(LINE)
def test_normal_values_stay_as_they_are(value: str):
    assert normal_value(normal_value(value)) == normal_value(value)


@given(st.dictionaries(st.sampled_from(["a", "b"]), LINE), st.dictionaries(st.sampled_from(["a", "b"]), LINE))
def test_equal_keys_have_equal_fields(one: dict[str, str], other: dict[str, str]):
    if variant_key(("a", "b"), one) == variant_key(("a", "b"), other):
        assert {name: normal_value(value) for name, value in one.items()} == {
            name: normal_value(value) for name, value in other.items()
        }


@given(st.text())
def test_no_preferences_raise(value: str):
    normal_preferences(value)


@given(st.permutations(["de", "en;q=0.5", "fr;q=0.5", "*;q=0"]))
def test_the_order_of_preferences_does_not_matter(order: list[str]):
    assert normal_preferences(", ".join(order)) == "de,en;q=500,fr;q=500,*;q=0"


def test_long_values_with_quotes_that_do_not_end_take_no_longer():
    value = '"' + '\\"' * 100_000
    assert normal_value(value) == value
