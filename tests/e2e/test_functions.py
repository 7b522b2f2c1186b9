"""Functions with real processes: what an app may do wrong, and what it costs."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from littoral.core.errors import Conflict
from littoral.functions.places import BINDINGS
from littoral.gateway.routes import Route
from tests.support.functions_node import DEADLINE_S, FunctionNode, Reply, gone, kill9

HELLO = """
from workers import WorkerEntrypoint, Response

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("hello from " + request.url)
"""

SHOP = """
import asyncio, json, os, sys, time
from workers import WorkerEntrypoint, Response

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        what = request.query.get("do", "")
        if what == "raise":
            raise RuntimeError("secret detail")
        if what == "exit":
            os._exit(7)
        if what == "sysexit":
            sys.exit(3)
        if what == "loop":
            while True:
                pass
        if what == "stubborn":
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        if what == "hang":
            await asyncio.Future()
        if what == "slow":
            print("slow", request.id)
            await asyncio.sleep(float(request.query.get("s", "0.3")))
        if what == "wrong":
            return {"no": "response"}
        if what == "split":
            response = Response("x")
            response.headers._items.append(("x-a", "b\\r\\nset-cookie: stolen=1"))
            return response
        if what == "memory":
            hold = [bytearray(1 << 20) for _ in range(4096)]
        if what == "large":
            return Response(bytes(18 << 20))
        if what == "pid":
            return Response(str(os.getpid()))
        if what == "echo":
            return Response(await request.bytes(), headers={"x-method": request.method})
        if what == "inspect":
            status = open("/proc/self/status").read()
            return Response.json({
                "environ": sorted(os.environ),
                "no_new_privs": "NoNewPrivs:\\t1" in status, "umask": "Umask:\\t0077" in status,
                "forwarded": request.headers["x-forwarded-for"],
            })
        return Response("ok")
