"""Connections to origins: made, kept, used again, given up."""

import asyncio
import socket
import ssl

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.gateway_limits import ORIGIN_CONNECTION_S, ORIGIN_IDLE_CONNECTIONS, ORIGIN_IDLE_S
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.gateway.origins.caller import OriginCaller
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.settings import OriginPool, Target
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest, OriginTimeouts, OriginTransport
from tests.support.certificates import TestCa
from tests.support.origins import GET, OK, TIMEOUTS, against, answer_all, answering, drive, read_all

POST = OriginRequest("POST", "/", (("host", "origin"),), b"abc")


async def closing_when_asked(peer):
    """Answers one request, and closes when the next comes."""
    await peer.head()
    await peer.say(OK)
    await peer.head()


def test_the_last_connection_is_used_first():
    async def main():
        async with against(answer_all) as (origin, transport):
            send = transport.send
            await asyncio.gather(*[send(origin.endpoint, GET, TIMEOUTS) for _ in range(3)])
            idle = transport._idle[origin.endpoint]
            first, last = idle[0], idle[-1]
            for _ in range(5):
                await send(origin.endpoint, GET, TIMEOUTS)
            assert (idle[0], idle[-1], origin.accepted) == (first, last, 3)
            assert (transport.meter.opened, transport.meter.reused) == (3, 5)

    drive(main())


def test_idle_connections_have_a_bound():
    async def main():
        limits = Limits({ORIGIN_IDLE_CONNECTIONS.name: 2})
        async with against(answer_all, limits=limits) as (origin, transport):
            await asyncio.gather(*[transport.send(origin.endpoint, GET, TIMEOUTS) for _ in range(5)])
            while transport.open_connections > 2:
                await asyncio.sleep(0)
            assert limits.reached[ORIGIN_IDLE_CONNECTIONS.name] == 3

    drive(main())


def test_a_connection_that_nobody_needs_is_closed():
    async def main():
        async with against(answer_all, limits=Limits({ORIGIN_IDLE_S.name: 1})) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            [connection] = transport._idle[origin.endpoint]
            assert connection._deadline_s - asyncio.get_running_loop().time() <= 1
            connection._deadline_s = 0
            connection._look_at_time()
            while transport.open_connections:
                await asyncio.sleep(0)
            assert transport._idle == {}

    drive(main())


