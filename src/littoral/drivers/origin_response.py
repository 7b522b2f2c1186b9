"""One response of an origin: its head, and its body while it comes."""

import asyncio
from collections import deque
from typing import Protocol

from littoral.gateway.field_block import Fields


class Source(Protocol):
    """The connection that a response comes from."""

    def read_on(self) -> None:
        """There is room for more."""
        ...

    def close(self) -> None:
        """End it, whatever is under way."""
        ...


class OriginResponse:
    """Implements `gateway.origins.transport.OriginAnswer`. It exists from when the request is sent.

    The connection calls `begin`, `feed`, `end` and `fail`. After `end` or `fail` it has nothing more to do with it.
    """

    # Most responses never set these.
    version = "1.1"
    length: int | None = None
    whole: bytes | None = None
    trailers: Fields = ()
    personal: Fields = ()
    older_s = 0.0
    held_bytes = 0
    """Of the body: come, and not yet read."""
    _pieces: deque[bytes] | None = None
    _reader: "asyncio.Future[None] | None" = None
    _error: Exception | None = None

    def __init__(self, source: Source, method: str, head: "asyncio.Future[None]") -> None:
        """head: done when the head has come, or it is known that none comes."""
        self.source: Source | None = source
        """None once it has ended."""
        self.method = method
        self.head = head
        self.status = 0
        self.fields: Fields = ()

    async def read(self) -> bytes:
        """See `OriginAnswer.read`."""
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self.held_bytes -= len(piece)
                if self.source is not None:
                    self.source.read_on()
                return piece
            if self._error is not None:
                raise self._error
            if self.source is None:
                return self._rest()
            assert self._reader is None, "one reads a response"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._reader = None

    def _rest(self) -> bytes:
        """What came with the head, for who reads it nevertheless."""
        if self.whole is None or self._pieces is not None:
            return b""
        self._pieces = deque()
        return self.whole

    def close(self) -> None:
        """See `OriginAnswer.close`."""
        if self.source is not None:
            self.source.close()

    def abandon(self) -> None:
        """Nobody waits for its head any more."""
        if self.head.done() and not self.head.cancelled():
            self.head.exception()
        self.close()

    # The connection

    def feed(self, piece: bytes) -> None:
        """More of the body."""
        if self._pieces is None:
            self._pieces = deque()
        self._pieces.append(piece)
        self.held_bytes += len(piece)
        self._wake()

    def end(self, trailers: Fields) -> None:
        """The body is complete."""
        self.trailers = trailers
        self.source = None
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more comes."""
        self.source = None
        if not self.head.done():
            self.head.set_exception(error)
            return
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
