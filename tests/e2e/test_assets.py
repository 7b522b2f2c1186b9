"""Files that travel with an app, with a real gateway and worker."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from littoral.core.resources.app_assets import Assets
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import RouteSpec
from tests.support.functions_node import FunctionNode

CODE = """
from workers import Response, WorkerEntrypoint
from urllib.parse import urlsplit


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlsplit(request.url).path
        if path.startswith("/api/asset"):
            return await self.env.ASSETS.fetch("https://any.example" + path.removeprefix("/api/asset"))
        if path.startswith("/first"):
            response = await self.env.ASSETS.fetch(request)
            response.headers.set("x-seen", "yes")
            return response
        return Response("the code: " + request.method + " " + path)
"""
FILES = {
    "public/index.html": b"<h1>home</h1>",
    "public/about.html": b"<h1>about</h1>",
    "public/docs/index.html": b"<h1>docs</h1>",
    "public/app.js": b"let a = 1;",
    "public/first/page.html": b"<h1>first</h1>",
    "public/404.html": b"<h1>nothing</h1>",
    "public/.hidden": b"x",
    "public/_redirects": b"/old/* /docs/:splat 301\n/shown /about 200\n/app.js/* https://:splat.example/\nbroken\n",
    "public/_headers": b"/*\n  X-Rule: all\n/app.js\n  Cache-Control: max-age=60\n/old/*\n  X-Rule: old\n",
    "secret.txt": b"not below the folder",
}


def run(scenario: Callable[[FunctionNode], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        async with FunctionNode() as node:
            directory = node.home / "apps" / "shop-1"
            for path, content in FILES.items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_bytes(content)
            os.symlink(directory / "secret.txt", directory / "public/link.txt")
            assets = Assets(directory="public", binding="ASSETS", **settings)
            await node.deploy("shop", CODE, routes=[], assets=assets)
            node.route("whole", RouteSpec(match=[RouteMatch(path="/*")], app="shop"))
            node.route("below", RouteSpec(match=[RouteMatch(path="/below/*")], app="shop", strip_prefix="/below"))
            node.control.publish()
            await node.until(lambda: node.control.gateways == 1)
            async with asyncio.timeout(60):
                await scenario(node)

    asyncio.run(main())


def test_a_file_is_given_before_the_code_is_asked_and_what_no_file_answers_is_the_codes() -> None:
    async def scenario(node: FunctionNode) -> None:
        home = await node.get("/")
        assert (home.status, home.body) == (200, FILES["public/index.html"])
        assert home.headers["content-type"] == "text/html; charset=utf-8"
        assert home.headers["cache-control"] == "public, max-age=0, must-revalidate"
        known = await node.get("/", headers={"if-none-match": home.headers["etag"]})
        assert (known.status, known.body) == (304, b"")
        part = await node.get("/app.js", headers={"range": "bytes=4-4"})
        assert (part.status, part.body, part.headers["content-range"]) == (206, b"a", "bytes 4-4/10")
        assert (await node.get("/about")).body == FILES["public/about.html"]
        for path, to in (("/about.html?a=1", "/about?a=1"), ("/docs", "/docs/"), ("/below/docs", "/below/docs/")):
            moved = await node.get(path)
            assert (moved.status, moved.headers["location"]) == (307, to)
        assert (await node.get("/below/about")).body == FILES["public/about.html"]
        for path in ("/none", "/.hidden", "/link.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/main.py"):
            assert (await node.get(path)).body.startswith(b"the code: GET"), path
        assert (await node.get("/about", method="POST", body=b"x")).body == b"the code: POST /about"
        page = await node.get("/none", headers={"sec-fetch-mode": "navigate"})
        assert (page.status, page.body) == (404, FILES["public/404.html"])

    run(scenario, not_found_handling="404-page")


def test_rules_beside_the_files_send_clients_elsewhere_and_say_what_is_said_of_files() -> None:
    async def scenario(node: FunctionNode) -> None:
        moved = await node.get("/old/a?b=1", method="POST", body=b"x")
        assert (moved.status, moved.headers["location"], moved.headers["x-rule"]) == (301, "/docs/a?b=1", "old")
        assert (await node.get("/below/old/a")).headers["location"] == "/below/docs/a"
        away = await node.get("/below/app.js/x")
        assert (away.status, away.headers["location"]) == (302, "https://x.example/")
        shown = await node.get("/shown")
        assert (shown.status, shown.body, shown.headers["x-rule"]) == (200, FILES["public/about.html"], "all")
        script = await node.get("/app.js")
        assert (script.headers["cache-control"], script.headers["x-rule"]) == ("max-age=60", "all")
        known = await node.get("/app.js", headers={"if-none-match": script.headers["etag"]})
        assert (known.status, known.headers["cache-control"]) == (304, "max-age=60")
        assert "x-rule" not in (await node.get("/none")).headers, "what the code answers"
        for path in ("/_redirects", "/_headers"):
            assert (await node.get(path)).body.startswith(b"the code: GET"), path
        asked = await node.get("/api/asset/app.js")
        assert (asked.headers["cache-control"], asked.headers["x-rule"]) == ("max-age=60", "all")
        asked = await node.get("/api/asset/old/a?b=1")
        assert (asked.status, asked.headers["location"]) == (301, "/docs/a")
        assert (await node.get("/api/asset/shown")).body == FILES["public/about.html"]

    run(scenario, run_worker_first=["/api/*"])


def test_the_code_asks_for_files_and_may_be_asked_first() -> None:
    async def scenario(node: FunctionNode) -> None:
        script = await node.get("/api/asset/app.js")
        assert (script.status, script.body) == (200, FILES["public/app.js"])
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["etag"] == (await node.get("/app.js")).headers["etag"]
        first = await node.get("/first/page")
        assert (first.body, first.headers["x-seen"]) == (FILES["public/first/page.html"], "yes")
        known = await node.get("/first/page", headers={"if-none-match": first.headers["etag"]})
        assert (known.status, known.headers["x-seen"]) == (304, "yes")
        head = await node.get("/first/page", method="HEAD")
        assert (head.status, head.headers["etag"]) == (200, first.headers["etag"])
        assert (await node.get("/first/page.html")).headers["location"] == "/first/page"
        assert (await node.get("/first/page", method="POST", body=b"")).status == 405
        for path in ("/link.txt", "/.hidden", "/none"):
            assert (await node.get(f"/api/asset{path}")).body == FILES["public/index.html"], path

    run(scenario, not_found_handling="single-page-application", run_worker_first=["/first/*", "/api/*"])
