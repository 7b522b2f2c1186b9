"""An ASGI app over HTTP and WebSocket, on a socket that somebody else bound."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.limits import Limits
from littoral.drivers.asgi_server import AsgiServer, Message, Receive, Send
from littoral.drivers.listeners import listen_tcp

DEADLINE_S = 20.0


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        heard = await receive()
        await send({"type": "websocket.send", "text": f"heard {heard['text']}"})
        await send({"type": "websocket.close", "code": 1000})
        return
    if scope["path"] == "/fail":
        raise RuntimeError("a fault of the app")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{scope['method']} {scope['path']}".encode()})


async def exchange(listener: socket.socket, request: str, then: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(request.replace("\n", "\r\n").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(then)
    rest = await reader.read()
    writer.close()
    return head + rest


def serve(story: Callable[[socket.socket], Awaitable[None]]) -> None:
    async def main() -> None:
        with listen_tcp("127.0.0.1:0") as listener:
            server = AsgiServer(listener.fileno(), application, Limits())
            server.start()
            async with asyncio.timeout(DEADLINE_S):
                await story(listener)
            assert await server.stop(5.0)

    asyncio.run(main())


def test_requests_are_answered() -> None:
    async def story(listener: socket.socket) -> None:
        answer = await exchange(listener, "GET /page?x=1 HTTP/1.1\nhost: a\nconnection: close\n\n")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"GET /page")

    serve(story)


def test_websockets_are_carried() -> None:
    # A masked text frame "hi" with the mask 0, after RFC 6455 section 5.2.
    frame = b"\x81\x82\x00\x00\x00\x00hi"

    async def story(listener: socket.socket) -> None:
        answer = await exchange(
            listener,
            "GET /ws HTTP/1.1\nhost: a\nupgrade: websocket\nconnection: upgrade\n"
            "sec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n\n",
            then=frame,
        )
        assert answer.startswith(b"HTTP/1.1 101 Switching Protocols")
        assert b"\x81\x08heard hi" in answer

    serve(story)


def test_a_fault_of_the_app_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def story(listener: socket.socket) -> None:
        answer = await exchange(listener, "GET /fail HTTP/1.1\nhost: a\nconnection: close\n\n")
        assert answer.startswith(b"HTTP/1.1 500")
        assert b"fault of the app" not in answer

    with caplog.at_level(logging.ERROR):
        serve(story)
    assert "serving /fail failed" in caplog.text
