"""WebSockets of functions, through real processes, with the client library `websockets`; and with frames that no library sends."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.functions_node import FunctionNode, kill9

CODE = """
    import asyncio
    import os

    from js import Object, Response as JsResponse, WebSocketPair as JsPair
    from pyodide.ffi import create_proxy
    from workers import Response, WebSocketPair, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            what = request.query.get("do")
            if what == "pid":
                return Response(str(os.getpid()))
            if what == "refuse":
                return Response("no", 403)
            client, server = JsPair.new().object_values()
            server.accept()
            if what == "stuck":
                # Nobody takes what comes.
                self.ctx.waitUntil(asyncio.sleep(0))
                return Response(None, status=101, web_socket=client)

            async def on_message(event):
                if event.data == "raise":
                    raise RuntimeError("in a listener")
                while event.data == "spin":
                    pass
                if event.data == "close":
                    server.close(4321, "enough")
                elif event.data == "flood":
                    for _ in range(200):
                        server.send("x" * 100_000)
                elif isinstance(event.data, str):
                    server.send("you said " + event.data)
                else:
                    server.send(bytes(reversed(event.data.to_bytes())))

            server.addEventListener("message", create_proxy(on_message))
            server.addEventListener("close", lambda event: print(f"closed {event.code} {event.reason} {event.wasClean}"))
            server.addEventListener("error", lambda event: print("error", event.message))
            offered = request.headers.get("sec-websocket-protocol")
            headers = {"sec-websocket-protocol": "chat"} if offered else {}
            return JsResponse.new(None, status=101, webSocket=client, headers=headers)
"""
ASGI = """
    from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
    from fastapi.responses import StreamingResponse
    import asyncio

    app = FastAPI()

    @app.websocket("/asgi/{name}")
    async def talk(socket: WebSocket, name: str):
        if name == "nobody":
            await socket.close(1008)
            return
        await socket.accept(subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None)
        try:
            while True:
                await socket.send_text(name + ": " + await socket.receive_text())
        except WebSocketDisconnect as gone:
            print("disconnected", gone.code)

    @app.get("/asgi")
    async def events(request: Request):
        async def made():
            try:
                yield "data: 1\\n\\n"
                await asyncio.sleep(60)
            finally:
                print("events closed", await request.is_disconnected())
        return StreamingResponse(made(), media_type="text/event-stream")

    @app.post("/asgi")
    async def count(request: Request):
        size = 0
        async for piece in request.stream():
            size += len(piece)
        return {"size": size}
