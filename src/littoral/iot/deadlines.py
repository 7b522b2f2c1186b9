"""What is due when."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Things with a time. One that was put off, or is not wanted any more, is not taken out: whoever gets it looks whether it
    still is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def add(self, due_s: float, thing: T) -> None:
        """`thing` is due at `due_s`, by the monotonic clock."""
        self._count += 1
        heappush(self._heap, (due_s, self._count, thing))

    def due(self, now_s: float) -> Iterator[T]:
        """Take out what is due."""
        while self._heap and self._heap[0][0] <= now_s:
            yield heappop(self._heap)[2]
