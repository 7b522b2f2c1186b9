"""Streams that cannot go on just now: the parent has no room for them, what was spilled of them cannot be read, or what is
to be followed cannot be had. Each is tried again by itself, ever more rarely; the others go on."""

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.names import StreamName
from littoral.core.random import Random


class Holds:
    """Of one direction of a link."""

    def __init__(self, clock: Clock, random: Random, cap_ms: int) -> None:
        """cap_ms: none waits longer (a limit of the node's)."""
        self._clock = clock
        self._random = random
        self._cap_ms = cap_ms
        self._waits: dict[StreamName, tuple[Backoff, float]] = {}
        """Until when, by the monotonic clock."""
        self.reasons: dict[StreamName, str] = {}

    def hold(self, name: StreamName, reason: str) -> None:
        """It was tried, and could not go on. Until it is tried again, nothing is changed by another try."""
        if self.is_held(name):
            return
        backoff, _ = self._waits.get(name) or (Backoff(self._random, self._cap_ms), 0.0)
        self._waits[name] = (backoff, self._clock.monotonic_s() + backoff.next_delay_s())
        self.reasons[name] = reason

    def release(self, name: StreamName) -> None:
        """It went on, or is gone."""
        self._waits.pop(name, None)
        self.reasons.pop(name, None)

    def is_held(self, name: StreamName) -> bool:
        """Whether it is not to be tried yet."""
        wait = self._waits.get(name)
        return wait is not None and self._clock.monotonic_s() < wait[1]

    def next_s(self, looked_s: float) -> float | None:
        """How long until the next of those is to be tried that were held at `looked_s`, by the monotonic clock; not above 0
        for one whose wait has ended since, None if there is none."""
        now_s = self._clock.monotonic_s()
        return min((due_s - now_s for _, due_s in self._waits.values() if due_s > looked_s), default=None)
