"""Tests for littoral.core.cron."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.cron import MINUTE_MS, Cron, CronError


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def told(moment: int | None) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment / 1000, tz=UTC).strftime("%a %Y-%m-%d %H:%M")


# 2026-11-22 is a Sunday.
@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("* * * * *", "2026-11-22T06:36:15", ["Sun 2026-11-22 06:37", "Sun 2026-11-22 06:38"]),
        ("*/30 * * * *", "2026-11-22T06:30", ["Sun 2026-11-22 07:00", "Sun 2026-11-22 07:30"]),
        ("45 * * * *", "2026-11-22T23:50", ["Mon 2026-11-23 00:45"]),
        ("5/20 3 * * *", "2026-11-22T00:00", ["Sun 2026-11-22 03:05", "Sun 2026-11-22 03:25", "Sun 2026-11-22 03:45"]),
        ("0 17 * * sun", "2026-11-22T17:00", ["Sun 2026-11-29 17:00"]),
        ("0 17 * * 1", "2026-11-22T00:00", ["Sun 2026-11-22 17:00"]),
        ("10 7 * * mon-fri", "2026-11-20T08:00", ["Mon 2026-11-23 07:10", "Tue 2026-11-24 07:10"]),
        ("10 7 * * 2-6", "2026-11-20T08:00", ["Mon 2026-11-23 07:10"]),
        ("0 0 * * FRI-mon", "2026-11-22T01:00", ["Mon 2026-11-23 00:00", "Fri 2026-11-27 00:00"]),
        ("0 15 1 * *", "2026-11-22T00:00", ["Tue 2026-12-01 15:00", "Fri 2027-01-01 15:00"]),
        ("0 18 * * 6L", "2026-11-22T00:00", ["Fri 2026-11-27 18:00", "Fri 2026-12-25 18:00"]),
        ("0 18 * * friL", "2026-11-28T00:00", ["Fri 2026-12-25 18:00"]),
        ("59 23 LW * *", "2026-10-01T00:00", ["Fri 2026-10-30 23:59", "Mon 2026-11-30 23:59"]),
        ("0 0 L * *", "2027-02-01T00:00", ["Sun 2027-02-28 00:00"]),
        ("0 0 L-2 * *", "2028-02-01T00:00", ["Sun 2028-02-27 00:00"]),
        ("0 0 L-2W * *", "2028-02-01T00:00", ["Mon 2028-02-28 00:00"]),
        ("0 0 1W * *", "2026-08-01T00:00", ["Mon 2026-08-03 00:00", "Tue 2026-09-01 00:00"]),
        ("0 0 15W * *", "2026-11-01T00:00", ["Mon 2026-11-16 00:00", "Tue 2026-12-15 00:00"]),
        ("0 0 31W 5 *", "2026-05-01T00:00", ["Fri 2026-05-29 00:00"]),
        ("0 9 * * mon#2", "2026-11-22T00:00", ["Mon 2026-12-14 09:00"]),
        ("0 9 * * 1#5", "2026-11-30T00:00", ["Sun 2027-01-31 09:00"]),
        ("0 0 13 * fri", "2026-11-12T12:00", ["Fri 2026-11-13 00:00", "Fri 2026-11-20 00:00"]),
        ("0 0 1 jan,Jul *", "2026-11-22T00:00", ["Fri 2027-01-01 00:00", "Thu 2027-07-01 00:00"]),
        (
            "0 0 1 nov-jan *",
            "2026-11-22T00:00",
            ["Tue 2026-12-01 00:00", "Fri 2027-01-01 00:00", "Mon 2027-11-01 00:00"],
        ),
        ("0 0 29 2 *", "2096-03-01T00:00", ["Fri 2104-02-29 00:00"]),
        ("0 22-2 * * *", "2026-11-22T23:00", ["Mon 2026-11-23 00:00", "Mon 2026-11-23 01:00", "Mon 2026-11-23 02:00"]),
    ],
)
def test_when_an_expression_is_due(expression: str, after: str, due: list[str]) -> None:
    cron, moment = Cron(expression), ms(after)
    for expected in due:
        following = cron.next_after(moment)
        assert told(following) == expected
        assert following is not None
        assert cron.latest_until(following) == following
        moment = following


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("* * * *", "found 4 fields; expected five"),
        ("60 * * * *", "found '60' as minute; expected 0 to 59"),
        ("* * * * 0", "found '0' as weekday; expected 1 to 7 or sun to sat"),
        ("* * * * 8", "expected 1 to 7"),
        ("*/0 * * * *", "a step is 1 to 59"),
        ("1-x * * * *", "found 'x' as minute"),
        ("? * * * *", "expected \\*, a value, a range"),
        ("* * * * mon#6", "which one in the month"),
        ("* * L-31 * *", "no month has 31 days before its last"),
        ("0 0 31 11 *", "it is never due: no month of 11 has such a day"),
        ("@daily", "found 1 fields"),
        ("1,,2 * * * *", "found '' as minute"),
    ],
)
def test_what_is_no_expression_says_why(expression: str, says: str) -> None:
    with pytest.raises(CronError, match=says):
        Cron(expression)


@given(
    st.sampled_from(["*/7 * * * *", "3 4 * * *", "0 0 LW * *", "15 */6 * * 2-4", "0 12 1,15 * fri#2", "30 1 31 * *"]),
    st.integers(min_value=0, max_value=4_000_000_000_000),
)
def test_both_directions_meet(expression: str, at_ms: int) -> None:
    cron = Cron(expression)
    following = cron.next_after(at_ms)
    assert following is not None
    assert following > at_ms
    assert cron.latest_until(following) == following
    # Nothing lies between.
    before = cron.latest_until(following - MINUTE_MS)
    assert before is None or before <= at_ms


def test_the_end_of_the_calendar_is_no_error() -> None:
    assert Cron("* * * * *").next_after(1 << 62) is None
    assert Cron("* * * * *").latest_until(-(1 << 62)) is None
