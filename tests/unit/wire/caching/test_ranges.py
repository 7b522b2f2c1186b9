"""Parts: RFC 9110, sections 13.1.5, 14 and 15.3.7; RFC 9111, sections 3.3 and 3.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from littoral.wire.byte_range import Span
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.ranges import Selected, combine, completing_fields, missing_range, received, select
from littoral.wire.caching.storing import Stored, judge

NOW_S = 1_800_000_000.0


def at(seconds: float) -> str:
    return format_date(NOW_S + seconds)


def entry(*fields: tuple[str, str], status: int = 200, parts: tuple[Span, ...] = (), total: int = 0) -> Stored:
    found = judge(
        "GET", {}, status, [("cache-control", "max-age=60"), ("date", at(0)), *fields], NOW_S, NOW_S, CachePolicy()
    )
    assert isinstance(found, Stored)
    return replace(found, status=206, parts=parts, total=total) if parts else found


def part(*spans: Span, etag: str = '"x"', total: int = 20) -> Stored:
    return entry(*([("etag", etag)] if etag else []), parts=spans, total=total)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, Selected(200, 0, 11)),
        ({"range": "bytes=0-1"}, Selected(206, 0, 2, "bytes 0-1/11")),
        ({"range": "bytes=1-"}, Selected(206, 1, 11, "bytes 1-10/11")),
        ({"range": "bytes=-1"}, Selected(206, 10, 11, "bytes 10-10/11")),
        ({"range": "bytes=0-3, 2-5"}, Selected(206, 0, 6, "bytes 0-5/11")),
        ({"range": "bytes=0-1, 4-5"}, Selected(200, 0, 11)),
        ({"range": "bytes=11-"}, Selected(416, 0, 0, "bytes */11")),
        ({"range": "lines=1-2"}, Selected(200, 0, 11)),
    ],
)
def test_ranges_of_what_is_whole(asked: dict[str, str], expected: Selected):
    assert select(entry(), 11, "GET", asked, NOW_S) == expected


def test_only_get_and_success_have_ranges():
    asked = {"range": "bytes=0-1"}
    assert select(entry(), 11, "HEAD", asked, NOW_S) == Selected(200, 0, 11)
    assert select(entry(status=404), 11, "GET", asked, NOW_S) == Selected(404, 0, 11)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"range": "bytes=5-9"}, Selected(206, 5, 10, "bytes 5-9/20")),
        ({"range": "bytes=6-7"}, Selected(206, 6, 8, "bytes 6-7/20")),
        ({"range": "bytes=15-"}, Selected(206, 15, 20, "bytes 15-19/20")),
        ({"range": "bytes=-2"}, Selected(206, 18, 20, "bytes 18-19/20")),
        ({"range": "bytes=4-9"}, None),
        ({"range": "bytes=9-15"}, None),
        ({"range": "bytes=20-"}, Selected(416, 0, 0, "bytes */20")),
        ({}, None),
    ],
)
def test_ranges_of_parts(asked: dict[str, str], expected: Selected | None):
    assert select(part((5, 10), (15, 20)), 0, "GET", asked, NOW_S) == expected


def test_parts_that_are_all_there_are_is_the_whole():
    assert select(part((0, 20)), 0, "GET", {}, NOW_S) == Selected(200, 0, 20)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('"x"', 206),
        ('"y"', 200),
        ('W/"x"', 200),
        (at(-100), 206),
        (at(-99), 200),
        ("foo", 200),
    ],
)
def test_if_range(condition: str, expected: int):
    found = entry(("etag", '"x"'), ("last-modified", at(-100)))
    selected = select(found, 11, "GET", {"range": "bytes=0-1", "if-range": condition}, NOW_S)
    assert selected is not None
    assert selected.status == expected


def test_a_date_within_the_same_second_is_no_strong_validator():
    found = entry(("last-modified", at(0)))
    selected = select(found, 11, "GET", {"range": "bytes=0-1", "if-range": at(0)}, NOW_S)
    assert selected == Selected(200, 0, 11)


def test_a_part_is_what_was_announced():
    found = part((4, 10))
    assert received(found, 6) is found
    assert received(found, 5) is None
    assert received(found, 7) is None


def test_an_end_that_is_announced_one_too_far_is_where_the_bytes_end():
    found = received(part((4, 10), total=10), 5)
    assert found is not None
    assert (found.parts, found.total) == (((4, 9),), 9)
    assert select(found, 0, "GET", {"range": "bytes=-5"}, NOW_S) == Selected(206, 4, 9, "bytes 4-8/9")
    assert combine(part((0, 4), total=10), found, NOW_S) is None
    assert received(part((4, 10), total=10), 0) is None


def test_parts_are_put_together():
    older, newer = part((0, 5), (15, 20)), entry(("etag", '"x"'), ("x", "2"), parts=((5, 10),), total=20)
    both = combine(replace(older, fields=(("x", "1"), ("y", "1"))), newer, NOW_S)
    assert both is not None
    assert both.parts == ((0, 10), (15, 20))
    assert not both.whole
    assert ("x", "2") in both.fields
    assert ("y", "1") in both.fields
    assert ("x", "1") not in both.fields
    whole = combine(both, part((8, 16)), NOW_S)
    assert whole is not None
    assert whole.whole


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (part((0, 5), etag='"y"'), part((5, 10))),
        (part((0, 5), etag='W/"x"'), part((5, 10), etag='W/"x"')),
        (part((0, 5), etag=""), part((5, 10), etag="")),
        (part((0, 5), total=21), part((5, 10))),
        (entry(("etag", '"x"')), part((5, 10))),
        (part((5, 10)), entry(("etag", '"x"'))),
    ],
)
def test_parts_that_may_be_of_something_else_are_not(older: Stored, newer: Stored):
    assert combine(older, newer, NOW_S) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (part((0, 5)), "bytes=5-"),
        (part((5, 20)), "bytes=0-4"),
        (part((0, 5), (10, 20)), "bytes=5-9"),
        (part((0, 5), (10, 15)), ""),
        (part((0, 20)), ""),
        (part((0, 5), etag='W/"x"'), ""),
        (part((0, 5), etag=""), "bytes=5-"),
        (entry(("etag", '"x"')), ""),
    ],
)
def test_what_lacks_is_asked_for(found: Stored, expected: str):
    assert missing_range(found) == expected


def test_what_lacks_is_asked_for_as_long_as_it_is_the_same():
    fields = [("abc", "1"), ("if-none-match", '"theirs"'), ("range", "bytes=0-"), ("if-range", '"theirs"')]
    assert completing_fields(fields, part((0, 5))) == [("abc", "1"), ("range", "bytes=5-"), ("if-range", '"x"')]
    assert completing_fields([], part((0, 5), etag="")) == [("range", "bytes=5-")]


SPANS = st.tuples(st.integers(0, 19), st.integers(1, 20)).filter(lambda span: span[0] < span[1])


@given(st.lists(SPANS, min_size=1), SPANS)
def test_what_is_selected_is_there(spans: list[Span], wanted: Span):
    found = part(spans[0])
    for span in spans[1:]:
        both = combine(found, part(span), NOW_S)
        assert both is not None
        found = both
    held = {index for start, end in spans for index in range(start, end)}
    selected = select(found, 0, "GET", {"range": f"bytes={wanted[0]}-{wanted[1] - 1}"}, NOW_S)
    assert (selected is not None) == (set(range(*wanted)) <= held)
    assert found.whole == (held == set(range(20)))
