"""Bodies of requests, while the response may already come."""

import asyncio
from math import inf
from typing import Any

import pytest

from littoral.gateway.origins.transport import OriginFailed, OriginRequest, OriginTimeouts
from tests.support.origins import GET, OK, TIMEOUTS, against, answer_all, drive, read_all


def put(body, length=None):
    return OriginRequest("PUT", "/", (("host", "origin"),), body, length)


async def pieces(*given, closed=None):
    try:
        for piece in given:
            yield piece
            await asyncio.sleep(0)
    finally:
        if closed is not None:
            closed.append(True)


async def endless(closed):
    try:
        while True:
            yield b"x" * 10_000
            await asyncio.sleep(0)
    finally:
        closed.append(True)


def sent(body, length, size):
    """What arrives after the head, and how many connections two requests took."""
    got: list[Any] = []

    async def script(peer):
        head = await peer.head()
        got.append((head.split("\r\n")[2:-2], await peer.reader.readexactly(size)))
        await peer.say(OK)
        await answer_all(peer)

    async def main():
        async with against(script) as (origin, transport):
            assert (await transport.send(origin.endpoint, put(body, length), TIMEOUTS)).whole == b"ok"
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            got.append(origin.accepted)

    drive(main())
    return got


def test_a_body_of_a_known_length():
    assert sent(pieces(b"ab", b"", b"c"), 3, 3) == [(["content-length: 3"], b"abc"), 1]
    assert sent(b"abc", 3, 3) == [(["content-length: 3"], b"abc"), 1]


def test_a_body_of_unknown_length_is_chunked():
    wire = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert sent(pieces(b"ab", b"", b"c"), None, len(wire)) == [(["transfer-encoding: chunked"], wire), 1]


@pytest.mark.parametrize(("given", "length"), [([b"abc", b"d"], 3), ([b"abcd"], 3), ([b"ab"], 3)])
def test_a_body_of_another_length_than_announced_is_not_sent_as_one(given, length):
    """It would reach into the next request."""
    got = []

    async def script(peer):
        await peer.head()
        got.append(await peer.reader.read())

    async def main():
        closed: list[bool] = []
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed, match="the request's body") as failure:
                await transport.send(origin.endpoint, put(pieces(*given, closed=closed), length), TIMEOUTS)
            assert failure.value.stage == "send"
        assert closed
        assert len(got[0]) <= length

    drive(main())


def test_a_body_that_goes_on_beyond_its_length_ends_there():
    async def script(peer):
        await peer.head()
        await peer.reader.read()

    async def main():
        closed: list[bool] = []
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed, match="longer than the 5 bytes announced"):
                await transport.send(origin.endpoint, put(endless(closed), 5), TIMEOUTS)
        assert closed

    drive(main())


def test_an_early_answer_is_passed_on_and_ends_the_body():
    async def script(peer):
        await peer.head()
        await peer.say(b"HTTP/1.1 413 Too large\r\ncontent-length: 2\r\n\r\nno")
        await peer.reader.read()

    async def main():
        closed: list[bool] = []
        async with against(script) as (origin, transport):
            answer = await transport.send(origin.endpoint, put(endless(closed)), TIMEOUTS)
            assert (answer.status, await read_all(answer)) == (413, b"no")
            while transport.open_connections:
                await asyncio.sleep(0)
        assert closed

    drive(main())


def test_an_answer_may_come_while_the_body_goes():
    """An echo, piece by piece: nothing waits for the end of anything."""

    async def script(peer):
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while (line := await peer.reader.readline()) != b"0\r\n":
            await peer.say(line + await peer.reader.readexactly(int(line, 16) + 2))
        await peer.reader.readline()
        await peer.say(b"0\r\n\r\n")
        await answer_all(peer)

    async def body(got):
        for number in range(3):
            await got.acquire()
            yield b"%d" % number

    async def main():
        async with against(script) as (origin, transport):
            got = asyncio.Semaphore(1)
            answer = await transport.send(origin.endpoint, put(body(got)), TIMEOUTS)
            said = []
            while piece := await answer.read():
                said.append(piece)
                got.release()
            assert said == [b"0", b"1", b"2"]
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            assert origin.accepted == 1

    drive(main())


