"""How far the parent's streams have moved, until they are followed there. No I/O.

Whoever listens to the parent puts marks in; whoever follows takes them, one stream at a time. So that is heard what goes on
while a stream is read for hours, and what is to go first goes first.
"""

import asyncio
from collections.abc import Callable

from littoral.core.names import StreamName
from littoral.streams.holds import Holds
from littoral.wire.peer import Mark


class DueMarks:
    """The newest mark of each stream that has moved."""

    def __init__(self, holds: Holds, first: Callable[[StreamName], bool]) -> None:
        """holds: which streams could not be followed when that was tried, and how long not to try again; first: which go
        before all others."""
        self._holds = holds
        self._first = first
        self._due: dict[StreamName, Mark] = {}
        self._due_first: dict[StreamName, Mark] = {}
        self._put_off: dict[StreamName, Mark] = {}
        self._moved = asyncio.Event()

    def clear(self) -> None:
        """Forget them all."""
        self._due.clear()
        self._due_first.clear()
        self._put_off.clear()

    def put(self, mark: Mark) -> None:
        """A stream has moved. It keeps its turn, if it has one."""
        name = StreamName(mark.origin, mark.path)
        if name in self._put_off:
            self._put_off[name] = mark
            return
        (self._due_first if self._first(name) else self._due)[name] = mark
        self._moved.set()

    def put_off(self, mark: Mark) -> None:
        """A stream cannot be followed just now: until `again` it is not due, whatever is put in."""
        name = StreamName(mark.origin, mark.path)
        self._put_off[name] = self.take_of(name) or mark

    def again(self) -> None:
        """What was put off is due again, but for what is held."""
        for name in [name for name in self._put_off if not self._holds.is_held(name)]:
            self.put(self._put_off.pop(name))

    def take(self) -> Mark | None:
        """The next one, if there is any."""
        return self.take_first() or _oldest(self._due)

    def take_first(self) -> Mark | None:
        """The next one of those that go first."""
        return _oldest(self._due_first)

    def take_of(self, name: StreamName) -> Mark | None:
        """That of a stream, whoever's turn it is, and also if it was put off."""
        for marks in (self._due_first, self._due, self._put_off):
            if name in marks:
                return marks.pop(name)
        return None

    async def wait(self) -> None:
        """Return when there may be one to take."""
        self._moved.clear()
        if not self._due and not self._due_first:
            await self._moved.wait()


def _oldest(marks: dict[StreamName, Mark]) -> Mark | None:
    return marks.pop(next(iter(marks))) if marks else None
