"""Which messages of a session's queue are not done, as far as the disk must know."""

from bisect import bisect_left
from collections import deque

_DONE_AHEAD_MOST = 1024
"""Messages done before an older one is. Beyond it the numbers are gone through, so that one message that a client never
acknowledges does not keep the numbers of all that follow."""


class Waiting:
    """The numbers of one session's messages, in order.

    On disk a session has one number, `next`: every message of a lesser one is done. What is done beyond it, because an
    older message is not, is sent again after a crash, which QoS 1 allows; for QoS 2 there is a row that says so.
    """

    __slots__ = ("_done", "_end", "_numbers", "has_done_rows", "sent")

    def __init__(self, following: int) -> None:
        """following: what the next message's number is at least."""
        self._numbers: deque[int] | None = None
        """None where there never was one: many sessions have none, and a deque has room for 64."""
        self._done: set[int] = set()
        self._end = following
        self.sent: set[int] = set()
        """Those not done of which the disk has the packet identifier."""
        self.has_done_rows = False
        """Whether the disk has rows of messages that are done, but not all before them: they go when `next` has passed."""

    @property
    def next(self) -> int:
        """Every message of a lesser number is done."""
        return self._numbers[0] if self._numbers else self._end

    @property
    def numbers(self) -> list[int]:
        """Of those that are not done."""
        return [number for number in self._numbers or () if number not in self._done]

    def add(self, number: int) -> None:
        """A message for the session; the number is greater than those before."""
        assert number >= self._end, (number, self._end)
        if self._numbers is None:
            self._numbers = deque()
        self._numbers.append(number)
        self._end = number + 1

    def complete(self, number: int) -> bool:
        """The session is done with a message; False if it was already, or never was for it."""
        numbers, done = self._numbers, self._done
        if not numbers:
            return False
        if numbers[0] == number:
            numbers.popleft()
            while numbers and numbers[0] in done:
                done.remove(numbers.popleft())
            return True
        at = bisect_left(numbers, number)
        if at == len(numbers) or numbers[at] != number or number in done:
            return False
        done.add(number)
        if len(done) > _DONE_AHEAD_MOST and 2 * len(done) > len(numbers):
            self._numbers = deque(number for number in numbers if number not in done)
            done.clear()
        return True
