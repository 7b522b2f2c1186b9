"""Cron expressions as Workers' cron triggers have them, in UTC: five fields, with most extensions of Quartz.

    minute    0-59                 * , - /
    hour      0-23                 * , - /
    day       1-31                 * , - /   L  L-3  LW  L-3W  15W
    month     1-12 or jan-dec      * , - /
    weekday   1-7 or sun-sat       * , - /   6L (the last Friday)  6#2 (the second)

1 is Sunday. A range may go over the end of its field (`fri-mon`). Where both day and weekday say something, a day that is
the one or the other is meant. Sources: developers.cloudflare.com/workers/configuration/cron-triggers, and how
github.com/cloudflare/saffron, the parser there, decides what that page leaves open.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime

MINUTE_MS = 60_000
SEARCHED_MONTHS = 12 * 9
"""The longest gap of a date: from 29 February 2096 to that of 2104."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SATURDAY, SUNDAY = 7, 1

_LAST_DAY = re.compile(r"l(?:-(\d{1,2}))?(w)?")
_NEAREST = re.compile(r"(\d{1,2})w")
_PART = re.compile(r"(?P<star>\*)|(?P<first>[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?")

_Days = Callable[[int, int], frozenset[int]]
"""The days of a month, by year and month."""


class CronError(ValueError):
    """An expression that cannot be understood, or is never due; the text says where and why."""


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int:
        """A number or a name of this field. Raises CronError."""
        if text in self.names:
            return self.names.index(text) + self.least
        if not text.isdecimal() or not self.least <= int(text) <= self.most:
            expected = f"{self.least} to {self.most}" + (
                f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            )
            raise CronError(f"found {text!r} as {self.name}; expected {expected}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """What a list of values, ranges and steps means. Raises CronError."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> Iterator[int]:
        plain, slash, step = text.partition("/")
        found = _PART.fullmatch(plain)
        if found is None:
            raise CronError(f"found {text!r} as {self.name}; expected *, a value, a range as 1-5, or steps as */10")
        every = 1
        if slash:
            if not step.isdecimal() or not 1 <= int(step) <= self.most:
                raise CronError(f"found {text!r} as {self.name}; a step is 1 to {self.most}")
            every = int(step)
        if found["star"]:
            first, last = self.least, self.most
        else:
            first = self.value(found["first"])
            last = self.value(found["last"]) if found["last"] else (self.most if slash else first)
        length = last - first if first <= last else last - first + self.most - self.least + 1
        size = self.most - self.least + 1
        return (self.least + (first - self.least + offset) % size for offset in range(0, length + 1, every))


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 1, 7, _WEEKDAYS),
)


