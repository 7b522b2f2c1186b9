"""littoral status."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from littoral.cli.client import ApiClient
from littoral.cli.nodes import Nodes
from littoral.cli.output import Cell, age, console, print_json, print_table
from littoral.cli.targets import at_node
from littoral.core.lanes import LANES
from littoral.node.status import LaneStatus, NodeStatus

COLUMNS = ("NODE", "TIER", "LINK", "SINCE", *(lane.upper() for lane in LANES), "RULES", "APPS", "DEAD", "REPORTED")


@at_node
def status(api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the state of the node that is asked and of all nodes below it, by their last reports.

    A lane's column holds the records that wait to be sent and the age of the oldest. DEAD counts dead letters.
    """
    reports = api.get("/v1/nodes", list[NodeStatus])
    if as_json:
        print_json(reports)
        return
    nodes = Nodes(reports)
    print_table(COLUMNS, [_row(nodes, each) for each in nodes.all], right=["DEAD", "REPORTED"])
    for problem in (line for each in nodes.all for line in problems(each)):
        console().print(Text(problem, style="yellow"))


def problems(report: NodeStatus) -> Iterator[str]:
    """What is wrong at a node, one line each."""
    if report.link is not None:
        if not report.link.connected and report.link.last_error:
            yield f"{report.node}: link: {report.link.last_error}"
        for stream, reason in report.link.blocked.items():
            yield f"{report.node}: stream {stream}: {reason}"
    for name, rule in report.rules.items():
        if rule.problem:
            yield f"{report.node}: rule {name}: {rule.problem}"
        if rule.undecodable:
            yield f"{report.node}: rule {name}: {rule.undecodable} readings could not be decoded"
    for name, app in report.apps.items():
        if app.problem:
            yield f"{report.node}: app {name}: {app.problem}"


def _row(nodes: Nodes, report: NodeStatus) -> list[Cell]:
    now_ms = nodes.now_ms
    lanes = [_lane(report.lanes.get(lane), report.at_ms, is_root=report.link is None) for lane in LANES]
    return [
        report.node,
        report.tier,
        _link(nodes, report),
        age(nodes.link_since_ms(report), now_ms),
        *lanes,
        _working([rule.problem for rule in report.rules.values()]),
        _working([app.problem for app in report.apps.values()]),
        Text(str(report.dead_letters), style="red" if report.dead_letters else ""),
        age(report.at_ms, now_ms),
    ]


def _link(nodes: Nodes, report: NodeStatus) -> Cell:
    if report.link is None:
        return "root"
    return Text("up", style="green") if nodes.is_connected(report) else Text("down", style="red")


def _lane(lane: LaneStatus | None, at_ms: int, *, is_root: bool) -> str:
    if is_root:
        return ""
    if lane is None or not lane.records:
        return "0"
    return f"{lane.records} {age(lane.oldest_ms, at_ms)}".rstrip()


def _working(found: list[str]) -> Cell:
    """How many of a node's parts work."""
    broken = sum(1 for problem in found if problem)
    return Text(f"{len(found) - broken}/{len(found)}", style="red") if broken else str(len(found))