"""


def run(scenario: Callable[[FunctionNode], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with FunctionNode(**options) as node:  # type: ignore[arg-type]
            await scenario(node)

    asyncio.run(main())


def assert_problem(reply: Reply, status: int, kind: str) -> None:
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["type"] == f"urn:littoral:problem:{kind}"
    assert problem["status"] == status
    assert problem["instance"] == f"urn:littoral:request:{reply.headers['x-request-id']}"
    assert b"Traceback" not in reply.body
    assert b"main.py" not in reply.body


def test_a_function_answers_requests() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        reply = await node.get("/hello/a%20b?x=1")
        assert (reply.status, reply.body) == (200, b"hello from http://edge.test/hello/a%20b?x=1")
        assert reply.headers["content-type"] == "text/plain;charset=UTF-8"
        head = await node.get("/hello", method="HEAD")
        assert (head.status, head.headers["content-length"], head.body) == (200, "33", b"")

    run(scenario)


def test_the_entry_may_take_no_request_or_be_a_function() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy(
            "none",
            """
            from workers import Response, WorkerEntrypoint

            class Default(WorkerEntrypoint):
                async def fetch(self):
                    return Response.redirect("https://example.com/")
            """,
        )
        await node.deploy(
            "plain",
            """
            from workers import Response

            async def on_fetch(request, env):
                return Response.json({"greeting": env.GREETING})
            """,
            vars={"GREETING": "moin"},
        )
        redirect = await node.get("/none")
        assert (redirect.status, redirect.headers["location"]) == (302, "https://example.com/")
        assert (await node.get("/plain")).json() == {"greeting": "moin"}

    run(scenario)


def test_a_function_reads_and_writes_its_namespaces_only() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy(
            "kv",
            """
            from workers import KVError, KVNamespace, Response, WorkerEntrypoint

            class Default(WorkerEntrypoint):
                async def fetch(self, request):
                    kv = self.env.KV
                    await kv.put("line/1", '{"state": "runs"}')
                    await kv.put("line/2", b"\\x00\\xff")
                    await kv.put("gone", "x")
                    await kv.delete("gone")
                    page = await kv.list(prefix="line/", limit=1)
                    rest = await kv.list({"prefix": "line/", "cursor": page.cursor})
                    refused = []
                    for call in (
                        KVNamespace("other", kv._call).get("key"), kv.put("big", "x" * 4_000_000), kv.get("k", "xml")
                    ):
                        try:
                            await call
                        except KVError as error:
                            refused.append(str(error))
                    return Response.json({
                        "json": await kv.get("line/1", type="json"), "text": await kv.get("line/1"),
                        "bytes": (await kv.get("line/2", "arrayBuffer")).hex(), "none": await kv.get("gone"),
                        "first": [key.name for key in page.keys], "complete": page.list_complete,
                        "rest": [key.name for key in rest.keys], "rest_complete": rest.list_complete,
                        "refused": refused,
                    })
            """,
            kv={"KV": "lines"},
        )
        node.kv.values["other", "key"] = b"secret"
        reply = await node.get("/kv")
        answer = reply.json()
        refused = answer.pop("refused")
        assert answer == {
            "json": {"state": "runs"},
            "text": '{"state": "runs"}',
            "bytes": "00ff",
            "none": None,
            "first": ["line/1"],
            "complete": False,
            "rest": ["line/2"],
            "rest_complete": True,
        }
        assert "app kv has no binding for it" in refused[0]
        assert "the limit kv-value-bytes of the node" in refused[1]
        assert "get knows the types" in refused[2]

    run(scenario)


def test_calls_of_a_binding_wait_for_a_restarting_hub() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy(
            "kv",
            """
            from workers import Response, WorkerEntrypoint

            class Default(WorkerEntrypoint):
                async def fetch(self, request):
                    print("asked", request.query["n"])
                    return Response(await self.env.KV.get("key") or "nothing")
            """,
            kv={"KV": "lines"},
        )
        node.kv.values["lines", "key"] = b"value"
        assert (await node.get("/kv?n=1")).body == b"value"
        (worker,) = node.pool("kv").pids
        await node.stop_hub()
        waiting = asyncio.ensure_future(node.get("/kv?n=2"))
        await node.until(lambda: "kv-0: asked 2" in node.log())
        assert not waiting.done()
        await node.start_hub()
        assert (await waiting).body == b"value"
        await node.until(lambda: node.pool("kv").ready == 1)
        assert node.pool("kv").pids == [worker], "the new hub takes over the workers there are"

    run(scenario)


def test_an_exception_is_a_500_whose_trace_is_in_the_log_only() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        for what in ("raise", "sysexit", "wrong"):
            reply = await node.get(f"/shop?do={what}")
            assert_problem(reply, 500, "function-failed")
            assert b"secret detail" not in reply.body
            await node.until(lambda: f"shop-0: [{reply.headers['x-request-id']}]" in node.log())  # noqa: B023
        await node.until(lambda: "RuntimeError: secret detail" in node.log())
        assert (await node.get("/shop")).body == b"ok"
        assert node.pool("shop").counters.restarts == 0

    run(scenario)


def test_a_response_that_would_forge_another_is_refused() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        reply = await node.get("/shop?do=split")
        assert_problem(reply, 502, "bad-gateway")
        assert "set-cookie" not in reply.headers

    run(scenario)


def test_a_crash_costs_its_request_and_a_restart() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        await node.deploy("hello", HELLO)
        assert_problem(await node.get("/shop?do=exit"), 502, "bad-gateway")
        assert (await node.get("/shop")).body == b"ok"
        counters = node.pool("shop").counters
        assert (counters.starts, counters.restarts, counters.ends["crash"]) == (2, 1, 1)
        assert node.pool("hello").counters.starts == 1

    run(scenario)


def test_requests_of_others_on_a_killed_worker_are_asked_again() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        neighbours = [asyncio.ensure_future(node.get("/shop?do=slow&s=1")) for _ in range(5)]
        posted = asyncio.ensure_future(node.get("/shop?do=slow&s=20", method="POST", body=b"x"))
        await node.until(lambda: node.log().count("shop-0: slow ") == 6)
        kill9(node.pool("shop").pids[0])
        assert [reply.status for reply in await asyncio.gather(*neighbours)] == [200] * 5
        assert_problem(await posted, 502, "bad-gateway")

    run(scenario)


def test_an_endless_loop_is_interrupted_and_its_worker_stays() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP, wall_ms=1000)
        pid = (await node.get("/shop?do=pid")).body
        began = asyncio.get_running_loop().time()
        reply = await node.get("/shop?do=loop")
        assert asyncio.get_running_loop().time() - began < 1 + 1
        assert_problem(reply, 504, "timed-out")
        assert (await node.get("/shop?do=pid")).body == pid
        await node.until(lambda: "computed past its wall time" in node.log())

    run(scenario)


def test_a_loop_that_swallows_the_interruption_is_killed() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP, wall_ms=1000)
        (first,) = node.pool("shop").pids
        node.pool("shop").rest()
        await node.until(lambda: gone(first))
        # The gateway connects before the worker has started, and still knows which process it is.
        pid = int((await node.get("/shop?do=pid")).body)
        assert_problem(await node.get("/shop?do=stubborn"), 504, "timed-out")
        await node.until(lambda: gone(pid))
        assert (await node.get("/shop")).body == b"ok"
        assert node.pool("shop").counters.ends == {"idle": 1, "timeout": 1}

    run(scenario)


def test_a_hang_is_a_504_and_its_neighbours_on_the_worker_go_on() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP, wall_ms=2000)
        pid = (await node.get("/shop?do=pid")).body
        hang, *others = await asyncio.gather(node.get("/shop?do=hang"), *(node.get("/shop?do=slow") for _ in range(5)))
        assert_problem(hang, 504, "timed-out")
        assert [other.status for other in others] == [200] * 5
        assert (await node.get("/shop?do=pid")).body == pid

    run(scenario)


def test_a_memory_hog_is_stopped_and_replaced() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP, memory_bytes=64 << 20)
        assert_problem(await node.get("/shop?do=memory"), 500, "function-failed")
        await node.until(lambda: node.pool("shop").counters.ends["memory"] == 1)
        assert (await node.get("/shop")).body == b"ok"

    run(scenario)


def is_at_home_in(pid: int, directory: str) -> bool:
    """Whether it is the process's working directory."""
    return os.path.samefile(f"/proc/{pid}/cwd", directory)


