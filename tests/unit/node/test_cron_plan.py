"""Tests for littoral.node.cron_plan."""

import pytest

from littoral.core.cron import MINUTE_MS, Cron
from littoral.node.cron_plan import BACK_MS, Missed, Plan, plan

HOURLY = Cron("0 * * * *")
HOUR_MS = 60 * MINUTE_MS
NOON = 494_124 * HOUR_MS
"""A full hour."""


def hours(*counts: int) -> list[int]:
    return [NOON + count * HOUR_MS for count in counts]


@pytest.mark.parametrize(
    ("missed", "upto", "now", "runs"),
    [
        ("skip", -1, 0, [0]),
        ("skip", -1, 59_999, [0]),
        ("skip", -1, 60_000, []),
        ("skip", -5, 10, [0]),
        ("skip", 0, 10, []),
        ("once", -5, 10, [0]),
        ("once", -5, 10 * MINUTE_MS, [0]),
        ("once", 0, 59 * MINUTE_MS, []),
        ("all-bounded", -3, 10, [-2, -1, 0]),
        ("all-bounded", -3, 30 * MINUTE_MS, [-2, -1, 0]),
        ("all-bounded", -90, 10, [-3, -2, -1, 0]),
        ("all-bounded", 0, 10, []),
    ],
)
def test_what_was_missed_is_run_by_the_policy(missed: Missed, upto: int, now: int, runs: list[int]) -> None:
    due = plan(HOURLY, missed, hours(upto)[0], NOON + now, most=4)
    assert due == Plan(hours(*runs), NOON)


@pytest.mark.parametrize("missed", ["skip", "once", "all-bounded"])
def test_a_clock_that_is_set_back_lets_nothing_run_twice(missed: Missed) -> None:
    assert plan(HOURLY, missed, NOON, NOON - 10 * MINUTE_MS, 4) == Plan([], NOON)
    assert plan(HOURLY, missed, NOON, NOON + HOUR_MS, 4) == Plan(hours(1), NOON + HOUR_MS)


def test_a_clock_that_was_far_ahead_does_not_stop_the_trigger_for_as_long() -> None:
    assert plan(HOURLY, "once", NOON, NOON - BACK_MS, 4) == Plan([], NOON)
    assert plan(HOURLY, "once", NOON, NOON - BACK_MS - 1, 4) == Plan([], NOON - BACK_MS - 1)
