"""littoral status."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from littoral.cli.client import ApiClient
from littoral.cli.nodes import Nodes
from littoral.cli.output import Cell, age, console, moment, print_json, print_table, rate, size, span
from littoral.cli.targets import at_node
from littoral.core.lanes import LANES
from littoral.node.status import BudgetStatus, NodeStatus

COLUMNS = ("NODE", "TIER", "LINK", "SINCE", "WAITING", "RULES", "APPS", "DEAD", "REPORTED")
BUDGET = "BUDGET"
"""A last column, where a node has one."""
QUEUE_MS = 2_000
"""What has waited for less is on its way, and is counted in the table alone."""


@at_node
def status(api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the state of the node that is asked and of all nodes below it, by their last reports.

    WAITING counts the records to be sent to the parent; lanes in which some have waited for a while follow below the table.
    DEAD counts open dead letters. BUDGET, where a node has one: the part that is used of its day or month,
    or whether something waits for its rate.
    """
    reports = api.get("/v1/nodes", list[NodeStatus])
    if as_json:
        print_json(reports)
        return
    nodes = Nodes(reports)
    budgets = [BUDGET] if any(each.link is not None and each.link.budget is not None for each in nodes.all) else []
    rows = [[*_row(nodes, each), *(_budget(each) for _ in budgets)] for each in nodes.all]
    print_table([*COLUMNS, *budgets], rows, right=["WAITING", "DEAD", "REPORTED", BUDGET])
    for line in (line for each in nodes.all for line in queues(each)):
        console().print(Text(line))
    for problem in (line for each in nodes.all for line in problems(each)):
        console().print(Text(problem, style="yellow"))


def queues(report: NodeStatus) -> Iterator[str]:
    """What waits to be sent at a node, how fast it goes and when it is gone, one line a lane."""
    for lane in LANES:
        queue = report.lanes.get(lane)
        if queue is None or queue.oldest_ms is None or report.at_ms - queue.oldest_ms < QUEUE_MS:
            continue
        parts = [f"{queue.records:,} waiting", f"oldest {age(queue.oldest_ms, report.at_ms)}", rate(queue.records_s)]
        if queue.empty_s is not None:
            parts.append(f"empty in {span(queue.empty_s)}")
        yield f"{report.node}: {lane}: {', '.join(parts)}"


def problems(report: NodeStatus) -> Iterator[str]:
    """What is wrong at a node, one line each."""
    yield from _link_problems(report)
    if report.spill is not None and report.spill.refused:
        yield f"{report.node}: {report.spill.refused}"
    for name, rule in report.rules.items():
        if rule.problem:
            yield f"{report.node}: rule {name}: {rule.problem}"
        if count := rule.undecodable:
            yield f"{report.node}: rule {name}: {count} reading{'s' * (count != 1)} could not be decoded"
    for kind, placed in (("app", report.apps), ("route", report.routes)):
        for name, each in placed.items():
            if each.problem:
                yield f"{report.node}: {kind} {name}: {each.problem}"
    if report.subscriptions is not None:
        for name, reason in report.subscriptions.failures.items():
            yield f"{report.node}: subscription {name}: {reason}"


def _link_problems(report: NodeStatus) -> Iterator[str]:
    link = report.link
    if link is None:
        return
    if not link.connected and link.last_error:
        yield f"{report.node}: link: {link.last_error}"
    if link.budget is not None and link.budget.state == "exhausted":
        yield f"{report.node}: link: {budget_text(link.budget)}"
    for stream, reason in link.held.items():
        yield f"{report.node}: stream {stream} waits: {reason}"
    for stream, blocked in link.blocked.items():
        yield f"{report.node}: stream {stream}: {blocked.reason}"


def _row(nodes: Nodes, report: NodeStatus) -> list[Cell]:
    now_ms = nodes.now_ms
    return [
        report.node,
        report.tier,
        _link(nodes, report),
        age(nodes.link_since_ms(report), now_ms),
        "" if report.link is None else f"{sum(lane.records for lane in report.lanes.values()):,}",
        _working([rule.problem for rule in report.rules.values()]),
        _working([app.problem for app in report.apps.values()]),
        Text(str(report.dead_letters), style="red" if report.dead_letters else ""),
        age(report.at_ms, now_ms),
    ]


def _link(nodes: Nodes, report: NodeStatus) -> Cell:
    if report.link is None:
        return "root"
    return Text("up", style="green") if nodes.is_connected(report) else Text("down", style="red")


def budget_text(budget: BudgetStatus) -> str:
    """A budget that is exhausted, in words."""
    used = [
        f"{size(budget.used.get(period, 0))} of {size(most)} this {period} are used"
        for period, most in budget.most.items()
        if budget.used.get(period, 0) >= most
    ]
    until = "" if budget.until_ms is None else f" until {moment(budget.until_ms)}"
    return f"{', '.join(used)}; {'nothing is' if budget.stops else 'only control and alerts are'} sent{until}"


def _budget(report: NodeStatus) -> Cell:
    budget = report.link.budget if report.link is not None else None
    if budget is None:
        return ""
    if budget.state == "waiting":
        return "waiting"
    if not budget.most:
        return "free"
    part = max(budget.used.get(period, 0) / most for period, most in budget.most.items())
    return Text(f"{part:.0%}", style="yellow" if budget.state == "exhausted" else "")


def _working(found: list[str]) -> Cell:
    """How many of a node's parts work."""
    broken = sum(1 for problem in found if problem)
    return Text(f"{len(found) - broken}/{len(found)}", style="red") if broken else str(len(found))
