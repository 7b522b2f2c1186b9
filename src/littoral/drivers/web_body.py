"""Bytes on their way from a connection to whoever reads them, one buffer ahead of them."""

import asyncio
from collections import deque
from collections.abc import Callable


class IncomingBytes:
    """Pieces that came and were not taken yet. Who feeds stops when `held` is too much, and is told when some are taken."""

    __slots__ = ("_ended", "_error", "_pieces", "_taken", "_waiter", "held", "wanted")

    def __init__(self, taken: Callable[[int], None]) -> None:
        """taken: is told of each piece how long it was; and of 0 bytes, when they are waited for."""
        self._pieces: deque[bytes] = deque()
        self._taken = taken
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None
        self.held = 0
        """In bytes."""
        self.wanted = False
        """Whether somebody waits for more."""

    def feed(self, piece: bytes) -> None:
        """The next bytes have come."""
        if piece and self._error is None:
            self._pieces.append(piece)
            self.held += len(piece)
            self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more will come, and that is an error; what came is dropped. Nothing happens to one that has ended."""
        if not self._ended and self._error is None:
            self._error = error
            self._clear()
            self._wake()

    def drop(self, error: Exception) -> None:
        """What came is not wanted: who reads on all the same is not to take the rest for the whole."""
        if self._error is None and (self._pieces or not self._ended):
            self._error = error
            self._clear()
            self._wake()

    def _clear(self) -> None:
        held, self.held = self.held, 0
        self._pieces.clear()
        if held:
            self._taken(held)

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises what it was failed with."""
        while not self._pieces:
            if self._error is not None:
                raise self._error.with_traceback(None)
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            self.wanted = True
            self._taken(0)
            try:
                await self._waiter
            finally:
                self.wanted = False
        piece = self._pieces.popleft()
        self.held -= len(piece)
        self._taken(len(piece))
        return piece

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
