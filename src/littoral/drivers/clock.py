"""The operating system's clocks."""

import time


class SystemClock:
    """Implements `littoral.core.clock.Clock`."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step in either direction."""
        return time.time_ns() // 1_000_000

    monotonic_s = staticmethod(time.monotonic)
    """Seconds from an arbitrary start: CLOCK_MONOTONIC, which asyncio's and uvloop's `loop.time()` read too. Read several times
    in each request, so without a step in between."""
