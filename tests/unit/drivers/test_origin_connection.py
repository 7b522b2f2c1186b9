"""One connection to an origin, and what an origin may do on it: real sockets on loopback."""

import asyncio
from typing import Any

import pytest

from littoral.core.gateway_limits import ORIGIN_FIELDS, ORIGIN_HEAD_BYTES, ORIGIN_INTERIM, ORIGIN_READ_AHEAD_BYTES
from littoral.core.limits import Limits
from littoral.gateway.origins.transport import OriginFailed, OriginRequest, OriginTimeouts
from tests.support.origins import GET, OK, TIMEOUTS, against, answer_all, answering, drive, read_all

HEAD = OriginRequest("HEAD", "/", (("host", "origin"),))
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def asked(*responses, request=GET, limits=None, rest=answer_all):
    """(status, body, trailers) of the answer, how many connections there were after another request, and the limits hit."""
    result = []

    async def main():
        given = Limits(limits)
        async with against(answering(*responses, *(OK,) * 3), rest, limits=given) as (origin, transport):
            answer = await transport.send(origin.endpoint, request, TIMEOUTS)
            body = await read_all(answer)
            after = await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert after.whole == b"ok"
            result.append((answer.status, body, list(answer.trailers), origin.accepted))

    drive(main())
    return result[0]


def refused(*responses, request=GET, limits=None, connections=2):
    """The failure's stage and cause, and the limits hit. Whoever asks next is answered on another connection."""
    result: list[Any] = []

    async def main():
        given = Limits(limits)
        async with against(answering(*responses), answer_all, limits=given) as (origin, transport):
            with pytest.raises(OriginFailed) as failure:
                await read_all(await transport.send(origin.endpoint, request, TIMEOUTS))
            result.append(failure.value)
            assert (await transport.send(origin.endpoint, GET, TIMEOUTS)).whole == b"ok"
            assert origin.accepted == connections
            result.append([name for name, count in given.reached.items() if count])

    drive(main())
    failure, limits_hit = result
    return failure.stage, failure.cause, limits_hit


def test_a_response_that_comes_at_once_is_whole():
    async def main():
        async with against(answering(b"HTTP/1.1 200 OK\r\nX: Y\r\ncontent-length: 2\r\n\r\nok")) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (answer.status, answer.version, answer.whole, answer.length) == (200, "1.1", b"ok", 2)
            assert answer.fields == (("x", "Y"), ("content-length", "2"))
            assert await answer.read() == b"ok"
            assert await answer.read() == b""
            answer.close()

    drive(main())


@pytest.mark.parametrize(
    "response",
    [
        OK,
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"1;a=b\r\no\r\n01\r\nk\r\n000\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
    ],
)
def test_a_connection_is_used_again(response):
    assert asked(response) == (200, b"ok", [], 1)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok",
    ],
)
def test_a_connection_that_the_origin_gives_up_is_not_used_again(response):
    assert asked(response) == (200, b"ok", [], 2)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_may_end_with_the_connection(version):
    async def script(peer):
        await peer.head()
        await peer.say(b"HTTP/" + version + b" 200 OK\r\n\r\n", b"o", b"k")

    async def main():
        async with against(script) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert (answer.whole, answer.length) == (None, None)
            assert await read_all(answer) == b"ok"

    drive(main())


def test_trailers_come_after_the_body():
    response = CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n"
    assert asked(response) == (200, b"ok", [("x-sum", "5")], 1)
    assert asked(CHUNKED + b"0\r\na: b\r\n\r\n") == (200, b"", [("a", "b")], 1)


@pytest.mark.parametrize(
    ("response", "request_"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", GET),
        (b"HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", GET),
        (b"HTTP/1.1 304 Not\r\ncontent-length: 5\r\n\r\n", GET),
        (b"HTTP/1.1 304 Not\r\ntransfer-encoding: chunked\r\n\r\n", GET),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", HEAD),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", HEAD),
        (b"HTTP/1.1 200 OK\r\n\r\n", HEAD),
        (b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 5\r\n\r\n", HEAD),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(response, request_):
    _, body, _, connections = asked(response, request=request_)
    assert (body, connections) == (b"", 1)


@pytest.mark.parametrize(
    ("response", "request_"),
    [
        (OK + b"x", GET),
        (OK + OK, GET),
        (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", GET),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\nx", GET),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + OK, GET),
        (b"HTTP/1.1 304 Not\r\ncontent-length: 5\r\n\r\nhello", GET),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", HEAD),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5", HEAD),
        (b"HTTP/1.1 200 OK\r\n\r\n" + OK, HEAD),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok" + OK, GET),
    ],
)
def test_a_connection_on_which_more_came_than_was_asked_for_answers_nobody(response, request_):
    """What came would be the answer to the next request."""
    assert asked(response, request=request_)[3] == 2


