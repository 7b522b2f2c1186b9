"""Which workers are started next: a few at a time, those that requests wait for first.

A node that comes up with a thousand apps would start them all at once, and each would take longer than all of them in turn.
"""

from collections import deque
from collections.abc import Callable

from littoral.core.function_limits import FUNCTION_STARTS
from littoral.core.limits import Limits

Key = tuple[str, int]
"""An app and its slot."""


class StartQueue:
    """What is to be started, and what is starting."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._starting: set[Key] = set()
        self._waiting: deque[Key] = deque()
        self._starts: dict[Key, Callable[[], None]] = {}
        """Of those that wait."""

    def ask(self, key: Key, start: Callable[[], None], *, urgent: bool) -> None:
        """Call `start` when it is its turn. urgent: before all others that wait."""
        if key in self._starts:
            self._waiting.remove(key)
        self._starts[key] = start
        if urgent:
            self._waiting.appendleft(key)
        else:
            self._waiting.append(key)
        self._go_on()

    def hurry(self, app: str) -> None:
        """Requests wait for what was to be started for this app some time."""
        for key in [key for key in self._waiting if key[0] == app]:
            self._waiting.remove(key)
            self._waiting.appendleft(key)

    def ended(self, key: Key) -> None:
        """It has started, or failed to."""
        self._starting.discard(key)
        self._go_on()

    def forget(self, app: str) -> None:
        """Start nothing more of this app, and count nothing of it: of what waited for its environment nobody hears."""
        for key in [key for key in self._waiting if key[0] == app]:
            self._waiting.remove(key)
            del self._starts[key]
        self._starting = {key for key in self._starting if key[0] != app}
        self._go_on()

    def clear(self) -> None:
        """Whoever was to start them is gone."""
        self._starting.clear()
        self._waiting.clear()
        self._starts.clear()

    def _go_on(self) -> None:
        while self._waiting and len(self._starting) < self._limits[FUNCTION_STARTS]:
            key = self._waiting.popleft()
            self._starting.add(key)
            self._starts.pop(key)()
        if self._waiting:
            self._limits.hit(FUNCTION_STARTS)
