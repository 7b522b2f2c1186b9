"""Projects in the published style in real workers: behind a gateway, forked from a zygote, in confinement."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.support.app_modules import PROJECTS
from tests.support.functions_node import FunctionNode

ENDLESS = """
import asyncio
import os

from workers import Response, WorkerEntrypoint, asgi, env, wait_until


GREETING = env.GREETING


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    while True:
        pass


async def note():
    await env.NOTES.put("later", GREETING)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        match request.path.rpartition("/")[2]:
            case "loop":
                return await asgi.fetch(app, request, self.env, self.ctx)
            case "stream":
                return Response(self.zeros())
            case "later":
                wait_until(note())
        return Response(str(os.getpid()))

    async def zeros(self):
        while True:
            yield bytes(1_000_000)
            await asyncio.sleep(0)
"""

HELLO = """
from workers import Response

async def on_fetch():
    return Response("hello")
"""


def run(scenario: Callable[[FunctionNode], Awaitable[None]]) -> None:
    async def main() -> None:
        async with FunctionNode() as node:
            await scenario(node)

    asyncio.run(main())


def source(name: str) -> str:
    return (PROJECTS / name / "src" / "entry.py").read_text()


def test_projects_run_in_workers_as_they_are() -> None:
    async def scenario(node: FunctionNode) -> None:
        for name in ("hello", "streams", "javascript"):
            await node.deploy(name, source(name), vars={"GREETING": "moin"})
        assert (await node.get("/hello")).body == b"Hello world!"
        assert (await node.get("/streams")).body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert (await node.get("/streams", method="POST", body=b"x" * 100_000)).body == b"100000"
        assert (await node.get("/javascript?page=3")).json() == {"page": "3", "env": "moin"}

    run(scenario)


def test_frameworks_run_in_workers_as_they_are() -> None:
    async def scenario(node: FunctionNode) -> None:
        for name in ("fastapi", "flask"):
            # The path is the whole one, so that the apps' routes begin with their name.
            await node.deploy(name, source(name).replace('("/', f'("/{name}/'), vars={"GREETING": "moin"})
        body = json.dumps({"name": "n", "price": 2}).encode()
        made = await node.get(
            "/fastapi/items/7", method="POST", body=body, headers={"content-type": "application/json"}
        )
        assert (made.status, made.json()) == (201, {"id": 7, "name": "n", "price": 2.0})
        told = (await node.get("/fastapi/env")).json()
        assert told == {"greeting": "moin", "since": 1, "client": ["127.0.0.1", 0]}
        assert (await node.get("/fastapi/stream")).body == b"0\n1\n2\n"
        assert (await node.get("/fastapi/fails")).status == 500
        await node.deploy("fastapi", HELLO, revision="2")
        await node.until(lambda: "fastapi-0: the application has stopped" in node.log())
        assert (await node.get("/flask/")).body == b"moin moin"
        assert (await node.get("/flask/stream")).body == b"0\n1\n2\n"

    run(scenario)


def test_what_does_not_end_is_stopped_and_its_worker_stays() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("endless", ENDLESS, wall_ms=1000, vars={"GREETING": "moin"}, kv={"NOTES": "notes"})
        pid = (await node.get("/endless/pid")).body
        assert (await node.get("/endless/loop")).status == 504
        await node.until(lambda: "computed past its wall time" in node.log())
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"GET /endless/stream HTTP/1.1\r\nhost: edge.test\r\n\r\n")
        assert len(await reader.readexactly(1 << 20)) == 1 << 20, "as much as anybody reads"
        writer.transport.abort()
        assert (await node.get("/endless/later")).body == pid
        await node.until(lambda: node.kv.values.get(("notes", "later")) == b"moin")

    run(scenario)
