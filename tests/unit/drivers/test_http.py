"""The HTTP server and the transport against each other: real sockets, real TLS, one uvloop."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import uvloop

from littoral.core.errors import Conflict, PeerUnreachable, StartupError
from littoral.core.http import AnyResponse, Handler, Headers, Request, Response, StreamingResponse
from littoral.core.limit import Limit
from littoral.core.limits import (
    API_BODY_BYTES,
    API_BODY_S,
    API_HELD_BYTES,
    API_IDLE_S,
    JOIN_BODY_BYTES,
    PEER_ANSWER_BYTES,
    PEER_STREAM_BYTES,
    Limits,
)
from littoral.drivers import granian_server
from littoral.drivers.http_server import HttpServer
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.tls_files import TlsFiles
from littoral.drivers.transport import HttpTransport, Identity
from tests.support.certificates import TestCa

GET = Request("GET", "/")


async def echo(request: Request) -> AnyResponse:
    """What arrived, as JSON."""
    seen = [request.method, request.path, dict(request.query), dict(request.headers), len(request.body)]
    return Response(200, [("content-type", "application/json"), ("x-a", "1"), ("x-a", "2")], msgspec.json.encode(seen))


def forever(closed: asyncio.Event) -> Handler:
    """A stream that says when it was closed."""

    async def handler(request: Request) -> AnyResponse:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield b"first"
                yield b"second"
                await asyncio.Event().wait()
            finally:
                closed.set()

        return StreamingResponse(200, [("content-type", "text/event-stream")], chunks())

    return handler


@asynccontextmanager
async def serving(
    handler: Handler, tls: TlsFiles | None = None, limits: Limits | None = None, body_limit: Limit = API_BODY_BYTES
) -> AsyncIterator[tuple[str, HttpServer]]:
    with listen_tcp("127.0.0.1:0") as listener:
        server = HttpServer(handler, listener.fileno(), limits or Limits(), tls, body_limit=body_limit)
        await server.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            await server.stop()


@asynccontextmanager
async def transport(
    identity: Identity | None = None, *, trust_anyone: bool = False, limits: Limits | None = None
) -> AsyncIterator[HttpTransport]:
    client = HttpTransport(identity, trust_anyone=trust_anyone, limits=limits)
    try:
        yield client
    finally:
        await client.aclose()


async def raw(url: str, text: bytes) -> bytes:
    """The answer to bytes as they are, until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


def test_a_request_arrives_as_it_was_sent():
    async def main() -> None:
        async with serving(echo) as (url, _), transport() as client:
            request = Request("POST", "/streams/a b/ü", {"offset": "1 2", "live": ""}, {"X-One": "1"}, b"body")
            answer = await client.request(url, request, 10)
            method, path, query, headers, size = msgspec.json.decode(answer.body)
            assert (method, path, query, size) == ("POST", "/streams/a b/ü", {"offset": "1 2", "live": ""}, 4)
            assert headers["x-one"] == "1"
            assert answer.status == 200
            assert [value for name, value in answer.headers if name == "x-a"] == ["1", "2"]

    uvloop.run(main())


def test_repeated_header_fields_are_joined():
    async def main() -> None:
        async with serving(echo) as (url, _):
            answer = await raw(url, b"GET /x HTTP/1.1\r\nHost: h\r\nX-B: 1\r\nx-b: 2\r\nConnection: close\r\n\r\n")
            assert b'"x-b":"1, 2"' in answer

    uvloop.run(main())


def test_several_servers_and_clients_in_one_loop_stop_when_told(capfd: pytest.CaptureFixture[str]):
    async def main() -> None:
        async with (
            serving(echo) as (first, _),
            serving(echo) as (second, _),
            serving(echo) as (third, server),
            transport() as client,
        ):
            answers = await asyncio.gather(*(client.request(url, GET, 10) for url in [first, second, third] * 50))
            assert {answer.status for answer in answers} == {200}
            await server.stop()
            # Its socket still listens, for the process that comes next; nobody accepts. A connection that was open may
            # be found closed first.
            with pytest.raises(PeerUnreachable, match="timed out|closed before an answer"):
                await client.request(third, GET, 0.3)
            assert (await client.request(first, GET, 10)).status == 200

    uvloop.run(main())
    assert capfd.readouterr() == ("", "")


