"""A route's cache over a directory, with an origin in memory. Several of them over one directory are as several processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.drivers.cache_disk import CacheDisk
from littoral.drivers.random import SystemRandom
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.flights import Flight
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter, DiskMeter
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.transport import OriginFailed
from littoral.gateway.target import read_target
from littoral.node.cache_orders import CacheOrders
from littoral.wire.caching.policy import CachePolicy
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin
from tests.support.fakes import FakeClock

DEFAULT_KEY = CacheKey()
DEADLINE_S = 60.0
MEMORY_BODY_BYTES = 100_000
"""A larger body is on the disk only."""


class PurgeStream:
    """The purges of a node."""

    def __init__(self) -> None:
        self.purges: list[Purge] = []

    def since(self, known: Position | None) -> tuple[list[Purge], Position]:
        """What one is told that knows them up to there."""
        until = Position("log", len(self.purges))
        return ([Purge("all")] if known is None else self.purges[known.next :]), until


class DiskEdge:
    """One process."""

    def __init__(
        self, root: Path | str, *answers: MemoryAnswer | OriginFailed, key: CacheKey = DEFAULT_KEY, app: str = ""
    ) -> None:
        self.clock = FakeClock(1_800_000_000_000)
        self.origin = MemoryOrigin(*answers)
        self.faults: list[BaseException] = []
        self.log: list[str] = []
        self.tasks = Tasks(self.faults.append)
        self.memory = MemoryTier(1 << 24)
        self.meter = DiskMeter()
        self.objects = CacheDisk(Path(root), self.clock, SystemRandom(), self.meter)
        self.objects.queue_bytes = 1 << 24
        self.disk = DiskTier(self.objects, self.memory.purges, self.tasks, self.meter, self.log.append)
        self.disk.resize(1 << 30, 1 << 28)
        self.orders = CacheOrders(self.memory, self.clock, self.disk)
        self.orders.use([key])
        settings = CacheSettings(CachePolicy(name="edge"), key_maker(key, app), MEMORY_BODY_BYTES)
        sender = OriginSender(self.origin, "", "")
        self.cache = RouteCache(settings, self.memory, sender, self.clock, self.tasks, CacheMeter(), self.disk)
        self.calls = OriginCalls(sender, self.cache, Limits())

    async def begin(self, stream: PurgeStream) -> None:
        """As a gateway does that starts."""
        self.orders.known = await self.disk.open()
        await self.hear(stream)

    async def hear(self, stream: PurgeStream) -> list[int]:
        """Be told what was purged, and confirm it."""
        purges, until = stream.since(self.orders.known)
        counts = self.orders.purge(purges, until)
        assert isinstance(counts, Awaitable)
        return await counts

    async def ask(self, target: str = "/a", method: str = "GET", **fields: str) -> MemoryExchange:
        exchange = MemoryExchange(method, target, [(name.replace("_", "-"), value) for name, value in fields.items()])
        given = self.calls.serve(exchange, read_target(exchange.target), "r-1")
        if isinstance(given, Awaitable):
            await given
        await self.settle()
        return exchange

    async def settle(self) -> None:
        """Until all is written."""
        while len(self.tasks) or not self.objects.is_idle:
            await asyncio.sleep(0)
        assert not self.faults

    async def calls_alone(self, target: str = "/a") -> MemoryExchange:
        """Ask while something else is under way."""
        exchange = MemoryExchange("GET", target)
        given = self.calls.serve(exchange, read_target(target), "r-2")
        if isinstance(given, Awaitable):
            await given
        return exchange

    @property
    def flights(self) -> list[Flight]:
        """What is being fetched."""
        return list(self.cache._flights._flights.values())

    @property
    def asked(self) -> int:
        """How often the origin was."""
        return len(self.origin.asked)


@asynccontextmanager
async def running(edge: DiskEdge, stream: PurgeStream) -> AsyncIterator[DiskEdge]:
    """From its start to its end."""
    await edge.begin(stream)
    try:
        yield edge
        await edge.settle()
    finally:
        await edge.disk.close()


def play(scenario: Callable[[PurgeStream], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scenario(PurgeStream())

    asyncio.run(main())


def hit(exchange: MemoryExchange) -> bool:
    return "; hit" in exchange.said["cache-status"]


def page(body: bytes = b"hello", *fields: tuple[str, str], age: str = "max-age=600") -> MemoryAnswer:
    return MemoryAnswer(200, [("cache-control", age), *fields], body)


def streamed(pieces: Sequence[bytes | OriginFailed], length: int | None = None) -> MemoryAnswer:
    return MemoryAnswer(200, [("cache-control", "max-age=600"), ("etag", '"1"')], None, pieces, length=length)