def test_what_comes_on_an_idle_connection_answers_nobody():
    async def script(peer):
        await peer.head()
        await peer.say(OK)
        await go.wait()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        await peer.reader.read()

    async def main():
        async with against(script, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            go.set()
            while transport.open_connections:
                await asyncio.sleep(0)
            assert (await transport.send(origin.endpoint, GET, TIMEOUTS)).whole == b"ok"

    go = asyncio.Event()
    drive(main())


@pytest.mark.parametrize("request_", [GET, OriginRequest("POST", "/", (("host", "o"),))])
def test_what_an_event_loop_that_is_late_has_not_heard_yet_answers_nobody(request_):
    async def script(peer):
        await peer.head()
        await peer.say(OK)
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    async def main():
        async with against(script, answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            [connection] = transport._idle[origin.endpoint]
            # As if somebody else's callback had taken long: the origin has sent, and nobody has read.
            connection._transport.pause_reading()
            if request_ is GET:  # Others are not sent without a look.
                connection._idle_since_s -= 1
            connection._transport.write(b"GET / HTTP/1.1\r\n\r\n")
            while not connection._readable.poll(0):
                await asyncio.sleep(0)
            assert (await transport.send(origin.endpoint, request_, TIMEOUTS)).whole == b"ok"

    drive(main())


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 600 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n" + OK,
        b"<html>hello</html>",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_what_is_no_response_that_all_read_alike_is_refused(response):
    stage, _, _ = refused(response)
    assert stage == "head"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"<html>", "is no HTTP/1.1"),
        (CHUNKED + b"x\r\n", "is no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "nobody can tell"),
        (b"HTTP/1.1 700 OK\r\n\r\n", "which is none of HTTP/1.1"),
    ],
)
def test_what_is_wrong_is_known_at_once(said, cause):
    async def script(peer):
        await peer.head()
        await peer.say(said)
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed, match=cause):
                await read_all(await transport.send(origin.endpoint, GET, TIMEOUTS))

    drive(main())


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_response_that_breaks_off_is_none(part):
    response = b"HTTP/1.1 200 OK\r\ncontent-le" if part == "head" else b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"
    assert refused(response)[0] == part


def test_chunks_that_break_off_or_are_wrong_are_no_body():
    assert refused(CHUNKED + b"5\r\nhel")[0] == "body"
    assert refused(CHUNKED + b"5\r\nhello\r\n")[0] == "body"
    assert refused(CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n")[0] == "body"
    assert refused(CHUNKED + b"0\r\n x: y\r\n\r\n")[0] == "body"


def test_a_reset_is_told_from_an_end():
    async def script(peer):
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await go.wait()
        peer.reset()

    async def main():
        async with against(script) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            go.set()
            with pytest.raises(OriginFailed, match="reset in the middle") as failure:
                await read_all(answer)
            assert failure.value.stage == "body"

    go = asyncio.Event()
    drive(main())


def test_interim_responses_are_passed_on():
    heard = []

    async def main():
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        async with against(answering(early + OK)) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS, lambda *said: heard.append(said))
            assert answer.whole == b"ok"

    drive(main())
    assert heard == [(100, []), (103, [("link", "</a>")])]


def test_interim_responses_have_a_bound():
    stage, cause, hit = refused(b"HTTP/1.1 100 Continue\r\n\r\n" * 4 + OK, limits={ORIGIN_INTERIM.name: 3})
    assert (stage, hit) == ("head", [ORIGIN_INTERIM.name])
    assert "more than 3 interim" in cause
    assert asked(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK, limits={ORIGIN_INTERIM.name: 3})[0] == 200


@pytest.mark.parametrize("value", [b"x" * 600, b"x" * 2000])
def test_a_head_has_a_bound(value):
    """Whether or not it has come to its end by then."""
    response = b"HTTP/1.1 200 OK\r\nx: " + value + b"\r\ncontent-length: 2\r\n\r\nok"
    for each in (response, response[:-20]):
        stage, _, hit = refused(each, limits={ORIGIN_HEAD_BYTES.name: 500})
        assert (stage, hit) == ("head", [ORIGIN_HEAD_BYTES.name])


