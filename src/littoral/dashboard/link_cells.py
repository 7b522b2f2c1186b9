"""What a node's link does, in words: its lanes, and its bandwidth budget."""

from datetime import UTC, datetime, timedelta

from littoral.core.lanes import LANES
from littoral.dashboard.cells import Cell, Line
from littoral.dashboard.texts import NONE, bytes_text, count_text, duration_text, event_time_text, rate_text, share_text
from littoral.node.status import BudgetStatus, LaneStatus, NodeStatus
from littoral.streams.bandwidth import Period

LEAST_RECORDS_S = 0.05
"""Less than three records a minute is shown as nothing."""
FRESH_MS = 10_000
"""A younger queue is under way: that it does not shrink is nothing to be warned of."""


def lane_lines(status: NodeStatus) -> list[Line]:
    """A line for each lane in which something waits or flows, as of the node's last report."""
    lanes = [(lane, status.lanes[lane]) for lane in LANES if lane in status.lanes]
    return [
        _lane(name, lane, status.at_ms) for name, lane in lanes if lane.records or lane.records_s >= LEAST_RECORDS_S
    ]


def _lane(name: str, lane: LaneStatus, at_ms: int) -> Line:
    waits = lane.records > 0
    # By the node's own clock, and of the moment of its report: both times are from there.
    age_ms = at_ms - lane.oldest_ms if waits and lane.oldest_ms is not None else None
    empty = NONE
    if waits:
        empty = duration_text(int(lane.empty_s * 1000)) if lane.empty_s is not None else "does not shrink"
    return Line(
        name,
        (
            Cell(name),
            Cell(count_text(lane.records)),
            Cell(bytes_text(lane.bytes) if waits else NONE),
            Cell(duration_text(age_ms) if age_ms is not None else NONE),
            Cell(f"{rate_text(lane.records_s)}/s" if lane.records_s >= LEAST_RECORDS_S else NONE),
            Cell(f"{bytes_text(round(lane.bytes_s))}/s" if lane.bytes_s >= 0.5 else NONE),
            Cell(empty, tone="warn" if (age_ms or 0) >= FRESH_MS and lane.empty_s is None else ""),
        ),
    )


def budget_facts(budget: BudgetStatus, carried_s: float | None, now_ms: int) -> dict[str, Cell]:
    """The budget's parts by name. carried_s: bytes per second that the link carries now; None where it is not known."""
    found = {"Rate": _rate(budget, carried_s)}
    for period in budget.most:
        found["Today" if period == "day" else "This month"] = _period(budget, period, now_ms)
    found["Then"] = _then(budget)
    return found


def _rate(budget: BudgetStatus, carried_s: float | None) -> Cell:
    used = NONE if carried_s is None else f"{bytes_text(round(carried_s))}/s"
    if budget.rate is None:
        return Cell(used, "of any rate")
    waited = f", waited {duration_text(int(budget.waited_s * 1000))} in all" if budget.waited_s >= 1 else ""
    return Cell(used, f"of {bytes_text(budget.rate)}/s{waited}", "", (carried_s or 0.0) / max(1, budget.rate))


def _period(budget: BudgetStatus, period: Period, now_ms: int) -> Cell:
    used, most = budget.used.get(period, 0), budget.most[period]
    share = used / max(1, most)
    ends = duration_text(period_end_ms(period, now_ms) - now_ms)
    return Cell(
        f"{bytes_text(used)} of {bytes_text(most)}",
        f"{share_text(share)}, begins anew in {ends}",
        "bad" if used >= most else "",
        share,
    )


def _then(budget: BudgetStatus) -> Cell:
    """What happens at the end of the budget, or does already."""
    only = "nothing is sent" if budget.stops else "only control and alerts are sent"
    waits = "waits for the rate now" if budget.state == "waiting" else ""
    if budget.state == "exhausted":
        until = f"until {event_time_text(budget.until_ms)} UTC" if budget.until_ms is not None else ""
        return Cell(f"Exhausted: {only}", until, "bad")
    return Cell(f"At its end {only}" if budget.most else "no bound for a day or month", waits)


def period_end_ms(period: Period, now_ms: int) -> int:
    """When the present UTC day or month ends."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    end = today + timedelta(days=1) if period == "day" else (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return int(end.timestamp() * 1000)
