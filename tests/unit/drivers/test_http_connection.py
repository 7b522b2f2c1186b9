"""HTTP/1.1 as it arrives in a socket: what is answered, in which order, and when the connection ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest
import uvloop

from littoral.core.http import AnyResponse, Handler, Request, Response, StreamingResponse
from littoral.core.limit import Limit
from littoral.core.limits import (
    API_BODY_BYTES,
    API_BODY_S,
    API_CONNECTIONS,
    API_HEAD_BYTES,
    API_HELD_BYTES,
    API_IDLE_S,
    API_PIPELINED,
    API_WRITE_S,
    Limits,
)
from littoral.core.waiting import while_client_waits
from littoral.drivers.http_connection import HttpConnection
from littoral.drivers.http_server import HttpServer
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.plain_server import PlainServer
from littoral.drivers.transport import IDLE_CONNECTION_S, HttpTransport

DEADLINE_S = 30


async def echo(request: Request) -> AnyResponse:
    """What arrived."""
    said = [request.method, request.path, dict(request.query), dict(request.headers), request.body.decode()]
    return Response(200, (), msgspec.json.encode(said))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, *lines: str, body: bytes = b"") -> None:
        self.writer.write(
            "\r\n".join(("POST /x HTTP/1.1" if not lines else lines[0], *lines[1:], "", "")).encode() + body
        )

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> str:
        """Status line and fields of the next answer."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def answer(self) -> tuple[str, bytes]:
        """The next answer, of the length it says."""
        head = await self.head()
        length = next(int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
        async with asyncio.timeout(DEADLINE_S):
            return head, await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """All until the server closes."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read()

    async def exactly(self, size: int) -> bytes:
        """What comes next."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readexactly(size)

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def connected(handler: Handler, limits: Limits | None = None) -> AsyncIterator[tuple[Client, HttpServer]]:
    with listen_tcp("127.0.0.1:0") as listener:
        server = HttpServer(handler, listener.fileno(), limits or Limits())
        await server.start()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield Client(reader, writer), server
        finally:
            writer.close()
            await server.stop()


def play(
    handler: Handler, story: Callable[[Client, HttpServer], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def main() -> None:
        async with connected(handler, limits) as (client, server):
            await story(client, server)

    uvloop.run(main())


def test_requests_on_one_connection_are_answered_one_at_a_time_in_their_order():
    at_once, most = 0, 0

    async def slow(request: Request) -> AnyResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(10):
            await asyncio.sleep(0)
        at_once -= 1
        return Response(200, (), request.path.encode())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)))
        assert [(await client.answer())[1] for _ in range(20)] == [b"/%d" % number for number in range(20)]
        client.write(b"GET /again HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[1] == b"/again", "what was paused is read again"
        assert most == 1

    play(slow, story)


def test_a_request_may_come_in_any_pieces():
    async def story(client: Client, server: HttpServer) -> None:
        data = b"POST /a%20b?q=1%202&live HTTP/1.1\r\nHost: h\r\nX-A: one\r\nx-a: two\r\nContent-Length: 4\r\n\r\nbody"
        for byte in data:
            client.write(bytes((byte,)))
            await asyncio.sleep(0)
        _, body = await client.answer()
        method, path, query, headers, sent = msgspec.json.decode(body)
        assert (method, path, query, sent) == ("POST", "/a b", {"q": "1 2", "live": ""}, "body")
        assert headers["x-a"] == "one, two"

    play(echo, story)


def test_chunks_are_one_body_and_what_follows_them_is_not_taken_for_a_header():
    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: Authorization")
        client.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: Bearer forged\r\n\r\n")
        _, body = await client.answer()
        *_, headers, sent = msgspec.json.decode(body)
        assert sent == "abcde"
        assert "authorization" not in headers

    play(echo, story)


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        ("GET / HTTP/1.0\r\n\r\n", False),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", True),
    ],
)
def test_a_connection_lasts_as_long_as_both_want_it(head: str, *, stays: bool):
    async def story(client: Client, server: HttpServer) -> None:
        client.write(head.encode())
        said, _ = await client.answer()
        assert said.startswith("HTTP/1.1 200 OK\r\n")
        if stays:
            client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.answer())[0].startswith("HTTP/1.1 200")
        else:
            assert await client.rest() == b""

    play(echo, story)


