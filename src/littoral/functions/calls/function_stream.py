"""The bodies of one call, as far as they come in pieces: the gateway's end of `call_streams.CallStreams`."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from littoral.core.errors import LittoralError, TimedOut
from littoral.core.function_limits import FUNCTION_STREAM_BYTES, FUNCTION_STREAM_IDLE_S
from littoral.functions.flow import FlowEnded, Incoming, Outgoing
from littoral.functions.pieces import END, PIECE, piece_head, room_frame

if TYPE_CHECKING:
    from littoral.functions.calls.worker_connection import WorkerConnection


class FunctionStream:
    """The bodies of one request, as far as they come in pieces. To who calls the app, it is the body of the answer; and the way
    on where that is another protocol."""

    def __init__(self, connection: "WorkerConnection", number: int) -> None:
        self.number = number
        self.length: int | None = None
        """Of the answer's body, as the app said."""
        self.begun = False
        """Whether the answer's head has come."""
        self.switched = False
        """Whether another protocol is spoken: its silence is not an answer's."""
        self.moved_s = 0.0
        """When the worker took a piece of the request's body."""
        self._connection = connection
        self._limits = connection.link.client.limits
        self.incoming = Incoming(self._limits[FUNCTION_STREAM_BYTES], self._give_room)
        self.outgoing = Outgoing(partial(connection.send_with, piece_head(PIECE, number)))
        self._feeding: asyncio.Task[None] | None = None
        self._finished = False

    async def read(self) -> bytes:
        """The next piece of the answer; empty at its end. Raises LittoralError where it breaks off, and after
        FUNCTION_STREAM_IDLE_S of nothing."""
        if self.incoming.has_come or self.switched:
            return await self.incoming.read()
        most_s = self._limits[FUNCTION_STREAM_IDLE_S]
        try:
            async with asyncio.timeout(most_s):
                return await self.incoming.read()
        except TimeoutError:
            self._limits.hit(FUNCTION_STREAM_IDLE_S)
            self.close()
            app = self._connection.link.client.app
            raise TimedOut("call app", app, f"nothing came of its answer for {most_s} s") from None

    async def write(self, data: bytes) -> None:
        """Send on the way on; returns once there is room for more. Raises ConnectionError."""
        await self.outgoing.write(data)

    def end(self) -> None:
        """Nothing more is written."""
        if not self._finished:
            self._connection.send_with(piece_head(END, self.number), b"")

    def close(self) -> None:
        """Nobody reads the rest. Once is enough; nothing happens after the end."""
        if not self._finished:
            self._connection.leave_stream(self)
            self.incoming.drop(FlowEnded("nobody reads this answer any more"))
            self.finish()

    # What the connection does

    def feed(self, body: AsyncIterator[bytes]) -> None:
        """Send the request's body as it comes."""
        tasks = self._connection.link.tasks
        self._feeding = tasks.start(self._feed(body), f"body of a request to {self._connection.link.client.app}")

    def finish(self, failure: LittoralError | None = None) -> None:
        """The worker has said all, or will say no more."""
        self._finished = True
        if failure is None:
            self.incoming.end()
        else:
            self.incoming.fail(failure)
        self.outgoing.close()
        if self._feeding is not None:
            self._feeding.cancel()

    async def _feed(self, body: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for piece in body:
                await self.outgoing.write(piece)
                self.moved_s = loop.time()
        except FlowEnded:
            return
        except Exception as error:  # noqa: BLE001 - whatever ends a client's body ends its request
            self._connection.body_broke(self, error)
            return
        self.end()

    def _give_room(self, count: int) -> None:
        if not self._connection.gone:
            self._connection.send(room_frame(self.number, count))
