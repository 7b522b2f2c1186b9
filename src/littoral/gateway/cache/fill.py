"""A body on its way from an origin, read by everybody who asked for it meanwhile.

within the bound    all of it is kept, so that whoever comes later begins at its beginning; read as fast as it comes
beyond it           it is not going to be stored: nobody can begin any more, what all have read is let go, and it is read as
                    fast as the slowest of them takes it
"""

import asyncio

from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed

AHEAD_BYTES = 1 << 20
"""Beyond the bound: what may wait for the slowest reader."""


class Reader:
    """One client's place in the body."""

    __slots__ = ("_fill", "place")

    def __init__(self, fill: "Fill") -> None:
        self._fill = fill
        self.place = 0
        """Of the next piece."""

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises OriginFailed where it breaks off."""
        fill = self._fill
        while self.place - fill.first >= len(fill.pieces):
            if fill.ended:
                if fill.failure is not None:
                    raise fill.failure
                return b""
            await fill.wait()
        piece = fill.pieces[self.place - fill.first]
        self.place += 1
        fill.was_read()
        return piece

    def close(self) -> None:
        """This client reads no more."""
        self._fill.left(self)


class Fill:
    """The body of one answer."""

    def __init__(self, answer: OriginAnswer, most_bytes: int) -> None:
        """most_bytes: what is kept of it."""
        self.pieces: list[bytes] = []
        self.first = 0
        """Which piece of the body `pieces` begins with."""
        self.size = 0
        """Of what has come, in bytes."""
        self.ended = False
        self.failure: OriginFailed | None = None
        self.trailers: Fields = ()
        self._answer = answer
        self._most_bytes = most_bytes
        self._readers: dict[Reader, None] = {}
        self._held = 0
        self._moved: asyncio.Future[None] | None = None
        """Resolved whenever something came, was read, or ended."""

    @property
    def is_open(self) -> bool:
        """Whether somebody can still begin at the beginning."""
        return self.first == 0 and self.size <= self._most_bytes

    @property
    def is_whole(self) -> bool:
        """Whether all of it came, and is here."""
        return self.ended and self.failure is None and self.is_open

    def reader(self) -> Reader:
        """From the beginning on; `is_open`."""
        reader = Reader(self)
        self._readers[reader] = None
        return reader

    async def pump(self) -> None:
        """Read it to its end. What goes wrong, the readers hear."""
        try:
            while piece := await self._answer.read():
                self.pieces.append(piece)
                self.size += len(piece)
                self._held += len(piece)
                self._move()
                while self.size > self._most_bytes and not self._has_room():
                    await self.wait()
                if self.size > self._most_bytes and not self._readers:
                    break
            else:
                self.trailers = self._answer.trailers
        except OriginFailed as failure:
            self.failure = failure
        finally:
            self._answer.close()
            self.ended = True
            self._move()

    def _has_room(self) -> bool:
        """Whether more may be read: beyond the bound, of what nobody waits for only a little."""
        self._let_go()
        return self._held <= AHEAD_BYTES or not self._readers

    def _let_go(self) -> None:
        """What all have read."""
        slowest = min((reader.place for reader in self._readers), default=self.first + len(self.pieces))
        passed = slowest - self.first
        if passed > 0:
            self._held -= sum(map(len, self.pieces[:passed]))
            del self.pieces[:passed]
            self.first = slowest

    async def wait(self) -> None:
        """For the next move."""
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._moved)

    def was_read(self) -> None:
        """A reader has come further."""
        if self.size > self._most_bytes:
            self._move()

    def left(self, reader: Reader) -> None:
        """A reader reads no more."""
        self._readers.pop(reader, None)
        self._move()

    def _move(self) -> None:
        if self._moved is not None:
            moved, self._moved = self._moved, None
            if not moved.done():
                moved.set_result(None)
