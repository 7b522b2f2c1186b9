"""What became of requests that HTTP caches may answer, from the counters in nodes' successive reports."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from littoral.node.status import CacheCounts, NodeStatus

CACHE_POINTS = 240
"""Points kept per node; the oldest goes. They reach back 16 minutes at least."""
POINT_MS = 4000
"""An interval is at least so long: gateways report once a second, and in less there would be one report more or less."""
CACHE_NODES = 64
"""Nodes with a history; those beyond are shown without one."""
RECENT_MS = 60_000
"""What counts as now: single intervals are too short for a share to mean much."""


def requests_of(counts: CacheCounts) -> int:
    """All of them."""
    return counts.hits + counts.stale + counts.collapsed + counts.validated + counts.misses


def answered_of(counts: CacheCounts) -> int:
    """Those for which no origin was asked."""
    return counts.hits + counts.stale + counts.collapsed


def hit_ratio(counts: CacheCounts) -> float | None:
    """The share that no origin was asked for; None where there were no requests."""
    requests = requests_of(counts)
    return answered_of(counts) / requests if requests else None


class CachePoint(NamedTuple):
    """One interval between two reports."""

    at_ms: int
    """Of the later report."""
    span_ms: int
    counts: CacheCounts
    """In this interval."""
    routes: Mapping[str, float]
    """Hit ratio of each route that was asked."""


class Recently(NamedTuple):
    """The intervals of the last minute."""

    counts: CacheCounts
    span_ms: int

    @property
    def requests_s(self) -> float:
        """Per second."""
        return requests_of(self.counts) * 1000 / self.span_ms

    @property
    def saved_s(self) -> float:
        """Bytes per second."""
        return self.counts.saved_bytes * 1000 / self.span_ms


@dataclass(slots=True)
class _Node:
    before: NodeStatus
    points: deque[CachePoint] = field(default_factory=lambda: deque(maxlen=CACHE_POINTS))


class CacheHistory:
    """All nodes' histories. Reports of one node come in the order of their making; one seen before changes nothing."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self.revision = 0
        """Changes whenever there is something new to draw."""

    def add(self, status: NodeStatus) -> None:
        """Take a report into account."""
        if status.gateway is None:
            return
        node = self._nodes.get(status.node)
        if node is None:
            if len(self._nodes) < CACHE_NODES:
                self._nodes[status.node] = _Node(status)
            return
        if status.at_ms < node.before.at_ms + POINT_MS:
            return
        point = _between(node.before, status)
        node.before = status
        if point is not None:
            node.points.append(point)
            self.revision += 1

    def points(self, node: str) -> Sequence[CachePoint]:
        """In their order."""
        known = self._nodes.get(node)
        return list(known.points) if known else []

    def nodes(self) -> list[str]:
        """Those with a history, by name."""
        return sorted(name for name, node in self._nodes.items() if node.points)

    def recently(self, node: str) -> Recently | None:
        """Up to the node's last report; None before there were two."""
        points = self.points(node)
        recent = [point for point in points if point.at_ms > points[-1].at_ms - RECENT_MS]
        if not recent:
            return None
        return Recently(_sum(point.counts for point in recent), sum(point.span_ms for point in recent))


def _between(before: NodeStatus, after: NodeStatus) -> CachePoint | None:
    """None where the counters do not belong together: another hub began to count, or another gateway to report."""
    earlier, later = before.gateway, after.gateway
    assert earlier is not None, before.node
    assert later is not None, after.node
    if (before.started_ms, earlier.gateways) != (after.started_ms, later.gateways):
        return None
    ratios = {
        route: ratio
        for route, counts in later.routes.items()
        if route in earlier.routes and (ratio := hit_ratio(_difference(earlier.routes[route], counts))) is not None
    }
    return CachePoint(after.at_ms, after.at_ms - before.at_ms, _difference(earlier.cache, later.cache), ratios)


def _difference(before: CacheCounts, after: CacheCounts) -> CacheCounts:
    return CacheCounts(
        *(max(0, getattr(after, name) - getattr(before, name)) for name in CacheCounts.__struct_fields__)
    )


def _sum(counts: Iterable[CacheCounts]) -> CacheCounts:
    total = CacheCounts()
    for each in counts:
        for name in CacheCounts.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(each, name))
    return total
