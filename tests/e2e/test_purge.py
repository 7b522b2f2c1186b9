"""Purges, with two real gateway processes on one listening socket: none gives what was purged."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from littoral.core.names import StreamName
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, CacheKey, OriginSpec, QueryKey, RouteSpec, Target
from littoral.fleet.purges import PURGES, submit_purge
from littoral.gateway.cache.purge import Purge
from littoral.node.purge_messages import CachedObject
from tests.support.functions_node import FunctionNode
from tests.support.raw_origin import RawOrigin, whole

FRESH = "cache-control: max-age=600"
REQUESTS = 64
"""So that each of two gateways answers some of them: which takes a connection is the kernel's choice."""


class Site:
    """An origin whose pages have a version, behind two gateways."""

    def __init__(self) -> None:
        self.version = "1"
        self.held: asyncio.Event | None = None
        """If there is one: answers wait until it is set."""
        self.asked = asyncio.Event()

    async def answer(self, head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = self.version
        self.asked.set()
        if self.held is not None:
            await self.held.wait()
        path = head.split()[1]
        writer.write(whole(version.encode(), f"{FRESH}\r\ncache-tag: all, page{path.rpartition('/')[2]}"))


async def versions(node: FunctionNode, path: str) -> set[bytes]:
    replies = await asyncio.gather(*(node.get(path) for _ in range(REQUESTS)))
    return {reply.body for reply in replies}


def run(scenario: Callable[[FunctionNode, Site, RawOrigin], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        site = Site()
        async with RawOrigin(site.answer) as origin, FunctionNode(gateways=2) as node:
            cache = Cache(key=CacheKey(query=QueryKey(deny=["utm_*"])))
            spec = RouteSpec(match=[RouteMatch(path="/*")], origin="shop", cache=cache)
            node.route("all", spec, OriginSpec(targets=[Target(url=origin.url)]))
            await node.until(lambda: node.control.gateways == node.gateways)
            async with asyncio.timeout(60):
                await scenario(node, site, origin)

    asyncio.run(main())


async def both_hold(node: FunctionNode, path: str) -> None:
    """Until each of the gateways has a page in its memory: on the disk, what one has stored is there for the other."""
    held: list[list[CachedObject]] = []
    while len(held) < 2 or not all(any(each.tier == "memory" for each in of_one) for of_one in held):
        await versions(node, path)
        held = await node.purges.inspect(f"http://edge.test{path}")


@pytest.mark.parametrize(
    "purge",
    [
        Purge("url", "http://edge.test/a/1?utm_source=mail"),
        Purge("url", "edge.test/a/./1"),
        Purge("tag", "page1"),
        Purge("prefix", "edge.test/a/"),
        Purge("all"),
        Purge("all", soft=True),
    ],
    ids=lambda purge: f"{purge.kind}{purge.value.count('?')}{'-soft' if purge.soft else ''}",
)
def test_once_it_is_answered_no_process_gives_the_old_one(purge: Purge) -> None:
    async def scenario(node: FunctionNode, site: Site, origin: RawOrigin) -> None:
        await both_hold(node, "/a/1")
        site.version = "2"
        assert await versions(node, "/a/1") == {b"1"}
        outcome = await node.purges.purge(purge)
        assert (outcome.gateways, outcome.objects, outcome.unconfirmed) == (2, 2, 0)
        assert await versions(node, "/a/1") == {b"2"}

    run(scenario)


def test_what_was_being_fetched_is_given_to_those_who_waited_and_to_nobody_else() -> None:
    async def scenario(node: FunctionNode, site: Site, origin: RawOrigin) -> None:
        site.held = asyncio.Event()
        waiting = [asyncio.ensure_future(node.get("/a/1")) for _ in range(REQUESTS)]
        await node.until(lambda: sum(report.meters.inflight for report in node.reports.values()) == REQUESTS)
        await node.purges.purge(Purge("tag", "page1"))
        site.version = "2"
        before, site.held = site.held, None
        assert await versions(node, "/a/1") == {b"2"}
        before.set()
        assert {reply.body for reply in await asyncio.gather(*waiting)} == {b"1"}
        assert await versions(node, "/a/1") == {b"2"}
        assert len(origin.heads) <= 4

    run(scenario)


def test_a_purge_that_comes_while_the_hub_is_down_is_done_once_it_is_back() -> None:
    async def scenario(node: FunctionNode, site: Site, origin: RawOrigin) -> None:
        await both_hold(node, "/a/1")
        await both_hold(node, "/a/2")
        await node.stop_hub()
        await node.store.submit(lambda tx: submit_purge(tx, Purge("tag", "page1")))
        site.version = "2"
        await node.start_hub()
        await node.until(lambda: node.control.gateways == 2)
        await node.purges.purge(Purge("tag", "nothing"))  # it is told what it missed before
        assert await versions(node, "/a/1") == {b"2"}
        assert await versions(node, "/a/2") == {b"1"}

    run(scenario)


def test_a_gateway_that_was_away_too_long_forgets_everything() -> None:
    async def scenario(node: FunctionNode, site: Site, origin: RawOrigin) -> None:
        await node.purges.purge(Purge("tag", "first"))
        await both_hold(node, "/a/1")
        await node.stop_hub()
        for number in range(3):
            await node.store.submit(partial(submit_purge, purge=Purge("tag", f"some{number}")))
        await node.store.submit(lambda tx: tx.retain(StreamName("edge", PURGES), 0, 100, most_bytes=0))
        site.version = "2"
        await node.start_hub()
        await node.until(lambda: node.control.gateways == 2)
        await node.purges.purge(Purge("tag", "nothing"))
        assert await versions(node, "/a/1") == {b"2"}

    run(scenario)
