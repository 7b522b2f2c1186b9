"""One response of an origin: its head, and its body while it comes."""

import asyncio
from collections import deque
from collections.abc import Callable
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

    The connection calls `come`, `feed`, `end` and `fail`. After `end` or `fail` it has nothing more to do with it.
    """

    # Most responses never set these.
    version = "1.1"
    length: int | None = None
    whole: bytes | None = None
    trailers: Fields = ()
    personal: Fields = ()
    older_s = 0.0
    has_head = False
    """Whether the head has come, or it is known that none comes."""
    held_bytes = 0
    """Of the body: come, and not yet read."""
    _told: Callable[[], None] | None = None
    _waiter: "asyncio.Future[None] | None" = None
    _failure: Exception | None = None
    """Why no head comes."""
    _pieces: deque[bytes] | None = None
    _reader: "asyncio.Future[None] | None" = None
    _error: Exception | None = None

    def __init__(self, source: Source, method: str, told: Callable[[], None] | None = None) -> None:
        """told: called once when the head has come, or it is known that none comes; not after `close`. Where there is none, one
        waits for `head`."""
        self.source: Source | None = source
        """None once it has ended."""
        self.method = method
        self.status = 0
        if told is not None:
            self._told = told
        self.fields: Fields = ()

    async def head(self) -> None:
        """Return once the head has come; who gives up closes it. Raises OriginFailed, and what iterating over the request's body
        raised."""
        if not self.has_head:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._waiter = None
        if self._failure is not None:
            raise self._failure

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
        self._told = None
        if self.source is not None:
            self.source.close()

    # The connection

    def come(self) -> None:
        """Its head has; and the whole of it, if it is `whole`."""
        self.has_head = True
        told = self._told
        if told is not None:
            self._told = None
            told()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

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
        if not self.has_head:
            self._failure = error
            self.come()
            return
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
