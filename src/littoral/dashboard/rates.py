"""Readings per second of each node, from the counters in its successive reports."""

from collections import deque
from dataclasses import dataclass, field

from littoral.node.status import NodeStatus

RATE_POINTS = 300
"""Points kept per node; the oldest goes. At a report every five seconds they reach back 25 minutes."""
RATE_NODES = 500
"""Nodes with a history; those beyond have none, and are shown without a rate."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One interval between two reports."""

    at_ms: int
    """Of the later report."""
    per_s: float


@dataclass(slots=True)
class _NodeRates:
    at_ms: int
    started_ms: int
    readings: int
    total: int
    interval_ms: int = 0
    points: deque[RatePoint] = field(default_factory=lambda: deque(maxlen=RATE_POINTS))


class Rates:
    """All nodes' histories. Reports of one node come in the order of their making; one seen before changes nothing."""

    def __init__(self) -> None:
        self._nodes: dict[str, _NodeRates] = {}
        self.revision = 0
        """Changes whenever there is something new to draw."""

    @property
    def total(self) -> int:
        """Readings taken in by all nodes, across restarts of their hubs."""
        return sum(node.total for node in self._nodes.values())

    def add(self, status: NodeStatus) -> None:
        """Take a report into account."""
        node = self._nodes.get(status.node)
        if node is None:
            if len(self._nodes) < RATE_NODES:
                self._nodes[status.node] = _NodeRates(status.at_ms, status.started_ms, status.readings, status.readings)
                self.revision += 1
            return
        passed_ms = status.at_ms - node.at_ms
        if passed_ms <= 0:
            return
        # A hub that was restarted counts from zero.
        restarted = status.started_ms != node.started_ms
        new = max(0, status.readings if restarted else status.readings - node.readings)
        node.points.append(RatePoint(status.at_ms, new * 1000 / passed_ms))
        node.at_ms, node.started_ms, node.readings = status.at_ms, status.started_ms, status.readings
        node.total += new
        node.interval_ms = passed_ms
        self.revision += 1

    def latest(self, node: str) -> float | None:
        """Readings per second in the last interval known; None before there was one."""
        known = self._nodes.get(node)
        return known.points[-1].per_s if known and known.points else None

    def interval_ms(self, node: str) -> int:
        """How far the last two reports were apart; 0 before there were two."""
        known = self._nodes.get(node)
        return known.interval_ms if known else 0

    def history(self) -> dict[str, list[RatePoint]]:
        """By node, in the order of first reports: those that have taken in anything."""
        return {name: list(node.points) for name, node in self._nodes.items() if node.total}
