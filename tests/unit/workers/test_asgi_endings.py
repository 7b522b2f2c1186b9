"""ASGI applications whose client goes away, and their WebSockets."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from littoral.workers import Request, Response, WebSocket, asgi
from littoral.workers.web_socket import CloseEvent, MessageEvent

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
START = {"type": "http.response.start", "status": 200}


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await scenario()
        await asgi.shutdown()

    asyncio.run(main())


def asked(*fields: tuple[str, str]) -> Request:
    return Request.received("GET", "https://edge.test/talk", [("host", "edge.test"), *fields], b"", "id")


def piece(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def test_an_application_hears_that_its_client_has_gone_and_ends_by_itself() -> None:
    said: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send(START)
        await send(piece(b"one"))
        assert (await receive())["type"] == "http.request"
        said.append((await receive())["type"])
        with pytest.raises(OSError, match="the client has gone"):
            await send(piece(b"two"))
        await asyncio.sleep(0)
        said.append("in order")

    async def scenario() -> None:
        request = asked()
        response = await asgi.fetch(app, request, None)
        stream = response.outgoing()
        pieces = aiter(stream)
        assert await anext(pieces) == b"one"
        waiting = asyncio.ensure_future(pieces.__anext__())
        await asyncio.sleep(0)
        request.client_left()
        waiting.cancel()
        await asyncio.wait([waiting])
        await stream.cancel()
        while len(said) < 2:
            await asyncio.sleep(0)

    run(scenario)
    assert said == ["http.disconnect", "in order"]


def test_an_application_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "LEAVE_S", 0.01)
    ended = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            while True:
                await asyncio.sleep(60)
        finally:
            ended.set()

    async def scenario() -> None:
        request = asked()
        asking = asyncio.ensure_future(asgi.fetch(app, request, None))
        for _ in range(5):
            await asyncio.sleep(0)
        request.client_left()
        asking.cancel()
        await ended.wait()

    run(scenario)


async def talk(scope: Any, receive: Receive, send: Send) -> None:
    """Says everything back."""
    if scope["type"] != "websocket":
        return
    assert (scope["scheme"], scope["path"], "method" in scope) == ("wss", "/talk", False)
    assert (await receive())["type"] == "websocket.connect"
    protocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": protocol, "headers": [(b"x-a", b"b")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})
    assert (await receive())["code"] == message["code"]
    raise ValueError(f"closed with {message['code']} {message['reason']}")


async def opened(app: Any, *fields: tuple[str, str]) -> tuple[Response, WebSocket]:
    response = await asgi.fetch(app, asked(("upgrade", "websocket"), *fields), None)
    assert response.web_socket is not None
    response.web_socket.accept()
    return response, response.web_socket


def test_a_request_for_a_web_socket_is_one_for_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        response, client = await opened(talk, ("sec-websocket-protocol", "soap, chat"))
        assert (response.status, response.headers["sec-websocket-protocol"]) == (101, "chat")
        assert response.headers["x-a"] == "b"
        for message in ("text", b"bytes"):
            client.send(message)
            event = await client.receive()
            assert isinstance(event, MessageEvent)
            assert event.data == message
        client.close(4000, "bye")
        event = await client.receive()
        assert isinstance(event, CloseEvent)
        assert event.code == 1011, "the application failed"

    run(scenario)
    assert "closed with 4000 bye" in capsys.readouterr().err


def test_an_application_refuses_closes_or_fails() -> None:
    async def refuse(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def close(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
            with pytest.raises(OSError, match="closed"):
                await send({"type": "websocket.send", "text": "late"})

    async def fail(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.send", "text": "early"})

    async def scenario() -> None:
        assert (await asgi.fetch(refuse, asked(("upgrade", "WebSocket")), None)).status == 403
        _, client = await opened(close)
        event = await client.receive()
        assert isinstance(event, CloseEvent)
        assert (event.code, event.reason) == (4001, "enough")
        with pytest.raises(RuntimeError, match="out of order"):
            await asgi.websocket(fail, asked(("upgrade", "websocket")))

    run(scenario)
