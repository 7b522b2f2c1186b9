"""The shortest plan that still fails.

Delta debugging by Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE Transactions on
Software Engineering 28(2), 2002), of which only the reduction to complements is done: a trial is a run of a whole tree,
and what a reduction to a subset finds, complements find soon after. Before it come cuts that often take away most at
once; after it, what stays is made simpler. All of it is repeated until nothing changes any more, because a simpler
event may need fewer others: in the end, no single event can be left out.

Nothing is drawn: the same plan and the same answers lead to the same result.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import ceil, floor

import msgspec

from littoral.testing.simulation.plan import Event, Plan, PlannedNode

MOST_TRIALS = 400
"""A run takes about a second: minutes, not hours."""
LEAST_FOR_S = 1.0
LEAST_GAP_S = 1.0
"""Shorter is not simpler, and events that coincide are harder to read."""
GAPS_S = (LEAST_GAP_S, 10.0, 60.0, 600.0)
"""What all gaps together are cut to, at most, before each is tried alone."""

Fails = Callable[[Plan], bool]
Tried = Callable[[int, Plan], None]


def shrink(plan: Plan, fails: Fails, most_trials: int = MOST_TRIALS, tried: Tried | None = None) -> Plan:
    """A plan that fails as `plan` does, with as few events as can be.

    plan: fails; this is not tried again.
    fails: runs a plan and says whether it fails in the way that is looked for. No plan is given to it twice.
    most_trials: how often it is called at most; the best so far is the result then.
    tried: called after each trial with the number of trials and the best plan so far.
    """
    search = _Search(plan, fails, most_trials, tried)
    while True:
        before = search.best
        for reduce in (_cut_tail, _cut_hours, _cut_kinds, _cut_targets, _remove_nodes, _minimise, _simplify):
            reduce(search)
        if search.best == before:
            return before


class _Search:
    """What was tried, and the best of it."""

    def __init__(self, plan: Plan, fails: Fails, most_trials: int, tried: Tried | None) -> None:
        self.best = plan
        self._fails = fails
        self._trials_left = most_trials
        self._most_trials = most_trials
        self._tried = tried
        self._seen = {msgspec.json.encode(plan)}

    def take(self, candidate: Plan) -> bool:
        """Whether `candidate` was tried now, and fails; it is the best from now on, if so."""
        # One that was tried before was either no good or is worse than the best, since every reduction only reduces.
        key = msgspec.json.encode(candidate)
        if key in self._seen or not self._trials_left:
            return False
        self._seen.add(key)
        self._trials_left -= 1
        failed = self._fails(candidate)
        if failed:
            self.best = candidate
        if self._tried is not None:
            self._tried(self._most_trials - self._trials_left, self.best)
        return failed

    def take_events(self, events: tuple[Event, ...]) -> bool:
        """The same with other events."""
        return self.take(self.best.with_events(events))


# --- Fewer events


def _cut_tail(search: _Search) -> None:
    """Leave out all events after some moment: once it has failed, the rest of a run is of no use."""
    low, high = 0, len(search.best.events)
    while low < high:
        middle = (low + high) // 2
        if search.take_events(search.best.events[:middle]):
            high = middle
        else:
            low = middle + 1


def _cut_kinds(search: _Search) -> None:
    """Leave out all events of a kind, the most frequent first."""
    _cut_groups(search, lambda event: event.kind)


def _cut_targets(search: _Search) -> None:
    """Leave out all events at a node."""
    _cut_groups(search, lambda event: event.target)


def _cut_groups(search: _Search, group_of: Callable[[Event], str]) -> None:
    sizes = Counter(group_of(event) for event in search.best.events)
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        search.take_events(tuple(event for event in search.best.events if group_of(event) != group))


def _minimise(search: _Search) -> None:
    """Leave out ever smaller runs of events; at the end, each alone (ddmin)."""
    parts = 2
    while events := search.best.events:
        parts = min(parts, len(events))
        bounds = [len(events) * part // parts for part in range(parts + 1)]
        if any(search.take_events(events[:start] + events[end:]) for start, end in pairwise(bounds)):
            parts = max(parts - 1, 2)
        elif parts == len(events):
            return
        else:
            parts *= 2


# --- Less of the tree, and of time


def _remove_nodes(search: _Search) -> None:
    """Leave out nodes without children at which nothing is planned: first all of them, else one by one."""
    while idle := _idle_nodes(search.best):
        if not search.take(_without_nodes(search.best, {node.name for node in idle})):
            break
    # From the last: children come after their parents, which are idle without them.
    for node in reversed(search.best.nodes):
        if node in _idle_nodes(search.best):
            search.take(_without_nodes(search.best, {node.name}))


def _idle_nodes(plan: Plan) -> list[PlannedNode]:
    needed = {event.target for event in plan.events} | {node.parent for node in plan.nodes}
    return [node for node in plan.nodes[1:] if node.name not in needed]


def _without_nodes(plan: Plan, names: set[str]) -> Plan:
    return msgspec.structs.replace(plan, nodes=tuple(node for node in plan.nodes if node.name not in names))


def _cut_hours(search: _Search) -> None:
    """End the run when the last event is over, or as soon after as it fails still."""
    plan = search.best
    # In hundredths of an hour, for people.
    least = ceil(plan.quiet_s / 36) / 100
    _lower(search, plan.hours, least, lambda hours: msgspec.structs.replace(plan, hours=hours))


# --- Simpler events


def _simplify(search: _Search) -> None:
    """Make what is left smaller, shorter and closer together."""
    for place in range(len(search.best.events)):
        _simplify_event(search, place)
    gaps = _gaps(search.best)
    for most_s in GAPS_S:
        if max(gaps, default=0) > most_s and search.take(_with_gaps(search.best, [min(gap, most_s) for gap in gaps])):
            break
    for place in range(len(search.best.events)):
        _close_gap(search, place)
    search.take(_in_whole_seconds(search.best))


def _simplify_event(search: _Search, place: int) -> None:
    def with_count(count: float) -> Plan:
        return _replaced(search.best, place, msgspec.structs.replace(search.best.events[place], count=int(count)))

    def with_length(for_s: float) -> Plan:
        return _replaced(search.best, place, msgspec.structs.replace(search.best.events[place], for_s=for_s))

    _lower(search, search.best.events[place].count, 1, with_count)
    _lower(search, search.best.events[place].for_s, LEAST_FOR_S, with_length)


def _close_gap(search: _Search, place: int) -> None:
    """Move an event, and all after it, earlier."""
    gaps = _gaps(search.best)

    def with_gap(gap_s: float) -> Plan:
        return _with_gaps(search.best, [*gaps[:place], gap_s, *gaps[place + 1 :]])

    _lower(search, gaps[place], LEAST_GAP_S, with_gap)


def _lower(search: _Search, value: float, least: float, lowered: Callable[[float], Plan]) -> None:
    """Lower a number to `least`, or else by half as often as the plan fails still."""
    if value <= least or search.take(lowered(least)):
        return
    while (half := _round(value / 2)) > least and search.take(lowered(half)):
        value = half


def _round(value: float) -> float:
    """Down, to what is easy to read."""
    return floor(value) if value >= 2 else floor(value * 100) / 100


def _replaced(plan: Plan, place: int, event: Event) -> Plan:
    return plan.with_events((*plan.events[:place], event, *plan.events[place + 1 :]))


def _gaps(plan: Plan) -> list[float]:
    """How long after the beginning of the one before each event begins."""
    times = [event.at_s for event in plan.events]
    return [at_s - before_s for before_s, at_s in pairwise([0.0, *times])]


def _with_gaps(plan: Plan, gaps: list[float]) -> Plan:
    """The events with gaps that are no longer than theirs. None moves to before its node is first switched on."""
    joins = {node.name: node.joins_s for node in plan.nodes}
    events: list[Event] = []
    now_s = 0.0
    for event, gap in zip(plan.events, gaps, strict=True):
        now_s = min(event.at_s, max(now_s + gap, joins.get(event.target, 0.0)))
        events.append(msgspec.structs.replace(event, at_s=now_s))
    return plan.with_events(tuple(events))


def _in_whole_seconds(plan: Plan) -> Plan:
    """Times and lengths rounded down, but not to nothing, nor to before a node is switched on."""
    joins = {node.name: node.joins_s for node in plan.nodes}
    events: list[Event] = []
    now_s = 0.0
    for event in plan.events:
        at_s = float(floor(event.at_s))
        now_s = max(now_s, at_s if at_s >= joins.get(event.target, 0.0) else event.at_s)
        for_s = float(floor(event.for_s)) or event.for_s
        events.append(msgspec.structs.replace(event, at_s=now_s, for_s=for_s))
    return plan.with_events(tuple(events))
