"""One direction of a simulated line: when what is sent now will arrive."""

from littoral.core.clock import Clock


class Line:
    """Delay and bandwidth, shared by all connections on the line. First come, first served."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at_s = 0.0
        self.delay_s = 0.0
        """One way. A change holds for what is sent after it."""
        self.bytes_per_s: int | None = None
        """None does not limit."""
        self.bytes_sent = 0
        """What the line took. Of that, what was on its way when it was cut is lost; into a cut line nothing goes."""

    def send(self, size: int) -> float:
        """Take `size` bytes; returns the monotonic second in which the last of them arrives."""
        now_s = self._clock.monotonic_s()
        self.bytes_sent += size
        leaves_s = now_s
        if self.bytes_per_s is not None:
            leaves_s = self._free_at_s = max(now_s, self._free_at_s) + size / self.bytes_per_s
        return leaves_s + self.delay_s
