"""Dates of HTTP (RFC 9110, section 5.6.7), to and from seconds since the epoch.

What is none of the three formats is no date: a cache takes `Expires` with it for long past (RFC 9111, section 5.3). Only the case
of letters is not looked at.
"""

import re
from calendar import monthrange, timegm
from email.utils import formatdate
from functools import lru_cache
from time import gmtime

_DAY, _LONG_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)", "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"({'|'.join(_MONTHS)})"
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"

_IMF = re.compile(f"{_DAY}, ([0-9]{{2}}) {_MONTH} ([0-9]{{4}}) {_TIME} gmt", re.IGNORECASE | re.ASCII)
_RFC_850 = re.compile(f"{_LONG_DAY}, ([0-9]{{2}})-{_MONTH}-([0-9]{{2}}) {_TIME} gmt", re.IGNORECASE | re.ASCII)
_ASCTIME = re.compile(f"{_DAY} {_MONTH} ([0-9 ][0-9]) {_TIME} ([0-9]{{4}})", re.IGNORECASE | re.ASCII)

_LONGEST = len("Wednesday, 09-Nov-94 08:49:37 GMT")
_AHEAD_YEARS = 50


def parse_date(value: str, now_s: float) -> float | None:
    """Seconds since the epoch; None for what is no date. now_s: the present, which the century of a two-digit year is told
    by."""
    value = value.strip(" \t")
    if len(value) > _LONGEST:
        return None
    seconds = _parse_full(value)
    if seconds is None and (match := _RFC_850.fullmatch(value)):
        return _nearest_century(match, now_s)
    return seconds


def format_date(seconds: float) -> str:
    """As IMF-fixdate, the only format that is sent."""
    return formatdate(int(seconds), usegmt=True)


@lru_cache(maxsize=1024)
def _parse_full(value: str) -> float | None:
    """With a year of four digits."""
    if match := _IMF.fullmatch(value):
        day, month, year, *clock = match.groups()
    elif match := _ASCTIME.fullmatch(value):
        month, day, *clock, year = match.groups()
    else:
        return None
    return _seconds(int(year), month, day, clock)


def _nearest_century(match: re.Match[str], now_s: float) -> float | None:
    """The latest year with these two digits that is not more than 50 years ahead."""
    day, month, digits, *clock = match.groups()
    present = gmtime(now_s).tm_year
    year = present - present % 100 + 100 + int(digits)
    while year > present + _AHEAD_YEARS:
        year -= 100
    return _seconds(year, month, day, clock)


def _seconds(year: int, month: str, day: str, clock: list[str]) -> float | None:
    number = _MONTHS.index(month.lower()) + 1
    hour, minute, second = int(clock[0]), int(clock[1]), int(clock[2])
    # 60 is a leap second.
    if not (year and 1 <= int(day) <= monthrange(year, number)[1] and hour < 24 and minute < 60 and second <= 60):
        return None
    return float(timegm((year, number, int(day), hour, minute, second)))