def test_a_connection_is_not_used_longer_than_its_life():
    async def main():
        async with against(answer_all, limits=Limits({ORIGIN_CONNECTION_S.name: 1})) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            [connection] = transport._idle[origin.endpoint]
            assert 0 < connection._until_s - asyncio.get_running_loop().time() <= 1
            connection._until_s = 0
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (origin.accepted, connection.is_closed) == (2, True)
            [connection] = transport._idle[origin.endpoint]
            connection._until_s = asyncio.get_running_loop().time() + 0.001
            answer = asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS))
            await asyncio.sleep(0)
            connection._until_s = 0
            await answer
            assert connection.is_closed

    drive(main())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_kept_connection_that_has_been_closed_is_nobodys_failure(method):
    async def main():
        async with against(closing_when_asked, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            request = OriginRequest(method, "/", GET.fields, b"")
            async with asyncio.timeout(5):
                answer = await transport.send(origin.endpoint, request, TIMEOUTS)
            assert answer.status == 200
            assert transport.meter.repeated == 1

    drive(main())


TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"


@pytest.mark.parametrize("body", [b"content-length: 0\r\n\r\n", b"content-length: 9\r\n\r\nlate"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_origin_that_was_tired_of_waiting_is_asked_on_a_new_connection(method, body):
    async def main():
        async with against(answering(OK, TOO_LATE + body), answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            request = OriginRequest(method, "/", GET.fields, b"")
            answer = await transport.send(origin.endpoint, request, TIMEOUTS)
            assert (answer.status, transport.meter.repeated, origin.accepted) == (200, 1, 2)

    drive(main())


def test_who_answers_so_on_a_new_connection_means_it():
    async def main():
        script = answering(OK, TOO_LATE + b"content-length: 0\r\n\r\n")
        async with against(script, answering(TOO_LATE + b"content-length: 0\r\n\r\n")) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (await transport.send(origin.endpoint, GET, TIMEOUTS)).status == 408
            assert (transport.meter.repeated, origin.accepted) == (1, 2)

    drive(main())


def test_who_answers_so_may_have_acted_on_what_does_harm_twice():
    async def main():
        async with against(answering(OK, TOO_LATE + b"content-length: 0\r\n\r\n"), answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (await transport.send(origin.endpoint, POST, TIMEOUTS)).status == 408
            assert origin.accepted == 1

    drive(main())


async def pieces(*given):
    for piece in given:
        yield piece


@pytest.mark.parametrize(
    "request_",
    [POST, OriginRequest("PATCH", "/", (), b"x"), OriginRequest("PUT", "/", (), pieces(b"x"), 1)],
)
def test_what_may_have_been_acted_on_is_not_sent_twice(request_):
    async def main():
        async with against(closing_when_asked, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            with pytest.raises(OriginFailed) as failure:
                await transport.send(origin.endpoint, request_, TIMEOUTS)
            assert failure.value.reused
            assert origin.accepted == 1

    drive(main())


def test_an_answer_that_has_begun_is_not_asked_for_again():
    async def main():
        scripts = answering(OK, b"HTTP/1.1 2"), answer_all
        async with against(*scripts) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            with pytest.raises(OriginFailed) as failure:
                await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert not failure.value.reused

    drive(main())


def test_a_new_connection_that_is_closed_is_a_failure():
    async def script(peer):
        await peer.head()

    async def main():
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed) as failure:
                await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (failure.value.reused, failure.value.stage, origin.accepted) == (False, "head", 1)

    drive(main())


def test_all_kept_connections_closed_at_once_cost_one_try():
    """A restarted origin."""

    async def main():
        async with against(*(closing_when_asked,) * 3, answer_all) as (origin, transport):
            await asyncio.gather(*[transport.send(origin.endpoint, GET, TIMEOUTS) for _ in range(3)])
            assert (await transport.send(origin.endpoint, GET, TIMEOUTS)).whole == b"ok"
            assert (transport.meter.repeated, origin.accepted) == (1, 4)

    drive(main())


def test_a_pool_reaches_real_origins():
    """The caller over this transport: who refuses is passed over, a body that is read leaves its connection to the next."""

    async def main():
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"

        async def script(peer):
            await peer.head()
            await peer.say(chunked, b"0\r\n\r\n")
            await answer_all(peer)

        async with against(script) as (origin, transport):
            way: OriginTransport = transport
            pool = OriginPool("pool", (Target(Endpoint("http", "127.0.0.1", 1)), Target(origin.endpoint)))
            caller = OriginCaller(pool, way, SystemClock(), SystemRandom(), PoolMeter(), key=b"key")
            answered = await caller.call(GET)
            assert (answered.tries, answered.target) == (2, str(origin.endpoint))
            assert await read_all(answered.answer) == b"ok"
            assert (await caller.call(POST)).answer.whole == b"ok"
            assert [each.inflight for each in caller.pool.members] == [0, 0]
            assert origin.accepted == 1

    drive(main())


def test_nobody_there():
    async def main():
        async with against(answer_all) as (_, transport):
            with pytest.raises(OriginFailed, match="connection refused") as failure:
                await transport.send(Endpoint("http", "127.0.0.1", 1), GET, TIMEOUTS)
            assert (failure.value.stage, failure.value.timed_out) == ("connect", False)
            assert (failure.value.operation, failure.value.subject) == ("connect to", "http://127.0.0.1:1")

    drive(main())


def test_a_connection_that_is_closed_before_it_is_asked(monkeypatch):
    """Its origin speaks first, or only accepts."""

    async def main():
        async with against(answer_all) as (origin, transport):
            connected = transport._connected

            async def closed(endpoint):
                connection = await connected(endpoint)
                connection.data_received(b"220 mail.example\r\n")
                return connection

            monkeypatch.setattr(transport, "_connected", closed)
            with pytest.raises(OriginFailed, match="before it is asked") as failure:
                await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert failure.value.stage == "connect"

    drive(main())


def test_a_request_that_is_none_opens_no_connection():
    async def main():
        async with against(answer_all) as (origin, transport):
            with pytest.raises(InvalidInput):
                await transport.send(origin.endpoint, OriginRequest("GET", "/ x", ()), TIMEOUTS)
            assert origin.accepted == 0

    drive(main())


async def endless():
    while True:
        yield b"x"
        await asyncio.sleep(0)


SAID = {"before an answer": b"", "in the middle of an answer": b"HTTP/1.1 200 OK\r\n\r\nok"}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("body", [lambda: b"", endless])
def test_whoever_does_not_want_it_any_more_closes_the_connection(said, is_kept, body):
    async def script(peer):
        if is_kept:
            await answering(OK)(peer)
        await peer.head()
        await peer.say(said)
        reached.set()
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            if is_kept:
                await transport.send(origin.endpoint, GET, TIMEOUTS)
            request = OriginRequest("PUT", "/", (), body(), None)
            task = asyncio.ensure_future(asked(transport, origin, request))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while transport.open_connections:
                await asyncio.sleep(0)

    reached = asyncio.Event()
    drive(main())


async def asked(transport, origin, request):
    """The whole body of the answer."""
    return await read_all(await transport.send(origin.endpoint, request, TIMEOUTS))


def test_whoever_does_not_want_to_be_connected_is_not():
    async def main():
        async with against(answer_all) as (origin, transport):
            for steps in [*range(6)] * 10:
                task = asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert not transport._connecting

    drive(main())


def test_an_answer_that_comes_as_its_asker_leaves_goes_to_nobody_else():
    """The connection it came on may be at work for another request by then."""

    async def main():
        async with against(answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            [connection] = transport._idle[origin.endpoint]
            task = asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS))
            await asyncio.sleep(0)
            connection.data_received(OK)
            task.cancel()
            other = asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await other).whole == b"ok"
            assert not connection.is_closed or transport.meter.repeated

    drive(main())


def test_closing_ends_what_is_under_way():
    async def script(peer):
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            tasks = [asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS)) for _ in range(3)]
            while transport.open_connections < 3:
                await asyncio.sleep(0)
            late = asyncio.ensure_future(transport.send(origin.endpoint, GET, TIMEOUTS))
            await asyncio.sleep(0)
            connections = list(transport._open)
            await transport.aclose()
            assert [each._timer for each in connections] == [None] * 3
            for task in (*tasks, late):
                with pytest.raises(OriginFailed):
                    await task
            with pytest.raises(OriginFailed, match="stopping"):
                await transport.send(origin.endpoint, GET, TIMEOUTS)

    drive(main())


def test_closing_waits_for_bodies_that_are_sent():
    async def script(peer):
        await peer.head()
        reached.set()
        await peer.reader.read()

    async def waiting():
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def main():
        async with against(script) as (origin, transport):
            request = OriginRequest("PUT", "/", (), waiting(), None)
            task = asyncio.ensure_future(transport.send(origin.endpoint, request, TIMEOUTS))
            await reached.wait()
            await transport.aclose()
            assert closed
            with pytest.raises(OriginFailed):
                await task

    reached = asyncio.Event()
    closed: list[bool] = []
    drive(main())


def test_closing_does_not_wait_for_who_connects():
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(2)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(full.getsockname())

    async def main():
        async with against(answer_all) as (_, transport):
            endpoint = Endpoint("http", *full.getsockname())
            task = asyncio.ensure_future(transport.send(endpoint, GET, OriginTimeouts(1000, 5, 5)))
            while not transport._connecting:
                await asyncio.sleep(0)
            await transport.aclose()
            with pytest.raises(OriginFailed, match="stopping"):
                await task

    drive(main())
    for each in (full, *waiting):
        each.close()


# TLS


@pytest.fixture(scope="module")
def ca():
    return TestCa("origins")


@pytest.fixture
def tls(ca, tmp_path):
    """What the origin shows, and the file of who signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.issue("127.0.0.1").write(tmp_path, "origin"))
    file = tmp_path / "ca.pem"
    file.write_bytes(ca.pem)
    return context, str(file)


def test_tls_with_the_pools_own_ca(tls):
    context, file = tls

    async def main():
        async with against(answer_all, tls=context) as (origin, transport):
            endpoint = Endpoint("https", "127.0.0.1", origin.endpoint.port, ca_file=file)
            for _ in range(3):
                assert (await transport.send(endpoint, GET, TIMEOUTS)).whole == b"ok"
            assert origin.accepted == 1
            with pytest.raises(OriginFailed, match="not trusted") as failure:
                await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert failure.value.stage == "connect"
            other = Endpoint("https", "127.0.0.1", origin.endpoint.port, "other.example", file)
            with pytest.raises(OriginFailed, match=r"not trusted for other\.example"):
                await transport.send(other, GET, TIMEOUTS)
            missing = Endpoint("https", "127.0.0.1", origin.endpoint.port, ca_file=file + "x")
            with pytest.raises(OriginFailed, match="there is no file"):
                await transport.send(missing, GET, TIMEOUTS)

    drive(main())


def test_an_origin_that_speaks_http_2_too_is_told_which_is_spoken(tls):
    context, file = tls
    context.set_alpn_protocols(["h2", "http/1.1"])
    chosen = []

    async def script(peer):
        chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answer_all(peer)

    async def main():
        async with against(script, tls=context) as (origin, transport):
            endpoint = Endpoint("https", "127.0.0.1", origin.endpoint.port, ca_file=file)
            assert (await transport.send(endpoint, GET, TIMEOUTS)).whole == b"ok"

    drive(main())
    assert chosen == ["http/1.1"]


def test_tls_1_1_is_too_old(tls):
    context, file = tls
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main():
        async with against(answer_all, tls=context) as (origin, transport):
            endpoint = Endpoint("https", "127.0.0.1", origin.endpoint.port, ca_file=file)
            assert (await transport.send(endpoint, GET, TIMEOUTS)).whole == b"ok"
            assert (await transport._contexts.of(file)).minimum_version is ssl.TLSVersion.TLSv1_2

    drive(main())


def test_what_speaks_no_tls():
    async def script(peer):
        await peer.say(b"SSH-2.0-OpenSSH_9.6\r\n")
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            endpoint = Endpoint("https", "127.0.0.1", origin.endpoint.port)
            with pytest.raises(OriginFailed, match="TLS failed") as failure:
                await transport.send(endpoint, GET, TIMEOUTS)
            assert failure.value.stage == "connect"

    drive(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_answers_nothing_at_all_is_given_up(scheme):
    async def script(peer):
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            endpoint = Endpoint(scheme, "127.0.0.1", origin.endpoint.port)
            timeouts = OriginTimeouts(0.2, 0.01, 5)
            with pytest.raises(OriginFailed) as failure:
                await transport.send(endpoint, GET, timeouts)
            assert failure.value.timed_out
            assert failure.value.stage == ("connect" if scheme == "https" else "head")

    drive(main())


@pytest.mark.parametrize("ends", [True, False])
def test_a_body_that_tls_does_not_end_is_cut_off(tls, ends):
    """Whoever sits in between may have cut it (RFC 9112, section 9.8)."""
    context, file = tls

    async def script(peer):
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nok")
        if ends:
            return
        await go.wait()
        peer.writer.transport.abort()

    async def main():
        async with against(script, tls=context) as (origin, transport):
            endpoint = Endpoint("https", "127.0.0.1", origin.endpoint.port, ca_file=file)
            answer = await transport.send(endpoint, GET, TIMEOUTS)
            go.set()
            if ends:
                assert await read_all(answer) == b"ok"
                return
            with pytest.raises(OriginFailed):
                await read_all(answer)

    go = asyncio.Event()
    drive(main())


class Told:
    """Who began a request."""

    def __init__(self):
        self.count = 0
        self.heard = asyncio.Event()

    def __call__(self):
        self.count += 1
        self.heard.set()


def begun(origin, transport, told, request=GET, timeouts=TIMEOUTS, informed=None):
    """One that is sent at once."""

    def inform(status, fields):
        (informed if informed is not None else []).append(status)

    return transport.begin(origin.endpoint, request, timeouts, inform, told)


def test_a_request_is_begun_on_a_kept_connection_only():
    async def main():
        async with against(answer_all) as (origin, transport):
            told = Told()
            assert begun(origin, transport, told) is None
            await transport.send(origin.endpoint, GET, TIMEOUTS)

            async def body():
                yield b"abc"

            assert begun(origin, transport, told, OriginRequest("POST", "/", GET.fields, body(), 3)) is None
            answer = begun(origin, transport, told)
            assert (answer.status, answer.whole, told.count) == (0, None, 0)
            await told.heard.wait()
            assert (answer.status, answer.whole, told.count) == (200, b"ok", 1)
            assert (transport.meter.opened, transport.meter.reused, origin.accepted) == (1, 1, 1)
            with pytest.raises(InvalidInput):
                begun(origin, transport, told, OriginRequest("GET", "/a b", GET.fields))

    drive(main())


def test_what_was_begun_and_comes_in_pieces_is_read_on():
    async def main():
        async def in_pieces(peer):
            await peer.head()
            await peer.say(OK)
            await peer.head()
            await peer.say(
                b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", b"cd"
            )
            await peer.head()

        async with against(in_pieces) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            told = Told()
            informed: list[int] = []
            answer = begun(origin, transport, told, informed=informed)
            await told.heard.wait()
            assert (answer.whole, informed) == (None, [103])
            assert await transport.send(origin.endpoint, GET, TIMEOUTS, None, answer) is answer
            assert await read_all(answer) == b"abcd"
            assert (told.count, origin.accepted) == (1, 1)

    drive(main())


@pytest.mark.parametrize("late", [False, True])
def test_what_was_begun_on_a_connection_that_was_given_up_is_sent_again(late):
    async def main():
        async def given_up(peer):
            await peer.head()
            await peer.say(OK)
            await peer.head()
            if late:
                await peer.say(TOO_LATE + b"content-length: 0\r\n\r\n")

        async with against(given_up, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            told = Told()
            answer = begun(origin, transport, told)
            await told.heard.wait()
            assert answer.status == (408 if late else 0)
            again = await transport.send(origin.endpoint, GET, TIMEOUTS, None, answer)
            assert (again.status, transport.meter.repeated, origin.accepted) == (200, 1, 2)

    drive(main())


def test_what_was_begun_and_must_not_be_sent_twice_fails():
    async def main():
        async with against(closing_when_asked, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            told = Told()
            answer = begun(origin, transport, told, POST)
            await told.heard.wait()
            with pytest.raises(OriginFailed, match="closed before a response came"):
                await transport.send(origin.endpoint, POST, TIMEOUTS, None, answer)
            assert origin.accepted == 1

    drive(main())


def test_what_was_begun_has_its_time():
    async def main():
        async def silent(peer):
            await peer.head()
            await peer.say(OK)
            await peer.head()
            await peer.head()

        async with against(silent) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            told, soon = Told(), OriginTimeouts(head_s=0.01)
            answer = begun(origin, transport, told, timeouts=soon)
            await told.heard.wait()
            with pytest.raises(OriginFailed) as failure:
                await transport.send(origin.endpoint, GET, soon, None, answer)
            assert failure.value.timed_out

    drive(main())


def test_nobody_is_told_of_what_was_given_up():
    async def main():
        async with against(closing_when_asked, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            told = Told()
            answer = begun(origin, transport, told)
            answer.close()
            while transport.open_connections:
                await asyncio.sleep(0)
            assert (told.count, answer.status) == (0, 0)

    drive(main())