def test_a_closed_listener_refuses():
    async def main() -> None:
        async with serving(echo) as (url, _), transport() as client:
            assert (await client.request(url, GET, 10)).status == 200
        async with transport() as client:
            with pytest.raises(PeerUnreachable, match=rf"cannot reach {url}: connection refused\. Check that the node"):
                await client.request(url, GET, 10)

    uvloop.run(main())


def test_head_has_no_body():
    async def main() -> None:
        closed = asyncio.Event()
        async with serving(echo) as (url, _), serving(forever(closed)) as (streaming, _), transport() as client:
            for target in (url, streaming):
                answer = await client.request(target, Request("HEAD", "/"), 10)
                assert (answer.status, answer.body) == (200, b"")

    uvloop.run(main())


def test_errors_become_problem_details_without_a_trace(caplog: pytest.LogCaptureFixture):
    async def handler(request: Request) -> AnyResponse:
        if request.path == "/ours":
            raise Conflict("append to stream", "a/b", "it is closed", "Open another")
        raise RuntimeError("secret detail")

    async def main() -> None:
        async with serving(handler) as (url, _), transport() as client:
            ours = await client.request(url, Request("GET", "/ours"), 10)
            assert ours.status == 409
            assert dict(ours.headers)["content-type"] == "application/problem+json"
            assert msgspec.json.decode(ours.body) == {
                "type": "urn:littoral:problem:conflict",
                "title": "Conflict",
                "status": 409,
                "detail": "cannot append to stream a/b: it is closed. Open another",
                "kind": "Conflict",
                "operation": "append to stream",
                "subject": "a/b",
                "cause": "it is closed",
                "remedy": "Open another",
            }
            theirs = await client.request(url, GET, 10)
            problem = msgspec.json.decode(theirs.body)
            assert theirs.status == 500
            assert b"secret" not in theirs.body
            assert b"Traceback" not in theirs.body
            assert problem["instance"].removeprefix("urn:littoral:request:") in caplog.text
            assert "RuntimeError: secret detail" in caplog.text

    with caplog.at_level(logging.ERROR):
        uvloop.run(main())


