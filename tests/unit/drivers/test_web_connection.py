"""HTTP/1 at the gateway as it arrives in a socket: what is answered, in which order, what is refused, and when it ends."""

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.gateway_limits import (
    GATEWAY_BODY_RATE,
    GATEWAY_BODY_S,
    GATEWAY_FIELDS,
    GATEWAY_HEAD_BYTES,
    GATEWAY_HEAD_S,
    GATEWAY_IDLE_S,
    GATEWAY_READ_BYTES,
    GATEWAY_SEND_BYTES,
    GATEWAY_TARGET_BYTES,
    GATEWAY_UNREAD_BYTES,
)
from littoral.core.limits import API_WRITE_S, Limits
from littoral.drivers.web_connection import Http1Connection
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import BodyBroken, ClientGone, Duplex, Exchange, Later
from tests.support.web import DEADLINE_S, PLAIN, WebClient, connected, echo, play, until

H = b"Host: h\r\n"


def test_requests_that_come_together_are_answered_one_at_a_time_in_their_order():
    at_once, most = 0, 0

    async def slow(exchange: Exchange) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        at_once -= 1
        exchange.respond(200, PLAIN, (), exchange.target.encode())

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)))
        assert [(await client.answer())[1] for _ in range(20)] == [b"/%d" % number for number in range(20)]
        client.get("/again")
        assert (await client.answer())[1] == b"/again"
        assert most == 1

    play(slow, story)


def test_what_is_at_hand_is_answered_without_a_task():
    tasks: list[int] = []

    def serve(exchange: Exchange) -> None:
        tasks.append(len(asyncio.all_tasks()))
        exchange.respond(200, PLAIN, (("age", "1"),), b"ok")

    async def story(client: WebClient, listener: WebListener) -> None:
        before = len(asyncio.all_tasks())
        client.get()
        head, body = await client.answer()
        assert body == b"ok"
        assert head.startswith("HTTP/1.1 200 OK\r\ndate: ")
        assert "\r\ncontent-type: text/plain\r\nage: 1\r\ncontent-length: 2\r\n\r\n" in head
        assert tasks == [before]

    play(serve, story)


