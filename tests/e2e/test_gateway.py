"""Routes to origins, with real gateway processes and real sockets."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, CertificateFiles, GatewayTls, OriginSpec, RouteSpec, Static, Target
from tests.support.certificates import TestCa
from tests.support.functions_node import FunctionNode
from tests.support.raw_origin import Answer, RawOrigin, whole

FRESH = "cache-control: max-age=60"
MIB = 1 << 20


def run(
    answer: Answer, scenario: Callable[[FunctionNode, RawOrigin], Coroutine[Any, Any, None]], **settings: Any
) -> None:
    async def main() -> None:
        async with RawOrigin(answer) as origin, FunctionNode(**settings) as node:
            spec = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
            node.route("all", spec, OriginSpec(targets=[Target(url=origin.url)]))
            await node.until(lambda: node.control.gateways == node.gateways)
            async with asyncio.timeout(60):
                await scenario(node, origin)

    asyncio.run(main())


async def fresh(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(whole(head.split()[1].encode(), FRESH))


async def connect(node: FunctionNode, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(text.replace("\n", "\r\n").encode())
    return reader, writer


def test_paths_reach_the_origin_in_the_form_that_they_are_cached_under() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        paths = {
            "/a%2fb": "/a%2Fb",
            "/a/b": "/a/b",
            "/a/./c/../b": "/a/b",
            "/%61/b": "/a/b",
            "/a%2Fb?x=%2e": "/a%2Fb?x=%2e",
        }
        for sent, received in paths.items():
            assert (await node.get(sent)).body.decode() == received
        assert [head.split()[1] for head in origin.heads] == ["/a%2Fb", "/a/b", "/a%2Fb?x=%2e"]

    run(fresh, scenario)


def test_many_clients_cost_the_origin_one_request() -> None:
    asked = asyncio.Event()
    go = asyncio.Event()

    async def slow(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        writer.write(whole(b"hello", FRESH))

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        waiting = [asyncio.ensure_future(node.get("/a")) for _ in range(64)]
        await asked.wait()
        await node.until(lambda: node.reports and node.reports[0].meters.inflight == 64)
        go.set()
        replies = await asyncio.gather(*waiting)
        assert {reply.body for reply in replies} == {b"hello"}
        assert len(origin.heads) == 1

    run(slow, scenario)


def test_a_body_comes_as_it_is_made_and_takes_no_memory() -> None:
    size = 128 * MIB

    async def large(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{FRESH}\r\n\r\n".encode())
        for _ in range(size // MIB):
            writer.write(bytes(MIB))
            await writer.drain()

    def resident(node: FunctionNode) -> int:
        pages = Path(f"/proc/{node.processes['gateway-0'].pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        before, most = resident(node), 0
        reader, writer = await connect(node, "GET /large HTTP/1.1\nhost: edge.test\n\n")
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < size:
            piece = await reader.read(MIB)
            assert piece
            received += len(piece)
            most = max(most, resident(node))
        writer.close()
        assert most - before < 32 * MIB

    run(large, scenario)


def test_events_are_passed_on_one_by_one() -> None:
    go = asyncio.Event()

    async def events(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await go.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        reader, writer = await connect(node, "GET /events HTTP/1.1\nhost: edge.test\n\n")
        await reader.readuntil(b"data: 1")
        go.set()
        await reader.readuntil(b"data: 2")
        writer.close()

    run(events, scenario)


def is_longer(things: list[str], before: int) -> bool:
    return len(things) > before


def test_when_a_client_goes_the_origin_hears_of_it() -> None:
    left: list[str] = []

    async def endless(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Says something once, and then nothing, for ever."""
        kept = "no-store" if "/events" in head else "max-age=60"
        writer.write(f"HTTP/1.1 200 OK\r\ncache-control: {kept}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await reader.read()
        left.append(" ".join(head.split()[:2]))

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        asked = ["GET /events", "POST /events", "GET /stored"]
        for request in asked:
            before = len(left)
            reader, writer = await connect(node, f"{request} HTTP/1.1\nhost: edge.test\n\n")
            await reader.readuntil(b"data: 1")
            writer.close()
            await node.until(partial(is_longer, left, before))
        await node.until(lambda: node.reports[0].meters.inflight == 0)
        assert left == asked

    run(endless, scenario)


def test_an_upload_comes_as_it_is_sent() -> None:
    async def echo(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"one")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        await reader.readuntil(b"two")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        head = "POST /echo HTTP/1.1\nhost: edge.test\ntransfer-encoding: chunked\n\n3\none\n"
        reader, writer = await connect(node, head)
        await reader.readuntil(b"one")
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await reader.readuntil(b"two")
        writer.close()

    run(echo, scenario)


def test_a_websocket_goes_through() -> None:
    async def upgrade(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert "upgrade: websocket" in head.lower()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n")
        writer.write(b"sec-websocket-accept: x\r\n\r\nfirst")
        while data := await reader.read(100):
            writer.write(data.upper())

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        head = "GET /chat HTTP/1.1\nhost: edge.test\nconnection: Upgrade\nupgrade: websocket\nsec-websocket-key: k\n\n"
        reader, writer = await connect(node, head)
        answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert answered.startswith("http/1.1 101")
        assert "sec-websocket-accept: x" in answered
        assert await reader.readexactly(5) == b"first"
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    run(upgrade, scenario)


def test_a_new_configuration_leaves_what_is_cached_and_what_is_under_way() -> None:
    go = asyncio.Event()

    async def answer(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "/slow" in head:
            await go.wait()
        writer.write(whole(b"hello", FRESH))

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        await node.get("/a")
        slow = asyncio.ensure_future(node.get("/slow"))
        await node.until(lambda: len(origin.heads) == 2)
        uncached = RouteSpec(
            match=[RouteMatch(path="/api*")], origin="shop", cache=Cache(enabled=False), strip_prefix="/api"
        )
        node.route("api", uncached)
        while (await node.get("/api/v1")).status != 200 or "GET /v1 " not in origin.heads[-1]:
            pass
        assert (await node.get("/a")).headers["cache-status"].startswith("littoral; hit")
        go.set()
        assert (await slow).body == b"hello"

    run(answer, scenario)


def test_tls_is_spoken_with_http_2_and_the_certificate_that_is_asked_for(tmp_path: Path) -> None:
    ca = TestCa("ca")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    certificates = []
    for name in ("one.test", "two.test"):
        issued = ca.issue(name, names=(name,))
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        certificate.write_bytes(issued.certificate)
        key.write_bytes(issued.key)
        certificates.append(CertificateFiles(certificate=str(certificate), key=str(key)))

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        for host, version in (("one.test", "2"), ("two.test", "2"), ("two.test", "1.1")):
            call = ["curl", "-sS", "--cacert", str(tmp_path / "ca.pem"), f"--http{version}", "-w", " %{http_version}"]
            call += ["--resolve", f"{host}:{node.port}:127.0.0.1", f"https://{host}:{node.port}/a"]
            curl = await asyncio.create_subprocess_exec(*call, stdout=asyncio.subprocess.PIPE)
            said, _ = await curl.communicate()
            assert said.decode() == f"/a {version}"
        assert [head.partition("x-forwarded-proto: ")[2].split()[0] for head in origin.heads] == ["https", "https"]

    run(fresh, scenario, tls=GatewayTls(certificates=certificates))


def test_files_of_a_directory_are_served(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(b"<p>home")

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        spec = RouteSpec(
            match=[RouteMatch(path="/docs*")], static=Static(directory=str(tmp_path)), strip_prefix="/docs"
        )
        node.route("docs", spec)
        reply = await node.get("/docs/")
        while reply.body == b"/docs/":  # That was the origin, by the other route.
            reply = await node.get("/docs/")
        assert (reply.status, reply.body, reply.headers["content-type"]) == (
            200,
            b"<p>home",
            "text/html; charset=utf-8",
        )

    run(fresh, scenario)


def test_an_origin_that_cannot_be_reached_is_a_502_that_says_so() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        origin._server.close()
        node.route(
            "all",
            RouteSpec(match=[RouteMatch()], origin="gone"),
            OriginSpec(targets=[Target(url="http://127.0.0.1:1")]),
        )
        await node.until(lambda: True)
        reply = await node.get("/a")
        while reply.status == 200:
            reply = await node.get("/a")
        assert reply.status == 502
        assert "connection refused" in reply.json()["detail"]

    run(fresh, scenario)