def test_a_worker_starts_with_nothing_it_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_SECRET", "hunter2")

    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        await node.deploy("second", SHOP)
        seen = (await node.get("/second?do=inspect")).json()
        assert seen["environ"] == ["HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR"]
        assert seen["no_new_privs"]
        assert seen["umask"]
        assert seen["forwarded"] == "127.0.0.1"
        (worker,) = node.pool("second").pids
        assert is_at_home_in(worker, node.apps["second"].directory)
        shared = descriptors(worker) & descriptors(node.processes["zygote"].pid)
        assert len(shared) == 1, "the pipe of its own output, and nothing else, is shared with the zygote"
        assert b"hunter2" not in started_with(worker)
        for name in ("", "zygote.sock", "hub.sock", "fn", "gateway.msgpack"):
            assert os.stat(node.run / name).st_mode & 0o077 == 0, name

    run(scenario)


def descriptors(pid: int) -> set[str]:
    """The pipes and sockets a process has open."""
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    return {link for link in links if link.startswith(("pipe:", "socket:"))}


def started_with(pid: int) -> bytes:
    """The environment a process was started with, whatever it has removed since."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_bodies_are_bounded_before_and_while_they_are_read() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        most = 16 << 20
        echoed = await node.get("/shop?do=echo", method="PUT", body=b"x" * 3_000_000)
        assert (len(echoed.body), echoed.headers["x-method"]) == (3_000_000, "PUT")
        announced = await node.get("/shop?do=echo", method="POST", headers={"content-length": str(most + 1)})
        assert_problem(announced, 413, "too-large")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        streamed = await chunked(node.port, "/shop?do=echo", chunk * 17)
        assert streamed.startswith(b"HTTP/1.1 413")

    run(scenario)


async def chunked(port: int, path: str, body: bytes) -> bytes:
    """The first bytes of the answer to an upload of unknown length, which is never finished."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode() + body)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read(64)
    writer.close()
    return answer


def test_routes_decide_by_host_path_and_method() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO, routes=[Route("app/hello", "/only", methods=["GET", "POST"])])
        await node.deploy("shop", SHOP, routes=[Route("app/shop", "/*", host="shop.test")])
        assert_problem(await node.get("/elsewhere"), 404, "not-found")
        refused = await node.get("/only", method="DELETE")
        assert_problem(refused, 405, "method-not-allowed")
        assert refused.headers["allow"] == "GET, HEAD, POST"
        assert (await node.get("/anything", headers={"host": "Shop.Test:8080"})).body == b"ok"
        with pytest.raises(Conflict, match="app/hello and app/thief both claim it"):
            await node.place("thief", HELLO, routes=[Route("app/thief", "/only", methods=["GET"])])
        assert (await node.get("/only")).status == 200

    run(scenario)


def test_an_app_that_cannot_be_imported_says_why_and_harms_nobody() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        await node.place("broken", "import no_such_module")
        await node.until(lambda: node.pool("broken").counters.ends["import"] >= 2)
        assert "no_such_module" in node.pool("broken").counters.last_failure
        assert_problem(await node.get("/broken"), 503, "unavailable")
        assert (await node.get("/hello")).status == 200

    run(scenario)


