"""The way to an origin after it has switched to another protocol."""

import asyncio
from collections import deque
from typing import Protocol

READ_AHEAD_BYTES = 64 * 1024
"""Held of what comes before it is asked for; more is left to the origin."""


class Line(Protocol):
    """What a duplex needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send it, or drop it where nobody takes it."""
        ...

    async def drained(self) -> None:
        """There is room for more."""
        ...

    def write_eof(self) -> None:
        """Nothing more is written."""
        ...

    def pause(self, *, is_full: bool) -> None:
        """Read no more for now, or again."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class OriginDuplex:
    """Implements `gateway.exchange.Duplex`."""

    def __init__(self, line: Line, came: bytes) -> None:
        self._line = line
        self._pieces: deque[bytes] = deque([came] if came else ())
        self._held_bytes = len(came)
        self._reader: asyncio.Future[None] | None = None
        self.is_at_end = False
        """Whether the origin sends nothing more."""
        self._is_lost = False

    async def read(self) -> bytes:
        """See `Duplex.read`. A connection that breaks has ended, too: the protocol that is spoken says whether it was over."""
        while not self._pieces and not self.is_at_end:
            assert self._reader is None, "one reads a duplex"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._pieces:
            return b""
        piece = self._pieces.popleft()
        self._held_bytes -= len(piece)
        if self._held_bytes <= READ_AHEAD_BYTES // 2:
            self._line.pause(is_full=False)
        return piece

    async def write(self, data: bytes) -> None:
        """See `Duplex.write`."""
        if self._is_lost:
            raise ConnectionResetError("the origin has closed the connection")
        self._line.write(data)
        await self._line.drained()

    def end(self) -> None:
        """See `Duplex.end`."""
        self._line.write_eof()

    def close(self) -> None:
        """See `Duplex.close`."""
        self._line.close()

    # The connection

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > READ_AHEAD_BYTES:
            self._line.pause(is_full=True)
        self._wake()

    def at_end(self) -> None:
        """No more comes."""
        self.is_at_end = True
        self._wake()

    def lost(self) -> None:
        """Nor is anything taken."""
        self._is_lost = True
        self.at_end()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
