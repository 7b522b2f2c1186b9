import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from fastapi import FastAPI

from littoral.workers import Context, NotSupported, Request, Response, asgi

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"asgi")]}


def piece(body: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


class Node:
    """What a worker gives an app."""

    def __init__(self) -> None:
        self.background: list[Any] = []
        self.ctx = Context(self.background.append)

    async def ask(self, app: Any, path: str = "/", body: bytes = b"", *fields: tuple[str, str]) -> Response:
        request = Request.received(
            "POST", f"https://edge.test:8443{path}", [("host", "edge.test"), *fields], body, "id"
        )
        return await asgi.fetch(app, request, {"A": 1}, self.ctx)


def run(scenario: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Node())
        await asgi.shutdown()

    asyncio.run(main())


def test_the_scope_is_what_the_specification_says() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope)
            await send(START)
            await send(piece(b""))

    async def scenario(node: Node) -> None:
        response = await node.ask(app, "/a%20b/%C3%B6?q=%20", b"", ("x-forwarded-for", "6.6.6.6, 192.0.2.7"))
        assert (response.status, response.headers["x-kind"], response.body) == (200, "asgi", None)

    run(scenario)
    scope = seen[0]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b/ö", b"/a%20b/%C3%B6", b"q=%20")
    assert (scope["scheme"], scope["server"], scope["method"]) == ("https", ("edge.test", 8443), "POST")
    assert (scope["headers"][0], scope["env"]) == ((b"host", b"edge.test"), {"A": 1})
    assert scope["client"] == ("192.0.2.7", 0), "what a client claims is not its address"


def test_the_body_comes_in_pieces_and_then_the_client_goes() -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("not known here")
        received.append(await receive())
        received.append(await receive())
        await send(START)
        await send(piece(b"done"))
        received.append(await receive())

    async def scenario(node: Node) -> None:
        assert await (await node.ask(app, body=b"body")).text() == "done"
        await asyncio.gather(*node.background)

    run(scenario)
    assert received == [
        {"type": "http.request", "body": b"body", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_a_response_is_passed_on_while_it_is_made() -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            for number in range(100):
                await send(piece(b"%d " % number, more=True))
                sent.append(number)
            await send(piece(b""))

    async def scenario(node: Node) -> None:
        response = await node.ask(app)
        assert response.body is not None
        reader = response.body.getReader()
        assert (await reader.read()).value == b"0 "
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(sent) < 5, "it waits for whoever reads"
        rest = [one.value async for one in _pieces(reader)]
        assert (len(rest), len(sent)) == (99, 100)

    run(scenario)


async def _pieces(reader: Any) -> Any:
    while not (one := await reader.read()).done:
        yield one


@pytest.mark.parametrize("sent", [[piece(b"x")], [piece(b"", more=True), piece(b"x", more=True), piece(b"")]])
def test_a_status_without_a_body_has_none(sent: list[Any]) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for one in [{**START, "status": 204}, *sent]:
                await send(one)

    async def scenario(node: Node) -> None:
        response = await node.ask(app)
        assert (response.status, response.whole) == (204, b"")

    run(scenario)


def test_what_follows_the_response_is_background_work() -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send(piece(b"answer"))
            await gate.wait()
            done.append(scope["path"])

    async def scenario(node: Node) -> None:
        assert (await node.ask(app, "/a")).whole == b"answer"
        assert (len(node.background), done) == (1, [])
        gate.set()
        await node.background[0]
        assert done == ["/a"]

    run(scenario)


def test_a_response_that_nobody_reads_does_not_keep_its_application() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await send(START)
                for _ in range(100):
                    await send(piece(b"x", more=True))
            finally:
                ended.append("http")

    async def scenario(node: Node) -> None:
        response: Response | None = await node.ask(app)
        assert response is not None
        assert response.status == 200
        assert ended == []
        response = None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ended == ["http"]

    run(scenario)


@pytest.mark.parametrize(
    ("messages", "error", "message"),
    [
        ([], RuntimeError, "returned without a whole response"),
        ([START], RuntimeError, "returned without a whole response"),
        ([piece(b"x")], RuntimeError, "sent 'http.response.body' out of order"),
        ([START, START], RuntimeError, "sent 'http.response.start' out of order"),
        ([{"type": "websocket.accept"}], NotSupported, "websocket.accept"),
        (
            [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\nc")]}],
            ValueError,
            "control character",
        ),
    ],
)
def test_an_application_that_does_not_answer_fails_the_request(
    messages: list[Any], error: type[Exception], message: str
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for one in messages:
                await send(one)

    async def scenario(node: Node) -> None:
        with pytest.raises(error, match=message):
            await node.ask(app)

    run(scenario)


def test_a_stream_that_fails_fails_where_it_is_read() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send(piece(b"begin", more=True))
            raise RuntimeError("half way")

    async def scenario(node: Node) -> None:
        with pytest.raises(RuntimeError, match="half way"):
            await (await node.ask(app)).text()

    run(scenario)


def test_a_request_that_is_cancelled_takes_its_application_along() -> None:
    ended: list[str] = []
    entered = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("http")

    async def scenario(node: Node) -> None:
        asked = asyncio.get_running_loop().create_task(node.ask(app))
        await entered.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0)
        assert ended == ["http"]

    run(scenario)


def test_lifespan_is_started_once_and_ended_at_the_end() -> None:
    events: list[object] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            events.append((await receive())["type"])
            scope["state"]["pool"] = "open"
            await send({"type": "lifespan.startup.complete"})
            events.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        events.append(scope["state"].pop("pool"))
        await send(START)
        await send(piece(b""))

    async def scenario(node: Node) -> None:
        await asyncio.gather(node.ask(app), node.ask(app))

    run(scenario)
    assert events == ["lifespan.startup", "open", "open", "lifespan.shutdown"]


def test_an_application_that_cannot_start_is_asked_again_by_the_next_request() -> None:
    attempts: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            attempts.append(1)
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def scenario(node: Node) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="cannot start: no database"):
                await node.ask(app)

    run(scenario)
    assert len(attempts) == 2


def test_lifespans_are_bounded() -> None:
    stopped: list[int] = []

    def make(number: int) -> Any:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                stopped.append(number)
                return
            await send(START)
            await send(piece(b""))

        return app

    async def scenario(node: Node) -> None:
        for number in range(asgi.LIFESPANS + 2):
            await node.ask(make(number))
        for _ in range(3):
            await asyncio.sleep(0)
        assert stopped == [0, 1]

    run(scenario)


def test_the_bindings_are_a_dependency_of_fastapi() -> None:
    app = FastAPI()

    @app.get("/")
    def root(env: Any = asgi.env) -> Any:
        return env

    async def scenario(node: Node) -> None:
        request = Request.received("GET", "https://edge.test/", [], b"", "id")
        assert await (await asgi.fetch(app, request, {"A": 1}, node.ctx)).json() == {"A": 1}

    run(scenario)
