"""Stand-ins that `littoral.testing` does not have, because they need no event loop."""

START_MS = 1_700_000_000_000


class FakeClock:
    """Implements `littoral.core.clock.Clock`: stands still until a test moves it."""

    def __init__(self, wall_ms: int = START_MS) -> None:
        self._wall_ms = wall_ms
        self._monotonic_s = 1000.0

    def wall_ms(self) -> int:
        return self._wall_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, *, days: float = 0, seconds: float = 0) -> None:
        """Let time pass."""
        passed_s = days * 86_400 + seconds
        self._wall_ms += round(passed_s * 1000)
        self._monotonic_s += passed_s

    def set_wall(self, wall_ms: int) -> None:
        """Set the clock, as an operator does; no time passes."""
        self._wall_ms = wall_ms
