"""The lines of the tree: each node's state, judged and put into words.

    cut        its WAN is cut at the relay, or its parent says that it has no channel to it
    stale      its last report is older than it should be (a node above it may be cut off), or the hub that is asked
               does not answer
    problem    the node says that something of it does not work
    ok         none of these

The first that holds is shown. A line that went silent without being closed is noticed by
a parent only late; until then the node's reports become stale.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from littoral.dashboard.cells import Cell
from littoral.dashboard.picture import Picture
from littoral.dashboard.texts import NONE, bytes_text, count_text, duration_text, event_time_text, rate_text
from littoral.node.status import LaneStatus, NodeStatus

STALE_REPORTS = 3
"""A report is stale when so many intervals have passed since it."""
STALE_LEAST_MS = 15_000
"""But never before this: reports wait behind alerts on a slow link."""

Health = Literal["ok", "problem", "stale", "cut"]
HEALTH_WORDS: dict[Health, str] = {"ok": "OK", "problem": "Problem", "stale": "Stale report", "cut": "Link cut"}


@dataclass(frozen=True, slots=True)
class NodeView:
    """One line of the tree."""

    name: str
    depth: int
    """0 at the top."""
    tier: str
    health: Health
    reason: str
    """What the health rests on."""
    link: Cell
    queue: Cell
    oldest: Cell
    rate: Cell
    memory: Cell
    dead_letters: Cell
    wan: Cell
    wan_state: Literal["up", "cut"] | None
    """None where there is no link to steer."""


def node_views(picture: Picture, now_ms: int, most: int | None = None) -> list[NodeView]:
    """The tree from the top, children below their parents. most: of its nodes."""
    found = itertools.islice(in_tree_order(picture), most)
    return [node_view(picture, status, depth, now_ms) for status, depth in found]


def in_tree_order(picture: Picture) -> Iterator[tuple[NodeStatus, int]]:
    """All nodes and how deep they stand, children below their parents."""
    nodes = picture.nodes
    below = {child for status in nodes.values() for child in status.children}
    # A node that nobody claims (its parent's report is not here yet) stands at the top.
    tops = [name for name in nodes if name not in below]
    seen: set[str] = set()
    waiting = [(name, 0) for name in reversed(tops)]
    while waiting:
        name, depth = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name], depth
        waiting += [(child, depth + 1) for child in sorted(nodes[name].children, reverse=True)]


def node_view(picture: Picture, status: NodeStatus, depth: int, now_ms: int) -> NodeView:
    """One line."""
    health, reason = judge(picture, status, now_ms)
    link = picture.links.get(status.node)
    dead = status.dead_letters
    return NodeView(
        name=status.node,
        depth=depth,
        tier=status.tier,
        health=health,
        reason=reason,
        link=_link(picture, status, now_ms, stale=health == "stale"),
        queue=_queue(status),
        oldest=_oldest(status),
        rate=_rate(picture, status),
        memory=Cell(bytes_text(status.memory_bytes) if status.memory_bytes else NONE),
        dead_letters=Cell(count_text(dead)),
        wan=_wan(picture, status.node),
        wan_state=link.state if link else None,
    )


def judge(picture: Picture, status: NodeStatus, now_ms: int) -> tuple[Health, str]:
    """A node's health by the table on top, and the reason."""
    age_ms = now_ms - status.at_ms
    reported = f"reported {duration_text(age_ms)} ago"
    if status.node in picture.disconnected_ms or status.node in picture.cut_ms:
        return "cut", reported
    if picture.problem is not None or age_ms > max(
        STALE_LEAST_MS, STALE_REPORTS * picture.rates.interval_ms(status.node)
    ):
        return "stale", reported
    problems = list(_problems(status))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return "problem", problems[0] + more
    return "ok", reported if age_ms >= 1000 else "reported just now"


def _problems(status: NodeStatus) -> Iterator[str]:
    for name, rule in status.rules.items():
        if rule.problem:
            yield f"rule {name}: {rule.problem}"
    for name, app in status.apps.items():
        if app.problem:
            yield f"app {name}: {app.problem}"
    for name, route in status.routes.items():
        if route.problem:
            yield f"route {name}: {route.problem}"
    if status.link is None:
        return
    for stream, blocked in status.link.blocked.items():
        yield f"stream {stream}: {blocked.reason}"
    budget = status.link.budget
    if budget is not None and budget.state == "exhausted" and budget.until_ms is not None:
        sent = "nothing is" if budget.stops else "only control and alerts are"
        yield f"bandwidth budget exhausted: {sent} sent until {event_time_text(budget.until_ms)} UTC"


def _link(picture: Picture, status: NodeStatus, now_ms: int, *, stale: bool) -> Cell:
    if status.link is None:
        return Cell("Root", "has no parent")
    parent = status.link.parent
    heard_ms = [down[status.node] for down in (picture.cut_ms, picture.disconnected_ms) if status.node in down]
    if heard_ms:
        return Cell(f"Down to {parent}", f"for {duration_text(now_ms - min(heard_ms))}")
    if stale:
        return Cell(f"Was {'up' if status.link.connected else 'down'} to {parent}", "when it was last heard")
    if not status.link.connected:
        return Cell(f"Connecting to {parent}", status.link.last_error)
    return Cell(f"Up to {parent}", f"for {duration_text(now_ms - status.link.since_ms)}")


def _rate(picture: Picture, status: NodeStatus) -> Cell:
    clients = f"{count_text(status.clients)} MQTT client{'s' * (status.clients != 1)}" if status.clients else ""
    return Cell(rate_text(picture.rates.latest(status.node)), clients)


def _queue(status: NodeStatus) -> Cell:
    if status.link is None:
        return Cell(NONE)
    waiting = {lane: each.records for lane, each in status.lanes.items() if each.records}
    return Cell(
        count_text(sum(waiting.values())),
        ", ".join(f"{lane} {count_text(records)}" for lane, records in waiting.items()),
    )


def _oldest(status: NodeStatus) -> Cell:
    oldest = [lane.oldest_ms for lane in status.lanes.values() if lane.records and lane.oldest_ms is not None]
    if status.link is None or not oldest:
        return Cell(NONE)
    # By the node's own clock, and of the moment of its report: both values are from there.
    return Cell(
        duration_text(status.at_ms - min(oldest)), _flow([lane for lane in status.lanes.values() if lane.records])
    )


def _flow(waiting: list[LaneStatus]) -> str:
    """How fast the lanes that wait are sent, and when the last of them is empty."""
    rate = f"{rate_text(sum(lane.records_s for lane in waiting))}/s"
    left_s = [lane.empty_s for lane in waiting if lane.empty_s is not None]
    return f"{rate}, empty in {duration_text(int(max(left_s) * 1000))}" if len(left_s) == len(waiting) else rate


def _wan(picture: Picture, name: str) -> Cell:
    link = picture.links.get(name)
    if link is None:
        return Cell("")
    return Cell(f"up {bytes_text(link.bytes_up)}", f"down {bytes_text(link.bytes_down)}")
