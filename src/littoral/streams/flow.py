"""How fast each lane is sent and fills, and when it will be empty if both go on as they are."""

import math

import msgspec

from littoral.core.clock import Clock
from littoral.core.lanes import LANES, Lane

AVERAGED_S = 30.0
"""Time constant of the averages: a figure that a person can read, and that says what the link does now."""


class LaneFlow(msgspec.Struct, frozen=True):
    """Of one lane, now."""

    records_s: float
    """Records that the parent takes over in a second."""
    bytes_s: float
    """Bytes of their payloads, as they are stored."""
    empty_s: float | None
    """In how many seconds nothing will wait; None while the queue does not shrink."""


class Rate:
    """An amount per second: an exponentially weighted average, corrected for what had no time to be seen yet."""

    def __init__(self, now_s: float) -> None:
        self._began_s = self._at_s = now_s
        self._sum = 0.0

    def add(self, amount: float, now_s: float) -> None:
        """So much has happened now."""
        self._sum = self._sum * math.exp((self._at_s - now_s) / AVERAGED_S) + amount
        self._at_s = now_s

    def per_s(self, now_s: float) -> float:
        """The average; over the first second, what there was in it."""
        seen = 1 - math.exp(-max(1.0, now_s - self._began_s) / AVERAGED_S)
        return self._sum * math.exp((self._at_s - now_s) / AVERAGED_S) / (AVERAGED_S * seen)


class Flow:
    """Of all lanes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        now_s = clock.monotonic_s()
        self._arrived = {lane: Rate(now_s) for lane in LANES}
        self._records = {lane: Rate(now_s) for lane in LANES}
        self._bytes = {lane: Rate(now_s) for lane in LANES}

    def arrived(self, lane: Lane, records: int) -> None:
        """So many more are to be sent."""
        self._arrived[lane].add(records, self._clock.monotonic_s())

    def shipped(self, lane: Lane, records: int, size_bytes: int) -> None:
        """The parent has taken them over."""
        now_s = self._clock.monotonic_s()
        self._records[lane].add(records, now_s)
        self._bytes[lane].add(size_bytes, now_s)

    def of(self, lane: Lane, waiting: int) -> LaneFlow:
        """waiting: records in the lane's queue."""
        now_s = self._clock.monotonic_s()
        shipped_s = self._records[lane].per_s(now_s)
        drained_s = shipped_s - self._arrived[lane].per_s(now_s)
        empty_s = 0.0 if not waiting else waiting / drained_s if drained_s > 0 else None
        return LaneFlow(shipped_s, self._bytes[lane].per_s(now_s), empty_s)
