"""A reading against the preceding ones: the rolling z-score of one key.

Rules:

- A reading is scored against the `window` readings of its key that arrived before it, or as many as there are; it
  is not among them itself. It joins them afterwards, also if it was an anomaly. Fewer than `minimum`: no score.
- mean and sample standard deviation (n - 1) of the preceding readings; z = (value - mean) / stddev; an anomaly has
  |z| > threshold.
- A spread of at most 1e-9 of the mean is no spread: it is what is left of constant readings after rounding. Then a
  value that differs from the mean by more than 1e-9 of the greater of the two is an anomaly, without a z.
- Mean and spread are updated in constant time. Rounding errors are bounded: both are computed anew from the
  readings when the ring has gone around once, and when the spread shrinks a thousandfold (an outlier left the ring),
  because the error is relative to the greatest spread since the last time.
"""

import math

import msgspec

from littoral.core.resources.rule import ZScore

NO_SPREAD = 1e-9
_SHRUNK = 1e-3


class Anomaly(msgspec.Struct, frozen=True):
    """Why a reading is one."""

    zscore: float | None
    """None where the preceding readings have no spread."""
    mean: float
    stddev: float


class ZScoreState(msgspec.Struct, frozen=True, array_like=True):
    """All that `RollingZScore` knows, at rest. Floats keep all their bits in msgpack."""

    ring: list[float]
    next: int
    mean: float
    m2: float
    m2_most: float


class RollingZScore:
    """The preceding readings of one key, their mean and spread."""

    __slots__ = ("_m2", "_m2_most", "_mean", "_minimum", "_next", "_ring", "_threshold", "_window")

    def __init__(self, settings: ZScore) -> None:
        self._window = settings.window
        self._threshold = settings.threshold
        self._minimum = settings.minimum
        self._reset()

    def _reset(self) -> None:
        self._ring: list[float] = []
        self._next = 0
        """Where the oldest reading is, once the ring is full."""
        self._mean = 0.0
        self._m2 = 0.0
        self._m2_most = 0.0
        """The greatest m2 since it was last computed from all readings; the rounding error is relative to this."""

    def score(self, value: float) -> Anomaly | None:
        """Judge a reading, then count it among the preceding ones of the next."""
        anomaly = self._judge(value) if len(self._ring) >= self._minimum else None
        self._add(value)
        return anomaly

    def _judge(self, value: float) -> Anomaly | None:
        mean = self._mean
        stddev = math.sqrt(self._m2 / (len(self._ring) - 1))
        deviation = value - mean
        if stddev <= NO_SPREAD * abs(mean):
            differs = abs(deviation) > NO_SPREAD * max(abs(mean), abs(value))
            return Anomaly(None, mean, 0.0) if differs else None
        z = deviation / stddev
        return Anomaly(z, mean, stddev) if abs(z) > self._threshold else None

    def _add(self, value: float) -> None:
        ring = self._ring
        if len(ring) < self._window:
            ring.append(value)
            delta = value - self._mean
            self._mean += delta / len(ring)
            self._m2 += delta * (value - self._mean)
        else:
            oldest = ring[self._next]
            ring[self._next] = value
            self._next = (self._next + 1) % self._window
            delta = value - oldest
            before = self._mean
            self._mean += delta / self._window
            self._m2 += delta * (value - self._mean + oldest - before)
        self._m2_most = max(self._m2_most, self._m2)
        if self._next == 0 or self._m2 < self._m2_most * _SHRUNK:
            self._recompute_when_full()

    def _recompute_when_full(self) -> None:
        # While the ring fills, nothing is subtracted and Welford's method needs no help.
        ring = self._ring
        if len(ring) < self._window:
            return
        mean = math.fsum(ring) / len(ring)
        self._mean = mean
        self._m2 = self._m2_most = math.fsum((value - mean) ** 2 for value in ring)

    def save(self) -> ZScoreState:
        """What `load` needs to go on exactly from here."""
        return ZScoreState(self._ring, self._next, self._mean, self._m2, self._m2_most)

    def load(self, state: ZScoreState | None) -> None:
        """Become what was saved; None for what a new key has. A window of another size (the rule was changed) keeps
        the latest readings."""
        self._reset()
        if state is None:
            return
        # A ring is stored from its beginning until it is full; after that, `next` is where it begins.
        ring = state.ring
        if len(ring) == self._window or (len(ring) < self._window and state.next == 0):
            self._ring = list(ring)
            self._next, self._mean, self._m2, self._m2_most = state.next, state.mean, state.m2, state.m2_most
            return
        for value in (ring[state.next :] + ring[: state.next])[-self._window :]:
            self._add(value)
