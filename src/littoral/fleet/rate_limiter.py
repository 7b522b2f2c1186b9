"""A rate limiter that holds back what comes too often, without losing any of it."""

import asyncio

from littoral.core.clock import Clock


class RateLimiter:
    """Lets some through at once, and then all that wait together, every so often."""

    def __init__(self, clock: Clock, at_once: int, every_s: float) -> None:
        """at_once: how many need not wait after a pause. every_s: what each of them costs the pause."""
        self._clock = clock
        self._every_s = every_s
        self._ahead_s = at_once * every_s
        self._due_s = 0.0
        """When the last of those that were let through, or wait, may go on."""
        self._spent_s = 0.0
        """When all that was let through has been made up for."""

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._due_s:
            self._spent_s = max(self._spent_s, now_s) + self._every_s
            self._due_s = max(now_s, self._spent_s - self._ahead_s)
        if self._due_s > now_s:
            await asyncio.sleep(self._due_s - now_s)
