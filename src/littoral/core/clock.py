"""Time as a dependency. Real: `littoral.drivers.clock`; virtual: `littoral.testing.clock`."""

from typing import Protocol


class Clock(Protocol):
    """Two readings of time. Waiting is the event loop's business (`asyncio.sleep`), which tests virtualise."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step in either direction."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never steps back. The same clock as `loop.time()`."""
        ...
