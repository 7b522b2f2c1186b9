"""A client of HTTP/2 for the gateway's tests, with prior knowledge: the library h2, and nothing that it would not send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from littoral.core.limits import Limits
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import Serve
from tests.support.web import DEADLINE_S

REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")]


def asking(method: str, path: str, *fields: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "h"), (":path", path), *fields]


class Answer:
    """What came of one stream."""

    def __init__(self) -> None:
        self.interim: list[dict[str, str]] = []
        self.fields: dict[str, str] = {}
        self.body = b""
        self.trailers: dict[str, str] = {}
        self.is_whole = False
        self.reset: int | None = None


class Http2Client:
    """One connection; wrong frames are not kept from being sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, acknowledges: bool = True
    ) -> None:
        config = H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.wire = H2Connection(config)
        self.reader = reader
        self.writer = writer
        self.answers: dict[int, Answer] = {}
        self.goodbye: int | None = None
        """The error code of GOAWAY."""
        self.is_closed = False
        self._acknowledges = acknowledges
        self.wire.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.wire.data_to_send())

    def ask(self, fields: list[tuple[str, str]], body: bytes | None = None, *, ends: bool = True) -> int:
        """The stream's number."""
        stream = self.wire.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.wire.send_headers(stream, fields, end_stream=body is None and ends)
        if body is not None:
            self.wire.send_data(stream, body, end_stream=ends)
        self.flush()
        return stream

    async def answer(self, stream: int) -> Answer:
        """Once it has ended, one way or the other."""
        answer = self.answers[stream]
        await self.until(lambda: answer.is_whole or answer.reset is not None)
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds() and not self.is_closed:
                data = await self.reader.read(65536)
                self.is_closed = not data
                for event in self.wire.receive_data(data) if data else []:
                    self._take(event)
                self.flush()

    async def closed(self) -> None:
        try:
            await self.until(lambda: False)
        except ConnectionError:
            self.is_closed = True

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goodbye = int(event.error_code or 0)
            return
        answer = self.answers.get(getattr(event, "stream_id", 0))
        if answer is None:
            return
        if isinstance(event, InformationalResponseReceived):
            answer.interim.append({str(name): str(value) for name, value in event.headers})
        elif isinstance(event, ResponseReceived):
            answer.fields = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, TrailersReceived):
            answer.trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            answer.body += event.data or b""
            if self._acknowledges:
                self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            answer.is_whole = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code)


@asynccontextmanager
async def http2_connected(
    serve: Serve, limits: Limits | None = None, *, acknowledges: bool = True
) -> AsyncIterator[tuple[Http2Client, WebListener]]:
    with listen_tcp("127.0.0.1:0") as socket:
        listener = WebListener(socket.fileno(), serve, limits or Limits(), knows_h2c=True)
        await listener.start()
        reader, writer = await asyncio.open_connection(*socket.getsockname())
        try:
            yield Http2Client(reader, writer, acknowledges=acknowledges), listener
        finally:
            writer.close()
            await listener.stop(0)


def play_http2(
    serve: Serve,
    story: Callable[[Http2Client, WebListener], Awaitable[None]],
    limits: Limits | None = None,
    *,
    acknowledges: bool = True,
) -> None:
    async def main() -> None:
        async with http2_connected(serve, limits, acknowledges=acknowledges) as (client, listener):
            await story(client, listener)

    uvloop.run(main())