def test_who_asks_first_is_told_to_go_on():
    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", "Expect: 100-continue", "Content-Length: 2")
        assert (await client.head()).startswith("HTTP/1.1 100 ")
        client.write(b"ab")
        assert msgspec.json.decode((await client.answer())[1])[4] == "ab"

    play(echo, story)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"no http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"GET /?a=%ff HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (API_HEAD_BYTES.default + 1), 413),
        (b"GET /" + b"x" * (API_HEAD_BYTES.default + 1), 413),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_ends(data: bytes, status: int):
    async def story(client: Client, server: HttpServer) -> None:
        client.write(data)
        said = await client.rest()
        assert said.startswith(b"HTTP/1.1 %d " % status)
        assert b"application/problem+json" in said
        assert said.count(b"\r\ndate: ") == 1, "once"

    play(echo, story)


def test_a_head_that_does_not_come_is_not_waited_for():
    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    play(echo, story, Limits({API_BODY_S.name: 1}))


@asynccontextmanager
async def another(client: Client) -> AsyncIterator[Client]:
    """One more connection to where `client` is connected."""
    reader, writer = await asyncio.open_connection(*client.writer.get_extra_info("peername"))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize("comes", [True, False])
def test_a_request_behind_others_is_late_only_once_it_is_read(*, comes: bool):
    began, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> AnyResponse:
        if request.path == "/slow":
            began.set()
            await may_go_on.wait()
        return Response(200, (), request.path.encode())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHo")
        await began.wait()
        if comes:
            client.write(b"st: h\r\n\r\n")
        # As much time as a request has passes.
        async with another(client) as second:
            second.write(b"GET / HTTP/1.1\r\nHost")
            assert (await second.rest()).startswith(b"HTTP/1.1 408 ")
        may_go_on.set()
        assert [(await client.answer())[1] for _ in range(2)] == [b"/slow", b"/2"]
        if comes:
            assert (await client.answer())[1] == b"/3"
        else:
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    play(slow, story, Limits({API_BODY_S.name: 1}))


def test_who_asks_without_end_before_the_first_is_answered_is_refused():
    began, may_go_on = asyncio.Event(), asyncio.Event()
    limits = Limits({API_PIPELINED.name: 4})

    async def slow(request: Request) -> AnyResponse:
        began.set()
        await may_go_on.wait()
        return Response(200, (), request.path.encode())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)))
        await began.wait()
        may_go_on.set()
        assert [(await client.answer())[1] for _ in range(4)] == [b"/%d" % number for number in range(4)]
        refused = await client.rest()
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"The limit is api-pipelined" in refused
        assert limits.reached[API_PIPELINED.name] == 1

    play(slow, story, limits)


def test_who_is_refused_while_sending_hears_of_it():
    limits = Limits({API_BODY_BYTES.name: 1000})

    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", f"Content-Length: {2 * len(LARGE)}", body=LARGE)
        client.write(LARGE)
        async with asyncio.timeout(DEADLINE_S):
            await client.writer.drain()
            refused = await client.rest()
        assert refused.startswith(b"HTTP/1.1 413 ")
        assert b"The limit is api-body-bytes" in refused
        client.writer.close()
        await until(lambda: not connections(server))
        assert limits.reached[API_WRITE_S.name] == 0

    play(echo, story, limits)


def test_who_is_refused_and_does_not_stop_sending_is_not_read_for_ever():
    limits = Limits({API_BODY_BYTES.name: 1000, API_WRITE_S.name: 1})

    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 1001")
        assert (await client.rest()).startswith(b"HTTP/1.1 413 ")
        assert connections(server) == 1
        await until(lambda: not connections(server))

    play(echo, story, limits)


def test_what_follows_a_request_to_speak_otherwise_is_a_request():
    async def story(client: Client, server: HttpServer) -> None:
        upgrade = b"Upgrade: h2c\r\nConnection: Upgrade\r\n"
        client.write(b"POST /1 HTTP/1.1\r\nHost: h\r\n%bContent-Length: 4\r\n\r\nbody" % upgrade)
        client.send("POST /2 HTTP/1.1", "Host: h", "Upgrade: h2c", "Connection: Upgrade", "Transfer-Encoding: chunked")
        client.write(b"2\r\nin\r\n6\r\npieces\r\n0\r\n\r\n")
        client.write(b"GET /3 HTTP/1.1\r\nHost: h\r\n%b\r\nGET /4 HTTP/1.1\r\nHost: h\r\n\r\n" % upgrade)
        said = [msgspec.json.decode((await client.answer())[1]) for _ in range(4)]
        assert [(path, body) for _, path, _, _, body in said] == [
            ("/1", "body"),
            ("/2", "inpieces"),
            ("/3", ""),
            ("/4", ""),
        ]

    play(echo, story)


