"""The headers Range and Content-Range: RFC 9110, section 14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.byte_range import RANGES_MOST, Span, Unsatisfiable, byte_range, content_range, joined, missing


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=99-99", (99, 100)),
        ("bytes=10-1000", (10, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-1000", (0, 100)),
        (" Bytes=5-6 ", (5, 7)),
        ("bytes=0-4,5-9", (0, 10)),
        ("bytes=8-9, 0-8 ,,", (0, 10)),
        ("bytes=-1,90-98", (90, 100)),
        ("bytes=5-6,100-", (5, 7)),
    ],
)
def test_a_range_is_within_the_whole(header: str, expected: tuple[int, int]):
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=-",
        "bytes=6-5",
        "bytes=0-1,5-6",
        "bytes=0-1,6-5",
        "bytes=0-1,-",
        "bytes=,",
        "bytes=a-b",
        "bytes=٣-٤",
        "bytes=" + "9" * 19,
        "bytes=" + ",".join(["0-9"] * (RANGES_MOST + 1)),
        "lines=0-1",
    ],
)
def test_what_is_not_understood_is_ignored(header: str | None):
    assert byte_range(header, 100) is None


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_what_begins_beyond_the_end_is_refused(header: str, size: int):
    with pytest.raises(Unsatisfiable):
        byte_range(header, size)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 0-4/10", (0, 5, 10)),
        ("Bytes 9-9/10 ", (9, 10, 10)),
        ("bytes 4-3/10", None),
        ("bytes 4-10/10", None),
        ("bytes 0-4/*", None),
        ("bytes */10", None),
        ("bytes=0-4/10", None),
        ("lines 0-4/10", None),
        ("bytes 0-4/" + "9" * 19, None),
        ("", None),
    ],
)
def test_a_part_says_where_it_belongs(value: str, expected: tuple[int, int, int] | None):
    assert content_range(value) == expected


@given(st.text() | st.text(alphabet="bytes=0123456789-, /*", max_size=60))
def test_no_header_raises_but_unsatisfiable(value: str):
    content_range(value)
    try:
        span = byte_range(value, 100)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span[0] < span[1] <= 100


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 31)).filter(lambda span: span[0] < span[1]))


@given(SPANS, st.integers(0, 30), st.integers(0, 31))
def test_what_is_missing_is_what_is_not_there(spans: list[Span], start: int, end: int):
    there = {index for first, last in spans for index in range(first, last)}
    lacking = {index for first, last in missing(joined(spans), start, end) for index in range(first, last)}
    assert lacking == set(range(start, end)) - there
