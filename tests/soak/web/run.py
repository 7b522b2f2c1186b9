"""One run: a node with gateways before an origin, visitors of all kinds, and gateways that are killed; then all leave, and
what is left is counted."""

import asyncio
import time

from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import Cache, Origin, OriginSpec, Route, RouteSpec, Target
from tests.soak.web.mischief import KEPT, Mischief
from tests.soak.web.origin import Site
from tests.soak.web.tally import Tally
from tests.soak.web.visitors import visitors
from tests.soak.web.watch import GROWTH_BYTES, Watch, sockets
from tests.soak.workload import seconds
from tests.support.raw_origin import RawOrigin
from tests.support.real_node import RealNode

GATEWAYS = 3
CACHE_BYTES = 24 << 20
OBJECT_BYTES = 2 << 20
LOOK_S = 0.5
LEFT_S = 30.0
"""How long connections may take to end once nobody uses them."""
HELD = "littoral_http_cache_bytes"


class Run:
    """Of a given length."""

    def __init__(self, seed: int, length_s: float) -> None:
        self.tally = Tally()
        self._seed = seed
        self._length_s = length_s
        self._site = Site(seed)
        self.most_held = 0
        """Of the caches of all gateways together, in bytes of memory."""
        self.growth_bytes = 0

    async def run(self) -> None:
        """Do it, and note what should not have been."""
        with RealNode(
            "edge",
            listen={"gateway": "127.0.0.1:0"},
            gateways=GATEWAYS,
            gateway_cache_bytes=CACHE_BYTES,
            gateway_cache_object_bytes=OBJECT_BYTES,
        ) as node:
            async with RawOrigin(self._site.answer) as origin:
                await asyncio.to_thread(node.start)
                self._route(node, origin.url)
                await self._begun(node)
                before = {name: sockets(pid) for name, pid in _gateways(node).items()}
                await self._traffic(node)
            # The origin has gone, and its connections with it.
            await self._nobody_left(node, before)
            for line in node.log().splitlines():
                if "Traceback" in line or "fault" in line:
                    self.tally.violated(f"the node's log says: {line}")

    def _route(self, node: RealNode, url: str) -> None:
        spec = OriginSpec(targets=[Target(url=url)])
        node.apply(Origin(api_version="littoral/v1", metadata=Metadata(name="site"), spec=spec))
        route = RouteSpec(match=[RouteMatch(path="/*")], origin="site", cache=Cache(stale_while_revalidate="1s"))
        node.apply(Route(api_version="littoral/v1", metadata=Metadata(name="all"), spec=route))

    async def _begun(self, node: RealNode) -> None:
        """Until every gateway has the route."""
        for _ in range(20 * GATEWAYS):
            while await asyncio.to_thread(lambda: node.get("/private/0").status) != 200:
                await asyncio.sleep(0.05)

    async def _traffic(self, node: RealNode) -> None:
        watch = Watch(node.pids()[KEPT])
        clients = visitors(node.port("gateway"), self._seed, self.tally)
        mischief = Mischief(node, self._seed, self._site.versions, self.tally)
        until_s = seconds() + self._length_s
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.run())
            group.create_task(mischief.kill())
            group.create_task(mischief.purge())
            while seconds() < until_s:
                await asyncio.sleep(LOOK_S)
                held = await asyncio.to_thread(self._look, node)
                # Of all gateways: once they have more than it may keep itself, it is taken to be full.
                watch.look(min(held, CACHE_BYTES))
            for client in clients:
                client.is_done = True
            mischief.is_done = True
        self.tally.counts["requests to the origin"] = self._site.requests
        self.growth_bytes = watch.growth_bytes
        if node.pids()[KEPT] != watch.pid:
            self.tally.violated(f"{KEPT} is not the process that it was, and nobody killed it")
        elif self.growth_bytes > GROWTH_BYTES:
            self.tally.violated(f"the memory of {KEPT} grew by {self.growth_bytes >> 20} MiB")

    def _look(self, node: RealNode) -> int:
        """Whether the caches are within their bounds; how much they hold."""
        lines = node.api("GET", "/metrics").body.decode().splitlines()
        held = sum(int(float(line.split()[-1])) for line in lines if line.split("{")[0].split(" ")[0] == HELD)
        self.most_held = max(self.most_held, held)
        if held > GATEWAYS * CACHE_BYTES:
            self.tally.violated(f"{held} bytes are held in memory, and {GATEWAYS * CACHE_BYTES} may be")
        return held

    async def _nobody_left(self, node: RealNode, before: dict[str, int]) -> None:
        """Clients and origin have gone: no gateway has more sockets than before anybody came."""
        until_s = time.monotonic() + LEFT_S
        while left := {
            name: (sockets(pid), before[name]) for name, pid in _gateways(node).items() if sockets(pid) > before[name]
        }:
            if time.monotonic() > until_s:
                for name, (now, then) in left.items():
                    self.tally.violated(f"{name} has {now} sockets, and had {then} before anybody came")
                return
            await asyncio.sleep(LOOK_S)


def _gateways(node: RealNode) -> dict[str, int]:
    return {name: pid for name, pid in node.pids().items() if name.startswith("gateway-")}