def test_an_answer_while_the_listener_stops_says_that_the_connection_ends_and_nobody_new_is_served():
    began, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> AnyResponse:
        began.set()
        await may_go_on.wait()
        return Response(200)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await began.wait()
        stopping = asyncio.ensure_future(server.stop(DEADLINE_S))
        await asyncio.sleep(0)
        # One that the system had accepted by then.
        ours, theirs = socket.socketpair()
        listener = server._server
        assert isinstance(listener, PlainServer)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: HttpConnection(listener), ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        may_go_on.set()
        assert "\r\nconnection: close\r\n" in await client.head()
        await stopping

    play(slow, story)


def test_a_client_that_leaves_in_the_middle_of_a_body_holds_nothing():
    """What has come of a body counts for api-held-bytes until its client has left, and not any more then: it is waited for,
    and what does not happen ends in the deadline."""

    async def main() -> None:
        limits = Limits({API_HELD_BYTES.name: 1000})
        async with connected(echo, limits) as (client, server):
            client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 900", body=b"x" * 800)
            bodies = server._server.bodies  # type: ignore[union-attr]
            async with asyncio.timeout(DEADLINE_S):
                while not bodies._held_bytes:
                    await asyncio.sleep(0)
                client.leave()
                while bodies._held_bytes:
                    await asyncio.sleep(0)

    uvloop.run(main())


def test_an_answer_whose_header_holds_a_line_break_is_not_sent(caplog: pytest.LogCaptureFixture):
    closed = asyncio.Event()

    async def injects(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"never"
            finally:
                closed.set()

        forged = (("location", "/a\r\nset-cookie: x"),)
        return StreamingResponse(200, forged, pieces()) if request.path == "/stream" else Response(200, forged)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        said = await client.rest()
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in said

    play(injects, story)
    assert "location holds a character that none may hold" in caplog.text


SPLIT = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("headers", [(), (("Content-Length", str(len(SPLIT))),)])
def test_after_an_answer_without_a_body_comes_the_next_answer(
    status: int, headers: tuple[tuple[str, str], ...], *, streams: bool
):
    closed = asyncio.Event()

    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield SPLIT
            finally:
                closed.set()

        if request.path != "/":
            return Response(200, (), b"next")
        return StreamingResponse(status, headers, pieces()) if streams else Response(status, headers, SPLIT)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await client.head()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "transfer-encoding" not in head
        assert (await client.answer())[1] == b"next"

    play(handler, story)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        (200, "x forged", "1"),
        (200, "x: 1\tset-cookie", "1"),
        (200, "x:y", "1"),
        (200, "", "1"),
        (200, "x\u00e9", "1"),
        (200, "x", "a\0b"),
        (200, "Transfer-Encoding", "chunked"),
        (200, "content-length", "-1"),
        (100, "x", "1"),
        (101, "x", "1"),
        (199, "x", "1"),
        (600, "x", "1"),
        (0, "x", "1"),
    ],
)
def test_an_answer_that_would_not_be_read_as_it_is_meant_is_a_fault_of_the_node(
    status: int, name: str, value: str, caplog: pytest.LogCaptureFixture, *, streams: bool
):
    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"never"

        headers = ((name, value),)
        return StreamingResponse(status, headers, pieces()) if streams else Response(status, headers, b"never")

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        said = await client.rest()
        assert said.startswith(b"HTTP/1.1 500 ")
        assert said.count(b"HTTP/1.1") == 1
        assert b"never" not in said

    play(handler, story)
    assert "ValueError" in caplog.text


def test_the_length_of_a_body_is_said_once():
    async def handler(request: Request) -> AnyResponse:
        said = "3" if request.path == "/true" else "4"
        return Response(200, (("Content-Length", said),), b"abc")

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET /true HTTP/1.1\r\nHost: h\r\n\r\n")
        head, body = await client.answer()
        assert (head.count("content-length"), body) == (1, b"abc")
        client.write(b"GET /false HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 500 ")

    play(handler, story)


