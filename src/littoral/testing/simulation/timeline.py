"""A history as text, for a terminal: what was planned, and what happened, with nodes as lanes and messages as arrows.

05:12.041  ●────────▶         POST /v1/peer/batches 812 B ×14 in 3.2 s
05:14.000  │        ▼         fault #12: partition for 30 s
05:15.100  ●──────✗ ║         POST /v1/peer/batches 812 B [lost]
"""

import textwrap
from collections.abc import Iterator
from itertools import pairwise

from littoral.testing.simulation.history import TREE, History, Message, Step, StepKind
from littoral.testing.simulation.plan import Plan, PlannedNode
from littoral.testing.simulation.timeline_rows import (
    Arrival,
    Bar,
    Row,
    Shown,
    Skipped,
    bars_of,
    clock_text,
    event_text,
    heartbeat_texts,
    is_late,
    lanes_of,
    length_text,
    many,
    row_text,
    select,
)

WIDTH = 120
LEAST_TEXT_WIDTH = 30
TEXT_SHARE = 0.45
"""Of the width, for what is said at the right of the lanes."""
LEAST_LANE_WIDTH = 4
MOST_LANE_WIDTH = 14
IDLE_S = 10.0
"""A longer time in which nothing happened is said."""
MARKS: dict[StepKind, str] = {
    "work": "○",
    "fault": "▼",
    "healed": "▲",
    "life": "■",
    "check": "✓",
    "violation": "✖",
}
LEGEND = (
    "▼ a fault begins  ║ lasts  ▲ is healed  ■ life  ○ work  ✓ check  ✖ violation  ●──▶ message  ●──✗ never arrives"
)


def text_timeline(history: History, plan: Plan, width: int = WIDTH, *, whole: bool = False) -> str:
    """width: columns of the terminal. whole: everything, not only what is near a fault or the end."""
    selection = select(history, whole=whole)
    rows = selection.rows
    lanes = _Lanes(_names_shown(history, rows), bars_of(history), width, rows[-1].last_s if rows else 0.0)
    parts = [_header(history, plan, width), _schedule(plan, width)]
    if rows:
        legend = [LEGEND, *heartbeat_texts(selection)]
        legend_lines = [piece for line in legend for piece in _wrapped(line, width)]
        parts += [legend_lines, [*lanes.heads(), *_timeline(rows, lanes)]]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts) + "\n"


def _header(history: History, plan: Plan, width: int) -> list[str]:
    violations = [step for step in history.steps() if step.kind == "violation"]
    messages = sum(isinstance(record, Message) for record in history.records)
    recorded = f"{many(len(history.records) - messages, 'step')}, {many(messages, 'message')}"
    sizes = f"{many(len(plan.nodes), 'node')}, {many(len(plan.events), 'event')}, {plan.hours:g} h"
    lines = [f"seed {plan.seed}: {sizes}; {recorded}", "nodes: " + ", ".join(map(_node_text, plan.nodes))]
    if plan.limits:
        lines.append("limits: " + ", ".join(f"{name}={value}" for name, value in sorted(plan.limits.items())))
    if not violations:
        lines.append("no violation")
    for step in violations:
        where = "" if step.lane == TREE else f" at {step.lane}"
        lines.append(f"✖ VIOLATION at {clock_text(step.at_s)}{where}: {step.text}")
    return [piece for line in lines for piece in _wrapped(line, width)]


def _node_text(node: PlannedNode) -> str:
    below = f" below {node.parent}" if node.parent else ""
    joins = f", joins at {clock_text(node.joins_s)}" if node.joins_s else ""
    return f"{node.name} ({node.tier}{below}{joins})"


def _schedule(plan: Plan, width: int) -> list[str]:
    """The events, one each line."""
    if not plan.events:
        return ["Nothing is planned."]
    rows = [(f"#{event.number}", clock_text(event.at_s), event.target, event_text(event)) for event in plan.events]
    number, at, target = (max(len(row[column]) for row in rows) for column in range(3))
    lines = ["Planned"]
    for row in rows:
        head = f"  {row[0]:>{number}}  {row[1]:>{at}}  {row[2]:{target}}  "
        lines += _beside(head, row[3], max(width - len(head), LEAST_TEXT_WIDTH), " " * len(head))
    return lines


def _names_shown(history: History, rows: list[Row]) -> list[str]:
    """Of the lanes, those on which anything is shown."""
    shown: set[str] = set()
    for row in rows:
        if isinstance(row, Shown):
            item = row.item
            if isinstance(item, Step):
                shown.add(item.lane)
            else:
                message = item if isinstance(item, Message) else item.message
                shown |= {message.source, message.target}
    return [name for name in lanes_of(history) if name in shown]


