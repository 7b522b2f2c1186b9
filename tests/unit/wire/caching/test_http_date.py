"""Dates of HTTP: RFC 9110, section 5.6.7; RFC 9111, section 5.3."""

from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.http_date import format_date, parse_date

NOW_S = float(timegm((2026, 11, 22, 0, 0, 0)))


def moment(*when: int) -> float:
    return float(timegm(when))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", moment(1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", moment(1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", moment(1994, 11, 6, 8, 49, 37)),
        ("Sun Nov 16 08:49:37 1994", moment(1994, 11, 16, 8, 49, 37)),
        (" Sun, 06 Nov 1994 08:49:37 GMT\t", moment(1994, 11, 6, 8, 49, 37)),
        ("SUN, 06 nov 1994 08:49:37 gmt", moment(1994, 11, 6, 8, 49, 37)),
        ("Fri, 21 Nov 2286 04:46:39 GMT", moment(2286, 11, 21, 4, 46, 39)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", moment(2017, 1, 1, 0, 0, 0)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", moment(2024, 2, 29, 0, 0, 0)),
        ("Mon, 01 Jan 0001 00:00:00 GMT", moment(1, 1, 1, 0, 0, 0)),
    ],
)
def test_the_three_formats_are_read(value: str, expected: float):
    assert parse_date(value, NOW_S) == expected


@pytest.mark.parametrize(
    ("digits", "year"), [("26", 2026), ("50", 2050), ("76", 2076), ("77", 1977), ("99", 1999), ("00", 2000)]
)
def test_a_year_of_two_digits_is_at_most_50_years_ahead(digits: str, year: int):
    assert parse_date(f"Thursday, 18-Aug-{digits} 02:01:18 GMT", NOW_S) == moment(year, 8, 18, 2, 1, 18)


def test_the_century_is_told_by_the_present():
    later_s = moment(2099, 6, 1, 0, 0, 0)
    assert parse_date("Thursday, 18-Aug-05 02:01:18 GMT", later_s) == moment(2105, 8, 18, 2, 1, 18)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "foo",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Xyz, 18 Aug 2050 02:01:18 GMT",
        "Thu, 31 Feb 2050 02:01:18 GMT",
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 0000 02:01:18 GMT",
        "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, ١٨ Aug 2050 02:01:18 GMT",
        "Thu Aug 8 02:01:18 2050",
    ],
)
def test_all_else_is_no_date(value: str):
    assert parse_date(value, NOW_S) is None


@given(st.integers(min_value=0, max_value=253_402_300_799))
def test_what_is_sent_is_read_as_it_was(seconds: int):
    assert parse_date(format_date(seconds), NOW_S) == seconds


def test_a_part_of_a_second_is_not_sent():
    assert format_date(784_111_777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2,5}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT\Z"))
def test_nothing_raises(value: str):
    parse_date(value, NOW_S)
