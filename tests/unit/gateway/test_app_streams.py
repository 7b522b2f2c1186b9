"""Answers of apps in pieces, and WebSockets, over HTTP/2: what is one chunk, one broken connection or one switch there."""

import asyncio
from typing import Any

from littoral.core.errors import FunctionFailed
from littoral.core.limits import Limits
from littoral.drivers.web_listener import WebListener
from littoral.gateway.app_calls import AppCalls, AppSender
from littoral.gateway.exchange import Answering, Exchange, Later
from littoral.gateway.gateway import Served
from littoral.gateway.meters import Meters
from littoral.gateway.target import read_target
from tests.support.web_http2 import REQUEST, Http2Client, play_http2


class Echo:
    """An answer that says what is written to it; None ends it, and an exception breaks it off."""

    length = None
    switched = False

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def read(self) -> bytes:
        piece = await self.said.get()
        if isinstance(piece, Exception):
            raise piece
        return piece or b""

    async def write(self, data: bytes) -> None:
        self.said.put_nowait(data)

    def end(self) -> None:
        self.said.put_nowait(None)

    def close(self) -> None:
        self.closed.set()


class App:
    """Answers with an Echo."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked: list[tuple[Any, ...]] = []

    async def call(self, *asked: Any) -> Any:
        self.asked.append(asked)
        self.echo = Echo()
        return self.status, [("sec-websocket-accept", "x")] if self.status == 101 else [], self.echo

    def serve(self, exchange: Exchange) -> Answering | None:
        calls = AppCalls(AppSender("shop", self.call, Limits(), Meters()))
        return self._finish(calls.serve(exchange, read_target(exchange.target), "r-1"))

    async def _finish(self, answer: Served) -> None:
        if not isinstance(answer, int | Later):
            await answer


def test_an_answer_that_breaks_off_resets_its_stream_only() -> None:
    app = App()

    async def story(client: Http2Client, listener: WebListener) -> None:
        broken = client.ask(REQUEST)
        await client.until(lambda: bool(client.answers[broken].fields))
        app.echo.said.put_nowait(b"one")
        app.echo.said.put_nowait(FunctionFailed("call app", "shop", "its code raised an exception"))
        answer = await client.answer(broken)
        assert (answer.body, answer.is_whole, answer.reset is not None) == (b"one", False, True)
        assert app.echo.closed.is_set()
        other = client.ask(REQUEST)
        await client.until(lambda: bool(client.answers[other].fields))
        app.echo.said.put_nowait(b"two")
        app.echo.said.put_nowait(None)
        answer = await client.answer(other)
        assert (answer.body, answer.is_whole) == (b"two", True)

    play_http2(app.serve, story)


def test_a_client_that_resets_its_stream_closes_the_apps() -> None:
    app = App()

    async def story(client: Http2Client, listener: WebListener) -> None:
        asked = client.ask(REQUEST)
        await client.until(lambda: bool(client.answers[asked].fields))
        client.wire.reset_stream(asked)
        client.flush()
        async with asyncio.timeout(5):
            await app.echo.closed.wait()

    play_http2(app.serve, story)


def test_a_web_socket_over_http_2_is_one_for_the_app() -> None:
    app = App(101)

    async def story(client: Http2Client, listener: WebListener) -> None:
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), *REQUEST[1:], ("sec-websocket-version", "13")]
        talk = client.ask(fields, ends=False)
        await client.until(lambda: bool(client.answers[talk].fields))
        assert client.answers[talk].fields[":status"] == "200"
        said = dict(app.asked[0][3])
        assert (said["upgrade"], said["sec-websocket-version"], bool(said["sec-websocket-key"])) == (
            "websocket",
            "13",
            True,
        )
        client.wire.send_data(talk, b"hello")
        client.flush()
        await client.until(lambda: client.answers[talk].body == b"hello")
        app.echo.end()
        answer = await client.answer(talk)
        assert answer.is_whole or answer.reset is not None
        async with asyncio.timeout(5):
            await app.echo.closed.wait()

    play_http2(app.serve, story)
