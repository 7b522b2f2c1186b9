"""Whether a target is well: by what requests say of it, and by what it answers when it is asked.

passive   well ──failures in a row, or a share of them──► ejected ──time──► well
          A pool keeps a share of its targets whatever they do; each ejection in a row is longer.
active    unknown ──first answer──► healthy or unhealthy ──so many others in a row──► the other
"""

from littoral.core.random import Random
from littoral.gateway.origins.settings import ActiveHealth, PassiveHealth


class Passive:
    """What requests say of one target."""

    def __init__(self, settings: PassiveHealth) -> None:
        self._settings = settings
        self._in_a_row = 0
        self._window_ends_s = 0.0
        self._requests = 0
        self._failures = 0
        self._ejections = 0
        """In a row."""
        self.ejected_until_s = 0.0

    def is_ejected(self, now_s: float) -> bool:
        """Whether it is to get nothing."""
        return now_s < self.ejected_until_s

    def succeeded(self, now_s: float) -> None:
        """It has answered."""
        self._in_a_row = 0
        if now_s >= self._window_ends_s:
            self._next_window(now_s)
        self._requests += 1

    def failed(self, now_s: float) -> bool:
        """It has not. Returns whether it should be ejected."""
        if self.is_ejected(now_s):
            return False  # It was under way by then.
        if now_s >= self._window_ends_s:
            self._next_window(now_s)
        self._requests += 1
        self._failures += 1
        self._in_a_row += 1
        settings = self._settings
        if self._in_a_row >= settings.failures_in_a_row:
            return True
        return self._requests >= settings.window_requests and self._failures >= settings.failure_share * self._requests

    def eject(self, now_s: float) -> None:
        """Give it nothing for a while."""
        self._ejections += 1
        for_s = min(self._settings.ejected_s * self._ejections, self._settings.ejected_most_s)
        self.ejected_until_s = now_s + for_s
        self._in_a_row = 0
        self._next_window(now_s)

    def _next_window(self, now_s: float) -> None:
        """A whole window that was good, after the last ejection ended, is the end of a row of ejections."""
        was_good = self._requests > 0 and self._failures < self._settings.failure_share * self._requests
        if was_good and self._window_ends_s - self._settings.window_s >= self.ejected_until_s:
            self._ejections = 0
        self._requests = self._failures = 0
        self._window_ends_s = now_s + self._settings.window_s


class Active:
    """What one target answers when it is asked."""

    def __init__(self, settings: ActiveHealth) -> None:
        self._settings = settings
        self.is_healthy = True
        """Until it is known."""
        self._is_known = False
        self._against = 0
        """Answers in a row that say otherwise."""

    def answered(self, status: int | None) -> None:
        """status: None for no answer."""
        settings = self._settings
        is_well = status in settings.statuses
        if is_well == self.is_healthy and self._is_known:
            self._against = 0
            return
        self._against += 1
        needed = settings.healthy_after if is_well else settings.unhealthy_after
        if not self._is_known or self._against >= needed:
            self.is_healthy, self._is_known, self._against = is_well, True, 0

    def next_delay_s(self, random: Random) -> float:
        """Until it is asked again."""
        jitter_s = self._settings.interval_s * self._settings.jitter_share
        return self._settings.interval_s + random.uniform(-jitter_s, jitter_s)
