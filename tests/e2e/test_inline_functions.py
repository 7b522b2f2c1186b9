"""Apps that gateways run in their own processes (isolation `inline`), with real processes."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from littoral.core.resources import App
from littoral.core.resources.app_events import CronTrigger
from littoral.fleet.bundles import pack_bundle
from littoral.functions.event_messages import scheduled_body
from tests.support.functions_node import FunctionNode
from tests.support.real_node import RealNode

CODE = """
    import asyncio
    import os
    import sys
    from contextvars import ContextVar

    from workers import Response, WorkerEntrypoint, env
    from tools import NAME

    user = ContextVar("user", default="nobody")

    async def leave():
        sys.exit(3)


    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            what = request.query.get("do")
            if what == "raise":
                print("the token is", env.TOKEN)
                raise RuntimeError("secret detail")
            if what == "exit":
                sys.exit(3)
            if what == "exit later":
                await asyncio.create_task(leave())
            if what == "hang":
                await asyncio.Future()
            if what == "gone":
                request.signal.addEventListener("abort", lambda event: print("aborted in revision", env.REVISION))
                print("waiting")
                await asyncio.Future()
            if what == "loop":
                while True:
                    pass
            while what == "wait" and not os.path.exists(os.path.join(os.path.dirname(__file__), "..", "..", "go")):
                await asyncio.sleep(0.01)
            if what == "post":
                return Response(await request.text())
            if what == "stream":
                async def pieces():
                    for number in range(3):
                        yield str(number)
                        await asyncio.sleep(0)
                return Response(pieces())
            if what == "kv":
                await self.env.KV.put("key", NAME)
                return Response(await self.env.KV.get("key"))
            if what == "ask":
                await self.env.KV.put("asked", NAME)
                while (said := await self.env.KV.get("said")) is None:
                    await asyncio.sleep(0.01)
                return Response(said)
            before = user.get()
            user.set("somebody")
            return Response.json({"pid": os.getpid(), "name": NAME, "revision": env.REVISION, "user": before})

        async def scheduled(self, controller, env, ctx):
            await env.KV.put("pid", str(os.getpid()))
    """

WHO = """
    import os
    from workers import Response

    async def on_fetch(request):
        with open(f"/proc/{os.getpid()}/cmdline") as file:
            return Response(file.read())
    """


def run(scenario: Callable[[FunctionNode], Awaitable[None]], **options: int) -> None:
    async def main() -> None:
        async with FunctionNode(overrides=options) as node:
            await scenario(node)

    asyncio.run(main())


def prepare(node: FunctionNode, name: str, revision: str = "1", code: str = CODE, wall_ms: int = 400) -> None:
    node.prepare(
        name,
        code,
        revision=revision,
        inline=True,
        kv={"KV": "data"},
        vars={"REVISION": revision},
        secrets={"TOKEN": "token-that-nobody-may-see"},
        wall_ms=wall_ms,
        crons=[CronTrigger("0 0 1 1 *")],
    )
    folder = node.home / "apps" / f"{name}-{revision}"
    (folder / "tools.py").write_text(f"NAME = {name!r}")


def has_line(node: FunctionNode, text: str) -> bool:
    return text in node.log()


def state(node: FunctionNode, app: str) -> tuple[str, str] | None:
    said = node.reports[0].inline.get(app) if 0 in node.reports else None
    return None if said is None else (said.revision, said.failure)


def test_a_gateway_answers_in_its_own_process_as_a_worker_would() -> None:
    async def scenario(node: FunctionNode) -> None:
        prepare(node, "shop")
        prepare(node, "cart")
        node.publish()
        for name in ("shop", "cart", "shop"):
            answer = (await node.get(f"/{name}")).json()
            assert answer == {
                "pid": node.processes["gateway-0"].pid,
                "name": name,
                "revision": "1",
                "user": "nobody",
            }, "each app has its own modules and env, and each request its own context"
        assert (await node.get("/shop?do=kv")).body == b"shop"
        assert (await node.get("/shop?do=stream")).body == b"012"
        for size in (5, 300_000):
            assert (await node.get("/cart?do=post", method="POST", body=b"x" * size)).body == b"x" * size
        for what, status in (("raise", 500), ("exit", 500), ("exit%20later", 500), ("hang", 504), ("loop", 504)):
            answer = await node.get(f"/shop?do={what}")
            assert answer.status == status, what
            assert b"secret" not in answer.body
            await node.until(partial(has_line, node, f"shop-inline: [{answer.headers['x-request-id']}]"))
        _, client = await asyncio.open_connection("127.0.0.1", node.port)
        client.write(b"GET /cart?do=gone HTTP/1.1\r\nhost: edge.test\r\n\r\n")
        await node.until(lambda: "cart-inline: waiting" in node.log())
        client.close()
        await node.until(lambda: "cart-inline: aborted in revision 1" in node.log())
        await node.until(lambda: "shop-inline: the token is [secret]" in node.log())
        await node.until(lambda: 'apps/shop-1/main.py", line' in node.log())
        await node.until(lambda: "has computed for" in node.log())
        await node.until(lambda: node.reports[0].meters.limits_reached.get("function-hold-ms"))
        assert (await node.get("/cart")).json()["pid"] == node.processes["gateway-0"].pid, "nothing has ended it"
        await node.until(lambda: node.reports[0].apps["shop"]["1"].errors == {"exception": 3, "timeout": 2})
        # What is not a request is a worker's.
        await node.events.calls("shop", "scheduled", "cron", scheduled_body("0 0 1 1 *", 0))
        assert int(node.kv.values["data", "pid"]) != node.processes["gateway-0"].pid

    run(scenario, **{"function-hold-ms": 20})


def test_an_inline_revision_takes_over_at_once_and_the_former_finishes_what_it_has_begun() -> None:
    async def scenario(node: FunctionNode) -> None:
        prepare(node, "shop", wall_ms=10_000)
        node.publish()
        assert (await node.get("/shop")).json()["revision"] == "1"
        waiting = asyncio.create_task(node.get("/shop?do=wait"))
        await node.until(lambda: state(node, "shop") == ("1", ""))
        assert not waiting.done()
        prepare(node, "shop", "2", wall_ms=10_000)
        node.publish()
        while (await node.get("/shop")).json()["revision"] == "1":
            pass
        (node.home / "go").touch()
        assert (await waiting).json()["revision"] == "1"
        prepare(node, "shop", "3", "1 / 0")
        node.publish()
        why = "cannot import main.py: ZeroDivisionError: division by zero"
        await node.until(lambda: state(node, "shop") == ("2", why))
        assert (await node.get("/shop")).json()["revision"] == "2", "what does not start replaces nothing"

    run(scenario)


def test_an_inline_app_that_is_taken_away_has_its_bindings_for_what_it_has_begun() -> None:
    async def scenario(node: FunctionNode) -> None:
        prepare(node, "shop", wall_ms=30_000)
        node.publish()
        waiting = asyncio.create_task(node.get("/shop?do=ask"))
        await node.until(lambda: ("data", "asked") in node.kv.values)
        node.apps.clear()
        node.routes.clear()
        node.publish()
        while (await node.get("/shop")).status != 404:
            pass
        await node.kv.put("data", "said", b"yes")
        reply = await waiting
        assert (reply.status, reply.body) == (200, b"yes"), node.log()

    run(scenario)


def test_an_app_runs_inline_only_where_the_nodes_own_document_says_so() -> None:
    with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}, inline_apps=["trusted"]).start() as node:
        for name in ("trusted", "other"):
            document = {
                "kind": "App",
                "apiVersion": "littoral/v1",
                "metadata": {"name": name},
                "spec": {"main": "main.py", "routes": [{"path": f"/{name}"}], "isolation": "inline"},
            }
            node.apply(msgspec.convert(document, App), pack_bundle(name, {"main.py": textwrap.dedent(WHO).encode()}))
        node.until(lambda: node.get("/trusted").status == 200)
        assert "littoral.node.gateway_process" in node.get("/trusted").body.decode()
        node.until(lambda: "other" in node.api("GET", "/v1/status").json()["apps"])
        status = node.api("GET", "/v1/status").json()["apps"]
        assert "spec.inlineApps" in status["other"]["problem"]
        assert (status["trusted"]["isolation"], status["trusted"]["problem"]) == ("inline", "")
        assert node.get("/other").status == 404
