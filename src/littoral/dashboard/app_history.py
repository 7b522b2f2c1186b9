"""What apps did between one look at their figures and the next."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from littoral.node.app_messages import AppEntry, AppFigures
from littoral.node.app_rates import AppRates, between

POINTS = 240
"""Kept; at three seconds each they reach back 12 minutes."""
POINT_MS = 2000
"""An interval is at least so long: several browsers may look."""
RECENT_MS = 15_000
"""What counts as now: single intervals are too short for a quantile to mean much."""
LINES = 8
"""Apps in a chart: more cannot be told apart."""


class AppPoint(NamedTuple):
    """One interval."""

    at_ms: int
    rates: Mapping[str, AppRates]
    """By app."""


class AppHistory:
    """Of one node's apps at a time: of the one that was looked at last."""

    def __init__(self) -> None:
        self.node = ""
        self.revision = 0
        """Changes whenever there is something new to draw."""
        self.points: deque[AppPoint] = deque(maxlen=POINTS)
        self._looks: deque[tuple[int, dict[str, AppFigures]]] = deque()

    def add(self, node: str, entries: Sequence[AppEntry]) -> None:
        """Take a look into account."""
        if node != self.node:
            self.node = node
            self.points.clear()
            self._looks.clear()
        figures = {each.name: each.figures for each in entries if each.figures is not None}
        at_ms = max((each.at_ms for each in figures.values()), default=0)
        if not figures or (self._looks and at_ms < self._looks[-1][0] + POINT_MS):
            return
        if self._looks:
            self.points.append(AppPoint(at_ms, _rates(self._looks[-1][1], figures)))
            self.revision += 1
        self._looks.append((at_ms, figures))
        while len(self._looks) > 2 and self._looks[1][0] <= at_ms - RECENT_MS:
            self._looks.popleft()

    def recently(self) -> Mapping[str, AppRates]:
        """By app, over the last looks."""
        return _rates(self._looks[0][1], self._looks[-1][1]) if len(self._looks) > 1 else {}

    def busiest(self) -> list[str]:
        """The apps that were asked most, for a chart; by name."""
        calls: dict[str, float] = {}
        for point in self.points:
            for app, rates in point.rates.items():
                calls[app] = calls.get(app, 0.0) + rates.calls_s
        return sorted(sorted((app for app in calls if calls[app]), key=lambda app: (-calls[app], app))[:LINES])


def _rates(before: Mapping[str, AppFigures], after: Mapping[str, AppFigures]) -> dict[str, AppRates]:
    found = {app: between(before[app], each) for app, each in after.items() if app in before}
    return {app: rates for app, rates in found.items() if rates is not None}
