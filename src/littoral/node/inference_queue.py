"""Runs that wait for a thread: each app has a queue of its own, and apps take turns."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnQueue(Generic[T]):
    """However many one app adds, the next of another waits for one of them only."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}
        """The app whose turn it is comes first; one that has nothing is not there."""

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def waiting(self, app: str) -> int:
        """How many of an app's."""
        return len(self._queues.get(app, ()))

    def add(self, app: str, item: T) -> None:
        """The last of its app's."""
        self._queues.setdefault(app, deque()).append(item)

    def next(self) -> T | None:
        """Whose turn it is; then it is the turn of all others first."""
        for app, queue in self._queues.items():
            item = queue.popleft()
            del self._queues[app]
            if queue:
                self._queues[app] = queue
            return item
        return None

    def drop(self, is_unwanted: Callable[[T], bool]) -> None:
        """Nobody waits for these any more."""
        for app, queue in list(self._queues.items()):
            kept = deque(item for item in queue if not is_unwanted(item))
            if kept:
                self._queues[app] = kept
            else:
                del self._queues[app]
