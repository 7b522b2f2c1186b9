"""What operators see of requests, with real gateway processes and real files."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import OriginSpec, RouteSpec, Target
from littoral.gateway.tracing import TraceAsk, TraceReport
from tests.support.functions_node import DEADLINE_S, FunctionNode
from tests.support.ports import free_base_port
from tests.support.raw_origin import RawOrigin, whole

FIELDS = ["request_id", "trace_id", "path", "status", "cache", "route", "user_agent", "failure"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ASKS = f"00-{TRACE}-00f067aa0ba902b7-01"


async def answer(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if "fails" in head:
        writer.write(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n")
        return
    writer.write(whole(b"hello", "cache-control: max-age=60", "server-timing: db;dur=1.5"))


def play(scenario: Callable[[FunctionNode, RawOrigin], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        async with RawOrigin(answer) as origin, FunctionNode(**settings) as node:
            spec = RouteSpec(match=[RouteMatch(path="/shop/*")], origin="shop", server_timing=True)
            node.route("shop", spec, OriginSpec(targets=[Target(url=origin.url)]))
            dead = OriginSpec(targets=[Target(url=f"http://127.0.0.1:{free_base_port(1)}")])
            node.route("dead", RouteSpec(match=[RouteMatch(path="/dead")], origin="dead"), dead)
            await node.until(lambda: node.control.gateways == node.gateways)
            async with asyncio.timeout(60):
                await scenario(node, origin)

    asyncio.run(main())


def lines(directory: Path) -> list[dict[str, Any]]:
    """Of all files, the oldest first."""
    files = sorted(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


async def ended(node: FunctionNode) -> None:
    """As when it is restarted."""
    node.processes["gateway-0"].terminate()
    await asyncio.to_thread(node.processes["gateway-0"].wait, 20)


def test_every_request_is_written_down_and_none_is_lost_with_the_process(tmp_path: Path) -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        agent = 'x"}\t{"status": 200'
        await node.get("/shop/a?secret=1", headers={"user-agent": agent, "traceparent": ASKS, "tracestate": "a=1"})
        hit = await node.get("/shop/a?secret=1")
        assert hit.headers["server-timing"].startswith("cache;desc=hit, total;dur=")
        await node.get("/shop/%0a%22fails")
        await node.get("/dead")
        await node.get("/none")
        await ended(node)
        found = lines(tmp_path)
        assert [(line["path"], line["status"], line["cache"], line["route"]) for line in found] == [
            ("/shop/a", 200, "uri-miss", "route/shop"),
            ("/shop/a", 200, "hit", "route/shop"),
            ("/shop/%0a%22fails", 500, "uri-miss", "route/shop"),
            ("/dead", 502, None, "route/dead"),
            ("/none", 404, None, None),
        ]
        assert found[0]["user_agent"] == agent
        assert "connection refused" in found[3]["failure"]
        # The origin was told of the same trace, and of the same request in it.
        assert found[0]["trace_id"] == TRACE
        told = origin.heads[0].lower()
        assert f"traceparent: 00-{TRACE}-" in told
        assert "00f067aa0ba902b7" not in told
        assert "tracestate: a=1" in told
        assert f"x-request-id: {found[0]['request_id']}" in told
        assert f"traceparent: 00-{found[2]['trace_id']}-" in origin.heads[1].lower()

    play(scenario, access_log=AccessLog(directory=str(tmp_path), fields=FIELDS))


def test_of_a_sample_of_none_what_failed_is_written_and_files_stay_within_their_bounds(tmp_path: Path) -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        for number in range(40):
            await node.get(f"/shop/{number}")
            await node.get(f"/shop/fails-{number}-{'x' * 80}")
        await ended(node)

    log = AccessLog(directory=str(tmp_path), sample_percent=0.0, fields=["path", "status"])
    play(scenario, access_log=log, overrides={"access-log-file-bytes": 1500, "access-log-files": 2})
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"access-0.jsonl", "access-0.1.jsonl"}
    assert max(sizes.values()) <= 1500
    found = lines(tmp_path)
    assert {line["status"] for line in found} == {500}
    assert "/shop/fails-39-" in found[-1]["path"]


def test_a_log_that_cannot_be_written_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a file, where a directory is to be")

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        for number in range(3):
            assert (await node.get(f"/shop/{number}")).status == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"NO HTTP\r\n\r\n")
        assert (await reader.read(100)).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await node.until(lambda: node.reports[0].meters.log_dropped == 3)
        await node.until(lambda: node.reports[0].meters.refused == {"malformed": 1})
        assert node.reports[0].meters.routes["route/shop"].sent_bytes == 15
        assert "cannot write access log" in node.log()

    play(scenario, access_log=AccessLog(directory=str(tmp_path / "log")))


def test_an_operator_sees_what_a_request_does() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        async def trace(target: str, *, refresh: bool = False) -> TraceReport:
            fields = [("cache-control", "no-cache")]
            replies = node.control.trace(TraceAsk("GET", "http", "edge.test", target, fields, refresh))
            await replies.wait(DEADLINE_S)
            return replies.said[0]

        miss = await trace("/shop/a")
        assert (miss.status, miss.bytes, miss.cache, miss.origin, miss.tries) == (200, 5, "uri-miss", origin.url, 1)
        steps = [(step.depth, step.name, step.detail, step.status) for step in miss.steps]
        assert steps == [(0, "origin", origin.url, 200), (1, "connect", "", 0), (1, "db", "", 0)]
        hit = await trace("/shop/a")
        assert (hit.status, hit.bytes, hit.cache, hit.steps) == (200, 5, "hit", [])
        again = await trace("/shop/a", refresh=True)
        assert (again.cache, again.tries) == ("request", 1)
        dead = await trace("/dead")
        assert (dead.status, [step.name for step in dead.steps]) == (502, ["origin", "connect"])
        assert all("connection refused" in step.failure for step in dead.steps)
        assert "connection refused" in dead.failure

    play(scenario)
