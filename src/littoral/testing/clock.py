"""A wall clock in virtual time, as wrong as a test wants it."""

import asyncio

EPOCH_MS = 1_700_000_000_000
"""The wall-clock time at which simulations begin: 2023-11-14 22:13:20 UTC."""


class SimClock:
    """Implements `littoral.core.clock.Clock` on an event loop, usually a `SimLoop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        epoch_ms: int = EPOCH_MS,
        offset_ms: int = 0,
        drift_ppm: float = 0.0,
    ) -> None:
        """`offset_ms`: how far the wall clock is ahead. `drift_ppm`: microseconds it gains each second."""
        self._loop = loop
        self._epoch_ms = epoch_ms + offset_ms
        self._rate = 1 + drift_ppm / 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, as this clock sees it."""
        return self._epoch_ms + int(self._loop.time() * self._rate * 1000)

    def monotonic_s(self) -> float:
        """The loop's time: steps and drift of the wall clock do not touch it."""
        return self._loop.time()

    def drift(self, ppm: float) -> None:
        """Gain so many microseconds each second from now on: a bad oscillator, or a correction that is spread out."""
        now_ms = self.wall_ms()
        self._rate = 1 + ppm / 1_000_000
        self._epoch_ms += now_ms - self.wall_ms()

    def step(self, milliseconds: int) -> None:
        """Set the wall clock forward, or back, as an operator or NTP does."""
        self._epoch_ms += milliseconds
