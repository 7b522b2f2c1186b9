"""A cache before an app, with real gateways and workers: what is stored costs no call, and stands in for an app that fails."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from littoral.core.gateway_limits import GATEWAY_CACHE_OBJECT_BYTES
from littoral.core.limits import Limits
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, RouteSpec
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.cache.purge import Purge
from littoral.gateway.routes import Route
from tests.support.functions_node import FunctionNode

LARGE = Limits()[GATEWAY_CACHE_OBJECT_BYTES] + 1
"""More than is stored in memory."""
COUNTER = """
import asyncio
import os
from pathlib import Path

from workers import Response, WorkerEntrypoint

calls = 0


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        global calls
        calls += 1
        ill = Path(__file__).with_name("ill")
        if ill.exists():
            if ill.read_text() == "crash":
                os._exit(1)
            await asyncio.sleep(60)
        says = "max-age=60" if "stale" in request.url else "s-maxage=60"
        body = bytes(LARGE) if "large" in request.url else str(calls)
        return Response(body, headers={"cache-control": says, "cache-tag": "count", "x-calls": str(calls)})
""".replace("LARGE", str(LARGE))


SHOP = """
from workers import Response, WorkerEntrypoint

calls = 0


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        global calls
        if request.method == "POST":
            done = await self.ctx.cache.purge(await request.json())
            return Response.json({"success": done.success, "errors": done.errors})
        calls += 1
        return Response(str(calls), headers={"cache-control": "max-age=60", "cache-tag": "news"})
"""


def run(scenario: Callable[[FunctionNode], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with FunctionNode() as node:
            await node.deploy("counter", COUNTER, routes=[Route("app/counter", "/direct/*")], workers=1, wall_ms=1000)
            cached = RouteSpec(match=[RouteMatch(path="/cached/*")], app="counter", cache=Cache())
            node.route("cached", cached)
            node.route("plain", RouteSpec(match=[RouteMatch(path="/plain/*")], app="counter"))
            await node.until(lambda: node.control.gateways == 1)
            async with asyncio.timeout(60):
                await scenario(node)

    asyncio.run(main())


async def said(node: FunctionNode, path: str, **fields: str) -> bytes:
    reply = await node.get(path, headers=fields)
    assert reply.status == 200, reply
    return reply.body


def counted(node: FunctionNode) -> CacheMeter:
    """As the gateway has reported last."""
    report = node.reports.get(0)
    return report.meters.caches.get("cached", CacheMeter()) if report is not None else CacheMeter()


def test_an_app_is_asked_once_until_its_answer_is_purged() -> None:
    async def scenario(node: FunctionNode) -> None:
        assert [await said(node, "/cached/a") for _ in range(3)] == [b"1"] * 3
        assert {await said(node, path) for path in ("/plain/a", "/plain/a", "/direct/a")} == {b"2", b"3", b"4"}
        outcome = await node.purges.purge(Purge("tag", "count"))
        assert (outcome.gateways, outcome.objects) == (1, 1)
        replies = await asyncio.gather(*(said(node, "/cached/a") for _ in range(20)))
        assert set(replies) == {b"5"}
        assert await said(node, "/cached/a", authorization="Basic eDp5") == b"5", "s-maxage: it is for everybody"
        await node.until(lambda: counted(node).hits >= 3)

    run(scenario)


def test_an_app_purges_its_own_answers_and_nobody_elses() -> None:
    async def main() -> None:
        async with FunctionNode() as node:
            for app in ("shop", "blog"):
                await node.deploy(app, SHOP, routes=[Route(f"app/{app}", f"/{app}/*")], workers=1)
                match = [RouteMatch(path="/a/*" if app == "shop" else "/a/blog/*")]
                node.route(f"cached-{app}", RouteSpec(match=match, app=app, cache=Cache()))
            await node.until(lambda: node.control.gateways == 1)

            async def purge(app: str, **options: object) -> object:
                return (await node.get(f"/{app}/", method="POST", body=json.dumps(options).encode())).json()

            async def all_said() -> list[bytes]:
                return [await said(node, path) for path in ("/a/1", "/a/2", "/a/blog/1")]

            assert await all_said() == [b"1", b"2", b"1"]
            assert await purge("shop", tags=["news"]) == {"success": True, "errors": []}
            assert await all_said() == [b"3", b"4", b"1"]
            await purge("shop", pathPrefixes=["/a/2", "/a/blog"])
            assert await all_said() == [b"3", b"5", b"1"]
            await purge("blog", purgeEverything=True)
            assert await all_said() == [b"3", b"5", b"2"]
            assert await all_said() == [b"3", b"5", b"2"]

    asyncio.run(main())


def test_what_is_too_large_for_memory_is_given_from_the_disk() -> None:
    async def scenario(node: FunctionNode) -> None:
        assert (await node.get("/cached/large")).headers["x-calls"] == "1"
        await node.until(lambda: counted(node).stored == 1)
        again = await node.get("/cached/large", headers={"range": "bytes=-5"})
        assert (again.status, again.body, again.headers["x-calls"]) == (206, bytes(5), "1")
        whole = await node.get("/cached/large")
        assert (len(whole.body), whole.headers["x-calls"]) == (LARGE, "1")

    run(scenario)


def test_an_app_that_crashes_or_hangs_is_stood_in_for() -> None:
    async def scenario(node: FunctionNode) -> None:
        ill = node.home / "apps" / "counter-1" / "ill"
        assert await said(node, "/cached/stale") == b"1"
        for illness in ("crash", "hang"):
            ill.write_text(illness)
            await node.purges.purge(Purge("all", soft=True))
            assert await said(node, "/cached/stale") == b"1"
            assert (await node.get("/plain/stale")).status in (502, 504)
        ill.unlink()
        assert await said(node, "/cached/stale") != b""
        await node.until(lambda: counted(node).stale_hits == 2)

    run(scenario)
