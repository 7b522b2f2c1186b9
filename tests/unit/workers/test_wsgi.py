import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from littoral.workers import Request, Response, wsgi

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
