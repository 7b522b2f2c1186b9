"""Functions that ask other services, with real processes."""

import asyncio
import json
import re
from pathlib import Path
from typing import Literal

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from littoral.core.resources.web import CertificateFiles, GatewayTls
from littoral.functions.messages import WorkerBounds
from tests.support.certificates import TestCa
from tests.support.functions_node import FunctionNode, Reply, request
from tests.support.origins import Peer, origin

PROXY = """
import js
from pyodide.http import pyfetch
from workers import WorkerEntrypoint, Response, fetch

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        to, how = request.headers["x-to"], request.query.get("how", "")
        try:
            if how == "pass":
                return await fetch(to, method=request.method, body=request.body, headers={"x-by": "shop"})
            if how == "js":
                response = await js.fetch(to, method="PUT", body="by js")
                return Response.json({"status": response.status, "said": await response.text()})
            if how == "pyfetch":
                response = await pyfetch(to, method="PUT", body="by pyfetch")
                return Response.json({"status": response.status, "said": await response.string()})
            if how == "itself":
                return await fetch(request.url, headers=request.headers)
            response = await fetch(to)
            return Response.json({"status": response.status, "said": await response.text()})
        except TypeError as error:
            return Response(str(error), status=502)
"""


def field(head: str, name: str) -> str:
    return next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith(f"{name}: "))


async def ask(node: FunctionNode, to: str, how: str = "", **more: str) -> Reply:
    return await request(node.port, f"/shop?how={how}", headers={"x-to": to, **more})


@pytest.mark.parametrize("isolation", ["process", "sandbox"])
def test_a_function_asks_others(isolation: Literal["process", "sandbox"]) -> None:
    asyncio.run(_asks_others(isolation))


async def _asks_others(isolation: Literal["process", "sandbox"]) -> None:
    heads: list[str] = []

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.head()
            heads.append(head)
            length = int(field(head, "content-length")) if "content-length" in head else 0
            body = await peer.reader.readexactly(length) or b"nothing"
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with origin(script) as it, FunctionNode() as node:
        await node.start_egress()
        bounds = WorkerBounds(isolation=isolation)
        to = f"{it.endpoint}/x"
        await node.deploy("shop", PROXY, bounds=bounds, egress=["127.0.0.1"])
        assert (await ask(node, to)).json() == {"status": 200, "said": "nothing"}
        assert (await ask(node, to, "js")).json() == {"status": 200, "said": "by js"}
        assert (await ask(node, to, "pyfetch")).json() == {"status": 200, "said": "by pyfetch"}
        assert (await ask(node, to, "pass")).body == b"nothing"
        assert field(heads[-1], "x-by") == "shop"

        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await ask(node, to, traceparent=trace, tracestate="a=1")
        _, trace_id, span, _ = field(heads[-1], "traceparent").split("-")
        assert trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert span not in (trace.split("-")[2], "0" * 16)
        assert field(heads[-1], "tracestate") == "a=1"
        assert field(heads[-1], "cdn-loop") == "littoral"

        refused = await ask(node, "http://10.0.0.1/", **{"x-request-id": "mine"})
        assert refused.status == 502
        assert b"10.0.0.1" in refused.body
        assert b"egress" in refused.body
        await node.until(lambda: "egress: shop: [" in node.log())
        await node.until(lambda: (meter := node.egress_report().apps.get("shop")) and meter.refused == 1)
        assert node.egress_report().apps["shop"].requests == 6

        # Whoever makes the requests may end at any time.
        node.kill("egress")
        await node.start_egress()
        assert (await ask(node, to)).json() == {"status": 200, "said": "nothing"}

        # A function that asks itself is told so in the end.
        await node.deploy("shop", PROXY, revision="2", bounds=bounds, egress=["127.0.0.1"], workers=1)
        circle = await ask(node, to, "itself", host=f"127.0.0.1:{node.port}")
        assert circle.status == 502
        assert b"goes in a circle" in circle.body, json.dumps(circle.body.decode())


FACTS = """
from workers import WorkerEntrypoint, Response

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        cf = request.cf
        return Response.json([cf.httpProtocol, cf.tlsVersion, cf["tlsCipher"], cf.colo, cf.country])
"""