def test_pieces_of_a_known_length_are_sent_as_they_are():
    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"abc"
            yield b""
            yield b"de" if request.path == "/whole" else b"d"

        return StreamingResponse(200, (("Content-Length", "5"),), pieces())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\nGET /short HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await client.head()
        assert "transfer-encoding" not in head
        said = await client.rest()
        assert said.startswith(b"abcdeHTTP/1.1 200 OK"), "after a whole one the connection goes on"
        assert said.endswith(b"\r\n\r\nabcd"), "after one that is short it ends, so that the client notices"

    play(handler, story)


def test_a_client_of_http_1_0_gets_pieces_until_the_connection_ends():
    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"abc"
            yield b"de"

        return StreamingResponse(200, (), pieces())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.rest()).endswith(b"connection: close\r\n\r\nabcde")

    play(handler, story)


def test_a_client_that_does_not_read_is_not_written_to_without_end():
    made = 0

    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal made
            while True:
                made += 1
                yield b"x" * (1 << 20)

        return StreamingResponse(200, (), pieces())

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        before = -1
        async with asyncio.timeout(DEADLINE_S):
            while made != before:
                before = made
                for _ in range(1000):
                    await asyncio.sleep(0)
        assert made < 64, "what the system and the client's own buffer take, and no more"
        client.leave()
        async with asyncio.timeout(DEADLINE_S):
            while server.open_streams:
                await asyncio.sleep(0)

    play(handler, story)


def test_idle_connections_are_closed_when_the_listener_stops():
    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.answer()
        await server.stop(DEADLINE_S)
        assert await client.rest() == b""

    play(echo, story)


