import asyncio

import msgspec

from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.listeners import listen_tcp
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.gateway.gateway import Gateway
from littoral.gateway.origins.transport import Endpoint
from littoral.node.cache_orders import CacheOrders
from littoral.node.gateway_config import GatewayConfig, IdentityFiles, ParentRelay
from littoral.node.purge_messages import BeforeParent, Told
from littoral.node.relay_gateway import GatewayNeighbours
from littoral.wire.relay import PurgesKnown
from tests.support.fakes import FakeClock
from tests.support.tiers import MemoryWay

FILES = IdentityFiles("/ca.pem", "/cert.pem", "/key.pem")
CONFIG = GatewayConfig(node="site", identity=FILES, parent=ParentRelay("region", "region.test", 7443))
KEY = "http://edge.test/a"


class Process:
    """As much of a gateway process as its neighbours have to do with."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.clock = FakeClock()
        self.said: list[str] = []
        self.gateway = Gateway(self.clock, "i", self.said.append)
        orders = CacheOrders(MemoryTier(1 << 20), self.clock)
        tasks = Tasks(lambda error: self.said.append(str(error)))
        self.neighbours = GatewayNeighbours(
            self.gateway, MemoryWay(), orders, self.clock, tasks, descriptor, self.said.append
        )
        self.shield = self.neighbours.shield

    def told(self, *own: Purge, is_all: bool = True, following: int = 0) -> None:
        news = BeforeParent(PurgesKnown("log", following), list(own), is_all, 0, self.clock.wall_ms())
        self.neighbours.ordered(Told([], Position("own", 1), news))


def test_the_way_to_the_parent_is_as_the_configuration_says_and_stays_while_that_does() -> None:
    it, limits = Process(), Limits()
    it.neighbours.configure(CONFIG, limits)
    way = it.shield.way
    assert way is not None
    assert way.parent.node == "region"
    assert way.parent.endpoint == Endpoint("https", "region.test", 7443, "region", "/ca.pem", "/cert.pem", "/key.pem")
    it.neighbours.configure(CONFIG, Limits())
    assert it.shield.way is way, "with what it knows of the parent"
    it.neighbours.configure(CONFIG, Limits({"relay-requests": 1}))
    assert it.shield.way is not way
    it.neighbours.configure(msgspec.structs.replace(CONFIG, parent=None), limits)
    assert it.shield.way is None


def test_what_the_hub_says_of_purges_is_what_answers_are_judged_by() -> None:
    it = Process()
    purges = it.shield.purges
    it.neighbours.ordered(Told([], Position("own", 1)))
    assert purges.known is None, "there is nobody to be asked"
    ago_ms = it.clock.wall_ms() - 5000
    it.told(Purge("tag", "page", at_ms=ago_ms), following=3)
    assert purges.known == PurgesKnown("log", 3)
    made_s = it.clock.monotonic_s() - 6
    it.told(Purge("tag", "news", at_ms=ago_ms), is_all=False, following=4)
    assert purges.known == PurgesKnown("log", 4)
    assert purges.hits(KEY, ("page",), made_s)
    assert purges.hits(KEY, ("news",), made_s)
    it.told(following=4)
    assert not purges.hits(KEY, ("page", "news"), made_s)


def test_without_an_identity_children_wait_and_the_log_says_why() -> None:
    async def main() -> None:
        with listen_tcp("127.0.0.1:0") as listening:
            it = Process(listening.fileno())
            it.neighbours.configure(GatewayConfig(), Limits())
            assert it.said == [], "the node has not enrolled yet"
            it.neighbours.configure(CONFIG, Limits())
            assert len(it.said) == 1
            assert "cannot load TLS files /ca.pem, /cert.pem, /key.pem" in it.said[0]
            await it.neighbours.stop(0)

    asyncio.run(main())
