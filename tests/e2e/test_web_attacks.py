"""Published attacks on caches and proxies, against a real gateway before a real origin that falls for them: each is refused, or
does nothing to anybody else.

The names are those under which they were published: web cache deception (Gil, 2017; Mirheidari et al., 2020), practical web cache
poisoning (Kettle, 2018 and 2020), cache-poisoned denial of service (Nguyen et al., 2019), path confusion at caches (Kettle, 2024).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, OriginSpec, RouteSpec, Target
from tests.support.functions_node import FunctionNode, request
from tests.support.raw_origin import RawOrigin, whole

VICTIM = "session=victim"
SECRET = b"the victim's secret"
PUBLIC = "cache-control: max-age=60"


class Shop:
    """An origin as there are many: it says who is logged in wherever a path begins with /account, believes what header fields say of
    hosts, paths and methods, and calls its errors public."""

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:] if line)
        }
        method = fields.get("x-http-method-override", head.split(maxsplit=1)[0])
        path = next((fields[name] for name in ("x-original-url", "x-rewrite-url") if name in fields), head.split()[1])
        if path.startswith("/account"):
            writer.write(whole(SECRET if VICTIM in fields.get("cookie", "") else b"log in"))
        elif method != "GET":
            writer.write(whole(b"", PUBLIC, status="404 Not Found"))
        elif "x-oversized" in fields:
            writer.write(whole(b"bad request", status="400 Bad Request"))
        else:
            writer.write(whole(f"<script src=//{self._host(fields)}/x.js>".encode(), PUBLIC))

    @staticmethod
    def _host(fields: dict[str, str]) -> str:
        forwarded = fields.get("forwarded", "").partition("host=")[2].partition(";")[0].strip('"')
        names = ("x-host", "x-forwarded-server", "x-original-host", "x-forwarded-host", "host")
        return next((fields[name] for name in names if name in fields and fields[name] != fields["host"]), forwarded)


@asynccontextmanager
async def shop(cache: Cache | None = None) -> AsyncIterator[tuple[FunctionNode, RawOrigin]]:
    async with RawOrigin(Shop().answer) as origin, FunctionNode() as node:
        spec = RouteSpec(match=[RouteMatch(path="/*")], origin="shop", cache=cache)
        node.route("all", spec, OriginSpec(targets=[Target(url=origin.url)]))
        await node.until(lambda: node.control.gateways == node.gateways)
        async with asyncio.timeout(60):
            yield node, origin


def play(story: Callable[[FunctionNode, RawOrigin], Coroutine[Any, Any, None]], cache: Cache | None = None) -> None:
    async def main() -> None:
        async with shop(cache) as (node, origin):
            await story(node, origin)

    asyncio.run(main())


DECEIVING = [
    "/account/x.css",
    "/account.css",
    "/account;x.css",
    "/account%3Bx.css",
    "/account%0Ax.css",
    "/account%23x.css",
    "/account%3Fx.css",
    "/account/%2e/x.css",
    "/account/..%2Fstatic/x.css",
    "/account/..;/static/x.css",
    "/account%2F..%2Fstatic/x.css",
    "/account\\..\\static/x.css",
    "//account/x.css",
    "/static/../account/x.css",
    "/static/..%2Faccount",
    "/account%00x.css",
]


def test_cache_deception_shows_nobody_what_a_victim_was_sent():
    async def story(node: FunctionNode, _: RawOrigin) -> None:
        for path in DECEIVING:
            seen = await node.get(path, headers={"cookie": VICTIM})
            assert seen.status in (200, 400), path
            stolen = await node.get(path)
            assert SECRET not in stolen.body, path

    play(story)


HOSTS = {
    "x-forwarded-host": "evil.test",
    "x-host": "evil.test",
    "x-forwarded-server": "evil.test",
    "x-original-host": "evil.test",
    "forwarded": "for=1.2.3.4;host=evil.test",
}
PATHS = ("x-original-url", "x-rewrite-url")
METHODS = ("x-http-method-override", "x-http-method", "x-method-override")


def test_fields_that_are_in_no_key_change_nothing_for_others():
    async def story(node: FunctionNode, origin: RawOrigin) -> None:
        for name, value in HOSTS.items():
            for method in ("GET", "HEAD"):
                await request(node.port, f"/{name}", method, headers={name: value})
            assert (await node.get(f"/{name}")).body == b"<script src=//edge.test/x.js>", name
        for name in PATHS:
            await node.get(f"/{name}", headers={name: "/account", "cookie": VICTIM})
            assert SECRET not in (await node.get(f"/{name}")).body, name
        for name in METHODS:
            assert (await node.get(f"/{name}", headers={name: "POST"})).status == 200
            assert (await node.get(f"/{name}")).status == 200
            await request(node.port, f"/{name}", "POST", b"", {name: "DELETE"})
            assert name in origin.heads[-1].lower(), "of what is shared with nobody it is the origin's to judge"

    play(story)


def test_what_one_client_provokes_is_not_given_to_others():
    async def story(node: FunctionNode, origin: RawOrigin) -> None:
        assert (await node.get("/page", headers={"x-oversized": "x" * 4000})).status == 400
        assert (await node.get("/page")).status == 200
        # What a body of GET may have caused is not stored.
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"GET /get HTTP/1.1\r\nhost: edge.test\r\ncontent-length: 4\r\nconnection: close\r\n\r\na=1&")
        await reader.read()
        writer.close()
        before = len(origin.heads)
        await node.get("/get")
        assert len(origin.heads) == before + 1

    play(story)


def test_what_is_written_otherwise_is_one_page_and_what_is_another_is_another():
    async def story(node: FunctionNode, origin: RawOrigin) -> None:
        for target in (
            "/page?a=1;b=2",
            "/page?a=1&b=2",
            "/page?a=1%26b=2",
            "/page?a=1",
            "/page?A=1",
            "/page?",
            "/Page",
        ):
            before = len(origin.heads)
            await node.get(target)
            assert len(origin.heads) == before + 1, target
        for host in ("EDGE.test", "edge.test:80", "edge.test."):
            assert (await node.get("/first", headers={"host": host})).body == b"<script src=//edge.test/x.js>", host
        before = len(origin.heads)
        for host, asked in (("EDGE.test", 0), ("edge.test:80", 0), ("evil.test", 1), ("edge.test:81", 2)):
            assert (await node.get("/page", headers={"host": host})).status == 200
            assert len(origin.heads) == before + asked, host
        assert (await node.get("/page")).body == b"<script src=//edge.test/x.js>"

    play(story)


BOMBS = {
    "URL": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: edge.test\r\n\r\n", b"414"),
    "field": (b"GET / HTTP/1.1\r\nhost: edge.test\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    "fields": (b"GET / HTTP/1.1\r\nhost: edge.test\r\n" + b"x: y\r\n" * 500 + b"\r\n", b"431"),
    "no end of a name": (b"GET / HTTP/1.1\r\nhost: edge.test\r\n" + b"x" * 100_000, b"431"),
    "no end of a method": (b"G" * 100_000, b"414"),
}


def test_bombs_are_refused_and_everybody_else_is_served():
    async def story(node: FunctionNode, origin: RawOrigin) -> None:
        for name, (sent, status) in BOMBS.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).split(b" ", 2)[1] == status, name
            writer.close()
        assert origin.heads == []
        assert (await node.get("/page")).status == 200

    play(story)


def test_slow_clients_hold_nobody_up_and_are_let_go_of():
    async def main() -> None:
        limits = {"gateway-head-seconds": 1}
        async with RawOrigin(Shop().answer) as origin, FunctionNode(overrides=limits) as node:
            spec = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
            node.route("all", spec, OriginSpec(targets=[Target(url=origin.url)]))
            await node.until(lambda: node.control.gateways == node.gateways)
            slow = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(200)]
            for _, writer in slow:
                writer.write(b"GET / HTTP/1.1\r\nho")
            async with asyncio.timeout(30):
                assert (await node.get("/page")).status == 200
                said = await asyncio.gather(*(reader.read() for reader, _ in slow))
            assert {each.split(b" ", 2)[1] for each in said} == {b"408"}
            for _, writer in slow:
                writer.close()

    asyncio.run(main())
