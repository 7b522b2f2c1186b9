"""The gateways of a real node are replaced while clients use them: nobody is cut off, and nothing that was asked fails."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import Origin, OriginSpec, Route, RouteSpec, Target
from tests.support.raw_origin import RawOrigin, whole
from tests.support.real_node import RealNode

CLIENTS = 8
PIECES = 10
DEADLINE_S = 60


@pytest.fixture(scope="module")
def node() -> Iterator[RealNode]:
    with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}, gateways=2) as it:
        yield it.start()


class Shop:
    """An origin: pages, and downloads that come piece by piece, as a test wants it."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "/download" not in head:
            writer.write(whole(b"hello", "cache-control: max-age=0"))
            return
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {PIECES}\r\ncache-control: no-store\r\n\r\n".encode())
        for _ in range(PIECES):
            writer.write(await self.pieces.get())
            await writer.drain()


class Client:
    """Asks again and again on one connection, and opens another where it is told to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answered = 0
        self.connections = 0
        self.is_done = False

    async def run(self) -> None:
        while not self.is_done:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self.connections += 1
            goes_on = True
            while goes_on and not self.is_done:
                writer.write(b"GET /page HTTP/1.1\r\nhost: edge.test\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert head.startswith("http/1.1 200"), head + (await reader.read(1000)).decode()
                assert await reader.readexactly(5) == b"hello"
                goes_on = "connection: close" not in head
                self.answered += 1
            writer.close()


@asynccontextmanager
async def using(node: RealNode) -> AsyncIterator[tuple[Shop, list[Client]]]:
    """Clients that go on until the end; what fails for one of them fails here."""
    shop = Shop()
    async with asyncio.timeout(DEADLINE_S), RawOrigin(shop.answer) as origin:
        spec = OriginSpec(targets=[Target(url=origin.url)])
        node.apply(Origin(api_version="littoral/v1", metadata=Metadata(name="shop"), spec=spec))
        route = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
        node.apply(Route(api_version="littoral/v1", metadata=Metadata(name="all"), spec=route))
        await placed(node)
        clients = [Client(node.port("gateway")) for _ in range(CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.run())
            yield shop, clients
            await on(clients)
            for client in clients:
                client.is_done = True


async def placed(node: RealNode) -> None:
    """Until all gateways have the route: one that starts later than the other has not, and says so."""
    in_a_row = 0
    while in_a_row < 64:
        status = await asyncio.to_thread(lambda: node.get("/page").status)
        in_a_row = in_a_row + 1 if status == 200 else 0


async def on(clients: list[Client]) -> None:
    """Each has been answered once more."""
    before = [client.answered for client in clients]
    while any(client.answered < count + 2 for client, count in zip(clients, before, strict=True)):
        await asyncio.sleep(0.01)


async def replaced(node: RealNode, before: dict[str, int]) -> None:
    """Until both gateways are others."""
    while any(node.pids().get(name) in (None, before[name]) for name in ("gateway-0", "gateway-1")):
        await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_gateways_are_replaced_and_nobody_notices(node: RealNode):
    async def main() -> None:
        async with using(node) as (shop, clients):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port("gateway"))
            writer.write(b"GET /download HTTP/1.1\r\nhost: edge.test\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            first = node.pids()
            assert node.process is not None
            os.kill(node.process.pid, signal.SIGHUP)
            await replaced(node, first)
            await on(clients)
            second = node.pids()
            assert second["hub"] == first["hub"]
            reply = await asyncio.to_thread(node.api, "POST", "/v1/commands", b'{"command": "reload"}')
            assert reply.json() == {"reloading": "gateways"}
            await replaced(node, second)
            await on(clients)
            # Who was being answered by the first of them still is.
            for _ in range(PIECES):
                shop.pieces.put_nowait(b".")
            assert await reader.readexactly(PIECES) == b"." * PIECES
            assert await reader.read() == b""
            writer.close()
            for name in ("gateway-0", "gateway-1"):
                while runs(first[name]) or runs(second[name]):
                    await asyncio.sleep(0.01)
            assert all(client.connections > 1 for client in clients)

    asyncio.run(main())
    assert "Traceback" not in node.log()
