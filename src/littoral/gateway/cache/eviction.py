"""Which objects stay in memory: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), by bytes.

    new                      into the small queue, a tenth of the room; into the main one where it is remembered
    leaves the small queue   asked for more than once since -> main queue; otherwise out, and its name is remembered
    leaves the main queue    asked for since -> once more through it, counted one less; otherwise out

A hit raises a counter and moves nothing. What is asked for once only, as crawlers do, passes through the small queue and
displaces nothing that is asked for often.
"""

from collections import OrderedDict, deque
from typing import Protocol, TypeVar

SMALL_PART = 10
"""The small queue's part of the room: one of so many."""
MOST_USES = 3
"""More than these are not counted."""
REMEMBERED_LEAST = 1000


class Held(Protocol):
    """What is in the queues."""

    name: str
    size: int
    """In bytes."""
    uses: int
    """Since it came, or went round; whoever gives it to a client raises this, up to MOST_USES."""
    is_in: bool
    """Whether it is still held."""


H = TypeVar("H", bound=Held)


class Queues:
    """The order in which objects leave. What they are, their owner knows."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        """Of all that is in."""
        self.count = 0
        self._small: deque[Held] = deque()
        self._main: deque[Held] = deque()
        self._small_bytes = 0
        self._in_small: set[int] = set()
        """By id: those whose bytes are the small queue's."""
        self._remembered: OrderedDict[str, None] = OrderedDict()

    def add(self, item: Held) -> list[Held]:
        """Take something in; returns what has to leave for it, which may be the thing itself."""
        item.is_in, item.uses = True, 0
        self.bytes += item.size
        self.count += 1
        if item.name in self._remembered:
            del self._remembered[item.name]
            self._main.append(item)
        else:
            self._to_small(item)
        return self.resize(self.most_bytes)

    def resize(self, most_bytes: int) -> list[Held]:
        """Go by another bound; returns what has to leave for it."""
        self.most_bytes = most_bytes
        left: list[Held] = []
        while self.bytes > self.most_bytes:
            left.append(self._leave())
        return left

    def remove(self, item: Held) -> None:
        """It is not wanted any more. Its place in its queue is found when that comes to its end."""
        if not item.is_in:
            return
        item.is_in = False
        self.bytes -= item.size
        self.count -= 1
        if id(item) in self._in_small:
            self._in_small.discard(id(item))
            self._small_bytes -= item.size
        # The queues must not hold more of what is gone than of what is there.
        if len(self._small) + len(self._main) > 2 * self.count + REMEMBERED_LEAST:
            self._small = deque(each for each in self._small if each.is_in)
            self._main = deque(each for each in self._main if each.is_in)

    def clear(self) -> None:
        """Nothing of what is in is wanted any more."""
        for queue in (self._small, self._main):
            for item in queue:
                item.is_in = False
        self.bytes = self.count = self._small_bytes = 0
        self._small.clear()
        self._main.clear()
        self._in_small.clear()

    def _to_small(self, item: Held) -> None:
        self._small.append(item)
        self._in_small.add(id(item))
        self._small_bytes += item.size

    def _leave(self) -> Held:
        """The next to go; there is one."""
        while True:
            from_small = self._small_bytes > self.most_bytes // SMALL_PART or not self._main
            found = self._from_small() if from_small and self._small else self._from_main()
            if found is not None:
                self.remove(found)
                return found

    def _from_small(self) -> Held | None:
        item = self._small.popleft()
        if not item.is_in:
            return None
        self._in_small.discard(id(item))
        self._small_bytes -= item.size
        if item.uses > 1:
            item.uses = 0
            self._main.append(item)
            return None
        self._remember(item.name)
        return item

    def _from_main(self) -> Held | None:
        item = self._main.popleft()
        if not item.is_in:
            return None
        if item.uses > 0:
            item.uses -= 1
            self._main.append(item)
            return None
        return item

    def _remember(self, name: str) -> None:
        self._remembered[name] = None
        if len(self._remembered) > max(REMEMBERED_LEAST, self.count):
            self._remembered.popitem(last=False)
