"""What `fetch` makes of redirects, of options, and of what came; who answers is in memory."""

import asyncio
import gzip
import zlib

import pytest

from littoral.workers import Env, Request, fetch, js, platform
from littoral.workers.body import BodyUsedError
from littoral.workers.decoding import decoded
from littoral.workers.failures import FetchError
from littoral.workers.outgoing import Incoming, Outgoing
from littoral.workers.platform import Platform
from littoral.workers.pyodide.ffi import JsException
from littoral.workers.pyodide.http import HttpStatusError, pyfetch


@pytest.fixture
def asked():
    """Whom a test asks, in order: what was sent; `answers` by URL."""
    it = Asked()
    platform.install(Platform(subrequest=it.send), Env({}))
    yield it
    platform.install(Platform(), Env({}))


class Asked:
    def __init__(self):
        self.sent: list[Outgoing] = []
        self.answers: dict[str, Incoming] = {}
        self.closed: list[str] = []

    def redirect(self, url, status, location):
        self.answers[url] = Incoming(status, [("location", location)], url, location, _Noting(self, url))

    def answer(self, url, status=200, headers=(), body: bytes = b"ok"):
        self.answers[url] = Incoming(status, list(headers), url, "", body)

    async def send(self, outgoing):
        self.sent.append(outgoing)
        return self.answers[outgoing.url]


class _Noting:
    """A body that says when nobody reads it any more."""

    def __init__(self, asked, url):
        self._asked, self._url = asked, url

    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration

    async def aclose(self):
        self._asked.closed.append(self._url)


def run(work):
    return asyncio.run(work)


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "GET", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PUT", "PUT", True),
    ],
)
def test_what_a_redirect_makes_of_a_request(asked, status, method, then, keeps_body):
    asked.redirect("http://a/", status, "http://a/b")
    asked.answer("http://a/b")
    body = None if method in ("GET", "HEAD") else "text"
    response = run(fetch("http://a/", method=method, body=body, headers={"x-kept": "1"}))
    sent = asked.sent[1]
    assert (sent.method, sent.body, sent.base) == (then, b"text" if keeps_body else None, "http://a/")
    assert ("content-type" in dict(sent.headers)) is keeps_body
    assert dict(sent.headers)["x-kept"] == "1"
    assert response.redirected
    assert asked.closed == ["http://a/"]


@pytest.mark.parametrize(
    ("location", "told"),
    [("http://a/b", True), ("http://a:8080/", False), ("https://a/", False), ("http://b/", False)],
)
def test_credentials_are_for_one_origin(asked, location, told):
    asked.redirect("http://a/", 307, location)
    asked.answer(location)
    headers = {"Authorization": "secret", "Cookie": "secret", "Proxy-Authorization": "secret"}
    run(fetch("http://a/", headers=headers))
    assert ("secret" in dict(asked.sent[1].headers).values()) is told


def test_manual_and_error(asked):
    asked.redirect("http://a/", 302, "http://b/")
    response = run(fetch("http://a/", redirect="manual"))
    assert (response.status, response.headers["location"]) == (302, "http://b/")
    with pytest.raises(FetchError, match="redirects to http://b/"):
        run(fetch("http://a/", redirect="error"))
    with pytest.raises(TypeError, match="follow, manual or error"):
        run(fetch("http://a/", redirect="never"))


def test_redirects_come_to_an_end(asked):
    asked.redirect("http://a/", 302, "http://a/")
    with pytest.raises(FetchError, match="more than 20 times"):
        run(fetch("http://a/"))
    assert len(asked.sent) == 21


def test_a_stream_is_not_sent_twice(asked):
    async def pieces():
        yield b"a"

    asked.redirect("http://a/", 307, "http://a/b")
    asked.redirect("http://c/", 303, "http://a/d")
    asked.answer("http://a/d")
    with pytest.raises(FetchError, match="cannot be sent again"):
        run(fetch("http://a/", method="POST", body=pieces()))
    assert run(fetch("http://c/", method="POST", body=pieces())).status == 200


def test_a_redirect_to_what_is_no_url(asked):
    asked.answers["http://a/"] = Incoming(302, [("location", "http://[")], "http://a/", "")
    with pytest.raises(FetchError, match="no URL"):
        run(fetch("http://a/"))
    asked.answers["http://a/"] = Incoming(302, [], "http://a/", "")
    assert run(fetch("http://a/")).status == 302


def test_compression_is_asked_for_unless_a_part_is(asked):
    asked.answer("http://a/")
    run(fetch("http://a/"))
    run(fetch("http://a/", headers={"range": "bytes=0-1"}))
    run(fetch("http://a/", headers={"accept-encoding": "identity"}))
    said = [dict(sent.headers).get("accept-encoding") for sent in asked.sent]
    assert said[0] is not None
    assert said[0].startswith("gzip")
    assert said[1:] == [None, "identity"]


def test_a_request_is_asked_once(asked):
    asked.answer("http://a/")

    async def main():
        request = Request("http://a/", method="POST", body="text")
        await fetch(request)
        with pytest.raises(BodyUsedError):
            await fetch(request)

    run(main())


def test_the_same_from_javascript(asked):
    asked.answer("http://a/", headers=[("x-a", "1")], body=b'{"b": {"c": 2}}')

    async def main():
        response = await js.fetch("http://a/", js.Object.fromEntries([["method", "POST"], ["body", "x"]]))
        assert (asked.sent[0].method, asked.sent[0].body) == ("POST", b"x")
        assert dict(response.headers) == {"x-a": "1"}
        assert (await response.json()).b.c == 2
        request = js.Request.new("http://a/", method="PUT")
        await js.fetch(request, redirect="manual")
        assert asked.sent[1].method == "PUT"

    run(main())


def test_the_same_from_pyodide(asked):
    asked.answer("http://a/", 404, body=b"no")

    async def main():
        response = await pyfetch("http://a/", method="DELETE", cache="no-store")
        assert await response.string() == "no"
        with pytest.raises(HttpStatusError, match="404 Client Error: Not Found for url: http://a/"):
            response.raise_for_status()

    run(main())


def test_failures_are_what_code_catches():
    assert issubclass(FetchError, TypeError)
    assert issubclass(FetchError, JsException)
    error = FetchError("why")
    assert (error.name, error.message) == ("TypeError", "why")


def test_outside_of_a_worker_nothing_is_asked():
    with pytest.raises(NotImplementedError, match="within a handler"):
        run(fetch("http://a/"))


# Content codings


async def _pieces(data, size):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _taken_apart(data, coding, size=7):
    return [piece async for piece in decoded(_pieces(data, size), coding)]


TEXT = b"what was said " * 100


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP ", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),
    ],
    # Not the bytes, which hold the time: all processes that share the tests must call them the same.
    ids=["gzip", "x-gzip", "two members", "zlib", "raw"],
)
def test_codings(coding, data):
    for size in (7, 10_000):
        assert b"".join(run(_taken_apart(data, coding, size))) == TEXT
    assert b"".join(run(_taken_apart(b"", coding))) == b""


def test_damage_is_no_end():
    for data in (gzip.compress(TEXT)[:-9], b"no gzip at all", gzip.compress(TEXT)[:-4] + b"...."):
        with pytest.raises(FetchError, match="content-encoding"):
            run(_taken_apart(data, "gzip"))


def test_little_does_not_become_much_at_once():
    async def main():
        bomb = gzip.compress(bytes(50_000_000), 9)
        pieces = decoded(_pieces(bomb, len(bomb)), "gzip")
        assert len(await anext(pieces)) <= 65_536
        await pieces.aclose()  # type: ignore[attr-defined]

    run(main())
