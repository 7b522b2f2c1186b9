"""A circuit breaker: a target that only fails is left alone, and then tried with one request.

closed     ──so many failures in a row──► open
open       ──time──► half open: one request may go
half open  ──it succeeds──► closed
           ──it fails──► open, for twice as long
           ──it was given up──► half open, for the next
"""

from littoral.gateway.origins.settings import Breaking


class Breaker:
    """That of one target."""

    def __init__(self, settings: Breaking) -> None:
        self._settings = settings
        self._in_a_row = 0
        self.is_closed = True
        """Whether requests go as they come."""
        self._open_s = 0.0
        """For how long it was opened."""
        self._opens_until_s = 0.0
        self._is_tried = False

    def allows(self, now_s: float) -> bool:
        """Whether a request may go."""
        return self.is_closed or (now_s >= self._opens_until_s and not self._is_tried)

    def begin(self) -> None:
        """One goes."""
        if not self.is_closed:
            self._is_tried = True

    def succeeded(self) -> None:
        """It was answered."""
        self._in_a_row = 0
        self.is_closed = True

    def failed(self, now_s: float) -> bool:
        """It was not. Returns whether that has opened the circuit."""
        settings = self._settings
        self._in_a_row += 1
        if not self.is_closed:
            if not self._is_tried:
                return False  # One that was under way when it opened.
            self._open_s = min(2 * self._open_s, settings.open_most_s)
        elif settings.failures_in_a_row and self._in_a_row >= settings.failures_in_a_row:
            self._open_s, self.is_closed = settings.open_s, False
        else:
            return False
        self._is_tried = False
        self._opens_until_s = now_s + self._open_s
        return True

    def given_up(self) -> None:
        """Nobody knows what would have become of it."""
        self._is_tried = False