def test_a_function_knows_how_it_was_asked(tmp_path: Path) -> None:
    ca = TestCa("ca")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    certificate, key = ca.issue("edge", names=("edge.test",)).write(tmp_path, "edge")
    tls = GatewayTls(certificates=[CertificateFiles(certificate=str(certificate), key=str(key))])

    async def main() -> None:
        async with FunctionNode(tls=tls, country_header="cf-ipcountry") as node:
            await node.deploy("shop", FACTS)
            for version in ("2", "1.1"):
                call = [
                    "curl",
                    "-sS",
                    "--cacert",
                    str(tmp_path / "ca.pem"),
                    f"--http{version}",
                    "-H",
                    "CF-IPCountry: ch",
                ]
                call += ["-H", "littoral-tls: forged"]
                call += ["--resolve", f"edge.test:{node.port}:127.0.0.1", f"https://edge.test:{node.port}/shop"]
                curl = await asyncio.create_subprocess_exec(*call, stdout=asyncio.subprocess.PIPE)
                said, _ = await curl.communicate()
                protocol, tls_version, cipher, colo, country = json.loads(said)
                assert (protocol, tls_version, colo, country) == (f"HTTP/{version}", "TLSv1.3", "edge", "CH")
                assert cipher.startswith("TLS_")

    asyncio.run(main())


THROUGH = """
from workers import WorkerEntrypoint, fetch

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return await fetch(self.env.TO, method="POST", body=request.body)
"""
SIZE = 32 << 20


def peak_bytes(pid: int) -> int:
    """The most memory it has had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_large_bodies_pass_through_a_function_without_being_held() -> None:
    async def mirror(peer: Peer) -> None:
        """Says what it is told while it is told it: chunked as it comes."""
        assert "transfer-encoding: chunked" in await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while data := await peer.reader.read(1 << 16):
            peer.writer.write(data)
            await peer.writer.drain()
            if data.endswith(b"\r\n0\r\n\r\n"):
                break

    async def main() -> None:
        async with origin(mirror) as it, FunctionNode() as node:
            await node.start_egress()
            await node.deploy("shop", THROUGH, egress=["127.0.0.1"], vars={"TO": str(it.endpoint)})
            pids = [node.processes["egress"].pid, node.pool("shop").pids[0]]
            before = [peak_bytes(pid) for pid in pids]
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            head = f"POST /shop HTTP/1.1\r\nhost: edge.test\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n"
            writer.write(head.encode())

            async def send() -> None:
                for _ in range(SIZE >> 16):
                    writer.write(b"x" * (1 << 16))
                    await writer.drain()

            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(send())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                count = 0
                while data := await reader.read(1 << 16):
                    count += data.count(b"x")
            writer.close()
            assert count == SIZE
            grown = [peak_bytes(pid) - least for pid, least in zip(pids, before, strict=True)]
            assert max(grown) < SIZE / 4, grown

    asyncio.run(main())


SOCKETS = """
import asyncio
import js
from workers import WorkerEntrypoint, Response, fetch

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.headers["upgrade"]:
            # What the client sends goes there, and what comes from there to the client.
            return await fetch(self.env.TO, headers=request.headers)
        socket = js.WebSocket.new(self.env.TO.replace("http", "ws"))
        said = asyncio.get_running_loop().create_future()
        socket.addEventListener("open", lambda event: socket.send("by the function"))
        socket.addEventListener("message", lambda event: said.set_result(event.data))
        answer = await said
        socket.close(1000)
        return Response(answer)
"""


def test_websockets_that_a_function_opens_or_passes_on() -> None:
    async def say_again(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(f"again: {message}" if isinstance(message, str) else message)

    async def main() -> None:
        async with serve(say_again, "127.0.0.1", 0) as server, FunctionNode() as node:
            await node.start_egress()
            to = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            await node.deploy("shop", SOCKETS, egress=["127.0.0.1"], vars={"TO": to})
            assert (await request(node.port, "/shop")).body == b"again: by the function"
            async with connect(f"ws://127.0.0.1:{node.port}/shop") as socket:
                await socket.send("hello")
                assert await socket.recv() == "again: hello"
                await socket.send(b"x" * 300_000)
                assert await socket.recv() == b"x" * 300_000
            await node.until(lambda: node.egress_report().under_way == 0)

    asyncio.run(main())
