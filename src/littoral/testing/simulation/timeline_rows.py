"""What a timeline shows of a history: what is near the faults and before a violation, with what repeats folded.

The rest becomes a `Skipped`, which says how long it took and how much it was. Heartbeats are left out: messages alike
that went well all through the run. A message that takes long has two rows, one where it is sent and one where it
arrives, so that what overtakes it is seen.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from littoral.testing.simulation.history import TREE, History, Message, Step
from littoral.testing.simulation.plan import Event

LAST_STEPS = 30
"""Steps shown before a violation, or before the end where there is none."""
AROUND_STEPS = 2
"""Steps shown before and after each fault."""
NEAR_S = 5.0
"""Messages are shown so near to a step that is shown, virtual seconds."""
LATE_S = 1.0
"""A message that takes longer has a row where it arrives."""
HEARTBEAT_PARTS = 20
HEARTBEAT_SHARE = 0.8
"""Heartbeats happen in so many of the parts of a run, of equal length."""
FEWEST_SKIPPED = 3
FEWEST_FOLDED = 3
"""A row that stands for fewer would save nothing."""
_NUMBER = re.compile(r"(?<![\w-])\d[\d.,]*")


class Arrival(msgspec.Struct, frozen=True):
    """The end of a message that took long."""

    message: Message

    @property
    def at_s(self) -> float:
        """When it arrived."""
        assert self.message.arrived_s is not None
        return self.message.arrived_s


Item = Step | Message | Arrival


class Shown(msgspec.Struct, frozen=True):
    """One thing that happened, or several alike."""

    item: Item
    """The first of them."""
    count: int
    last_s: float
    """When the last of them happened."""

    @property
    def at_s(self) -> float:
        """When the first of them happened."""
        return self.item.at_s


class Skipped(msgspec.Struct, frozen=True):
    """A stretch of which nothing is shown."""

    at_s: float
    last_s: float
    steps: int
    messages: int
    lost: int
    """How many of the messages never arrived."""


Row = Shown | Skipped


class Bar(msgspec.Struct, frozen=True):
    """A fault that lasts."""

    lane: str
    at_s: float
    until_s: float
    text: str
    event: int | None


class Selection(msgspec.Struct, frozen=True):
    """What is shown, and what is left out without a mark."""

    rows: list[Row]
    """In the order of time."""
    heartbeats: list[Shown]
    """The first of each kind."""


# --- Which items


def select(history: History, *, whole: bool = False) -> Selection:
    """whole: nothing is left out, and only what follows its like at once is folded."""
    items = _items(history)
    if whole:
        return Selection([row for run in _runs(items, whole=True) for row in _fold(run, fewest=2)], [])
    heartbeats = _heartbeats(items)
    items = [item for item in items if _likeness(item) not in heartbeats]
    near = _near(items)
    rows: list[Row] = []
    for is_near, stretch in groupby(items, key=lambda item: near[id(item)]):
        part = list(stretch)
        if not is_near and len(part) >= FEWEST_SKIPPED:
            rows.append(_skip(part))
        else:
            rows += [row for run in _runs(part, whole=False) for row in _fold(run, fewest=FEWEST_FOLDED)]
    return Selection(rows, list(heartbeats.values()))


def _items(history: History) -> list[Item]:
    items: list[Item] = []
    for record in history.records:
        items.append(record)
        if isinstance(record, Message) and is_late(record):
            items.append(Arrival(record))
    return sorted(items, key=lambda item: item.at_s)


def _heartbeats(items: list[Item]) -> dict[tuple[object, ...], Shown]:
    """What is alike in each kind of heartbeat -> all of them."""
    part_s = (items[-1].at_s - items[0].at_s) / HEARTBEAT_PARTS if items else 0.0
    if not part_s:
        return {}
    alike: dict[tuple[object, ...], list[Message]] = {}
    for item in items:
        if isinstance(item, Message) and not item.fate and item.arrived_s is not None:
            alike.setdefault(_likeness(item), []).append(item)
    heartbeats: dict[tuple[object, ...], Shown] = {}
    for likeness, messages in alike.items():
        parts = {int((message.at_s - items[0].at_s) / part_s) for message in messages}
        if len(parts) >= HEARTBEAT_SHARE * HEARTBEAT_PARTS:
            heartbeats[likeness] = Shown(messages[0], len(messages), messages[-1].at_s)
    return heartbeats


def is_late(message: Message) -> bool:
    """Whether it has a row where it arrives."""
    return message.arrived_s is not None and message.arrived_s - message.at_s >= LATE_S


def _near(items: list[Item]) -> dict[int, bool]:
    """Whether each item, by its identity, is shown."""
    steps = [item for item in items if isinstance(item, Step)]
    violations = [place for place, step in enumerate(steps) if step.kind == "violation"] or [len(steps) - 1]
    shown: set[int] = set()
    for place in violations:
        shown.update(range(place - LAST_STEPS, place + AROUND_STEPS + 1))
    for place, step in enumerate(steps):
        if step.kind in {"fault", "healed"}:
            shown.update(range(place - AROUND_STEPS, place + AROUND_STEPS + 1))
    near = {id(step): place in shown for place, step in enumerate(steps)}
    times = [step.at_s for place, step in enumerate(steps) if place in shown]
    for item in items:
        if not isinstance(item, Step):
            near[id(item)] = _is_close(item.at_s, times)
    return near


def _is_close(at_s: float, times: list[float]) -> bool:
    place = bisect_left(times, at_s - NEAR_S)
    return place < len(times) and times[place] <= at_s + NEAR_S


def _skip(items: list[Item]) -> Skipped:
    messages = [item for item in items if isinstance(item, Message)]
    return Skipped(
        at_s=items[0].at_s,
        last_s=items[-1].at_s,
        steps=sum(isinstance(item, Step) for item in items),
        messages=len(messages),
        lost=sum(message.arrived_s is None for message in messages),
    )


# --- What is folded


def _runs(items: Iterable[Item], *, whole: bool) -> Iterator[list[Item]]:
    """What may be folded together: messages with no step between them, or steps that are alike."""
    for _, run in groupby(items, key=lambda item: _likeness(item) if whole or isinstance(item, Step) else ()):
        yield list(run)


def _likeness(item: Item) -> tuple[object, ...]:
    """What two items share that can be folded together."""
    if isinstance(item, Arrival):
        return ("arrival", *_likeness(item.message))
    if isinstance(item, Message):
        return (item.source, item.target, _NUMBER.sub("0", item.text), item.fate, item.arrived_s is None, is_late(item))
    if item.kind in {"work", "check"}:
        return (item.lane, item.kind, _NUMBER.sub("0", item.text))
    # Each of the others is shown for itself.
    return (id(item),)


def _fold(run: list[Item], fewest: int) -> list[Shown]:
    """What is rare stays in its place; what is frequent becomes one row where it begins."""
    counts = Counter(_likeness(item) for item in run)
    last_s = {_likeness(item): item.at_s for item in run}
    rows: list[Shown] = []
    for item in run:
        likeness = _likeness(item)
        if counts[likeness] < fewest:
            rows.append(Shown(item, 1, item.at_s))
        elif likeness in last_s:
            rows.append(Shown(item, counts[likeness], last_s.pop(likeness)))
    return rows


# --- What lasts, and where


def bars_of(history: History) -> list[Bar]:
    """All faults that last, in the order of their beginnings. One that was never healed lasts to the planned end."""
    healed = {(step.lane, step.event): step.at_s for step in history.steps() if step.kind == "healed"}
    bars: list[Bar] = []
    for step in history.steps():
        if step.kind == "fault" and step.until_s is not None:
            until_s = healed.get((step.lane, step.event), step.until_s) if step.event is not None else step.until_s
            bars.append(Bar(step.lane, step.at_s, until_s, step.text, step.event))
    return sorted(bars, key=lambda bar: bar.at_s)


def lanes_of(history: History) -> list[str]:
    """The nodes from the root down, and after them who else appears, such as an operator."""
    names = dict.fromkeys(history.lanes)
    for record in history.records:
        for name in (record.lane,) if isinstance(record, Step) else (record.source, record.target):
            if name != TREE:
                names.setdefault(name)
    return list(names)


# --- In words


def clock_text(at_s: float) -> str:
    """Virtual time as on a clock: "05:12.041", "1:05:12.041"."""
    # Rounded before it is split, so that there are never 60 seconds.
    minutes, milliseconds = divmod(round(at_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{minutes:02}:{milliseconds / 1000:06.3f}"
    return f"{hours}:{seconds}" if hours else seconds


def length_text(length_s: float) -> str:
    """How long something took: "85 ms", "3.2 s", "5 min 12 s", "2 h 5 min"."""
    if length_s < 0.9995:
        return f"{length_s * 1000:.0f} ms"
    if length_s < 59.95:
        return f"{length_s:.1f} s".replace(".0 s", " s")
    seconds = round(length_s)
    if seconds < 3600:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    minutes = round(length_s / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def many(count: int, noun: str) -> str:
    """A number of things: "1 step", "2,000 steps"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def event_text(event: Event) -> str:
    """A planned event in words, without when and where."""
    parts = [event.kind]
    if event.for_s:
        parts.append(f"for {length_text(event.for_s)}")
    if event.count:
        parts.append(f"count {event.count}")
    if event.amount:
        parts.append(f"amount {event.amount:.6g}")
    return ", ".join(parts).replace(", for ", " for ", 1)


