"""A node's streams without its sockets: requests go straight to the stream server, over a real store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.limits import Limits
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.store.opening import open_store
from littoral.store.store import Store
from littoral.store.writer import ThreadWriter
from littoral.streams.server import StreamServer
from littoral.wire.durable_streams import parse_offset
from tests.support.fakes import FakeClock

DEADLINE_S = 20.0
TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}


class StreamNode:
    """A stream server, and a client of it."""

    def __init__(self, store: Store, clock: FakeClock, limits: Limits) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.server = StreamServer(store, clock, SystemRandom(), limits)

    async def any(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] = {},
    ) -> AnyResponse:
        target, _, query = path.partition("?")
        pairs = (pair.partition("=") for pair in query.split("&") if pair)
        fields = {key: value for key, _, value in pairs}
        origin_path = target if target.startswith("/") else f"/v1/streams/plant-a/{target}"
        return await self.server.handle(Request(method, origin_path, fields, {"host": "here:1", **headers}, body))

    async def __call__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] = {},
    ) -> Response:
        response = await self.any(method, path, body, headers)
        assert isinstance(response, Response)
        return response

    async def events(self, path: str) -> AsyncIterator[bytes]:
        response = await self.any("GET", path)
        assert isinstance(response, StreamingResponse)
        return response.chunks


def field(response: AnyResponse, name: str) -> str | None:
    return {key.lower(): value for key, value in response.headers}.get(name)


def tail(response: Response) -> int:
    token = field(response, "stream-next-offset")
    assert token is not None
    offset = parse_offset(token)
    assert offset is not None, token
    return offset


@asynccontextmanager
async def opened(directory: Path, limits: Limits) -> AsyncIterator[StreamNode]:
    clock = FakeClock()
    store = open_store("plant-a", LocalDisk(directory), clock, SystemRandom(), limits, ThreadWriter(limits))
    try:
        yield StreamNode(store, clock, limits)
    finally:
        await store.close()


def play(directory: Path, story: Callable[[StreamNode], Awaitable[None]], **limits: int) -> None:
    """Run `story` on a node with these limits (named with "_")."""

    async def main() -> None:
        named = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        async with asyncio.timeout(DEADLINE_S), opened(directory, named) as node:
            await story(node)

    asyncio.run(main())
