"""The bodies of one call, as far as they travel in pieces: the worker's end of `function_stream.FunctionStream`."""

from collections.abc import Callable
from functools import partial

from littoral.functions.connection import FrameConnection
from littoral.functions.flow import FlowEnded, Incoming, Outgoing
from littoral.functions.messages import AnswerError
from littoral.functions.pieces import BROKEN, END, PIECE, ROOM, end_of_answer, piece_head, read_room, room_frame
from littoral.workers.streams import ReadableStream


class ClientGone(FlowEnded):
    """The client went away before the body of its request was here."""


class CallStreams:
    """Both directions. It is also the way of a WebSocket: bytes that come, and bytes that go."""

    def __init__(self, connection: FrameConnection, number: int, window_bytes: int) -> None:
        self.begun = False
        """Whether the head of the answer was sent."""
        self.when_left: Callable[[], None] | None = None
        """Is called when the client goes away."""
        self._connection = connection
        self._number = number
        self._incoming = Incoming(window_bytes, self._give_room)
        self.outgoing = Outgoing(partial(connection.send_with, piece_head(PIECE, number)))

    def body(self, length: int | None, most_bytes: int) -> ReadableStream:
        """The request's, as the function reads it. most_bytes: of what it reads whole."""
        return ReadableStream(self._incoming, length, most_bytes)

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises ClientGone."""
        return await self._incoming.read()

    async def write(self, data: bytes) -> None:
        """Return once there is room for more. Raises FlowEnded."""
        await self.outgoing.write(data)

    # What the connection does

    def take(self, kind: int, rest: bytes) -> None:
        """A frame has come. Raises ValueError for what no gateway sends."""
        if kind == PIECE:
            self._incoming.feed(rest)
        elif kind == END:
            self._incoming.end()
        elif kind == ROOM:
            self.outgoing.add_room(read_room(rest))
        else:
            raise ValueError(f"frame of unknown kind {kind}")

    def leave(self) -> None:
        """The client has gone."""
        self._incoming.drop(ClientGone("the client has gone"))
        self.outgoing.close()
        if self.when_left is not None:
            self.when_left()

    def finish(self, error: AnswerError, cpu_us: int) -> None:
        """The answer has ended; or breaks off here, if there is an error. cpu_us: that the request took."""
        kind = BROKEN if error else END
        self._connection.send_with(piece_head(kind, self._number), end_of_answer(cpu_us, error))

    def _give_room(self, count: int) -> None:
        self._connection.send(room_frame(self._number, count))
