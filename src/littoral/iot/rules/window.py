"""Tumbling event-time windows of one key.

Rules:

- A window is [start, start + size), aligned to the Unix epoch. Times are whole milliseconds.
- The watermark is the greatest event time seen. It never steps back, so that a series which does (a change of the
  local clock) is only ever behind it.
- A window closes once the watermark reaches its end plus the allowed lateness, and is handed out exactly then. A
  window without readings is never opened, so none is handed out empty.
- A reading is late if its window has closed, whether or not that window had any readings. The reading that moves
  the watermark is never late. Equal times are nothing special.
- All open windows end less than size + lateness before the watermark, or after it, so there are never more than
  `open_windows_most` of them.
"""

import math
from collections.abc import Sequence

import msgspec

from littoral.core.resources.rule import Aggregate

Number = int | float

_BEFORE_ALL_MS = -1
"""A watermark that no reading has moved; event times are not negative."""


def open_windows_most(size_ms: int, lateness_ms: int) -> int:
    """How many windows of one key can be open at once."""
    return -(-lateness_ms // size_ms) + 1


class Window:
    """The aggregates of one window, by Welford's method (Knuth, TAOCP vol. 2, 4.2.2): sums of squares are never
    subtracted from each other, so values far from zero do not cancel."""

    __slots__ = ("count", "end", "first", "first_ts", "last", "last_ts", "m2", "max", "mean", "min", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.count = 0
        self.min = math.inf
        self.max = -math.inf
        self.mean = 0.0
        self.m2 = 0.0
        """The sum of squared differences from the mean."""
        self.first_ts = end
        self.first = 0.0
        self.last_ts = start - 1
        self.last = 0.0

    def add(self, ts: int, value: float) -> None:
        """Take in a reading with start <= ts < end."""
        count = self.count + 1
        self.count = count
        delta = value - self.mean
        mean = self.mean + delta / count
        self.mean = mean
        self.m2 += delta * (value - mean)
        # `min` and `max` would call a function; this runs for every reading.
        if value < self.min:  # noqa: PLR1730
            self.min = value
        if value > self.max:  # noqa: PLR1730
            self.max = value
        if ts >= self.last_ts:
            self.last_ts = ts
            self.last = value
        if ts < self.first_ts:
            self.first_ts = ts
            self.first = value

    def stddev(self) -> float:
        """The sample standard deviation (divided by n - 1); 0.0 for a single reading."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else 0.0

    def aggregates(self, names: Sequence[Aggregate]) -> dict[str, Number]:
        """The named aggregates. first: of the smallest time, the earliest to arrive. last: of the greatest time, the
        latest to arrive."""
        found: dict[str, Number] = {
            "count": self.count,
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "stddev": self.stddev(),
            "first": self.first,
            "last": self.last,
        }
        return {name: found[name] for name in names}


class WindowState(msgspec.Struct, frozen=True, array_like=True):
    """A window at rest. Floats keep all their bits in msgpack."""

    start: int
    end: int
    count: int
    min: float
    max: float
    mean: float
    m2: float
    first_ts: int
    first: float
    last_ts: int
    last: float


class WindowsState(msgspec.Struct, frozen=True, array_like=True):
    """All that `KeyWindows` knows, at rest."""

    watermark: int
    open: list[WindowState]


class KeyWindows:
    """The open windows of one key."""

    __slots__ = ("_lateness_ms", "_next_close", "_open", "_size_ms", "current", "fast_from", "fast_until", "watermark")

    def __init__(self, size_ms: int, lateness_ms: int) -> None:
        self._size_ms = size_ms
        self._lateness_ms = lateness_ms
        self._reset()

    def _reset(self) -> None:
        self.watermark = _BEFORE_ALL_MS
        self._open: dict[tuple[int, int], Window] = {}
        self._next_close: Number = math.inf
        self.current = Window(0, 0)
        # Times in [fast_from, fast_until) go to `current` and close nothing: what the intake may do by itself.
        self.fast_from: int = 0
        self.fast_until: Number = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, ts: int, value: float) -> Sequence[Window] | None:
        """Take in a reading. Returns the windows it closed, in order of time; None if it is late, and not taken in."""
        start = ts - ts % self._size_ms
        end = start + self._size_ms
        closed: Sequence[Window] = ()
        if ts > self.watermark:
            self.watermark = ts
            if ts >= self._next_close:
                closed = self._close()
        elif end + self._lateness_ms <= self.watermark:
            return None
        # The end is in the key because windows of another size may be open after a change of the rule.
        window = self._open.get((start, end))
        if window is None:
            window = self._open[start, end] = Window(start, end)
            self._next_close = min(self._next_close, end + self._lateness_ms)
        window.add(ts, value)
        self.current = window
        self.fast_from = start
        self.fast_until = min(end, self._next_close)
        return closed

    def _close(self) -> list[Window]:
        closed = [window for window in self._open.values() if window.end + self._lateness_ms <= self.watermark]
        closed.sort(key=lambda window: (window.end, window.start))
        for window in closed:
            del self._open[window.start, window.end]
        self._next_close = min((end + self._lateness_ms for _, end in self._open), default=math.inf)
        return closed

    def save(self) -> WindowsState:
        """What `load` needs to go on exactly from here."""
        return WindowsState(
            self.watermark,
            [
                WindowState(
                    window.start,
                    window.end,
                    window.count,
                    window.min,
                    window.max,
                    window.mean,
                    window.m2,
                    window.first_ts,
                    window.first,
                    window.last_ts,
                    window.last,
                )
                for window in self._open.values()
            ],
        )

    def load(self, state: WindowsState | None) -> None:
        """Become what was saved; None for what a new key has."""
        self._reset()
        if state is None:
            return
        self.watermark = state.watermark
        for saved in state.open:
            window = self._open[saved.start, saved.end] = Window(saved.start, saved.end)
            for name in saved.__struct_fields__:
                setattr(window, name, getattr(saved, name))
        self._next_close = min((end + self._lateness_ms for _, end in self._open), default=math.inf)