def test_a_body_over_the_limit_is_refused_before_it_is_read():
    async def main() -> None:
        limits = Limits({API_BODY_BYTES.name: 1000})
        async with serving(echo, limits=limits) as (url, _), transport() as client:
            assert (await client.request(url, Request("POST", "/", body=b"x" * 1000), 10)).status == 200
            # Only the head is sent: whoever waited for the body would not answer.
            answer = await raw(url, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"The limit is api-body-bytes" in answer
            # And one that does not say how long it is.
            chunk = b"258\r\n" + b"y" * 600 + b"\r\n"
            head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            assert (await raw(url, head + chunk + chunk + b"0\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
            assert (await raw(url, head + chunk + b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert limits.reached[API_BODY_BYTES.name] == 2

    uvloop.run(main())


def test_a_listener_for_strangers_takes_little():
    async def main() -> None:
        limits = Limits({JOIN_BODY_BYTES.name: 100})
        async with serving(echo, limits=limits, body_limit=JOIN_BODY_BYTES) as (url, _), transport() as client:
            assert (await client.request(url, Request("POST", "/", body=b"x" * 100), 10)).status == 200
            answer = await client.request(url, Request("POST", "/", body=b"x" * 101), 10)
            assert answer.status == 413
            assert b"The limit is join-body-bytes" in answer.body

    uvloop.run(main())


def test_all_requests_of_a_listener_together_hold_no_more_than_the_limit():
    async def main() -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> AnyResponse:
            arrived.set()
            await go_on.wait()
            return await echo(request)

        limits = Limits({API_HELD_BYTES.name: 1000})
        big = Request("POST", "/", body=b"x" * 600)
        async with serving(slow, limits=limits) as (url, _), transport() as client:
            first = asyncio.ensure_future(client.request(url, big, 10))
            await arrived.wait()
            refused = await client.request(url, big, 10)
            assert refused.status == 429
            assert b"The limit is api-held-bytes" in refused.body
            assert limits.reached[API_HELD_BYTES.name] == 1
            go_on.set()
            assert (await first).status == 200
            assert (await client.request(url, big, 10)).status == 200, "what was answered is held no longer"

    uvloop.run(main())


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_an_answer_over_the_limit_is_not_read_to_its_end(framing: bytes):
    async def main() -> None:
        closed = asyncio.Event()

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            chunk = b"y" * 80_000
            if framing.startswith(b"Transfer"):
                chunk = b"%x\r\n" % len(chunk) + chunk + b"\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + chunk + chunk)
            # And there it stays: whoever wanted all of it would time out.
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            closed.set()

        limits = Limits({PEER_ANSWER_BYTES.name: 100_000})
        async with a_peer_that(peer) as address, transport(limits=limits) as client:
            with pytest.raises(PeerUnreachable, match="more than 100000 bytes, the limit peer-answer-bytes"):
                await client.request(f"http://{address}", GET, 5)
            assert limits.reached[PEER_ANSWER_BYTES.name] == 1
            async with asyncio.timeout(5):
                await closed.wait()

    uvloop.run(main())


def test_a_body_that_does_not_come_is_not_waited_for():
    async def main() -> None:
        limits = Limits({API_BODY_S.name: 1})
        async with serving(echo, limits=limits) as (url, _):
            answer = await raw(
                url, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf"
            )
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert limits.reached[API_BODY_S.name] == 1

    uvloop.run(main())


def test_a_stream_arrives_as_it_is_made_and_is_closed_when_the_client_leaves():
    async def main() -> None:
        closed = asyncio.Event()
        async with serving(forever(closed)) as (url, server), transport() as client:
            async with client.stream(url, GET, 10) as opened:
                assert opened.status == 200
                assert dict(opened.headers)["content-type"] == "text/event-stream"
                received = b""
                while received != b"firstsecond":
                    received += await anext(opened.chunks)
                assert not closed.is_set()
                assert server.open_streams == 1
            async with asyncio.timeout(10):
                await closed.wait()

    uvloop.run(main())


def test_stopping_ends_streams_at_once_and_lets_requests_finish():
    async def main() -> None:
        closed, began, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()
        stream = forever(closed)

        async def handler(request: Request) -> AnyResponse:
            if request.path == "/stream":
                return await stream(request)
            began.set()
            await finish.wait()
            return Response(body=b"done")

        async with (
            serving(handler) as (url, server),
            transport() as client,
            client.stream(url, Request("GET", "/stream"), 10) as opened,
        ):
            await anext(opened.chunks)
            answering = asyncio.ensure_future(client.request(url, GET, 10))
            await began.wait()
            stopping = asyncio.ensure_future(server.stop(10))
            async with asyncio.timeout(5):
                await closed.wait()
            assert not stopping.done()
            finish.set()
            async with asyncio.timeout(5):
                await stopping
            assert (await answering).body == b"done"

    uvloop.run(main())


def test_silence_in_a_stream_is_noticed():
    async def main() -> None:
        async with (
            serving(forever(asyncio.Event())) as (url, _),
            transport() as client,
            client.stream(url, GET, 0.5) as opened,
        ):
            with pytest.raises(PeerUnreachable, match=r"timed out \(no answer within 0\.5 s\)"):
                await drain(opened.chunks)

    uvloop.run(main())


def test_a_stream_that_fails_half_way_is_logged_and_its_reader_notices(caplog: pytest.LogCaptureFixture):
    async def handler(request: Request) -> AnyResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"some"
            raise RuntimeError("half way")

        return StreamingResponse(200, (), chunks())

    async def main() -> None:
        async with serving(handler) as (url, _), transport() as client, client.stream(url, GET, 10) as opened:
            assert await anext(opened.chunks) == b"some"
            with pytest.raises(PeerUnreachable, match="in the middle of the answer"):
                await drain(opened.chunks)

    uvloop.run(main())
    assert "half way" in caplog.text


async def drain(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@asynccontextmanager
async def a_peer_that(
    behaves: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(behaves, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def test_what_is_no_http_peer_is_told_apart():
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        writer.close()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"220 mail.example ready\r\n")
        writer.close()

    async def main() -> None:
        async with transport() as client:
            for behaviour, said in (
                (reset, "closed before an answer came|was reset"),
                (short, "in the middle of the answer"),
                (babble, "does not speak HTTP here"),
            ):
                async with a_peer_that(behaviour) as address:
                    with pytest.raises(PeerUnreachable, match=said):
                        await client.request(f"http://{address}", GET, 10)
            async with a_peer_that(babble) as address:
                with pytest.raises(PeerUnreachable, match="does not speak TLS"):
                    await client.request(f"https://{address}", GET, 10)

    uvloop.run(main())


def test_a_host_that_takes_the_connection_and_says_nothing_times_out():
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with transport() as client:
                with pytest.raises(PeerUnreachable, match=r"timed out \(no answer within 0\.3 s\)"):
                    await client.request(url, GET, 0.3)
                with pytest.raises(PeerUnreachable, match="timed out"):
                    async with client.stream(url, GET, 0.3):
                        pass

    uvloop.run(main())


def test_who_says_nothing_at_the_gateway_is_not_waited_for():
    async def app(scope: object, protocol: object) -> None:
        raise AssertionError("nothing was asked")

    async def main() -> None:
        with listen_tcp("127.0.0.1:0") as listener:
            server = granian_server.GranianServer(listener.fileno(), app, Limits({API_IDLE_S.name: 1}))
            server.start()
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
            assert await server.stop(5)

    uvloop.run(main())


def tls_request(ca: TestCa, url: str, data: bytes) -> bytes:
    """The answer to bytes as they are, in HTTP/1.1, until the server closes."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    port = int(url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(data)
        answer = b""
        while piece := secured.recv(65_536):
            answer += piece
        return answer


@asynccontextmanager
async def secured(
    url: str, ca: TestCa, protocols: Sequence[str] = (), child: tuple[Path, Path] | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose TLS handshake is done. protocols: what the client would speak. child: certificate and key."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if child is not None:
        context.load_cert_chain(*child)
    host, port = url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class TestTls:
    @pytest.fixture
    def ca(self) -> TestCa:
        return TestCa("littoral test")

    @pytest.fixture
    def other_ca(self) -> TestCa:
        return TestCa("another")

    def test_a_server_is_known_by_its_ca(self, ca: TestCa, other_ca: TestCa, tmp_path: Path):
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))

        async def main() -> None:
            async with serving(echo, tls) as (url, _):
                async with transport(Identity(ca.pem)) as client:
                    assert (await client.request(url, GET, 10)).status == 200
                for identity in (Identity(other_ca.pem), Identity()):
                    async with transport(identity) as client:
                        with pytest.raises(PeerUnreachable, match="its certificate is signed by another CA"):
                            await client.request(url, GET, 10)
                async with transport(trust_anyone=True) as client:
                    assert (await client.request(url, GET, 10)).status == 200

        uvloop.run(main())

    @pytest.mark.parametrize(
        ("address", "expired", "said"),
        [
            ("127.0.0.1", True, "its certificate has expired. Check the clocks"),
            ("10.0.0.1", False, "its certificate does not name this address. Add the address"),
        ],
    )
    def test_a_wrong_certificate_is_explained(
        self, ca: TestCa, tmp_path: Path, address: str, *, expired: bool, said: str
    ):
        tls = TlsFiles(*ca.issue("node", address=address, expired=expired).write(tmp_path, "node"))

        async def main() -> None:
            async with serving(echo, tls) as (url, _), transport(Identity(ca.pem)) as client:
                with pytest.raises(PeerUnreachable, match=said):
                    await client.request(url, GET, 10)

        uvloop.run(main())

    def test_a_listener_that_demands_client_certificates_takes_those_of_its_ca_only(
        self, ca: TestCa, other_ca: TestCa, tmp_path: Path
    ):
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(ca.pem)
        tls = TlsFiles(*ca.issue("parent").write(tmp_path, "parent"), client_ca=ca_file)
        handled: list[Request] = []

        async def note(request: Request) -> AnyResponse:
            handled.append(request)
            return Response()

        def identity(issuer: TestCa, *, expired: bool = False) -> Identity:
            pair = issuer.issue("child", expired=expired)
            return Identity(ca.pem, pair.certificate, pair.key)

        async def main() -> None:
            async with serving(note, tls) as (url, _), transport(identity(ca)) as client:
                assert (await client.request(url, GET, 10)).status == 200
                for wrong, said in (
                    (Identity(ca.pem), "it demands a client certificate, and this node has none"),
                    (identity(other_ca), "this node's certificate is signed by another CA"),
                    (identity(ca, expired=True), "this node's certificate has expired"),
                ):
                    client.reload(wrong)
                    with pytest.raises(PeerUnreachable, match=said):
                        await client.request(url, GET, 10)
                    with pytest.raises(PeerUnreachable, match=said):
                        async with client.stream(url, GET, 10):
                            pass
                assert len(handled) == 1
                client.reload(identity(ca))
                assert (await client.request(url, GET, 10)).status == 200

        uvloop.run(main())

    @pytest.mark.parametrize(
        ("framing", "body", "status"),
        [
            ("Content-Length: 600", b"x" * 600, 200),
            ("Content-Length: 1001", b"", 413),
            ("Transfer-Encoding: chunked", b"258\r\n" + b"y" * 600 + b"\r\n0\r\n\r\n", 200),
            ("Transfer-Encoding: chunked", (b"258\r\n" + b"y" * 600 + b"\r\n") * 2 + b"0\r\n\r\n", 413),
            ("Content-Length: 600", b"half", 408),
            ("Transfer-Encoding: chunked", b"4\r\nhalf\r\n", 408),
        ],
    )
    def test_bodies_are_bounded_whether_they_say_how_long_they_are_or_not(
        self, ca: TestCa, tmp_path: Path, framing: str, body: bytes, status: int
    ):
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))
        limits = Limits({API_BODY_BYTES.name: 1000, API_HELD_BYTES.name: 1500, API_BODY_S.name: 1})
        head = f"POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\nConnection: close\r\n\r\n"

        async def main() -> None:
            async with serving(echo, tls, limits) as (url, server):
                for _ in range(3):  # What was answered is held no longer.
                    answer = await asyncio.to_thread(tls_request, ca, url, head.encode() + body)
                    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
                assert server._server._bodies._held_bytes == 0  # type: ignore[union-attr]

        uvloop.run(main())

    def test_what_is_announced_and_does_not_come_takes_no_room_from_others(self, ca: TestCa, tmp_path: Path):
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))
        limits = Limits({API_HELD_BYTES.name: 1_000_000})

        async def main() -> None:
            async with (
                serving(echo, tls, limits) as (url, _),
                transport(Identity(ca.pem)) as client,
                secured(url, ca) as (reader, writer),
            ):
                writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 900000\r\n\r\n")
                # It is asked for its body, so it was looked at.
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
                answer = await client.request(url, Request("POST", "/", body=b"x" * 600_000), 10)
                assert answer.status == 200

        uvloop.run(main())

    def test_strangers_speak_http_1_1_and_who_says_nothing_is_not_waited_for(self, ca: TestCa, tmp_path: Path):
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))

        async def main() -> None:
            async with (
                serving(echo, tls, Limits({API_IDLE_S.name: 1})) as (url, _),
                secured(url, ca, ["h2", "http/1.1"]) as (reader, writer),
                transport(Identity(ca.pem)) as client,
            ):
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
                async with asyncio.timeout(10):
                    assert await reader.read() == b""
                assert (await client.request(url, GET, 10)).status == 200

        uvloop.run(main())

    def test_a_child_that_is_no_longer_there_is_not_waited_for(
        self, ca: TestCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(granian_server, "PONG_S", 1)
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(ca.pem)
        tls = TlsFiles(*ca.issue("parent").write(tmp_path, "parent"), client_ca=ca_file)
        child = ca.issue("child").write(tmp_path, "child")

        async def main() -> None:
            async with (
                serving(echo, tls, Limits({API_IDLE_S.name: 1})) as (url, _),
                secured(url, ca, ["h2"], child) as (reader, writer),
            ):
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
                empty_settings = b"\0\0\0\4\0\0\0\0\0"
                writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
                async with asyncio.timeout(10):
                    await reader.read()

        uvloop.run(main())

    def test_what_a_client_does_not_take_is_not_made_without_end(self, ca: TestCa, tmp_path: Path):
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))
        limits = Limits({PEER_STREAM_BYTES.name: 10 << 20})
        made = 0

        async def handler(request: Request) -> AnyResponse:
            async def pieces() -> AsyncIterator[bytes]:
                nonlocal made
                while True:
                    made += 1
                    yield b"x" * (1 << 20)

            return StreamingResponse(200, (), pieces())

        async def main() -> None:
            async with serving(handler, tls, limits) as (url, server), secured(url, ca) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                async with asyncio.timeout(10):
                    while server.open_streams:
                        await asyncio.sleep(0)
                assert made == 10
                assert limits.reached[PEER_STREAM_BYTES.name] == 1

        uvloop.run(main())

    @pytest.mark.parametrize("streams", [False, True])
    @pytest.mark.parametrize("name", ["x forged", "", "x: 1"])
    def test_a_name_that_is_none_is_a_fault_of_the_node(self, ca: TestCa, tmp_path: Path, name: str, *, streams: bool):
        self._answers_that_they_are_a_fault(ca, tmp_path, 200, ((name, "1"),), streams=streams)

    @pytest.mark.parametrize("streams", [False, True])
    def test_a_line_break_in_a_header_field_is_a_fault_of_the_node(self, ca: TestCa, tmp_path: Path, *, streams: bool):
        self._answers_that_they_are_a_fault(ca, tmp_path, 200, (("x", "a\r\nb: c"),), streams=streams)

    @pytest.mark.parametrize("streams", [False, True])
    @pytest.mark.parametrize("status", [0, 100, 600])
    def test_what_is_the_status_of_no_answer_is_a_fault_of_the_node(
        self, ca: TestCa, tmp_path: Path, status: int, *, streams: bool
    ):
        self._answers_that_they_are_a_fault(ca, tmp_path, status, (), streams=streams)

    def _answers_that_they_are_a_fault(
        self, ca: TestCa, tmp_path: Path, status: int, headers: Headers, *, streams: bool
    ) -> None:
        tls = TlsFiles(*ca.issue("node").write(tmp_path, "node"))

        async def pieces() -> AsyncIterator[bytes]:
            yield b"never"

        async def handler(request: Request) -> AnyResponse:
            return StreamingResponse(status, headers, pieces()) if streams else Response(status, headers, b"never")

        async def main() -> None:
            async with serving(handler, tls) as (url, _), transport(Identity(ca.pem)) as client:
                answer = await client.request(url, Request("GET", "/"), 10)
                assert answer.status == 500
                assert b"never" not in answer.body

        uvloop.run(main())

    def test_a_renewed_certificate_is_used_without_refusing_a_connection(
        self, ca: TestCa, other_ca: TestCa, tmp_path: Path
    ):
        old = TlsFiles(*ca.issue("node").write(tmp_path, "old"))
        new = TlsFiles(*other_ca.issue("node").write(tmp_path, "new"))

        async def main() -> None:
            async with serving(echo, old) as (url, server):
                async with transport(Identity(ca.pem)) as client:
                    assert (await client.request(url, GET, 10)).status == 200
                await server.reload(new)
                async with transport(Identity(other_ca.pem)) as client:
                    answers = await asyncio.gather(*(client.request(url, GET, 10) for _ in range(20)))
                    assert {answer.status for answer in answers} == {200}
                async with transport(Identity(ca.pem)) as client:
                    with pytest.raises(PeerUnreachable, match="signed by another CA"):
                        await client.request(url, GET, 10)

        uvloop.run(main())

    def test_missing_and_mismatched_files_are_refused_before_serving(self, ca: TestCa, tmp_path: Path):
        certificate, key = ca.issue("node").write(tmp_path, "node")
        _, other_key = ca.issue("other").write(tmp_path, "other")
        for tls in (
            TlsFiles(tmp_path / "missing.pem", key),
            TlsFiles(certificate, other_key),
            TlsFiles(certificate, key, client_ca=tmp_path / "missing.pem"),
        ):
            with pytest.raises(StartupError, match="cannot load TLS files .*Check that the files exist"):
                HttpServer(echo, 0, Limits(), tls)

    def test_an_identity_that_is_no_pem_is_refused(self, ca: TestCa):
        with pytest.raises(StartupError, match="Check the PEM files under identity/"):
            HttpTransport(Identity(ca.pem, b"no certificate", b"no key"))