def test_one_connection_too_many_is_closed_at_once():
    limits = Limits({API_CONNECTIONS.name: 1})

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[0].startswith("HTTP/1.1 200")
        port = int(client.writer.get_extra_info("peername")[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[0].startswith("HTTP/1.1 200"), "the one that was there goes on"
        assert limits.reached[API_CONNECTIONS.name] == 1

    play(echo, story, limits)


def test_what_does_not_end_in_time_is_cut_off_when_the_listener_stops(caplog: pytest.LogCaptureFixture):
    began = asyncio.Event()

    async def never(request: Request) -> AnyResponse:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await began.wait()
        await server.stop(0.1)
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""

    play(never, story)
    assert "stopped with connections still open" in caplog.text


def test_names_of_header_fields_are_in_lower_case_as_those_of_the_other_server():
    async def handler(request: Request) -> AnyResponse:
        return Response(200, (("WWW-Authenticate", "Bearer"),))

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "\r\nwww-authenticate: Bearer\r\n" in await client.head()

    play(handler, story)


LARGE = b"x" * (32 << 20)
"""More than the system and the client's own buffer take."""


def held_bytes(server: HttpServer) -> int:
    return server._server.bodies._held_bytes  # type: ignore[union-attr]


def connections(server: HttpServer) -> int:
    return len(server._server._connections)  # type: ignore[union-attr]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("closes", ["", "Connection: close\r\n"])
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off_and_what_it_pipelined_is_let_go(
    closes: str, *, streams: bool
):
    limits = Limits({API_WRITE_S.name: 1})

    async def handler(request: Request) -> AnyResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield LARGE

        return StreamingResponse(200, (), pieces()) if streams else Response(200, (), LARGE)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(f"GET / HTTP/1.1\r\nHost: h\r\n{closes}\r\n".encode())
        await client.head()
        if not closes:
            client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 5000", body=b"x" * 5000)
            await until(lambda: held_bytes(server))
        await until(lambda: not connections(server))
        await until(lambda: not held_bytes(server))
        assert limits.reached[API_WRITE_S.name] == 1

    play(handler, story, limits)


class CountedLimits(Limits):
    """How often it was asked how long a client may take nothing."""

    asked = 0

    def __getitem__(self, limit: Limit) -> int:
        self.asked += limit is API_WRITE_S
        return super().__getitem__(limit)

    def was_asked(self, times: int) -> bool:
        return self.asked >= times


def test_a_client_that_is_slow_and_takes_something_gets_all():
    limits = CountedLimits({API_WRITE_S.name: 1})

    async def handler(request: Request) -> AnyResponse:
        return Response(200, (), LARGE)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await client.head()
        size = 0
        for begun in (1, 2, 3):
            await until(partial(limits.was_asked, begun))
            taken = await client.exactly(len(LARGE) // 4)
            size += len(taken)
        assert size + len(await client.rest()) == len(LARGE)
        assert limits.reached[API_WRITE_S.name] == 0

    play(handler, story, limits)


def test_what_a_client_does_not_take_after_the_connection_was_closed_is_cut_off():
    limits = Limits({API_WRITE_S.name: 1, API_IDLE_S.name: 1})
    answered = 0

    async def handler(request: Request) -> AnyResponse:
        nonlocal answered
        answered += 1
        return Response(200, (), b"x" * 20_000)

    async def story(client: Client, server: HttpServer) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: connections(server))
        (connection,) = server._server._connections  # type: ignore[union-attr]
        # Of answers that are small each, until the end of one stays where it is: too little to wait for.
        asked = 0
        while not connection._transport.get_write_buffer_size():
            client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            asked += 1
            await until(lambda asked=asked: answered == asked and connection._answering is None)  # type: ignore[misc]
        await until(lambda: not connections(server))
        assert limits.reached[API_IDLE_S.name] == limits.reached[API_WRITE_S.name] == 1

    play(handler, story, limits)


def test_a_connection_on_which_nothing_is_asked_is_closed():
    limits = Limits({API_IDLE_S.name: 1})

    async def story(client: Client, server: HttpServer) -> None:
        assert await client.rest() == b"", "also one that said nothing at all"
        reader, writer = await asyncio.open_connection(*client.writer.get_extra_info("peername"))
        second = Client(reader, writer)
        second.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await second.answer()
        assert await second.rest() == b""
        writer.close()
        assert limits.reached[API_IDLE_S.name] == 2

    play(echo, story, limits)


def test_a_connection_is_not_idle_while_something_is_asked():
    limits = Limits({API_IDLE_S.name: 1})
    began, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> AnyResponse:
        began.set()
        await may_go_on.wait()
        return Response(200)

    async def story(client: Client, server: HttpServer) -> None:
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await began.wait()
        (connection,) = server._server._connections  # type: ignore[union-attr]
        first = connection._end
        await until(lambda: connection._end is not first)
        may_go_on.set()
        assert (await client.answer())[0].startswith("HTTP/1.1 200")

    play(slow, story, limits)


def test_a_client_of_ours_asks_again_after_its_idle_connection_was_closed():
    limits = Limits({API_IDLE_S.name: 1})
    assert API_IDLE_S.default > IDLE_CONNECTION_S, "so it hardly ever happens"

    async def story(client: Client, server: HttpServer) -> None:
        address, port = client.writer.get_extra_info("peername")
        url, transport = f"http://{address}:{port}", HttpTransport()
        for _ in range(2):
            assert (await transport.request(url, Request("POST", "/", body=b"x"), DEADLINE_S)).status == 200
            await until(lambda: not connections(server))
        await transport.aclose()

    play(echo, story, limits)


def test_what_only_waits_ends_when_its_client_leaves_and_lets_its_body_go():
    ended: list[str] = []
    waiting = asyncio.Event()

    async def waits(request: Request) -> AnyResponse:
        with while_client_waits():
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("waits")
        raise AssertionError

    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 5", body=b"abcde")
        await waiting.wait()
        assert held_bytes(server) == 5
        client.leave()
        await until(lambda: ended)
        await until(lambda: not held_bytes(server))

    play(waits, story)


def test_what_changes_something_goes_on_when_its_client_leaves_and_waits_for_nothing_after():
    done: list[str] = []
    began, may_go_on = asyncio.Event(), asyncio.Event()

    async def changes(request: Request) -> AnyResponse:
        began.set()
        await may_go_on.wait()
        done.append("changed")
        with while_client_waits():
            done.append("waited")
        return Response(200)

    async def story(client: Client, server: HttpServer) -> None:
        client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 5", body=b"abcde")
        await began.wait()
        client.leave()
        await until(lambda: not connections(server))
        assert held_bytes(server) == 5, "it is in memory still"
        may_go_on.set()
        await until(lambda: not held_bytes(server))
        assert done == ["changed"]

    play(changes, story)
