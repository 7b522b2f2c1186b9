"""Clients come back to the target that has answered them: at each gateway of a real node, and once it was restarted."""

import asyncio
import re

from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import Affinity, Origin, OriginSpec, Route, RouteSpec, Target
from tests.support.functions_node import Reply, request
from tests.support.raw_origin import RawOrigin, whole
from tests.support.real_node import RealNode

COOKIE = "littoral-affinity-shop"
REQUESTS = 32
"""So that each of two gateways answers some of them: which takes a connection is the kernel's choice."""


class Server:
    """One target, which answers with its name."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "upgrade: websocket" not in head:
            writer.write(whole(self._name, "cache-control: no-store"))
            return
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + self._name
        )
        await reader.read()


async def ask(node: RealNode, mark: str = "") -> Reply:
    return await request(node.port("gateway"), "/", headers={"cookie": f"a=1; {COOKIE}={mark}"} if mark else {})


async def ask_often(node: RealNode, mark: str) -> set[bytes]:
    """Who has answered."""
    replies = await asyncio.gather(*(ask(node, mark) for _ in range(REQUESTS)))
    assert not any("set-cookie" in reply.headers for reply in replies)
    return {reply.body for reply in replies}


async def chat(node: RealNode, mark: str) -> bytes:
    """Who has answered a wish for another protocol."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port("gateway"))
    wish = f"host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\ncookie: {COOKIE}={mark}\r\n\r\n"
    writer.write(f"GET /chat HTTP/1.1\r\n{wish}".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    name = await reader.readexactly(1)
    writer.close()
    return name


async def scenario(node: RealNode, one: RawOrigin, other: RawOrigin) -> None:
    marks: dict[bytes, str] = {}
    while len(marks) < 2:
        reply = await ask(node)
        found = re.fullmatch(rf"{COOKIE}=([0-9a-f]+); Path=/; HttpOnly; SameSite=Lax", reply.headers["set-cookie"])
        assert found is not None, reply.headers
        assert marks.setdefault(reply.body, found[1]) == found[1]
    for name, mark in marks.items():
        assert await ask_often(node, mark) == {name}
        assert await chat(node, mark) == name
    heads = [head for origin in (one, other) for head in origin.heads if "cookie: a=1" in head]
    assert len({found[1] for head in heads if (found := re.search("x-request-id: (.*?)-", head))}) == 2
    assert not any(COOKIE in head for head in (*one.heads, *other.heads))
    await asyncio.to_thread(node.stop)
    await asyncio.to_thread(node.start)
    for name, mark in marks.items():
        assert await ask_often(node, mark) == {name}
    # What marks are made with is nobody else's to know.
    for kept in ("identity/affinity.key", "run/gateway.msgpack"):
        assert (node.data_dir / kept).stat().st_mode & 0o777 == 0o600
    key = (node.data_dir / "identity" / "affinity.key").read_bytes()
    assert repr(key)[2:-1] not in node.log()
    assert key.hex() not in node.log()


def test_a_client_comes_back_to_its_target_whichever_gateway_it_meets() -> None:
    async def main() -> None:
        servers = RawOrigin(Server(b"a").answer), RawOrigin(Server(b"b").answer)
        async with servers[0] as one, servers[1] as other, asyncio.timeout(60):
            targets = [Target(url=one.url), Target(url=other.url)]
            spec = OriginSpec(targets=targets, affinity=Affinity(), balance="round-robin")
            leads = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
            origin = Origin(api_version="littoral/v1", metadata=Metadata(name="shop"), spec=spec)
            route = Route(api_version="littoral/v1", metadata=Metadata(name="all"), spec=leads)
            with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}, gateways=2) as node:
                await asyncio.to_thread(node.start)
                for document in (origin, route):
                    await asyncio.to_thread(node.apply, document)
                while not all(await asyncio.gather(*(is_served(node) for _ in range(REQUESTS)))):
                    await asyncio.sleep(0.01)
                await scenario(node, one, other)

    asyncio.run(main())


async def is_served(node: RealNode) -> bool:
    return (await ask(node)).status == 200
