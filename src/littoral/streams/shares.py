"""Which lane is next, so that lanes which always have something to send share the uplink by their weights.

Start-time fair queuing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing", SIGCOMM 1996). Each lane has a time,
its bytes so far over its weight; the lane with the least is next, and a lane that had nothing to send begins at the
time of the one that was served last, so that it has neither saved up what it did not use nor to make up for it. It
shares as deficit round robin does (M. Shreedhar, G. Varghese, SIGCOMM 1995), also where one batch is larger than a
lane's share, for that lane is then passed over until the others have caught up; but it has no rounds, of which a frame
would hold many, each with a read of the store.
"""

from collections.abc import Collection

from littoral.core.lanes import LANES, WEIGHTS, Lane


class Shares:
    """How far each lane has come."""

    def __init__(self) -> None:
        self._times = dict.fromkeys(WEIGHTS, 0.0)
        self._now = 0.0
        """The time at which the lane that was served last was chosen."""

    def copy(self) -> "Shares":
        """As far as this one, to try out what is next."""
        copied = Shares()
        copied._times, copied._now = dict(self._times), self._now
        return copied

    def next(self, waiting: Collection[Lane]) -> Lane:
        """Of lanes that may have something to send (at least one), the one to ask first."""
        for lane in LANES:
            if lane in waiting and lane not in WEIGHTS:
                return lane
        return min(waiting, key=self._time)

    def piece(self, lane: Lane, waiting: Collection[Lane], frame_bytes: int) -> int:
        """How much of a frame to fill from a lane before the others are looked at again; at least 1."""
        if lane not in WEIGHTS:
            return frame_bytes
        return max(1, frame_bytes * WEIGHTS[lane] // sum(WEIGHTS[each] for each in waiting if each in WEIGHTS))

    def served(self, lane: Lane, size_bytes: int) -> None:
        """Something of a lane was put into a frame."""
        if lane in WEIGHTS:
            self._now = self._time(lane)
            self._times[lane] = self._now + size_bytes / WEIGHTS[lane]

    def _time(self, lane: Lane) -> float:
        return max(self._times[lane], self._now)
