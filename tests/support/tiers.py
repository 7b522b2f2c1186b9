"""Gateways of several nodes in memory, each asking that of its parent before the origin."""

import asyncio
from collections.abc import Callable

import msgspec

from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.cache.purge import Purge
from littoral.gateway.exchange import Duplex, Later
from littoral.gateway.field_block import Fields
from littoral.gateway.gateway import Gateway
from littoral.gateway.meters import ShieldMeter
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.steers import Steers
from littoral.gateway.origins.transport import Endpoint, OriginAnswer, OriginFailed, OriginRequest, OriginTimeouts
from littoral.gateway.relay import PurgesHeard, Relay
from littoral.gateway.routes import Route, RouteTable
from littoral.gateway.shield import Shield, ShieldedSender
from littoral.gateway.shield_parent import ParentWay, ShieldParent
from littoral.gateway.shield_purges import ShieldPurges
from littoral.node.cache_orders import CacheOrders
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.relay import PurgesKnown
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin
from tests.support.fakes import FakeClock

ROUTE = "pages"
START_S = 1_800_000_000


class _Informing(MemoryExchange):
    """Passes interim responses on."""

    tell: Callable[[int, Fields], None] | None = None

    def inform(self, status: int, fields: Fields) -> None:
        super().inform(status, fields)
        if self.tell is not None:
            self.tell(status, fields)


class MemoryWay:
    """Implements `littoral.gateway.origins.transport.OriginTransport`: to a relay."""

    def __init__(self, relay: Relay | None = None) -> None:
        self.relay = relay
        self.asked: list[OriginRequest] = []
        self.failure: OriginFailed | None = None
        self.answer: OriginAnswer | None = None
        """In place of the relay's."""
        self.closed = 0
        self.informed: list[int] = []

    def begin(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None],
        told: Callable[[], None],
    ) -> OriginAnswer | None:
        raise AssertionError("who asks a parent waits")

    async def send(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None] | None = None,
        begun: OriginAnswer | None = None,
    ) -> OriginAnswer:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        if self.answer is not None:
            return self.answer
        assert self.relay is not None
        host = next(value for name, value in request.fields if name == "host")
        exchange = _Informing(request.method, request.target, request.fields, host, scheme="https", client="child")
        exchange.tell = inform
        pending = self.relay.serve(exchange)
        if pending is not None:
            await pending
        self.informed += exchange.informed
        return MemoryAnswer(exchange.status, exchange.answered, exchange.sent)

    async def switch(
        self, endpoint: Endpoint, request: OriginRequest, timeouts: OriginTimeouts
    ) -> tuple[OriginAnswer, Duplex | None]:
        raise AssertionError(request)


class Tier:
    """The gateway of one node."""

    def __init__(
        self,
        name: str,
        origin: MemoryOrigin,
        above: "Tier | None" = None,
        *,
        strip_prefix: str = "",
        host: str = "",
        clock: FakeClock | None = None,
        steers: Steers | None = None,
    ) -> None:
        self.name = name
        self.clock: FakeClock = clock or (above.clock if above is not None else FakeClock(START_S * 1000))
        self.origin = origin
        self.faults: list[BaseException] = []
        self.log: list[str] = []
        self.tasks = Tasks(self.faults.append)
        self.gateway = Gateway(self.clock, name, self.log.append)
        self.gateway.name = f"littoral-{name}"
        self.memory = MemoryTier(1 << 20)
        self.orders = CacheOrders(self.memory, self.clock)
        self.shield = Shield(ShieldPurges(self.clock, self.orders.aim))
        self.meter = ShieldMeter()
        direct = OriginSender(origin, host, strip_prefix, steers)
        sender = ShieldedSender(ROUTE, direct, self.shield, self.clock, self.meter)
        settings = CacheSettings(CachePolicy(name=f"littoral-{name}"), key_maker(CacheKey()), 1000)
        cache = RouteCache(settings, self.memory, sender, self.clock, self.tasks, CacheMeter())
        calls = OriginCalls(direct, cache, Limits())
        self.gateway.configure(RouteTable([Route(f"route/{ROUTE}")]), {f"route/{ROUTE}": calls})
        self.heard = PurgesHeard()
        meter = self.gateway.meters.relay
        self.relay = Relay(self.gateway.serve, self.gateway.find, self.heard, self.clock, Limits(), meter)
        self.way = MemoryWay(above.relay if above is not None else None)
        if above is not None:
            parent = ShieldParent(above.name, Endpoint("https", "127.0.0.1", 1))
            self.shield.way = ParentWay(parent, self.way, self.clock, Limits())
            self.told(PurgesKnown())

    def told(self, known: PurgesKnown, *own: Purge) -> None:
        """The hub says which purges its gateways have to know of, all of them."""
        self.shield.purges.tell_all(known, own, 0, self.clock.wall_ms())

    def purge(self, purge: Purge) -> None:
        """Ordered at this node."""
        now_ms = self.clock.wall_ms()
        known = self.shield.purges.known or PurgesKnown()
        self.shield.purges.tell(known, [msgspec.structs.replace(purge, at_ms=now_ms)], now_ms)
        self.memory.purge(self.orders.aim(purge))

    async def ask(self, target: str = "/a", method: str = "GET", **settings: str) -> MemoryExchange:
        """One client's request; its fields by `settings`."""
        exchange = MemoryExchange(method, target, [(key.replace("_", "-"), value) for key, value in settings.items()])
        await self.serve(exchange)
        return exchange

    async def serve(self, exchange: MemoryExchange) -> None:
        pending = self.gateway.serve(exchange)
        assert not isinstance(pending, Later)
        if pending is not None:
            await pending
        while len(self.tasks):
            await asyncio.sleep(0)
        assert not self.faults
        assert not self.log


def tiers(exchange: MemoryExchange) -> list[str]:
    """What each cache says, that nearest to the origin first."""
    return [value for name, value in exchange.answered if name == "cache-status"]
