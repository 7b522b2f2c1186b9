import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from littoral.workers import ReadableStream, Request, Response, wsgi

Start = Callable[..., Any]


def ask(app: Any, path: str = "/", body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Response:
    request = Request.received("POST", f"http://edge.test:8080{path}", headers or [], body, "id")
    return asyncio.run(wsgi.fetch(app, request, {"A": 1}))


def test_the_environ_is_what_the_specification_says() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        seen.append({**environ, "body": environ["wsgi.input"].read()})
        start_response("201 Made", [("X-A", "1"), ("X-A", "2")])
        return [b"a", b"b"]

    fields = [
        ("content-type", "text/plain"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x_a", "9"),
        ("x-forwarded-for", "192.0.2.7"),
    ]
    response = ask(app, "/a%20b/%C3%B6?q=%20", b"body", fields)
    assert (response.status, response.status_text, response.whole) == (201, "Made", b"ab")
    assert response.headers.get_all("x-a") == ["1", "2"]
    environ = seen[0]
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/ö"
    assert (environ["QUERY_STRING"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("q=%20", "edge.test", "8080")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["body"]) == ("text/plain", "4", b"body")
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")
    assert environ["REMOTE_ADDR"] == "192.0.2.7"
    assert environ["workers.env"] == {"A": 1}


class Pieces:
    """A response that counts its closes, and starts late."""

    def __init__(self, start_response: Start, *, fails: bool = False) -> None:
        self.closes = 0
        self._start, self._fails = start_response, fails

    def __iter__(self) -> Iterator[bytes]:
        self._start("200 OK", [])
        yield b""
        yield b"first"
        if self._fails:
            raise RuntimeError("half way")
        yield b"last"

    def close(self) -> None:
        self.closes += 1


def test_a_response_in_pieces_is_a_stream_that_is_closed_once() -> None:
    made: list[Pieces] = []

    def app(environ: object, start_response: Start) -> Pieces:
        made.append(Pieces(start_response))
        return made[-1]

    async def scenario() -> None:
        response = await wsgi.fetch(app, Request("http://edge.test/"), {})
        assert (response.whole, made[0].closes) == (None, 0)
        assert (await response.text(), made[0].closes) == ("firstlast", 1)

    asyncio.run(scenario())


def test_a_response_that_fails_is_closed_as_well() -> None:
    made: list[Pieces] = []

    def app(environ: object, start_response: Start) -> Pieces:
        made.append(Pieces(start_response, fails=True))
        return made[-1]

    async def scenario() -> None:
        response = await wsgi.fetch(app, Request("http://edge.test/"), {})
        with pytest.raises(RuntimeError, match="half way"):
            await response.text()
        assert made[0].closes == 1

    asyncio.run(scenario())


def test_what_was_written_comes_first() -> None:
    def app(environ: object, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"written ")
        return [b"returned"]

    assert ask(app).whole == b"written returned"


def test_an_application_that_does_not_start_its_response_fails_the_request() -> None:
    with pytest.raises(RuntimeError, match="did not call start_response"):
        ask(lambda environ, start_response: [b"x"])


def test_an_application_may_change_its_mind_with_an_error_only() -> None:
    def twice(environ: object, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 No", [])
        return []

    def error(environ: object, start_response: Start) -> list[bytes]:
        start_response("200 OK", [("a", "1")])
        start_response("500 No", [("b", "1")], (ValueError, ValueError(), None))
        return []

    with pytest.raises(RuntimeError, match="called start_response twice"):
        ask(twice)
    failed = ask(error)
    assert (failed.status, failed.headers.keys()) == (500, ["b"])


@pytest.mark.parametrize("returned", [iter, list])
def test_a_status_without_a_body_has_none(returned: Callable[[list[bytes]], Any]) -> None:
    def app(environ: object, start_response: Start) -> Any:
        start_response("304 Not Modified", [])
        return returned([b"x"])

    assert ask(app).body is None


def test_what_nobody_begins_to_read_is_closed_as_well() -> None:
    made: list[Pieces] = []

    def app(environ: object, start_response: Start) -> Pieces:
        made.append(Pieces(start_response))
        return made[-1]

    async def scenario() -> None:
        response = await wsgi.fetch(app, Request("http://edge.test/"), {})
        await response.outgoing().cancel()
        assert made[0].closes == 1

    asyncio.run(scenario())


class Upload:
    """A request whose body comes when the test says so."""

    def __init__(self, length: int | None = 6) -> None:
        self.pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        fields = [] if length is None else [("content-length", str(length))]
        self.request = Request.received("POST", "http://edge.test/", fields, ReadableStream(self._come(), length), "id")

    async def _come(self) -> AsyncIterator[bytes]:
        while piece := await self.pieces.get():
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Taker:
    """An application that answers with each line as it has read it."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.ended = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        assert environ["CONTENT_LENGTH"] == "6"
        start_response("200 OK", [])
        return self._lines(environ["wsgi.input"])

    def _lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        mark.set("of this call")
        try:
            for line in lines:
                self.threads.add(threading.get_ident())
                assert mark.get() == "of this call"
                yield line.upper()
        finally:
            self.threads.add(threading.get_ident())
            self.ended.set()


mark: ContextVar[str] = ContextVar("mark", default="")


def test_a_body_that_is_on_its_way_is_read_as_it_comes_and_answered_meanwhile() -> None:
    async def scenario() -> None:
        app, upload = Taker(), Upload()
        answering = asyncio.ensure_future(wsgi.fetch(app, upload.request, {}))
        upload.pieces.put_nowait(b"a\nb")
        pieces = aiter((await answering).outgoing())
        assert await anext(pieces) == b"A\n"
        upload.pieces.put_nowait(b"c\nd")
        assert await anext(pieces) == b"BC\n"
        upload.pieces.put_nowait(b"")
        assert [piece async for piece in pieces] == [b"D"]
        assert await asyncio.to_thread(app.ended.wait, 10)
        assert len(app.threads) == 1
        assert threading.get_ident() not in app.threads

    asyncio.run(scenario())


def test_a_body_of_unknown_length_is_read_whole_before() -> None:
    async def scenario() -> None:
        upload = Upload(None)
        for piece in (b"abc", b"def", b""):
            upload.pieces.put_nowait(piece)
        seen: list[tuple[str, bytes, int]] = []

        def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            seen.append((environ["CONTENT_LENGTH"], environ["wsgi.input"].read(), threading.get_ident()))
            start_response("204 Nothing", [])
            return []

        assert (await wsgi.fetch(app, upload.request, {})).status == 204
        assert seen == [("6", b"abcdef", threading.get_ident())]

    asyncio.run(scenario())


def test_what_ends_a_body_before_its_time_is_raised_where_it_is_read() -> None:
    async def scenario() -> None:
        upload = Upload()
        upload.pieces.put_nowait(ConnectionResetError("gone"))

        def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
            start_response("200 OK", [])
            return [environ["wsgi.input"].read()]

        with pytest.raises(ConnectionResetError, match="gone"):
            await wsgi.fetch(app, upload.request, {})

    asyncio.run(scenario())


@pytest.mark.parametrize("computes", [False, True], ids=["waits", "computes"])
def test_an_application_that_nobody_waits_for_is_broken_off(*, computes: bool) -> None:
    ended, began = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        try:
            began.set()
            while computes:
                with contextlib.suppress(Exception):
                    sum(range(100))
            environ["wsgi.input"].read()
        finally:
            ended.set()
        return []

    async def scenario() -> None:
        upload = Upload()
        answering = asyncio.ensure_future(wsgi.fetch(app, upload.request, {}))
        assert await asyncio.to_thread(began.wait, 10)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert await asyncio.to_thread(ended.wait, 10)

    asyncio.run(scenario())
