"""One direction of a body between two processes: pieces, as many as there is room for where they go.

Whoever takes the pieces says how much room there is, and says so again as they are read. So of each body there is never
more in memory than `window_bytes`, and one that nobody reads holds up no other on the same connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable

PIECE_BYTES = 1 << 16
FIRST_ROOM_BYTES = 1 << 16
"""There is room for so much without a word: the first piece goes with the head."""


class FlowEnded(ConnectionError):
    """Nobody takes the rest of this body."""


class Incoming:
    """A body that comes. Iterate over it, or call `read`; one reader at a time."""

    def __init__(self, window_bytes: int, give_room: Callable[[int], None]) -> None:
        """give_room: tells the other side that so many more bytes may come."""
        self._window_bytes = max(window_bytes, FIRST_ROOM_BYTES)
        self._give_room = give_room
        self._room = FIRST_ROOM_BYTES
        """What the other side may still send."""
        self._owed = self._window_bytes - FIRST_ROOM_BYTES
        """What it may be told of."""
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._failure: BaseException | None = None
        self._waiting: asyncio.Future[None] | None = None

    # The other side

    def feed(self, piece: bytes) -> None:
        """A piece has come. Raises ValueError for one that there is no room for."""
        self._room -= len(piece)
        if self._room < 0:
            raise ValueError("more of a body came than there was room for")
        if not self._ended:
            self._pieces.append(piece)
            self._wake()

    def end(self) -> None:
        """That was all."""
        self._ended = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more comes, although it was not all: raised behind what has come. The first word counts."""
        if not self._ended:
            self._ended, self._failure = True, error
            self._wake()

    def drop(self, error: BaseException) -> None:
        """Whoever reads is to stop: what has come is not given any more."""
        self._pieces.clear()
        self.fail(error)

    # The reader

    @property
    def has_come(self) -> bool:
        """Whether there is a piece to read."""
        return bool(self._pieces)

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises what `fail` was given."""
        if not self._pieces:
            self._tell_of_room()
            while not self._pieces:
                if self._ended:
                    if self._failure is not None:
                        raise self._failure
                    return b""
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
        piece = self._pieces.popleft()
        self._owed += len(piece)
        self._tell_of_room()
        return piece

    def __aiter__(self) -> "Incoming":
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.read():
            return piece
        raise StopAsyncIteration

    def _tell_of_room(self) -> None:
        # Not with each piece: half of the window is enough for the other side to go on meanwhile.
        if self._owed * 2 >= self._window_bytes and not self._ended:
            owed, self._owed = self._owed, 0
            self._room += owed
            self._give_room(owed)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class Outgoing:
    """A body that goes."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """send: sends one piece, without waiting."""
        self._send = send
        self._room = FIRST_ROOM_BYTES
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    def add_room(self, count: int) -> None:
        """The other side has room for more."""
        self._room += count
        self._wake()

    def close(self) -> None:
        """Nobody takes any more of it."""
        self._closed = True
        self._wake()

    async def room(self) -> int:
        """Wait until something may be sent; how much. Raises FlowEnded."""
        while not self._room and not self._closed:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._closed:
            raise FlowEnded("nobody takes the rest of the body")
        return self._room

    async def write(self, data: bytes) -> None:
        """Send all of it, as there is room. Raises FlowEnded."""
        at = 0
        while at < len(data):
            size = min(await self.room(), PIECE_BYTES, len(data) - at)
            self._room -= size
            self._send(data[at : at + size])
            at += size

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
