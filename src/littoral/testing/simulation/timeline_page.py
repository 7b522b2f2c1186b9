"""A history as one page of HTML that needs nothing else: for a browser, without a network.

Nodes are lanes from left to right, time runs down. The distances between rows tell little times apart; long ones are
cut out and said.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from html import escape
from math import log2
from pathlib import Path
from string import Template
from typing import get_args

import msgspec

from littoral.testing.simulation.history import TREE, History, Message, Step, StepKind
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
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

ASSETS = Path(__file__).parent / "assets"
IDLE_S = 10.0
"""A longer time in which nothing happened is cut out."""
WAIT_S = 0.5
"""A longer time takes room of its own."""
WAIT_PX = 6.0
"""For each doubling of it."""
PATH_COLOURS = 6
"""In timeline.css; the last one is for all paths that have none of their own."""
OTHER = "other messages"
_PATH = re.compile(r"(?:^|\s)(/[^\s?]*)")
_VERSION = re.compile(r"v\d+")

_SHAPES: dict[StepKind, str] = {
    "work": '<circle cx="6" cy="6" r="4.5" fill="currentColor"/>',
    "fault": '<path d="M.5 1.5h11L6 11z" fill="currentColor"/>',
    "healed": '<path d="M.5 10.5h11L6 1z" fill="currentColor"/>',
    "life": '<rect x="1.5" y="1.5" width="9" height="9" rx="1.5" fill="currentColor"/>',
    "check": '<path d="M1.5 6.5l3 3.5 6-8" fill="none" stroke="currentColor" stroke-width="2.2"/>',
    "violation": '<path d="M1.5 1.5l9 9m0-9l-9 9" fill="none" stroke="currentColor" stroke-width="2.6"/>',
}
_CHIP_OF: dict[StepKind, str] = {
    "work": "work",
    "fault": "faults",
    "healed": "faults",
    "life": "life",
    "check": "checks",
}
"""What hides a step; violations are always shown."""


_KEYS = """<span class="key"><i></i>a fault lasts</span>
<span class="key"><svg width="24" height="12" style="color:var(--bad)" stroke="currentColor"><line x1="0" x2="14" y1="6"
 y2="6" stroke-width="1.5" stroke-dasharray="5 3"/><path d="M15 2l8 8m0-8l-8 8" stroke-width="2"/></svg>never arrives</span>"""


class _Line(msgspec.Struct, frozen=True):
    """One line of the page: a row, or time in which nothing happened."""

    at_s: float
    row: Row | None
    idle_s: float = 0.0


def timeline_page(history: History, plan: Plan, title: str, *, whole: bool = False) -> str:
    """title: of the page, in plain text. whole: everything, not only what is near a fault or the end."""
    selection = select(history, whole=whole)
    lines = _lines(selection.rows)
    sheet = _Sheet(lanes_of(history), _path_kinds(history), bars_of(history), lines)
    values = {
        "title": escape(title),
        "facts": escape(_facts(history, plan)),
        "verdict": _verdict(history, lines),
        "controls": _controls(history, sheet),
        "planned": escape(many(len(plan.events), "event")),
        "plan": "\n".join(_plan(plan, heartbeat_texts(selection))),
        "lanes": str(max(len(sheet.names), 1)),
        "digits": str(max((len(clock_text(line.at_s)) for line in lines), default=0)),
        "heads": _heads(sheet.names, plan),
        "lifelines": sheet.lifelines(),
        "rows": "\n".join(sheet.line(place) for place in range(len(lines))),
        "nothing": " hidden" if lines else "",
        "style": _asset("timeline.css"),
        "script": _asset("timeline.js"),
    }
    return Template(_asset("timeline.html")).substitute(values)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _lines(rows: list[Row]) -> list[_Line]:
    lines: list[_Line] = []
    end_s = rows[0].at_s if rows else 0.0
    for row in rows:
        idle_s = row.at_s - end_s
        before = lines[-1].row if lines else None
        if idle_s >= WAIT_S and isinstance(row, Shown) and isinstance(before, Shown):
            lines.append(_Line((end_s + row.at_s) / 2, None, idle_s))
        lines.append(_Line(row.at_s, row))
        end_s = max(end_s, row.last_s)
    return lines


# --- What stands around


def _facts(history: History, plan: Plan) -> str:
    messages = sum(isinstance(record, Message) for record in history.records)
    facts = [
        f"seed {plan.seed}",
        many(len(plan.nodes), "node"),
        f"{plan.hours:g} h",
        many(len(history.records) - messages, "step"),
        many(messages, "message"),
        *(f"{name} {value}" for name, value in sorted(plan.limits.items())),
    ]
    return " · ".join(facts)


def _verdict(history: History, lines: list[_Line]) -> str:
    """What was violated; its time leads to its row."""
    places = {id(line.row.item): place for place, line in enumerate(lines) if isinstance(line.row, Shown)}
    violations = [step for step in history.steps() if step.kind == "violation"]
    if not violations:
        return '<p class="verdict">No violation.</p>'
    told = []
    for step in violations:
        where = "" if step.lane == TREE else f" at {step.lane}"
        button = f'<button data-row="row-{places[id(step)]}">Violation at {clock_text(step.at_s)}</button>'
        told.append(f'<p class="verdict bad">{button}{escape(where)}: {escape(step.text)}</p>')
    return "\n".join(told)


def _controls(history: History, sheet: "_Sheet") -> str:
    """Switches that are the legend too."""
    present = {step.kind for step in history.steps()}
    chips: list[str] = []
    for kind in get_args(StepKind):
        if kind in present and kind in _CHIP_OF and kind != "healed":
            name = _CHIP_OF[kind]
            chips.append(_chip(name, name, f'<svg width="12" height="12" class="{kind}">{_SHAPES[kind]}</svg>'))
    for place, name in enumerate(sheet.path_kinds):
        svg = (
            f'<svg width="20" height="12" style="color:var(--path-{place})">'
            '<line x1="0" x2="13" y1="6" y2="6" stroke="currentColor" stroke-width="1.5"/>'
            '<path d="M20 6l-8-4v8z" fill="currentColor"/></svg>'
        )
        chips.append(_chip(f"path-{place}", name, svg))
    return "\n".join([*chips, _KEYS])


def _chip(kind: str, name: str, svg: str) -> str:
    return f'<label class="chip"><input type="checkbox" checked data-kind="{kind}">{svg}{escape(name)}</label>'


def _plan(plan: Plan, notes: list[str]) -> Iterator[str]:
    """The planned events, the nodes, and what is left out."""
    yield "<ol>" if plan.events else '<p class="none">Nothing.</p><ol>'
    yield from map(_planned, plan.events)
    yield "</ol>"
    yield '<h2>Nodes</h2><ul class="nodes">'
    for node in plan.nodes:
        joins = f", joins at {clock_text(node.joins_s)}" if node.joins_s else ""
        below = f" below {node.parent}" if node.parent else ""
        yield f"<li><b>{escape(node.name)}</b> {escape(node.tier + below + joins)}</li>"
    yield "</ul>"
    for note in notes:
        yield f'<h2>Left out</h2><p class="none">{escape(note)}</p>'


def _planned(event: Event) -> str:
    return (
        f'<li><button data-event="{event.number}" aria-pressed="false"><span class="number">#{event.number}</span>'
        f'<span class="what">{escape(event_text(event))}</span>'
        f'<span class="where">{clock_text(event.at_s)} at {escape(event.target)}</span></button></li>'
    )


def _heads(names: list[str], plan: Plan) -> str:
    tiers: dict[str, PlannedNode] = {node.name: node for node in plan.nodes}
    heads = [
        f'<div class="head"><b>{escape(name)}</b><span>{tiers[name].tier if name in tiers else ""}</span></div>'
        for name in names
    ]
    return f'<div class="heads"><div class="corner"></div>{"".join(heads)}</div>'


# --- Kinds of messages


def _path_kind(message: Message) -> str:
    """What a message is about: the first parts of its path, as "peer/batches"."""
    found = _PATH.search(message.text)
    if found is None:
        return "answers"
    parts = [part for part in found[1].split("/") if part and not _VERSION.fullmatch(part)]
    return "/".join(parts[:2]) or "/"


def _path_kinds(history: History) -> list[str]:
    """Those with a colour of their own: the most frequent."""
    counts = Counter(_path_kind(record) for record in history.records if isinstance(record, Message))
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    return kinds if len(kinds) <= PATH_COLOURS else [*kinds[: PATH_COLOURS - 1], OTHER]


# --- Lanes and rows


class _Sheet:
    """Where things stand: lanes are counted from the left."""

    def __init__(self, names: list[str], path_kinds: list[str], bars: list[Bar], lines: list[_Line]) -> None:
        self.names = names
        self.path_kinds = path_kinds
        self._lane_of = {name: place for place, name in enumerate(names)}
        self._lines = lines
        self._bars: list[list[str]] = [[] for _ in lines]
        for bar in bars:
            self._add_bar(bar)

    def _add_bar(self, bar: Bar) -> None:
        """Draw a piece of it in each line from that of its beginning to the first after its end."""
        times = [line.at_s for line in self._lines]
        first = bisect_left(times, bar.at_s)
        last = min(bisect_left(times, bar.until_s), len(times) - 1)
        lanes = range(len(self.names)) if bar.lane == TREE else [self._lane_of[bar.lane]]
        for place in range(first, last + 1):
            begins = " begins" if place == first else ""
            ends = " ends" if place == last and times[place] >= bar.until_s else ""
            for lane in lanes:
                attributes = f'style="--lane-of:{lane}" title="{escape(bar.text)}"{_event(bar.event)}'
                self._bars[place].append(f'<i class="bar{begins}{ends}" {attributes}></i>')

    def lifelines(self) -> str:
        """Of all lanes, from top to bottom."""
        return "".join(f'<i class="line" style="--lane-of:{lane}"></i>' for lane in range(len(self.names)))

    def line(self, place: int) -> str:
        """One line of the page."""
        line = self._lines[place]
        bars = "".join(self._bars[place])
        if line.row is None:
            if line.idle_s < IDLE_S:
                height = WAIT_PX * log2(1 + line.idle_s)
                return _div("row wait", "time", "", bars, f'style="height:{height:.0f}px"')
            return self._gap(f"… {length_text(line.idle_s)}", bars)
        text = row_text(line.row)
        if isinstance(line.row, Skipped):
            return self._gap(text, bars)
        if isinstance(line.row.item, Step):
            return self._step(place, line.row.item, text, bars)
        return self._message(line.row.item, text, bars)

    def _gap(self, text: str, bars: str) -> str:
        return _div("row gap", "time", "", f'{self.lifelines()}{bars}<div class="label">{escape(text)}</div>')

    def _step(self, place: int, step: Step, text: str, bars: str) -> str:
        lane = self._lane_of.get(step.lane, 0)
        mark = (
            f'<svg class="mark {step.kind}" width="12" height="12" style="--lane-of:{lane}">{_SHAPES[step.kind]}</svg>'
        )
        across = '<i class="across"></i>' if step.lane == TREE else ""
        label = f'<div class="label" style="--lane-of:{lane}">{escape(text)}</div>'
        classes = f"row step {step.kind}" + (" tree" if step.lane == TREE else "")
        attributes = f'id="row-{place}" data-nodes="{escape(step.lane)}"{_event(step.event)}'
        return _div(
            classes, _CHIP_OF.get(step.kind, ""), clock_text(step.at_s), f"{across}{bars}{mark}{label}", attributes
        )

    def _message(self, item: Message | Arrival, text: str, bars: str) -> str:
        message = item if isinstance(item, Message) else item.message
        kind = _path_kind(message)
        colour = self.path_kinds.index(kind if kind in self.path_kinds else OTHER)
        source, target = self._lane_of[message.source], self._lane_of[message.target]
        label = f'<div class="label" style="--lane-of:{min(source, target)}">{escape(text)}</div>'
        arrow = _arrow(item, source / len(self.names) * 100, target / len(self.names) * 100)
        nodes = escape(f"{message.source} {message.target}")
        classes = "row message" + (" lost" if message.arrived_s is None else "")
        attributes = f'data-nodes="{nodes}" style="--path:var(--path-{colour})"'
        return _div(classes, f"path-{colour}", clock_text(item.at_s), f"{bars}{arrow}{label}", attributes)


def _event(number: int | None) -> str:
    """What ties a part of the page to a planned event."""
    return "" if number is None else f' data-event="{number}"'


def _div(classes: str, kind: str, time: str, field: str, attributes: str = "") -> str:
    return f'<div class="{classes}" data-kind="{kind}" {attributes}><time>{time}</time><div class="field">{field}</div></div>'


def _arrow(item: Message | Arrival, source: float, target: float) -> str:
    """From lane to lane; places in per cent of the width."""
    message = item if isinstance(item, Message) else item.message
    lost = message.arrived_s is None
    end = source + (target - source) * 0.6 if lost else target
    turned = "" if target >= source else ' transform="rotate(180)"'
    faint = ' class="faint"' if lost or is_late(message) else ""
    start = '<circle class="hollow" r="3"/>' if isinstance(item, Arrival) else '<circle r="3"/>'
    if lost:
        head = '<path class="cross" d="M-4 -4l8 8m0-8l-8 8"/>'
    elif isinstance(item, Message) and is_late(item):
        head = f'<path class="hollow" d="M-2 0l-8-4v8z"{turned}/>'
    else:
        head = f'<path class="point" d="M0 0l-9-4.5v9z"{turned}/>'
    return (
        f'<svg class="arrow" aria-hidden="true"><line{faint} x1="{source:.3f}%" x2="{end:.3f}%" y1="6" y2="6"/>'
        f'<svg x="{source:.3f}%" y="6" overflow="visible">{start}</svg>'
        f'<svg x="{end:.3f}%" y="6" overflow="visible">{head}</svg></svg>'
    )