"""


def run(
    scenario: Callable[[FunctionNode], Awaitable[None]],
    code: str = CODE,
    name: str = "app",
    wall_ms: int = 10_000,
    **options: object,
) -> None:
    async def main() -> None:
        async with FunctionNode(**options) as node:  # type: ignore[arg-type]
            await node.deploy(name, code, workers=1, wall_ms=wall_ms)
            async with asyncio.timeout(20):
                await scenario(node)

    asyncio.run(main())


def socket(node: FunctionNode, path: str = "/app", **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{node.port}{path}", compression=None, **options)


def test_messages_go_both_ways_and_each_side_hears_of_the_end() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node, subprotocols=["chat"]) as client, socket(node, subprotocols=["chat"]) as other:
            assert client.subprotocol == "chat"
            await client.send("hello")
            assert await client.recv() == "you said hello"
            await client.send([b"ab", b"cd"])
            assert await client.recv() == b"dcba", "a message in fragments is one"
            await (await client.ping())
            large = "ä" * 300_000
            await client.send(large)
            assert await client.recv() == "you said " + large
            await client.send("raise")
            await node.until(
                lambda: "RuntimeError: in a listener" in node.log() and "error in a listener" in node.log()
            )
            await client.send("close")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4321, "enough")
            await other.close(3999, "bye")
        await node.until(lambda: "closed 4321 enough True" in node.log() and "closed 3999 bye True" in node.log())
        gone = socket(node)
        async with gone as client:
            client.transport.abort()
        await node.until(lambda: "closed 1006  False" in node.log())
        with pytest.raises(InvalidStatus, match="403"):
            await socket(node, "/app?do=refuse").__aenter__()
        plain = await node.get("/app")
        assert plain.status == 500, "a WebSocket for who did not ask for one"

    run(scenario)


def frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    head = bytes([first, (0x80 if masked else 0) | len(payload)])
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


WRONG = {
    "not masked": (frame(0x81, b"x", masked=False), 1002),
    "reserved bits": (frame(0xF1, b"x"), 1002),
    "reserved opcode": (frame(0x83, b"x"), 1002),
    "fragmented ping": (frame(0x09, b"x"), 1002),
    "continuation of nothing": (frame(0x80, b"x"), 1002),
    "message within a message": (frame(0x01, b"x") + frame(0x81, b"y"), 1002),
    "not UTF-8": (frame(0x81, b"\xff\xff"), 1007),
    "close with one byte": (frame(0x88, b"x"), 1002),
    "close with a code of nobody": (frame(0x88, b"\x03\xec"), 1002),
    "too large": (bytes([0x82, 0xFF]) + (1 << 40).to_bytes(8, "big") + b"mask" + b"x" * 70_000, 1009),
}


def test_frames_that_no_client_sends_close_their_web_socket_and_no_other() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node) as neighbour:
            for name, (sent, code) in WRONG.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                wish = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                writer.write(f"GET /app HTTP/1.1\r\nhost: x\r\n{wish}\r\n".encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"), name
                writer.write(sent)
                answered = await reader.read()
                assert (answered[0], int.from_bytes(answered[2:4], "big")) == (0x88, code), (name, answered)
                writer.close()
            await neighbour.send("still there?")
            assert await neighbour.recv() == "you said still there?"

    run(scenario, overrides={"web-socket-message-bytes": 65_536})


def test_who_does_not_take_what_comes_is_waited_for_or_closed() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node, max_size=None) as client:
            client.transport.pause_reading()
            await client.send("flood")
            await node.until(lambda: "bytes wait to be sent" in node.log())
            client.transport.abort()
        async with socket(node, "/app?do=stuck") as stuck:
            sent = 0
            # Until what was sent stays here: nobody takes it any more.
            while stuck.transport.get_write_buffer_size() == 0 or not await stays(stuck):
                sending = asyncio.ensure_future(stuck.send(b"x" * 100_000))
                await asyncio.wait([sending], timeout=0.1)
                sent += 100_000
            assert sent < 64_000_000
            assert (await node.get("/app?do=pid")).status == 200
            stuck.transport.abort()

    run(scenario, overrides={"web-socket-unsent-bytes": 1 << 20})


async def stays(client: Any) -> bool:
    """Whether nothing of what waits to be sent goes in a while."""
    before = client.transport.get_write_buffer_size()
    await asyncio.sleep(0.1)
    return bool(client.transport.get_write_buffer_size() == before)


def test_a_client_that_does_not_answer_pings_is_gone() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node) as client:
            client.transport.pause_reading()
            await node.until(lambda: "no answer to a ping" in node.log() and "closed 1006  False" in node.log())
            client.transport.abort()

    run(scenario, overrides={"web-socket-ping-seconds": 1})


def test_a_listener_that_computes_without_a_pause_is_interrupted() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node) as client, socket(node) as neighbour:
            await client.send("spin")
            await node.until(lambda: "Overtime" in node.log())
            for each in (client, neighbour):
                await each.send("still there?")
                assert await each.recv() == "you said still there?"

    run(scenario, wall_ms=1000)


def test_the_end_of_a_worker_is_the_end_of_its_web_sockets() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node) as client:
            kill9(node.pool("app").pids[0])
            with pytest.raises(ConnectionClosed):
                await client.recv()
        async with socket(node) as client:
            await node.place("app", CODE, revision="2")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
        async with socket(node) as client:
            await client.send("hello")
            assert await client.recv() == "you said hello"

    run(scenario, overrides={"function-drain-seconds": 1})


def test_an_asgi_application_streams_and_talks() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with socket(node, "/asgi/ada", subprotocols=["soap", "chat"]) as client:
            assert client.subprotocol == "chat"
            await client.send("hello")
            assert await client.recv() == "ada: hello"
        await node.until(lambda: "disconnected 1000" in node.log())
        with pytest.raises(InvalidStatus, match="403"):
            await socket(node, "/asgi/nobody").__aenter__()
        counted = await node.get("/asgi", method="POST", body=b"x" * 2_000_000)
        assert counted.json() == {"size": 2_000_000}
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"GET /asgi HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"data: 1\n\n")
        writer.transport.abort()
        await node.until(lambda: "events closed" in node.log())

    run(scenario, ASGI, "asgi")