class Called(Later):
    """An answer that this test gives."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def test_an_answer_that_comes_in_a_callback_needs_no_task():
    asked: list[Called] = []

    def serve(exchange: Exchange) -> Later:
        asked.append(Called(exchange))
        return asked[-1]

    async def story(client: WebClient, listener: WebListener) -> None:
        before = len(asyncio.all_tasks())
        client.get("/1")
        client.get("/2")
        await until(lambda: bool(asked))
        assert len(asyncio.all_tasks()) == before
        for number in (1, 2):
            await until(lambda: len(asked) == number)  # noqa: B023 -- it is waited for here
            asked[-1].exchange.respond(200, PLAIN, (), asked[-1].exchange.target.encode())
            assert (await client.answer())[1] == b"/%d" % number
        client.leave()
        await until(lambda: not listener.connections)
        assert [each.cancelled for each in asked] == [0, 0]

    play(serve, story)


def test_an_answer_that_comes_in_a_callback_is_cancelled_when_its_client_goes():
    asked: list[Called] = []

    def serve(exchange: Exchange) -> Later:
        asked.append(Called(exchange))
        return asked[-1]

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        await until(lambda: bool(asked))
        client.leave()
        await until(lambda: not listener.connections)
        assert [each.cancelled for each in asked] == [1]
        asked[0].exchange.respond(200, PLAIN, (), b"dropped")

    play(serve, story)


@pytest.mark.parametrize("leaves", [False, True])
def test_what_is_left_of_an_answer_that_came_in_a_callback_goes_on_in_a_task(*, leaves: bool):
    ended: list[str] = []

    async def rest(exchange: Exchange) -> None:
        try:
            await exchange.begin(200, PLAIN, ())
            await exchange.send(b"one")
            while leaves:
                await asyncio.sleep(1)
            await exchange.end()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("whole")

    def serve(exchange: Exchange) -> Later:
        later = Called(exchange)
        assert exchange.go_on is not None
        asyncio.get_running_loop().call_soon(exchange.go_on, rest(exchange))
        return later

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        assert "transfer-encoding: chunked" in await client.head()
        if leaves:
            client.leave()
            await until(lambda: not listener.connections and not listener._tasks)
        else:
            await until(lambda: bool(ended))
            client.get("/again")
        assert ended[0] == ("cancelled" if leaves else "whole")

    play(serve, story)


def test_a_request_is_seen_as_it_was_sent():
    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"M-SEARCH /a%2Fb?c=%20d HTTP/1.1\r\nHost: Example.ORG:81\r\nX-A:  one \r\nx-a: t\xe4\r\n\r\n")
        _, body = await client.answer()
        method, target, host, version, fields, _ = json.loads(body)
        assert (method, target, host, version) == ("M-SEARCH", "/a%2Fb?c=%20d", "example.org:81", "1.1")
        assert fields == [["host", "Example.ORG:81"], ["x-a", "one"], ["x-a", "tä"]]

    play(echo, story)


def test_what_comes_again_is_answered_again_and_what_differs_is_not_taken_for_it():
    async def story(client: WebClient, listener: WebListener) -> None:
        heads = ["/a", "/a", "/b", "/a"]
        for cookie in ("x", "x", "y", "y" * 5000, "y" * 5000, "x"):
            for target in heads:
                client.get(target, f"Cookie: {cookie}")
                _, body = await client.answer()
                assert json.loads(body)[1::3] == [target, [["host", "h"], ["cookie", cookie]]]
        (connection,) = listener._connections
        assert isinstance(connection, Http1Connection)
        assert len(connection._block) + len(connection._again) < 8192, "long ones are not kept"
        client.write(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert "\r\nconnection: close\r\n" in await client.head()

    play(echo, story)


def test_the_host_of_a_whole_url_wins():
    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"GET http://one.example?q HTTP/1.1\r\nHost: other.example\r\nX: y\r\n\r\n")
        _, body = await client.answer()
        assert json.loads(body)[1:5] == ["/?q", "one.example", "1.1", [["host", "one.example"], ["x", "y"]]]
        client.write(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        assert json.loads((await client.answer())[1])[1] == "*"

    play(echo, story)


@pytest.mark.parametrize(
    ("head", "said", "stays"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "close", False),
        (b"GET / HTTP/1.0\r\n\r\n", "close", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "keep-alive", True),
        (b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "", True),
    ],
)
def test_a_connection_lasts_as_long_as_both_want_it(head: bytes, said: str, *, stays: bool):
    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(head)
        answer, _ = await client.answer()
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert ([line[12:] for line in answer.split("\r\n") if line.startswith("connection: ")] or [""]) == [said]
        if stays:
            client.get()
            assert (await client.answer())[0].startswith("HTTP/1.1 200")
        else:
            assert await client.rest() == b""

    play(echo, story)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n" + H + fields + b"\r\n" + body + SMUGGLED


def coded(coding: bytes) -> bytes:
    """A body in chunks that a reader who knows no such coding takes for nothing."""
    return post(coding, b"0\r\n\r\n")


def chunks(body: bytes) -> bytes:
    return post(CHUNKED, body)


AMBIGUOUS = {
    "CL.TE": post(b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\nG"),
    "TE.CL": post(CHUNKED + b"Content-Length: 3\r\n", b"1\r\nZ\r\n0\r\n\r\n"),
    "CL.CL": post(b"Content-Length: 0\r\nContent-Length: 34\r\n"),
    "CL.CL, the same": post(b"Content-Length: 0\r\nContent-Length: 0\r\n"),
    "CL list": post(b"Content-Length: 0, 0\r\n"),
    "CL with plus": post(b"Content-Length: +0\r\n"),
    "CL negative": post(b"Content-Length: -1\r\n"),
    "CL hexadecimal": post(b"Content-Length: 0x0\r\n"),
    "CL empty": post(b"Content-Length:\r\n"),
    "CL underscore": post(b"Content-Length: 1_0\r\n"),
    "CL too long": post(b"Content-Length: 18446744073709551616\r\n"),
    "CL of other digits": post(b"Content-Length: \xb2\r\n"),
    "CL space before colon": post(b"Content-Length : 34\r\n"),
    "CL with vertical tab": post(b"Content-Length:\x0b34\r\n"),
    "TE space before colon": coded(b"Transfer-Encoding : chunked\r\n"),
    "TE tab before colon": coded(b"Transfer-Encoding\t: chunked\r\n"),
    "TE vertical tab": coded(b"Transfer-Encoding: \x0bchunked\r\n"),
    "TE form feed": coded(b"Transfer-Encoding: chunked\x0c\r\n"),
    "TE NUL": coded(b"Transfer-Encoding: chunked\x00\r\n"),
    "TE xchunked": coded(b"Transfer-Encoding: xchunked\r\n"),
    "TE quoted": coded(b'Transfer-Encoding: "chunked"\r\n'),
    "TE twice": coded(CHUNKED + CHUNKED),
    "TE chunked, identity": coded(CHUNKED + b"Transfer-Encoding: identity\r\n"),
    "TE identity, chunked": coded(b"Transfer-Encoding: identity, chunked\r\n"),
    "TE identity": post(b"Transfer-Encoding: identity\r\n"),
    "TE chunked twice in one": coded(b"Transfer-Encoding: chunked, chunked\r\n"),
    "TE chunked not last": coded(b"Transfer-Encoding: chunked, gzip\r\n"),
    "TE gzip, chunked": coded(b"Transfer-Encoding: gzip, chunked\r\n"),
    "TE empty": coded(b"Transfer-Encoding:\r\n"),
    "TE comma": coded(b"Transfer-Encoding: ,chunked\r\n"),
    "TE parameter": coded(b"Transfer-Encoding: chunked;a=b\r\n"),
    "TE folded": coded(b"Transfer-Encoding:\r\n chunked\r\n"),
    "TE folded behind another": coded(b"X: y\r\n Transfer-Encoding: chunked\r\n"),
    "TE behind bare LF": coded(b"X: y\nTransfer-Encoding: chunked\r\n"),
    "TE behind bare CR": coded(b"X: y\rTransfer-Encoding: chunked\r\n"),
    "TE with a first line behind a space": coded(b" Transfer-Encoding: chunked\r\n"),
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\n" + H + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a name with a bracket": post(b"Content-Length[]: 0\r\n"),
    "a line without colon": post(b"Content-Length 34\r\n"),
    "a line without name": post(b": 34\r\n"),
    "a bare LF ends the head": b"GET / HTTP/1.1\n" + H + b"\n" + SMUGGLED,
    "a bare CR in a value": post(b"X: a\rb\r\n"),
    "a control character": post(b"X: a\x01b\r\n"),
    "DEL in a value": post(b"X: a\x7fb\r\n"),
    "chunk size with sign": chunks(b"+0\r\n\r\n"),
    "chunk size negative": chunks(b"-1\r\n\r\n"),
    "chunk size with 0x": chunks(b"0x0\r\n\r\n"),
    "chunk size overflows": chunks(b"10000000000000000\r\n\r\n"),
    "chunk size empty": chunks(b"\r\n\r\n"),
    "chunk size garbage": chunks(b"zz\r\n\r\n"),
    "chunk size underscore": chunks(b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"),
    "chunk size behind a space": chunks(b" 0\r\n\r\n"),
    "chunk size before a space": chunks(b"0 \r\n\r\n"),
    "chunk size before a tab": chunks(b"0\t;a\r\n\r\n"),
    "chunk extension with bare LF": chunks(b"1;a\nX\r\n0\r\n\r\n"),
    "chunk extension with bare CR": chunks(b"1;a\rb\r\nX\r\n0\r\n\r\n"),
    "chunk extension without name": chunks(b"1;\r\nX\r\n0\r\n\r\n"),
    "chunk extension not closed": chunks(b'1;a="b\r\nX\r\n0\r\n\r\n'),
    "chunk extension too long": chunks(b"1;" + b"a" * 1000 + b"\r\nX\r\n0\r\n\r\n"),
    "chunk size behind bare LF": chunks(b"1\nX\r\n0\r\n\r\n"),
    "chunk ended by bare LF": chunks(b"1\r\nX\n0\r\n\r\n"),
    "chunk ended by two bytes": chunks(b"1\r\nXxx0\r\n\r\n"),
    "chunk longer than its size": chunks(b"1\r\nXY\r\n0\r\n\r\n"),
    "last chunk ended by bare LF": chunks(b"0\n\n"),
    "trailer with bare LF": chunks(b"0\r\nX: y\nZ: z\r\n\r\n"),
    "trailer without colon": chunks(b"0\r\nX\r\n\r\n"),
    "trailer folded": chunks(b"0\r\nX: y\r\n z\r\n\r\n"),
    "no Host": b"GET / HTTP/1.1\r\n\r\n" + SMUGGLED,
    "empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n" + SMUGGLED,
    "two Hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n" + SMUGGLED,
    "Host with user": b"GET / HTTP/1.1\r\nHost: a@h\r\n\r\n" + SMUGGLED,
    "Host with path": b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n" + SMUGGLED,
    "Host with space": b"GET / HTTP/1.1\r\nHost: h x\r\n\r\n" + SMUGGLED,
    "Host list": b"GET / HTTP/1.1\r\nHost: h, i\r\n\r\n" + SMUGGLED,
    "Host with no port": b"GET / HTTP/1.1\r\nHost: h:99999\r\n\r\n" + SMUGGLED,
    "URL with user": b"GET http://a@h/ HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "URL of another scheme": b"GET ftp://h/ HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "fragment": b"GET /#x HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "target with tab": b"GET /\tx HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "target with NUL": b"GET /\x00 HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "target with space": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "target is no path": b"GET x HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "star for GET": b"GET * HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "method with a bracket": b"GE{T / HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "space before the line": b" GET / HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "lower-case version": b"GET / http/1.1\r\n" + H + b"\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /\r\n\r\n" + SMUGGLED,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "many empty lines": b"\r\n\r\n\r\n" + SMUGGLED,
}
NOT_DONE = {
    "version 2": (b"GET / HTTP/2.0\r\n" + H + b"\r\n" + SMUGGLED, 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "version 1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n" + SMUGGLED, 505),
    "CONNECT": (b"CONNECT h:443 HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED, 405),
    "https here": (b"GET https://h/ HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED, 421),
    "expectation": (b"GET / HTTP/1.1\r\n" + H + b"Expect: more\r\n\r\n" + SMUGGLED, 417),
    "target": (b"GET /" + b"x" * GATEWAY_TARGET_BYTES.default + b" HTTP/1.1\r\n" + H + b"\r\n" + SMUGGLED, 414),
    "target without end": (b"GET /" + b"x" * (GATEWAY_TARGET_BYTES.default + 200), 414),
    "head": (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"x" * GATEWAY_HEAD_BYTES.default + b"\r\n\r\n" + SMUGGLED, 431),
    "head without end": (b"GET / HTTP/1.1\r\nX: " + b"x" * GATEWAY_HEAD_BYTES.default, 431),
    "fields": (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * GATEWAY_FIELDS.default + b"\r\n" + SMUGGLED, 431),
}
TABLE = {name: (data, (400, 501)) for name, data in AMBIGUOUS.items()} | {
    name: (data, (status,)) for name, (data, status) in NOT_DONE.items()
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_others_might_read_differently_is_refused_and_nothing_behind_it_is_served(name: str, *, at_once: bool):
    data, statuses = TABLE[name]
    served: list[str] = []

    async def serve(exchange: Exchange) -> None:
        served.append(exchange.target)
        try:
            async for _ in exchange.body():
                pass
        except (BodyBroken, ClientGone):
            return
        exchange.respond(200, PLAIN, (), b"served")

    async def story(client: WebClient, listener: WebListener) -> None:
        pieces = [data] if at_once else [data[at : at + 7] for at in range(0, min(len(data), 700), 7)] + [data[700:]]
        for piece in pieces:
            client.write(piece)
            await asyncio.sleep(0)
        answer = await client.rest()
        assert int(answer[9:12]) in statuses, answer[:300]
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == int(answer[9:12])
        assert "/smuggled" not in served
        assert sum(listener.refusals.values()) == 1

    play(serve, story)


def test_a_body_comes_as_fast_as_it_is_read():
    size = 4 * GATEWAY_READ_BYTES.default
    go_on = asyncio.Event()
    got: list[int] = []
    exchanges: list[Exchange] = []

    async def serve(exchange: Exchange) -> None:
        exchanges.append(exchange)
        await go_on.wait()
        got.extend([len(piece) async for piece in exchange.body()])
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (400 * size))
        for _ in range(400):
            client.write(b"x" * size)
        await until(lambda: bool(exchanges))
        for _ in range(50):
            await asyncio.sleep(0.001)
        (connection,) = listener._connections
        assert isinstance(connection, Http1Connection)
        assert connection._body is not None
        assert connection._body.incoming is not None
        held = connection._body.incoming.held
        assert held < 3 * size + 256 * 1024, "it is not read ahead"
        assert exchanges[0].body_length == 400 * size
        go_on.set()
        await client.answer()
        assert sum(got) == 400 * size

    play(serve, story)


@pytest.mark.parametrize("body", [b'5\r\nab\r\nc\r\n3;x="y"\r\nxyz\r\n0\r\nForged: yes\r\n\r\n'])
def test_a_body_in_chunks_is_one_and_its_trailers_are_dropped(body: bytes):
    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n" + body)
        client.get("/next")
        _, answer = await client.answer()
        assert json.loads(answer)[5] == "ab\r\ncxyz"
        assert b"forged" not in answer.lower()
        assert json.loads((await client.answer())[1])[1] == "/next"

    play(echo, story)


def test_who_waits_to_be_told_to_go_on_is_told_once_the_body_is_wanted():
    async def serve(exchange: Exchange) -> None:
        if exchange.target == "/wanted":
            assert [piece async for piece in exchange.body()] == [b"ab"]
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: WebClient, listener: WebListener) -> None:
        head = b"POST %b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        client.write(head % b"/wanted")
        assert await client.head() == "HTTP/1.1 100 Continue\r\n\r\n"
        client.write(b"ab")
        await client.answer()
        client.write(head % b"/unwanted")
        assert "\r\nconnection: close\r\n" in await client.head()
        assert await client.rest() == b"", "nobody knows whether the body follows"

    play(serve, story)


def test_the_unread_rest_of_a_body_is_dropped_up_to_a_bound():
    def serve(exchange: Exchange) -> None:
        exchange.respond(200, PLAIN, (), exchange.target.encode())

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        assert (await client.answer())[1] == b"/a"
        client.write(b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n" + b"x" * 972)
        client.get("/b")
        assert (await client.answer())[1] == b"/b"
        client.write(b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.answer()
        client.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        assert await client.rest() == b""
        assert listener._limits.reached[GATEWAY_UNREAD_BYTES.name] == 1

    play(serve, story, Limits({GATEWAY_UNREAD_BYTES.name: 2000}))


def test_a_body_that_is_broken_behind_its_answer_is_not_answered_again():
    def serve(exchange: Exchange) -> None:
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.answer()
        client.write(b"zz\r\n" + SMUGGLED)
        assert await client.rest() == b""
        assert listener.refusals == {"malformed": 1}

    play(serve, story)


@pytest.mark.parametrize("in_task", [True, False])
def test_a_body_that_is_not_wanted_does_not_look_whole_to_who_reads_it_on(*, in_task: bool):
    seen: list[object] = []
    readers = []

    async def read_on(body: AsyncIterator[bytes]) -> None:
        try:
            seen.extend([piece async for piece in body])
        except (BodyBroken, ClientGone) as error:
            seen.append(type(error))

    async def serve(exchange: Exchange) -> None:
        body = exchange.body()
        seen.append(await anext(body))
        exchange.respond(200, PLAIN, (), b"")
        if in_task:
            await read_on(body)
        else:
            readers.append(asyncio.ensure_future(read_on(body)))

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await client.answer()
        client.write(b"3\r\ndef\r\n0\r\n\r\n")
        await until(lambda: len(seen) >= 2)
        assert seen == [b"abc", BodyBroken]

    play(serve, story)


def test_a_body_that_is_too_long_to_be_dropped_ends_the_connection():
    def serve(exchange: Exchange) -> None:
        exchange.respond(413, PLAIN, (), b"no")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 1_000_000)
        head, body = await client.answer()
        assert (head[9:12], body) == ("413", b"no")
        assert "\r\nconnection: close\r\n" in head
        assert await client.rest() == b""

    play(serve, story)


async def pieces(exchange: Exchange) -> None:
    await exchange.begin(200, PLAIN, ())
    for number in range(3):
        await exchange.send(b"%d" % number * 3)
        await exchange.send(b"")
    await exchange.end([("x-end", "1")])


def test_an_answer_in_pieces_is_in_chunks_with_trailers_or_ends_with_the_connection():
    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        assert "\r\ntransfer-encoding: chunked\r\n" in await client.head()
        expected = b"3\r\n000\r\n3\r\n111\r\n3\r\n222\r\n0\r\nx-end: 1\r\n\r\n"
        assert await client.exactly(len(expected)) == expected
        client.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "transfer-encoding" not in await client.head()
        client.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = await client.head()
        assert "\r\nconnection: close\r\n" in head
        assert "transfer-encoding" not in head
        assert await client.rest() == b"000111222"

    play(pieces, story)


@pytest.mark.parametrize(("said", "sent", "arrives"), [(4, 4, 4), (4, 3, 3), (3, 4, 0)])
def test_a_body_that_does_not_fit_its_length_cuts_the_connection(said: int, sent: int, arrives: int):
    gone: list[bool] = []

    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, [("content-length", str(said))])
        try:
            await exchange.send(memoryview(b"x" * sent))
            await exchange.end()
        except ClientGone:
            gone.append(True)

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        assert f"\r\ncontent-length: {said}\r\n" in await client.head()
        client.get("/next") if said == sent else None
        if said == sent:
            assert await client.exactly(said) == b"xxxx"
            assert "200" in await client.head()
        else:
            assert len(await client.rest()) <= arrives
            assert gone == [True]

    play(serve, story)


@pytest.mark.parametrize(
    ("method", "status", "fields", "body", "length", "sent"),
    [
        ("HEAD", 200, [], b"abc", "3", b""),
        ("HEAD", 200, [("content-length", "9")], b"", "9", b""),
        ("HEAD", 200, [], b"", None, b""),
        ("GET", 304, [("content-length", "9")], b"no", "9", b""),
        ("GET", 304, [], b"no", None, b""),
        ("GET", 204, [("content-length", "9")], b"no", None, b""),
        ("GET", 200, [("content-length", "9")], b"abc", "3", b"abc"),
        ("GET", 200, [], b"", "0", b""),
        ("GET", 299, [("date", "then")], b"x" * 100_000, "100000", b"x" * 100_000),
    ],
)
def test_answers_are_framed_once(
    method: str, status: int, fields: list[tuple[str, str]], body: bytes, length: str | None, sent: bytes
):
    def serve(exchange: Exchange) -> None:
        exchange.respond(status, PLAIN, fields, body)

    async def story(client: WebClient, listener: WebListener) -> None:
        for _ in range(2):
            client.write(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            head = await client.head()
            assert int(head[9:12]) == status
            lines = head.split("\r\n")
            assert [line[16:] for line in lines if line.startswith("content-length: ")] == ([length] if length else [])
            assert sum(line.startswith("date: ") for line in lines) == 1
            assert await client.exactly(len(sent)) == sent

    play(serve, story)


def test_interim_answers_come_before_the_answer_but_not_to_who_knows_none():
    def serve(exchange: Exchange) -> None:
        exchange.inform(103, [("link", "</a>")])
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        assert await client.head() == "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        await client.answer()
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 200")

    play(serve, story)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_connection_can_be_switched_to_another_protocol(*, at_once: bool):
    async def talk(duplex: Duplex) -> None:
        while data := await duplex.read():
            await duplex.write(data.upper())
        duplex.end()
        duplex.close()

    async def later(exchange: Exchange) -> None:
        await asyncio.sleep(0)
        await talk(exchange.switch(101, [("upgrade", "x"), ("connection", "upgrade")]))

    tasks = []

    def now(exchange: Exchange) -> None:
        duplex = exchange.switch(101, [("upgrade", "x")])
        tasks.append(asyncio.ensure_future(talk(duplex)))

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc")
        head = await client.head()
        assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
        assert "\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" in head
        assert await client.exactly(3) == b"ABC"
        client.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        client.writer.write_eof()
        assert await client.rest() == b""

    play(now if at_once else later, story)


def test_what_is_spoken_after_a_switch_ends_where_the_client_goes():
    ended: list[object] = []

    async def serve(exchange: Exchange) -> None:
        duplex = exchange.switch(101, [("upgrade", "x")])
        ended.append(await duplex.read())
        try:
            while True:
                await duplex.write(b"x")
                await asyncio.sleep(0.001)
        except ConnectionError as error:
            ended.append(type(error))

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        await client.head()
        client.leave()
        await until(lambda: len(ended) == 2)
        assert ended == [b"", ConnectionResetError]

    play(serve, story)


def test_what_is_spoken_after_a_switch_ends_where_the_listener_does():
    reading: list[asyncio.Future[bytes]] = []

    def serve(exchange: Exchange) -> None:
        reading.append(asyncio.ensure_future(exchange.switch(101, [("upgrade", "x")]).read()))

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        await client.head()
        assert not await listener.stop(0)
        async with asyncio.timeout(DEADLINE_S):
            assert await reading[0] == b""

    play(serve, story)


def test_a_fault_is_answered_and_not_told():
    async def raises(exchange: Exchange) -> None:
        raise RuntimeError("secret")

    def raises_at_once(exchange: Exchange) -> None:
        raise RuntimeError("secret")

    def forgets(exchange: Exchange) -> None:
        pass

    async def story(client: WebClient, listener: WebListener) -> None:
        for _ in range(2):
            client.get()
            head, body = await client.answer()
            assert head.startswith("HTTP/1.1 500 ")
            assert b"secret" not in body

    for serve in (raises, raises_at_once, forgets):
        play(serve, story)


def test_an_answer_that_breaks_off_is_seen_to_break_off():
    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, ())
        await exchange.send(b"abc")
        raise RuntimeError("broken")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        await client.head()
        assert not (await client.rest()).endswith(b"0\r\n\r\n")

    play(serve, story)


@pytest.mark.parametrize(("method", "ended"), [("GET", "cancelled"), ("POST", "answered")])
def test_when_the_client_goes_what_is_safe_is_ended_and_all_else_goes_on(method: str, ended: str):
    began, go_on = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def serve(exchange: Exchange) -> None:
        exchange.when_gone(lambda: seen.append("gone"))
        began.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        exchange.respond(200, PLAIN, (), b"dropped")
        try:
            await exchange.send(b"x")
        except ClientGone:
            seen.append("answered")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await began.wait()
        client.leave()
        await until(lambda: "gone" in seen)
        go_on.set() if method == "POST" else None
        await until(lambda: len(seen) == 2)
        assert seen == ["gone", ended]
        await until(lambda: not listener._tasks and not listener.connections)

    play(serve, story)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_that_waits_for_its_next_piece_ends_when_its_client_goes(method: str):
    ended: list[str] = []

    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, ())
        await exchange.send(b"data: 1")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append(exchange.method)
            raise

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await client.head()
        client.leave()
        await until(lambda: not listener._tasks and not listener.connections)
        assert ended == [method]

    play(serve, story)


def test_who_sends_waits_for_who_reads_and_cuts_off_who_does_not():
    sent = 0
    gone: list[bool] = []

    async def serve(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.begin(200, PLAIN, ())
        try:
            while True:
                await exchange.send(b"x" * 65536)
                sent += 65536
        except asyncio.CancelledError:
            gone.append(True)
            raise

    async def story(client: WebClient, listener: WebListener) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.get()
        await until(lambda: bool(gone))
        assert sent < 64 * 1024 * 1024
        assert listener.refusals == {"unread": 1}
        assert listener._limits.reached[API_WRITE_S.name] == 1

    play(serve, story, Limits({API_WRITE_S.name: 1}))


def test_no_request_is_looked_at_while_answers_are_not_taken():
    served = 0

    def serve(exchange: Exchange) -> None:
        nonlocal served
        served += 1
        exchange.respond(200, PLAIN, (), b"x" * 1_000_000)

    async def story(client: WebClient, listener: WebListener) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 100)
        await until(lambda: served > 0)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert served < 50
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            assert len((await client.answer())[1]) == 1_000_000

    play(serve, story, Limits({GATEWAY_SEND_BYTES.name: 100_000}))


@pytest.mark.parametrize(
    ("data", "limit", "status"),
    [
        (b"GET / HT", GATEWAY_HEAD_S, 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", GATEWAY_BODY_S, 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx", GATEWAY_BODY_RATE, 408),
        (b"", GATEWAY_IDLE_S, None),
    ],
)
def test_who_is_late_is_told_and_who_asks_nothing_is_not(data: bytes, limit, status: int | None):
    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(data)
        answer = await client.rest()
        assert (answer[9:12] == b"408") if status else not answer
        assert listener._limits.reached[limit.name] == 1
        assert listener.refusals == {"late" if status else "idle": 1}

    limits = {GATEWAY_HEAD_S.name: 1, GATEWAY_BODY_S.name: 1, GATEWAY_IDLE_S.name: 1}
    play(echo, story, Limits(limits))


def conversation(count: int) -> bytes:
    requests = []
    for number in range(count):
        requests.append(b"GET /%d HTTP/1.1\r\nHost: h\r\nX-N: %d\r\n\r\n" % (number, number))
        requests.append(b"POST /p%d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" % number)
        requests.append(
            b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: t\r\n\r\n"
        )
    return b"".join(requests)


async def answers_to(data: bytes, cuts: list[int]) -> list[object]:
    async with connected(echo) as (client, _):
        last = 0
        for cut in [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]:
            client.write(data[last:cut])
            last = cut
            await asyncio.sleep(0)
        return [msgspec.json.decode((await client.answer())[1]) for _ in range(9)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(conversation(3))), max_size=40))
def test_however_bytes_are_cut_the_answers_are_the_same(cuts: list[int]):
    data = conversation(3)
    assert uvloop.run(answers_to(data, cuts)) == uvloop.run(answers_to(data, []))


TOKENS = [
    b"GET", b"POST", b" ", b"/", b"/a?b", b"http://h/", b"*", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host: h", b"Host:",
    b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close", b"Expect: 100-continue", b"abc", b"3", b"0", b";", b":", b"\x00",
    b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
]  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=20)), max_size=30))
def test_no_bytes_raise_out_of_the_connection(parts: list[bytes]):
    faults: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        async with connected(echo) as (client, listener):
            for part in parts:
                client.write(part)
                await asyncio.sleep(0)
            client.writer.write_eof()
            await client.rest()
            await until(lambda: not listener.connections)

    uvloop.run(main())
    assert faults == []
