"""Windows by rule, node and key, over event time."""

from typing import NamedTuple

from littoral.dashboard.records import Window

SERIES = 64
"""Series held; windows of further ones are counted and not drawn."""
SERIES_WINDOWS = 600
"""Windows held per series; the one that came first goes."""


class SeriesName(NamedTuple):
    """What a line in the chart is of."""

    rule: str
    node: str
    key: str


class WindowSeries:
    """The latest windows of each series."""

    def __init__(self) -> None:
        self._series: dict[SeriesName, dict[int, Window]] = {}
        self.left_out: set[SeriesName] = set()
        """Series that found no room, up to as many as have."""
        self.revision = 0
        """Changes whenever there is something new to draw."""

    def add(self, window: Window) -> None:
        """Take a window into account; one with the same start replaces what was there."""
        name = SeriesName(window.rule, window.node, window.key)
        windows = self._series.get(name)
        if windows is None:
            if len(self._series) >= SERIES:
                if len(self.left_out) < SERIES:
                    self.left_out.add(name)
                return
            windows = self._series[name] = {}
        windows[window.start] = window
        if len(windows) > SERIES_WINDOWS:
            del windows[next(iter(windows))]
        self.revision += 1

    def names(self) -> list[SeriesName]:
        """All series held."""
        return sorted(self._series)

    def rules(self) -> list[str]:
        """Rules with windows, by name."""
        return sorted({name.rule for name in self._series})

    def of_rule(self, rule: str) -> dict[SeriesName, list[Window]]:
        """The rule's series by name, each in the order of event time."""
        return {
            name: sorted(self._series[name].values(), key=lambda window: window.start)
            for name in sorted(self._series)
            if name.rule == rule
        }
