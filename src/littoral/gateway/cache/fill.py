"""A body on its way from an origin, read by everybody who asked for it meanwhile.

small               all of it is kept in memory, so that whoever comes later begins at its beginning; read as fast as it comes
large               the same, but it is kept on disk, and only the last of it in memory
to be kept nowhere  nobody can begin any more, what all have read is let go, and it is read as fast as the slowest of them takes it
"""

import asyncio
from bisect import bisect_right

from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.disk_objects import READ_BYTES, Spool
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed

AHEAD_BYTES = 1 << 20
"""What is kept in memory of a large body: what comes last, or what waits for the slowest reader."""
WRITTEN_BYTES = 256 << 10
"""Written to disk at once."""


class Reader:
    """One client's place in the body."""

    __slots__ = ("_fill", "at")

    def __init__(self, fill: "Fill") -> None:
        self._fill = fill
        self.at = 0
        """How many bytes it has read."""

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises OriginFailed where it breaks off, StorageError."""
        fill = self._fill
        while self.at >= fill.size:
            if fill.ended:
                if fill.failure is not None:
                    raise fill.failure
                return b""
            await fill.wait()
        piece = fill.held_from(self.at) if self.at >= fill.first else await fill.spooled_from(self.at)
        self.at += len(piece)
        fill.was_read()
        return piece

    def close(self) -> None:
        """This client reads no more."""
        self._fill.left(self)


class Fill:
    """The body of one answer."""

    def __init__(self, answer: OriginAnswer, most_bytes: int, disk: DiskTier | None = None) -> None:
        """most_bytes: what is kept of it in memory. disk: where it is kept if it is larger."""
        self.pieces: list[bytes] = []
        self.first = 0
        """Of the body's bytes, the first in `pieces`."""
        self.size = 0
        """Of what has come, in bytes."""
        self.is_open = True
        """Whether somebody can still begin at the beginning."""
        self.ended = False
        self.failure: OriginFailed | None = None
        self.trailers: Fields = ()
        self.length = answer.length
        """As announced."""
        self.spool: Spool | None = None
        """Where it is kept if it is large."""
        self._answer = answer
        self._most_bytes = 0 if disk is not None and (answer.length or 0) > most_bytes else most_bytes
        self._disk = disk
        self._ends: list[int] = []
        """Where each of the pieces ends in the body."""
        self._readers: dict[Reader, None] = {}
        self._is_settled = False
        self._moved: asyncio.Future[None] | None = None
        """Resolved whenever something came, was read, or ended."""

    @property
    def is_whole(self) -> bool:
        """Whether all of it came, and is kept."""
        return self.ended and self.failure is None and self.is_open

    def reader(self) -> Reader:
        """From the beginning on; `is_open`."""
        reader = Reader(self)
        self._readers[reader] = None
        return reader

    def held_from(self, at: int) -> bytes:
        """Of what is in memory, the piece with byte `at`, from there on."""
        place = bisect_right(self._ends, at)
        piece = self.pieces[place]
        begins = self._ends[place] - len(piece)
        return piece[at - begins :] if at > begins else piece

    async def spooled_from(self, at: int) -> bytes:
        """Some of what is on disk, from byte `at` on. Raises StorageError."""
        assert self.spool is not None
        return await self.spool.read(at, min(at + READ_BYTES, self.spool.written))

    # It comes

    async def pump(self) -> None:
        """Read it to its end. What goes wrong, the readers hear."""
        try:
            while piece := await self._answer.read():
                self.size += len(piece)
                self.pieces.append(piece)
                self._ends.append(self.size)
                self._move()
                if self.size > self._most_bytes:
                    await self._make_room()
                if not self.is_open and not self._readers:
                    break
            else:
                self.trailers = self._answer.trailers
                if self.spool is not None and self.is_open:
                    await self._write(self.spool)
        except OriginFailed as failure:
            self.failure = failure
        finally:
            self._answer.close()
            self.ended = True
            self._move()

    async def _make_room(self) -> None:
        """It is large: some of it has to leave memory before more comes."""
        if self.is_open and self.spool is None:
            self.spool = self._disk.spool() if self._disk is not None else None
            self.is_open = self.spool is not None
        if self.is_open and self.spool is not None:
            assert self._disk is not None
            if self.size > self._disk.object_bytes:
                self.is_open = False
            elif self.size - self.spool.written >= WRITTEN_BYTES:
                await self._write(self.spool)
        while not self.is_open and not self._has_room():
            await self.wait()

    async def _write(self, spool: Spool) -> None:
        """All that has come and is not on disk yet."""
        if not await spool.write(b"".join(self.pieces[bisect_right(self._ends, spool.written) :])):
            self.is_open = False
            return
        self._let_go(min(spool.written, self.size - AHEAD_BYTES))

    def _has_room(self) -> bool:
        """Whether more may be read of what is kept nowhere: of what nobody waits for only a little."""
        self._let_go(min((reader.at for reader in self._readers), default=self.size))
        return self.size - self.first <= AHEAD_BYTES or not self._readers

    def _let_go(self, until: int) -> None:
        """Of the pieces in memory, those that end there, or before."""
        count = bisect_right(self._ends, until)
        if count:
            self.first = self._ends[count - 1]
            del self.pieces[:count], self._ends[:count]

    # It is read

    async def wait(self) -> None:
        """For the next move."""
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._moved)

    def was_read(self) -> None:
        """A reader has come further."""
        if not self.is_open:
            self._move()

    def left(self, reader: Reader) -> None:
        """A reader reads no more. Where it was the last, what is not stored has no use any more; and what does not say how long it
        is may never end."""
        self._readers.pop(reader, None)
        if not self._readers and not self.ended and (not self.is_open or self.length is None):
            self.is_open = False
            self._answer.close()
        self._move()
        self._close_spool()

    def settle(self) -> None:
        """What is on disk has become an object, or will not: whoever reads it may do so to the end."""
        self._is_settled = True
        self._close_spool()

    def _close_spool(self) -> None:
        if self._is_settled and not self._readers and self.spool is not None:
            self.spool.close()

    def _move(self) -> None:
        if self._moved is not None:
            moved, self._moved = self._moved, None
            if not moved.done():
                moved.set_result(None)