class Cron:
    """One expression."""

    def __init__(self, text: str) -> None:
        """Raises CronError."""
        self.text = text
        fields = text.lower().split()
        if len(fields) != len(_FIELDS):
            raise CronError(f"found {len(fields)} fields; expected five: minute, hour, day, month and weekday")
        minute, hour, day, month, weekday = fields
        minutes, hours = _FIELDS[0].values(minute), _FIELDS[1].values(hour)
        self._times = sorted(60 * each + minute for each in hours for minute in minutes)
        self._months = _FIELDS[3].values(month)
        self._days = _either(_days_of_month(day), _days_of_week(weekday))
        if self.next_after(0) is None:
            raise CronError(f"it is never due: no month of {month} has such a day ({day})")

    def next_after(self, at_ms: int) -> int | None:
        """The first moment it is due after `at_ms`, both in milliseconds since 1970; None where the calendar ends."""
        start = _minute(at_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS)
        if start is None:
            return None
        for year, month in _months(start.year, start.month, 1):
            here = (year, month) == (start.year, start.month)
            for day in sorted(self._days_in(year, month)):
                if here and day < start.day:
                    continue
                index = bisect_left(self._times, 60 * start.hour + start.minute) if here and day == start.day else 0
                if index < len(self._times):
                    return _moment_ms(year, month, day, self._times[index])
        return None

    def latest_until(self, at_ms: int) -> int | None:
        """The last moment it was due up to `at_ms`; None where that would be too long ago."""
        end = _minute(at_ms // MINUTE_MS * MINUTE_MS)
        if end is None:
            return None
        for year, month in _months(end.year, end.month, -1):
            here = (year, month) == (end.year, end.month)
            for day in sorted(self._days_in(year, month), reverse=True):
                if here and day > end.day:
                    continue
                most = 60 * end.hour + end.minute if here and day == end.day else 24 * 60
                index = bisect_right(self._times, most)
                if index:
                    return _moment_ms(year, month, day, self._times[index - 1])
        return None

    def _days_in(self, year: int, month: int) -> frozenset[int]:
        return self._days(year, month) if month in self._months else frozenset()


def _minute(at_ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _moment_ms(year: int, month: int, day: int, minute: int) -> int:
    return int(datetime(year, month, day, minute // 60, minute % 60, tzinfo=UTC).timestamp()) * 1000


def _months(year: int, month: int, step: int) -> Iterator[tuple[int, int]]:
    """Months from this one on, as far as it makes sense to look."""
    for each in range(12 * year + month - 1, 12 * year + month - 1 + step * SEARCHED_MONTHS, step):
        if MINYEAR < each // 12 < MAXYEAR:
            yield each // 12, each % 12 + 1


def _either(day: _Days | None, weekday: _Days | None) -> _Days:
    """None says nothing."""
    if day is None:
        return weekday or (lambda year, month: frozenset(range(1, _length(year, month) + 1)))
    if weekday is None:
        return day
    return lambda year, month: day(year, month) | weekday(year, month)


def _days_of_month(text: str) -> _Days | None:
    if text == "*":
        return None
    if found := _LAST_DAY.fullmatch(text):
        before, nearest = int(found[1] or 0), bool(found[2])
        if before > 30:
            raise CronError(f"found {text!r} as day; no month has {before} days before its last")
        return lambda year, month: _one(year, month, _length(year, month) - before, nearest=nearest)
    if found := _NEAREST.fullmatch(text):
        wanted = _FIELDS[2].value(found[1])
        return lambda year, month: _one(year, month, wanted, nearest=True)
    days = _FIELDS[2].values(text)
    return lambda year, month: frozenset(day for day in days if day <= _length(year, month))


def _days_of_week(text: str) -> _Days | None:
    field = _FIELDS[4]
    if text == "*":
        return None
    if text.endswith("l"):
        # By itself it is the week's last day.
        if text == "l":
            return lambda year, month: _on(year, month, frozenset({SATURDAY}))
        last = field.value(text[:-1])
        return lambda year, month: frozenset({max(_on(year, month, frozenset({last})))})
    name, hash_sign, number = text.partition("#")
    if hash_sign:
        wanted = field.value(name)
        if number not in {"1", "2", "3", "4", "5"}:
            raise CronError(f"found {text!r} as weekday; after # expected which one in the month, 1 to 5")
        return lambda year, month: frozenset(
            sorted(_on(year, month, frozenset({wanted})))[int(number) - 1 : int(number)]
        )
    weekdays = field.values(text)
    return lambda year, month: _on(year, month, weekdays)


def _on(year: int, month: int, weekdays: frozenset[int]) -> frozenset[int]:
    """The days of a month that are one of these."""
    first = _weekday(year, month, 1)
    return frozenset(day for day in range(1, _length(year, month) + 1) if (first + day - 2) % 7 + 1 in weekdays)


def _one(year: int, month: int, day: int, *, nearest: bool) -> frozenset[int]:
    """One day, if the month has it; nearest: else the Friday or Monday of the same month that is nearest to it."""
    length = _length(year, month)
    if not 1 <= day <= length:
        return frozenset()
    weekday = _weekday(year, month, day)
    if nearest and weekday == SATURDAY:
        day += -1 if day > 1 else 2
    elif nearest and weekday == SUNDAY:
        day += 1 if day < length else -2
    return frozenset({day})


def _length(year: int, month: int) -> int:
    return monthrange(year, month)[1]


def _weekday(year: int, month: int, day: int) -> int:
    """1 for Sunday."""
    return datetime(year, month, day, tzinfo=UTC).isoweekday() % 7 + 1
