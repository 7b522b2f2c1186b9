"""Links in words."""

import msgspec
import pytest

from littoral.dashboard.carried import CarriedRates
from littoral.dashboard.cells import Line
from littoral.dashboard.link_cells import budget_facts, lane_lines, period_end_ms
from littoral.node.status import BudgetStatus, NodeStatus
from tests.support.statuses import EXHAUSTED, NOW_MS, status


def texts(line: Line) -> list[str]:
    return [cell.main for cell in line.cells]


def test_only_lanes_in_which_something_waits_or_flows_are_listed() -> None:
    waiting = status("plant-a", parent="eu", waiting={"telemetry": (1500, NOW_MS - 61_000)}, flow=(25.0, 60.0))
    (line,) = lane_lines(waiting)
    assert texts(line) == ["telemetry", "1\u202f500", "0 B", "1 min 1 s", "25/s", "2.5 kB/s", "1 min 0 s"]


def test_a_queue_that_does_not_shrink_is_marked() -> None:
    (line,) = lane_lines(status("plant-a", parent="eu", waiting={"alerts": (2, NOW_MS - 10_000)}, flow=(0.0, None)))
    assert (line.cells[6].main, line.cells[6].tone) == ("does not shrink", "warn")
    assert line.cells[4].main == "–"


def test_records_that_have_only_just_come_are_no_reason_to_warn() -> None:
    (line,) = lane_lines(status("plant-a", parent="eu", waiting={"alerts": (2, NOW_MS - 9_000)}, flow=(0.0, None)))
    assert (line.cells[6].main, line.cells[6].tone) == ("does not shrink", "")


def test_a_budget_says_what_is_used_what_is_allowed_and_what_happens_at_its_end() -> None:
    budget = msgspec.structs.replace(EXHAUSTED, state="free", used={"day": 1_000_000}, most={"day": 4_000_000})
    facts = budget_facts(budget, 131_072.0, NOW_MS)
    assert (facts["Rate"].main, facts["Rate"].share) == ("131 kB/s", 0.5)
    assert facts["Rate"].sub == "of 262 kB/s, waited 12 s in all"
    assert (facts["Today"].main, facts["Today"].share) == ("1.0 MB of 4.0 MB", 0.25)
    assert facts["Today"].sub == "25 %, begins anew in 1 h 46 min"
    assert facts["Then"].main == "At its end only control and alerts are sent"


def test_an_exhausted_budget_says_until_when() -> None:
    facts = budget_facts(EXHAUSTED, None, NOW_MS)
    assert (facts["Today"].tone, facts["This month"].tone) == ("bad", "")
    assert facts["Then"].main == "Exhausted: only control and alerts are sent"
    assert facts["Then"].sub == "until 2023-11-15 00:00:00 UTC"
    assert facts["Rate"].main == "–"
    stops = msgspec.structs.replace(EXHAUSTED, stops=True)
    assert budget_facts(stops, None, NOW_MS)["Then"].main == "Exhausted: nothing is sent"


def test_a_budget_without_a_bound_of_days_has_no_end() -> None:
    rate_only = msgspec.structs.replace(EXHAUSTED, state="waiting", used={}, most={}, until_ms=None)
    facts = budget_facts(rate_only, None, NOW_MS)
    assert list(facts) == ["Rate", "Then"]
    assert (facts["Then"].main, facts["Then"].sub) == ("no bound for a day or month", "waits for the rate now")


@pytest.mark.parametrize(
    ("at", "end"), [(1_703_980_800_000, 1_704_067_200_000), (1_701_388_800_000, 1_704_067_200_000)]
)
def test_a_month_ends_where_the_next_begins(at: int, end: int) -> None:
    assert period_end_ms("month", at) == end  # 2023-12-31 and 2023-12-01 -> 2024-01-01


def carrying(at_s: int, carried_bytes: int, started_ms: int = 0) -> NodeStatus:
    budget: BudgetStatus = msgspec.structs.replace(EXHAUSTED, carried_bytes=carried_bytes)
    return status("plant-a", parent="eu", at_ms=NOW_MS + at_s * 1000, started_ms=started_ms, budget=budget)


def test_what_a_link_carries_follows_from_two_reports() -> None:
    rates = CarriedRates()
    rates.add(carrying(0, 1000))
    assert rates.per_s("plant-a") is None
    rates.add(carrying(10, 6000))
    rates.add(carrying(10, 6000))
    assert rates.per_s("plant-a") == 500
    rates.add(carrying(20, 100, started_ms=1))
    assert rates.per_s("plant-a") is None, "a hub that was restarted counts from zero"
    rates.add(status("plant-a", parent="eu"))
    assert rates.per_s("plant-a") is None