def test_a_new_revision_takes_over_without_losing_a_request() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        done = False
        statuses: list[int] = []

        async def client() -> None:
            while not done:
                statuses.append((await node.get("/shop?do=echo", method="POST", body=b"x")).status)

        clients = [asyncio.ensure_future(client()) for _ in range(4)]
        held = asyncio.ensure_future(node.get("/shop?do=slow", method="POST", body=b""))
        await node.until(lambda: "shop-0: slow " in node.log())
        for revision in ("2", "3", "4"):
            await node.deploy("shop", SHOP, revision=revision)
        done = True
        assert (await held).status == 200
        await asyncio.gather(*clients)
        assert set(statuses) == {200}
        assert node.pool("shop").counters.ends == {"replaced": 3}

    run(scenario)


def test_a_broken_revision_leaves_the_running_one() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        await node.place("hello", "this is no python", revision="2")
        await node.until(lambda: node.pool("hello").counters.ends["import"] >= 1)
        assert "SyntaxError" in node.pool("hello").counters.last_failure
        assert (await node.get("/hello")).status == 200

    run(scenario)


def test_an_app_that_is_taken_away_is_gone() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        (pid,) = node.pool("hello").pids
        del node.apps["hello"]
        node.routes.clear()
        node.runtime.apply([])
        node.control.publish()
        await node.until(lambda: gone(pid))
        assert_problem(await node.get("/hello"), 404, "not-found")

    run(scenario)


def test_kill_9_of_the_zygote_takes_its_workers_and_all_come_back() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP, workers=2, min_workers=2)
        old = node.pool("shop").pids
        node.kill("zygote")
        await node.until(lambda: all(gone(pid) for pid in old))
        node.start_zygote()
        assert (await node.get("/shop")).body == b"ok"
        await node.until(lambda: node.pool("shop").ready == 2)
        assert not set(old) & set(node.pool("shop").pids)

    run(scenario)


def test_kill_9_of_a_gateway_leaves_the_other_and_its_restart_serves_without_a_hub() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        await node.until(lambda: len(node.reports) == 2)
        node.kill("gateway-0")
        for _ in range(5):
            assert (await node.get("/hello")).status == 200
        await node.stop_hub()
        node.kill("gateway-1")
        node.start_gateway(0)
        assert (await node.get("/hello")).status == 200
        await node.start_hub()

    run(scenario, gateways=2)


def test_the_hub_learns_what_gateways_count() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO)
        for path in ("/hello", "/hello", "/nothing"):
            await node.get(path)

        def counted() -> bool:
            report = node.reports.get(0)
            return report is not None and report.meters.routes.keys() == {"app/hello", ""}

        await node.until(counted)
        meters = node.reports[0].meters
        assert meters.routes["app/hello"].statuses == {200: 2}
        assert sum(meters.routes["app/hello"].latency) == 2
        assert meters.routes[""].statuses == {404: 1}

    run(scenario)


def test_work_goes_on_after_the_response() -> None:
    async def scenario(node: FunctionNode) -> None:
        code = """
            import asyncio
            from workers import Response, WorkerEntrypoint

            class Default(WorkerEntrypoint):
                async def fetch(self, request):
                    self.ctx.waitUntil(self.later())
                    return Response("done")

                async def later(self):
                    await asyncio.sleep(0.1)
                    await self.env.KV.put("later", "x")
                    raise RuntimeError("nobody waits")
            """
        await node.deploy("later", code, kv={"KV": "lines"})
        assert (await node.get("/later")).body == b"done"
        await node.deploy("later", code, kv={"KV": "lines"}, revision="2")
        assert node.kv.values == {("lines", "later"): b"x"}, "a worker leaves once its work is done"
        await node.until(lambda: "RuntimeError: nobody waits" in node.log())

    run(scenario)


def test_a_large_response_costs_no_neighbour() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        slow, large = await asyncio.gather(
            node.get("/shop?do=slow", method="POST", body=b""), node.get("/shop?do=large")
        )
        assert slow.status == 200
        assert (large.status, len(large.body), large.headers["content-length"]) == (200, 18 << 20, str(18 << 20))

    run(scenario)


def test_an_overloaded_app_refuses_with_a_time_to_come_back() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", SHOP)
        replies = await asyncio.gather(*(node.get("/shop?do=slow&s=2") for _ in range(8)))
        refused = [reply for reply in replies if reply.status == 503]
        assert len(refused) == 5
        assert_problem(refused[0], 503, "unavailable")
        assert refused[0].headers["retry-after"] == "1"

    run(scenario, overrides={"function-inflight": 3})


def test_a_worker_with_the_wrong_credential_gets_nothing() -> None:
    async def scenario(node: FunctionNode) -> None:
        reader, writer = await asyncio.open_unix_connection(str(node.run / BINDINGS))
        writer.write(b"\x00\x00\x00\x0b" + b"\xaashop 0 abcd"[:11])
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()

    run(scenario)
