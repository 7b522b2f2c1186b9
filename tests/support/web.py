"""A listener of the gateway with a small Serve, and raw connections to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import uvloop

from littoral.core.limits import Limits
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import Answering, Exchange, Serve
from littoral.gateway.field_block import FieldBlock

DEADLINE_S = 30
PLAIN = FieldBlock([("content-type", "text/plain")])


def said(exchange: Exchange, body: bytes = b"") -> bytes:
    """What arrived."""
    fields = [list(field) for field in exchange.fields]
    return msgspec.json.encode(
        [exchange.method, exchange.target, exchange.host, exchange.version, fields, body.decode("latin-1")]
    )


def echo(exchange: Exchange) -> Answering | None:
    """Answers with what arrived; at once where there is no body."""
    if exchange.has_body:
        return echo_body(exchange)
    exchange.respond(200, PLAIN, (), said(exchange))
    return None


async def echo_body(exchange: Exchange) -> None:
    body = b"".join([piece async for piece in exchange.body()])
    exchange.respond(200, PLAIN, (), said(exchange, body))


class WebClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def get(self, target: str = "/", *lines: str) -> None:
        self.writer.write("\r\n".join((f"GET {target} HTTP/1.1", "Host: h", *lines, "", "")).encode("latin-1"))

    async def head(self) -> str:
        """Status line and fields of the next answer."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def answer(self) -> tuple[str, bytes]:
        """The next answer, of the length it says."""
        head = await self.head()
        length = next(int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
        return head, await self.exactly(length)

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """All until the server closes."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def listening(serve: Serve, limits: Limits | None = None) -> AsyncIterator[tuple[WebListener, tuple[str, int]]]:
    with listen_tcp("127.0.0.1:0") as socket:
        listener = WebListener(socket.fileno(), serve, limits or Limits())
        await listener.start()
        try:
            yield listener, socket.getsockname()
        finally:
            await listener.stop(0)


@asynccontextmanager
async def connected(serve: Serve, limits: Limits | None = None) -> AsyncIterator[tuple[WebClient, WebListener]]:
    async with listening(serve, limits) as (listener, address):
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield WebClient(reader, writer), listener
        finally:
            writer.close()


def play(
    serve: Serve, story: Callable[[WebClient, WebListener], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def main() -> None:
        async with connected(serve, limits) as (client, listener):
            await story(client, listener)

    uvloop.run(main())


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until it does."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.001)