def test_a_body_is_no_part_of_the_head():
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000
    assert asked(response, limits={ORIGIN_HEAD_BYTES.name: 500})[3] == 1


def test_fields_have_a_bound():
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" + b"x: y\r\n" * 5 + b"\r\nok"
    assert refused(response, limits={ORIGIN_FIELDS.name: 5})[2] == [ORIGIN_FIELDS.name]
    assert asked(response, limits={ORIGIN_FIELDS.name: 6})[3] == 1


def test_trailers_have_a_bound():
    start = CHUNKED + b"2\r\nok\r\n"
    many = start + b"0\r\n" + b"x: y\r\n" * 5 + b"\r\n"
    assert asked(many, limits={ORIGIN_FIELDS.name: 4}) == (200, b"ok", [], 2)
    assert asked(many, limits={ORIGIN_FIELDS.name: 5})[3] == 1

    async def script(peer):
        await peer.head()
        await peer.say(start, b"0\r\nx: ")
        while True:
            await peer.say(b"y" * 300)

    async def main():
        limits = Limits({ORIGIN_HEAD_BYTES.name: 1000})
        async with against(script, limits=limits) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            with pytest.raises(OriginFailed, match="what follows its body"):
                await read_all(answer)
            assert limits.reached[ORIGIN_HEAD_BYTES.name]

    drive(main())


def test_a_body_is_read_as_fast_as_it_is_taken():
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.head()
        peer.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(500):
            peer.writer.write(b"x" * 100_000)
            await peer.writer.drain()
            sent += 100_000

    async def main():
        limits = Limits({ORIGIN_READ_AHEAD_BYTES.name: 100_000})
        async with against(script, limits=limits) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            before = -1
            while sent > before or answer.held_bytes == 0:
                before = sent
                for _ in range(2000):
                    await asyncio.sleep(0)
            assert 0 < answer.held_bytes < 1_000_000
            assert sent < 50_000_000
            assert len(await read_all(answer)) == 50_000_000
            assert transport.open_connections == 1

    drive(main())


def test_a_response_that_is_not_wanted_any_more_closes_its_connection():
    async def main():
        script = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")

        async def waiting(peer):
            await script(peer)
            await peer.reader.read()

        async with against(waiting) as (origin, transport):
            answer = await transport.send(origin.endpoint, GET, TIMEOUTS)
            answer.close()
            while transport.open_connections:
                await asyncio.sleep(0)
            with pytest.raises(OriginFailed, match="the gateway has closed"):
                await read_all(answer)

    drive(main())


@pytest.mark.parametrize(
    ("timeouts", "said", "stage"),
    [
        (OriginTimeouts(5, 0.01, 5), b"", "head"),
        (OriginTimeouts(5, 0.01, 5), b"HTTP/1.1 200 OK\r\n", "head"),
        (OriginTimeouts(5, 0.01, 5), b"HTTP/1.1 100 Continue\r\n\r\n", "head"),
        (OriginTimeouts(5, 5, 0.01), b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\no", "body"),
        (OriginTimeouts(5, 5, 0.01), CHUNKED, "body"),
    ],
)
def test_an_origin_that_says_nothing_is_given_up(timeouts, said, stage):
    async def script(peer):
        await peer.head()
        await peer.say(OK)
        await peer.head()
        await peer.say(said)
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            # The timer that runs since then is for later.
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            late = "send the head of its response" if stage == "head" else "go on with its response"
            with pytest.raises(OriginFailed, match=f"did not {late} in time") as failure:
                await read_all(await transport.send(origin.endpoint, GET, timeouts))
            assert (failure.value.stage, failure.value.timed_out, failure.value.reused) == (stage, True, False)
            assert transport.open_connections == 0 or not transport._idle[origin.endpoint]

    drive(main())


def test_one_timer_serves_all_requests_of_a_connection():
    async def main():
        async with against(answer_all) as (origin, transport):
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            [connection] = transport._idle[origin.endpoint]
            await transport.send(origin.endpoint, GET, OriginTimeouts(5, 60, 60))
            timer = connection._timer
            for _ in range(5):
                await transport.send(origin.endpoint, GET, OriginTimeouts(5, 60, 60))
            assert connection._timer is timer

    drive(main())