class _Lanes:
    """The columns: the time, a lane for each node, and text."""

    def __init__(self, names: list[str], bars: list[Bar], width: int, end_s: float) -> None:
        self.names = names
        self._bars = bars
        self._time_width = len(clock_text(end_s))
        text_width = max(LEAST_TEXT_WIDTH, int(width * TEXT_SHARE))
        room = (width - self._time_width - 4 - text_width) // max(len(names), 1)
        self._lane_width = min(max(room, LEAST_LANE_WIDTH), MOST_LANE_WIDTH)
        self.text_width = max(LEAST_TEXT_WIDTH, width - self._time_width - 4 - self._lane_width * len(names))

    def heads(self) -> Iterator[str]:
        """The names: each over its lane, on one line if they fit, else on a staircase."""
        indent = " " * (self._time_width + 2)
        if all(len(name) < self._lane_width for name in self.names):
            yield indent + "".join(f"{name:{self._lane_width}}" for name in self.names)
            return
        for place, name in enumerate(self.names):
            yield indent + "".join(f"{'│':{self._lane_width}}" for _ in range(place)) + name

    def cells(self, at_s: float) -> list[str]:
        """The lanes at a moment: double while a fault lasts there."""
        lasting = {bar.lane for bar in self._bars if bar.at_s <= at_s < bar.until_s}
        cells = [" "] * (self._lane_width * len(self.names))
        for place, name in enumerate(self.names):
            cells[place * self._lane_width] = "║" if lasting & {name, TREE} else "│"
        return cells

    def line(self, at_s: float | None, cells: list[str]) -> str:
        """The part of a line before its text."""
        time = "" if at_s is None else clock_text(at_s)
        return f"{time:>{self._time_width}}  {''.join(cells)}  "

    def column(self, name: str) -> int:
        """Of a lane, among the cells."""
        return self.names.index(name) * self._lane_width

    def step(self, step: Step) -> list[str]:
        """A mark on the step's lane; what concerns all of them is a line across."""
        cells = self.cells(step.at_s)
        if step.lane == TREE:
            for column in range(self.column(self.names[-1]) + 1 if self.names else 0):
                cells[column] = {" ": "─", "│": "┼", "║": "╫"}[cells[column]]
            cells[:1] = [MARKS[step.kind]] if cells else []
        else:
            cells[self.column(step.lane)] = MARKS[step.kind]
        return cells

    def arrow(self, item: Message | Arrival) -> list[str]:
        """A line from source to target; broken, where the message is long under way."""
        message = item if isinstance(item, Message) else item.message
        cells = self.cells(item.at_s)
        source, target = self.column(message.source), self.column(message.target)
        forward = 1 if target > source else -1
        dash = "╌" if is_late(message) else "─"
        for column in range(source + forward, target, forward):
            cells[column] = {" ": dash, "│": "┼", "║": "╫"}[cells[column]]
        if source != target:
            self._end(cells, item, target, forward)
        cells[source] = "●" if item is message else "◌"
        return cells

    def _end(self, cells: list[str], item: Message | Arrival, target: int, forward: int) -> None:
        """The head of an arrow."""
        if isinstance(item, Message) and item.arrived_s is None:
            lost = target - forward * (self._lane_width // 3)
            for column in range(lost, target, forward):
                cells[column] = " "
            cells[lost] = "✗"
        elif isinstance(item, Message) and is_late(item):
            cells[target - forward] = "▷" if forward > 0 else "◁"
        else:
            cells[target] = "▶" if forward > 0 else "◀"


def _timeline(rows: list[Row], lanes: _Lanes) -> Iterator[str]:
    end_s = rows[0].at_s
    for before, row in pairwise([None, *rows]):
        assert row is not None
        idle_s = row.at_s - end_s
        if idle_s >= IDLE_S and isinstance(row, Shown) and isinstance(before, Shown):
            yield lanes.line(None, _dotted(lanes.cells((end_s + row.at_s) / 2))) + f"… {length_text(idle_s)}"
        yield from _row(row, lanes)
        end_s = max(end_s, row.last_s)


def _row(row: Row, lanes: _Lanes) -> Iterator[str]:
    text = row_text(row)
    after = lanes.line(None, lanes.cells(row.at_s))
    if isinstance(row, Skipped):
        skipped = lanes.line(None, _dotted(lanes.cells(row.last_s)))
        yield from _beside(skipped, text, lanes.text_width, skipped)
    elif not isinstance(row.item, Step):
        yield from _beside(lanes.line(row.at_s, lanes.arrow(row.item)), text, lanes.text_width, after)
    elif row.item.kind != "violation":
        yield from _beside(lanes.line(row.at_s, lanes.step(row.item)), text, lanes.text_width, after)
    else:
        rule = "━" * (len(after) + lanes.text_width)
        first = lanes.line(row.at_s, lanes.step(row.item))
        yield from [rule, *_beside(first, f"VIOLATION: {text}", lanes.text_width, after), rule]


def _dotted(cells: list[str]) -> list[str]:
    """The lanes where time is left out."""
    return ["┊" if cell == "│" else cell for cell in cells]


def _beside(first: str, text: str, width: int, after: str) -> Iterator[str]:
    """Text at the right of `first`, and what does not fit at the right of as many `after` as it needs."""
    pieces = textwrap.wrap(text, width) or [""]
    yield first + pieces[0]
    for piece in pieces[1:]:
        yield after + piece


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ")
