"""One worker's connection to the egress: one request at a time, its body in, and its answer out.

new        the first frame is a credential
waiting    the next is an Ask
asked      more of them are pieces of its body, until that is complete; then none comes until the answer is
lost       what is under way is given up
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from littoral.functions.connection import FrameConnection
from littoral.functions.egress_messages import (
    ADMITTED,
    END,
    FRAME_BYTES,
    PIECE,
    PIECE_BYTES,
    REFUSED,
    Ask,
    Head,
    decode_ask,
    decode_credential,
    encode,
    end,
    failed,
    piece,
)

SWITCHED = 101
READ_AHEAD_BYTES = 4 * PIECE_BYTES
"""Held of a body that its server does not take."""


class Owner(Protocol):
    """Who answers."""

    def opened(self, line: "EgressLine") -> None:
        """A worker connected."""
        ...

    def admit(self, credential: str) -> str | None:
        """The app that it proves, or None."""
        ...

    def ask(self, line: "EgressLine", ask: Ask) -> "asyncio.Task[None]":
        """Begin to answer, in a task that ends with the line."""
        ...

    def lost(self, line: "EgressLine") -> None:
        """The worker is gone."""
        ...


class EgressLine(FrameConnection):
    """Implements `littoral.gateway.exchange.Duplex`, for what follows a switch to another protocol."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(FRAME_BYTES)
        self.app = ""
        """Empty until it has been proved."""
        self._owner = owner
        self._task: asyncio.Task[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_body_whole = True
        self._may_switch = False
        """Whether what follows the request depends on the answer."""
        self._is_lost = False
        self._is_paused = False
        self._waiting: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # The worker

    def opened(self) -> None:
        self._owner.opened(self)

    def received(self, body: bytes) -> None:
        if not self.app:
            app = self._owner.admit(decode_credential(body))
            if app is None:
                # Whoever this is, it is no worker of ours, or one with too many connections.
                self.send(REFUSED)
                self.close()
                return
            self.app = app
            self.send(ADMITTED)
        elif self._task is None:
            ask = decode_ask(body)
            self._is_body_whole = not (ask.follows or ask.web_socket)
            self._may_switch = ask.web_socket
            self._task = self._owner.ask(self, ask)
        elif not self._is_body_whole:
            self._take(body)
        else:
            raise ValueError("a request before the one before is answered")

    def lost(self) -> None:
        self._is_lost = True
        if self._task is not None:
            self._task.cancel()
        self._wake_writer()
        self._wake()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        self._wake_writer()

    # The request

    async def body(self) -> AsyncIterator[bytes]:
        """Its pieces, as they come. Raises ConnectionError where the worker is gone before the end."""
        while data := await self.read():
            yield data
        if not self._is_body_whole:
            raise ConnectionResetError("the worker is gone")

    async def read(self) -> bytes:
        """See `Duplex.read`."""
        while not self._pieces and not self._is_body_whole and not self._is_lost:
            assert self._waiting is None, "one reads a body"
            self._waiting = self.loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if not self._pieces:
            return b""
        data = self._pieces.popleft()
        self._held_bytes -= len(data)
        if self._held_bytes <= READ_AHEAD_BYTES // 2:
            self._pause(is_full=False)
        return data

    # The answer

    def say(self, head: Head) -> None:
        """Its head. One that nothing follows is the end of the request."""
        if self._may_switch and head.status != SWITCHED:
            self._is_body_whole = True
        self.send(encode(head))
        if not head.follows:
            self._done()

    async def write(self, data: bytes) -> None:
        """See `Duplex.write`; a piece of the answer's body."""
        for start in range(0, len(data), PIECE_BYTES):
            self.send(piece(memoryview(data)[start : start + PIECE_BYTES]))
        # What is sent leaves at the end of the loop's turn: only then is it known whether there is room.
        await asyncio.sleep(0)
        if self._room is not None:
            await self._room
        if self._is_lost:
            raise ConnectionResetError("the worker is gone")

    def end(self) -> None:
        """See `Duplex.end`; the answer is whole."""
        self.send(end())

    def finish(self) -> None:
        """The answer is whole, and with it the request."""
        self.send(end())
        self._done()

    def fail(self, why: str) -> None:
        """No more of the answer comes."""
        self.send(failed(why))
        self._done()

    def _done(self) -> None:
        self._task = None
        if not self._is_body_whole:
            # What of the body is under way would be taken for the next request.
            self.close()

    # Flow

    def _take(self, body: bytes) -> None:
        if body and body[0] == PIECE:
            self._pieces.append(body[1:])
            self._held_bytes += len(body) - 1
            if self._held_bytes > READ_AHEAD_BYTES:
                self._pause(is_full=True)
        elif body and body[0] == END:
            self._is_body_whole = True
        else:
            raise ValueError("neither a piece nor an end")
        self._wake()

    def _pause(self, *, is_full: bool) -> None:
        if self._is_paused is is_full or self._is_lost or self.transport is None:
            return
        self._is_paused = is_full
        if is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _wake_writer(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