def test_a_body_goes_as_fast_as_it_is_taken():
    taken = 0

    async def body():
        nonlocal taken
        for _ in range(500):
            taken += 100_000
            yield b"x" * 100_000

    async def script(peer):
        await peer.head()
        await go.wait()
        await peer.reader.readexactly(50_000_000)
        await peer.say(OK)

    async def main():
        async with against(script) as (origin, transport):
            task = asyncio.ensure_future(transport.send(origin.endpoint, put(body(), 50_000_000), TIMEOUTS))
            before = -1
            while taken > before or not taken:
                before = taken
                for _ in range(2000):
                    await asyncio.sleep(0)
            assert taken < 50_000_000
            go.set()
            assert (await task).whole == b"ok"

    go = asyncio.Event()
    drive(main())


def test_an_origin_that_takes_nothing_is_given_up():
    async def script(peer):
        await peer.head()
        peer.writer.transport.pause_reading()
        await done.wait()

    async def main():
        closed: list[bool] = []
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed, match="take the request's body in time") as failure:
                await transport.send(origin.endpoint, put(endless(closed)), OriginTimeouts(5, 5, 0.05))
            assert (failure.value.stage, failure.value.timed_out) == ("send", True)
            done.set()
        assert closed

    done = asyncio.Event()
    drive(main())


def test_a_slow_client_is_not_the_origins_fault():
    async def script(peer):
        await peer.head()
        await peer.say(OK)
        await peer.head()
        await peer.reader.readexactly(2)
        await peer.say(OK)

    async def main():
        async with against(script) as (origin, transport):

            async def slow():
                yield b"a"
                await asyncio.sleep(0.1)
                [connection] = transport._open
                assert connection._deadline_s == inf
                yield b"b"

            # A connection that was kept has a deadline.
            await transport.send(origin.endpoint, GET, TIMEOUTS)
            answer = await transport.send(origin.endpoint, put(slow(), 2), OriginTimeouts(5, 0.05, 0.05))
            assert answer.whole == b"ok"

    drive(main())


def test_the_time_for_an_answer_begins_when_all_is_sent():
    async def script(peer):
        await peer.head()
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed, match="head of its response in time") as failure:
                await transport.send(origin.endpoint, put(pieces(b"ab"), 2), OriginTimeouts(5, 0.01, 5))
            assert failure.value.stage == "head"

    drive(main())


class Broken(Exception):
    """What a body's source raises."""


@pytest.mark.parametrize("when", ["before the head", "after the head"])
def test_what_the_bodys_source_raises_is_the_callers_to_hear(when):
    async def script(peer):
        await peer.head()
        if when == "after the head":
            await peer.say(b"HTTP/1.1 200 OK\r\n\r\nok")
        await peer.reader.read()

    async def body():
        yield b"x"
        if when == "after the head":
            await go.wait()
        raise Broken

    async def main():
        async with against(script) as (origin, transport):
            if when == "before the head":
                with pytest.raises(Broken):
                    await transport.send(origin.endpoint, put(body()), TIMEOUTS)
            else:
                answer = await transport.send(origin.endpoint, put(body()), TIMEOUTS)
                go.set()
                with pytest.raises(OriginFailed, match="the request's body has broken off"):
                    await read_all(answer)
            while transport.open_connections:
                await asyncio.sleep(0)

    go = asyncio.Event()
    drive(main())


def test_an_origin_that_goes_away_while_a_body_is_sent():
    async def script(peer):
        await peer.head()
        peer.reset()

    async def main():
        closed: list[bool] = []
        async with against(script) as (origin, transport):
            with pytest.raises(OriginFailed) as failure:
                await transport.send(origin.endpoint, put(endless(closed)), TIMEOUTS)
            assert failure.value.stage == "send"
        assert closed

    drive(main())