def row_text(row: Row) -> str:
    """What a row shows, in words."""
    if isinstance(row, Skipped):
        return _skipped_text(row)
    item = row.item
    if isinstance(item, Step):
        text = _step_text(item)
    elif isinstance(item, Message):
        text = _message_text(item)
    else:
        text = f"{_message_text(item.message)} arrives after {length_text(item.at_s - item.message.at_s)}"
    if row.count == 1:
        return text
    return f"{text} ×{row.count}" + (f" in {length_text(row.last_s - row.at_s)}" if row.last_s > row.at_s else "")


def heartbeat_texts(selection: Selection) -> list[str]:
    """A line that says which heartbeats are left out, if any are."""
    if not selection.heartbeats:
        return []
    counts: Counter[str] = Counter()
    for shown in selection.heartbeats:
        assert isinstance(shown.item, Message)
        counts[_NUMBER.sub("…", shown.item.text)] += shown.count
    texts = [f"{text} ×{count:,}" for text, count in counts.most_common()]
    return ["not shown, because it went on and went well all through the run: " + "; ".join(texts)]


def _skipped_text(skipped: Skipped) -> str:
    lost = f" ({skipped.lost} lost)" if skipped.lost else ""
    counts = (
        f"{many(skipped.messages, 'message')}{lost}" if skipped.messages else "",
        many(skipped.steps, "step") if skipped.steps else "",
    )
    return ", ".join([f"… {length_text(skipped.last_s - skipped.at_s)}", *filter(None, counts)])


def _step_text(step: Step) -> str:
    event = "" if step.event is None else f"#{step.event}"
    if step.kind == "fault":
        length = "" if step.until_s is None else f" for {length_text(step.until_s - step.at_s)}"
        return f"fault {event}: {step.text}{length}".replace(" :", ":")
    if step.kind == "healed":
        return f"healed {event}: {step.text}".replace(" :", ":")
    return f"{event}: {step.text}".removeprefix(": ")


def _message_text(message: Message) -> str:
    fate = message.fate or ("lost" if message.arrived_s is None else "")
    return f"{message.text} [{fate}]" if fate else message.text
