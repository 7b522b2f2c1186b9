"""Origins that answer by script, whatever that is, and what is left of the connections to them."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import uvloop

from littoral.core.limits import Limits
from littoral.drivers.origin_transport import HttpOriginTransport
from littoral.gateway.origins.transport import Endpoint, OriginAnswer, OriginRequest, OriginTimeouts

DEADLINE_S = 30
GET = OriginRequest("GET", "/", (("host", "origin"),))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIMEOUTS = OriginTimeouts(connect_s=5, head_s=5, idle_s=5)


class Peer:
    """The origin's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> str:
        """The next request's."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def say(self, *pieces: bytes) -> None:
        """Each in a packet of its own, as far as that can be had."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(5):
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Close so that the other side hears of a reset."""
        linger = (1).to_bytes(4, "little") + bytes(4)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[Any]]


def answering(*responses: bytes) -> Script:
    """One to each request on a connection; then the connection is closed."""

    async def script(peer: Peer) -> None:
        for response in responses:
            await peer.head()
            await peer.say(response)

    return script


async def answer_all(peer: Peer) -> None:
    """Until the gateway closes."""
    while True:
        await peer.head()
        await peer.say(OK)


class Origin:
    """A server whose connections follow scripts in their order, and the last of them again and again."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self._scripts = scripts
        self.accepted = 0
        self.open = 0
        self.endpoint = Endpoint("http", "127.0.0.1", 1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
        self.accepted += 1
        self.open += 1
        try:
            await script(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def origin(*scripts: Script, tls: SSLContext | None = None) -> AsyncIterator[Origin]:
    """An origin on loopback, for those who reach it their own way."""
    it = Origin(scripts)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0, ssl=tls)
    it.endpoint = Endpoint("https" if tls else "http", "127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield it
    finally:
        server.close()


@asynccontextmanager
async def against(
    *scripts: Script, limits: Limits | None = None, tls: SSLContext | None = None
) -> AsyncIterator[tuple[Origin, HttpOriginTransport]]:
    """An origin on loopback, and a transport; neither leaves a descriptor or a task behind."""
    before, tasks = descriptors(), asyncio.all_tasks()
    it = Origin(scripts)
    async with asyncio.timeout(DEADLINE_S):
        server = await asyncio.start_server(it.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        it.endpoint = Endpoint("https" if tls else "http", "127.0.0.1", port)
        ours = HttpOriginTransport(limits)
        try:
            yield it, ours
        finally:
            async with asyncio.timeout(DEADLINE_S):
                await ours.aclose()
            server.close()
        assert ours.open_connections == 0
        while descriptors() - before or asyncio.all_tasks() - tasks:
            await asyncio.sleep(0)


def drive(main: Coroutine[Any, Any, None]) -> None:
    """Run it as the gateway runs."""
    uvloop.run(main)


async def read_all(answer: OriginAnswer) -> bytes:
    """Its body."""
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


def descriptors() -> set[str]:
    """Sockets that are open in this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return {each for each in found if each.startswith("socket:")}
