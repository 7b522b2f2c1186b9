"""Conditional requests: RFC 9110, sections 8.8.3 and 13; RFC 9111, sections 3.2 and 4.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import DAY_S, CachePolicy
from littoral.wire.caching.storing import NEVER, NotStored, Stored, judge
from littoral.wire.caching.validation import (
    confirms,
    expired,
    freshen,
    freshen_by_head,
    not_modified,
    not_modified_fields,
    parse_etags,
    strong_match,
    unconditional_fields,
    validating_fields,
    weak_match,
)

NOW_S = 1_800_000_000.0
POLICY = CachePolicy()


def at(seconds: float) -> str:
    return format_date(NOW_S + seconds)


def entry(*fields: tuple[str, str], status: int = 200) -> Stored:
    found = judge("GET", {}, status, [("cache-control", "max-age=60"), ("date", at(0)), *fields], NOW_S, NOW_S, POLICY)
    assert isinstance(found, Stored)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', ('"a"',)),
        ('"a", W/"b" ,"c,d"', ('"a"', 'W/"b"', '"c,d"')),
        ("*", ("*",)),
        ("abc, def", ("abc", "def")),
        ("", ()),
    ],
)
def test_entity_tags_are_a_list(value: str, expected: tuple[str, ...]):
    assert parse_etags(value) == expected


@given(st.text())
def test_no_entity_tag_raises(value: str):
    parse_etags(value)


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        ("1", "1", False, True),
        ('"', '"', False, True),
        # Two lines of ETag.
        ('"1", "2"', '"1", "2"', False, True),
        ("", "", False, False),
    ],
)
def test_entity_tags_are_compared(one: str, other: str, strong: bool, weak: bool):
    """RFC 9110, section 8.8.3.2, its table of examples first."""
    assert strong_match(one, other) is strong
    assert weak_match(one, other) is weak


@pytest.mark.parametrize(
    ("etag", "value", "expected"),
    [
        ('"x"', '"x"', True),
        ('"x"', 'W/"x"', True),
        ('W/"x"', 'W/"x"', True),
        ('"x"', '"1", "x", "2"', True),
        ('"x"', "*", True),
        ('"x"', '"y"', False),
        ('"x"', "x", False),
        ("x", "x", True),
        ('w/"x"', 'w/"x"', True),
        ('"é"', '"é"', True),
        ('"x"', "", False),
    ],
)
def test_if_none_match(etag: str, value: str, expected: bool):
    assert not_modified(entry(("etag", etag)), {"if-none-match": value}, NOW_S) is expected


@pytest.mark.parametrize(
    ("modified", "value", "expected"),
    [
        (at(-3000), at(-3000), True),
        (at(-3000), at(-2000), True),
        (at(-3000), at(-4000), False),
        (at(-3000), "yesterday", False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", True),
        # Without Last-Modified, the date of the response (RFC 9111, section 4.3.2).
        (None, at(0), True),
        (None, at(-1), False),
    ],
)
def test_if_modified_since(modified: str | None, value: str, expected: bool):
    found = entry(("last-modified", modified)) if modified else entry()
    assert not_modified(found, {"if-modified-since": value}, NOW_S) is expected


def test_if_none_match_goes_before_if_modified_since():
    found = entry(("etag", '"x"'), ("last-modified", at(-5000)))
    assert not_modified(found, {"if-none-match": '"x"', "if-modified-since": at(-10_000)}, NOW_S)
    assert not not_modified(found, {"if-none-match": '"y"', "if-modified-since": at(0)}, NOW_S)


def test_conditions_are_of_success_only():
    """RFC 9110, section 13.2.1."""
    assert not not_modified(entry(("etag", '"x"'), status=404), {"if-none-match": '"x"'}, NOW_S)


def test_without_conditions_nothing_is_left_out():
    assert not not_modified(entry(("etag", '"x"')), {"if-match": '"y"', "if-unmodified-since": at(-9)}, NOW_S)


def test_the_fields_of_304():
    """RFC 9110, section 15.4.5."""
    more = [("content-type", "a/b"), ("content-location", "/c"), ("last-modified", at(-9)), ("x", "1")]
    kept = [("cache-control", "max-age=60"), ("date", at(0))]
    assert not_modified_fields(entry(*more)) == [*kept, *more[1:]]
    tag = ("etag", '"x"')
    assert not_modified_fields(entry(tag, *more)) == [*kept, tag, more[1], more[3]]


def test_a_validating_request_has_our_conditions_for_the_clients():
    fields = [
        ("abc", "1"),
        ("if-none-match", '"theirs"'),
        ("if-modified-since", at(-1)),
        ("if-match", '"m"'),
        ("range", "bytes=0-4"),
        ("if-range", '"r"'),
    ]
    found = entry(("etag", 'W/"ours"'), ("last-modified", at(-50)))
    assert validating_fields(fields, found) == [
        ("abc", "1"),
        ("if-match", '"m"'),
        ("if-none-match", 'W/"ours"'),
        ("if-modified-since", at(-50)),
    ]
    assert unconditional_fields(fields) == [("abc", "1"), ("if-match", '"m"')]


def test_of_a_part_the_clients_range_is_asked_for():
    found = replace(entry(("etag", '"x"')), parts=((0, 5),), total=10)
    assert validating_fields([("range", "bytes=0-4")], found) == [("range", "bytes=0-4"), ("if-none-match", '"x"')]


def test_the_origin_may_choose_among_variants():
    found, other = entry(("etag", '"a"'), ("last-modified", at(-50))), entry(("etag", '"b"'))
    assert validating_fields([], found, [other, found, entry()]) == [("if-none-match", '"a", "b"')]


@pytest.mark.parametrize(
    ("known", "said", "expected"),
    [
        ([("etag", '"x"')], [("etag", '"x"')], True),
        ([("etag", '"x"')], [("etag", '"y"')], False),
        ([("etag", 'W/"x"')], [("etag", '"x"')], False),
        ([("etag", 'W/"x"')], [("etag", 'W/"x"')], True),
        ([("etag", '"x"')], [], True),
        ([("etag", '"x"'), ("last-modified", at(-5))], [("last-modified", at(-4))], False),
        ([("last-modified", at(-5))], [("last-modified", at(-5))], True),
        ([("last-modified", at(-5))], [("etag", '"x"')], False),
        ([], [], False),
        ([], [("etag", '"x"')], False),
    ],
)
def test_a_304_is_about_what_it_names(known: list[tuple[str, str]], said: list[tuple[str, str]], expected: bool):
    """RFC 9111, section 4.3.4."""
    assert confirms(entry(*known), said) is expected


def test_a_304_updates_what_is_stored():
    """RFC 9111, section 3.2."""
    tag = ("etag", '"x"')
    found = entry(tag, ("kept", "1"), ("link", "a"), ("link", "b"), ("content-type", "a/b"))
    later_s = NOW_S + 100
    said = [
        ("date", at(100)),
        tag,
        ("cache-control", "max-age=5"),
        ("link", "c"),
        ("new", "1"),
        ("content-length", "10"),
        ("connection", "hop"),
        ("hop", "1"),
        ("age", "2"),
        ("set-cookie", "a=b"),
    ]
    result = freshen(found, {}, said, later_s, later_s, POLICY)
    assert result is not None
    assert isinstance(result.stored, Stored)
    expected = [
        ("kept", "1"),
        ("content-type", "a/b"),
        ("date", at(100)),
        tag,
        ("cache-control", "max-age=5"),
        ("link", "c"),
        ("new", "1"),
    ]
    assert list(result.stored.fields) == expected
    assert list(result.fields) == [*expected, ("set-cookie", "a=b")]
    assert result.stored.fresh_until_s == later_s + 3
    assert result.stored.status == 200


def test_cookies_that_come_with_304_are_stored_if_cookies_are():
    policy = CachePolicy(store_set_cookie=True)
    result = freshen(entry(("etag", '"x"')), {}, [("set-cookie", "a=b")], NOW_S, NOW_S, policy)
    assert result is not None
    assert isinstance(result.stored, Stored)
    assert ("set-cookie", "a=b") in result.stored.fields
    assert [name for name, _ in result.fields].count("set-cookie") == 1


def test_a_304_without_a_date_is_of_now():
    later_s = NOW_S + 10_000
    result = freshen(entry(("etag", '"x"')), {}, [], later_s, later_s, POLICY)
    assert result is not None
    assert isinstance(result.stored, Stored)
    assert result.stored.fresh_until_s == later_s + 60
    for fields in (result.stored.fields, result.fields):
        assert [value for name, value in fields if name == "date"] == [at(10_000)]


def test_a_304_about_something_else_says_nothing():
    assert freshen(entry(("etag", '"x"')), {}, [("etag", '"y"')], NOW_S, NOW_S, POLICY) is None


def test_a_304_may_forbid_to_store_it_any_longer():
    result = freshen(entry(("etag", '"x"')), {}, [("cache-control", "no-store")], NOW_S, NOW_S, POLICY)
    assert result is not None
    assert result.stored is NotStored.NO_STORE


def test_a_304_of_a_part_is_of_that_part():
    found = replace(entry(("etag", '"x"')), status=206, parts=((0, 5),), total=10)
    result = freshen(found, {"range": "bytes=0-4"}, [("content-range", "bytes 1-2/3")], NOW_S, NOW_S, POLICY)
    assert result is not None
    assert isinstance(result.stored, Stored)
    assert (result.stored.parts, result.stored.total, result.stored.status) == (((0, 5),), 10, 206)
    assert "content-range" not in dict(result.stored.fields)
    assert "content-range" not in dict(result.fields)


@pytest.mark.parametrize(
    ("length", "said", "updated"),
    [
        (7, [], True),
        (7, [("content-length", "7")], True),
        (7, [("content-length", "8")], False),
        (None, [("content-length", "8")], True),
        (7, [("etag", '"x"')], True),
        (7, [("etag", '"y"')], False),
        (7, [("last-modified", at(-5))], True),
        (7, [("last-modified", at(-4))], False),
    ],
)
def test_head_updates_what_is_still_the_same(length: int | None, said: list[tuple[str, str]], updated: bool):
    """RFC 9111, section 4.3.5."""
    found = entry(("etag", '"x"'), ("last-modified", at(-5)), ("kept", "1"))
    fields = [("cache-control", "max-age=1000"), *said]
    result = freshen_by_head(found, length, {}, fields, NOW_S, NOW_S, POLICY)
    assert isinstance(result.stored, Stored)
    assert result.stored.fresh_until_s == (NOW_S + 1000 if updated else NEVER)
    assert ("kept", "1") in result.stored.fields
    assert (("kept", "1") in result.fields) is updated


def test_what_has_expired_is_not_used_without_the_origins_word():
    found = expired(entry())
    assert (found.fresh_until_s, found.revalidate_until_s) == (NEVER, NEVER)
    assert found.error_until_s == NOW_S + 60 + DAY_S
