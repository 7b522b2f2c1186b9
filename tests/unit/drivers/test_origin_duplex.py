"""The way to an origin after it has switched to another protocol."""

import asyncio

import pytest

from littoral.gateway.origins.transport import OriginFailed, OriginRequest
from tests.support.origins import GET, OK, TIMEOUTS, against, answer_all, answering, drive

UPGRADE = OriginRequest("GET", "/", (("host", "o"), ("connection", "upgrade"), ("upgrade", "websocket")))
SWITCHED = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-x: y\r\n\r\n"


async def switched(transport, origin):
    """The answer, and the way on."""
    answer, way = await transport.switch(origin.endpoint, UPGRADE, TIMEOUTS)
    assert way is not None
    return answer, way


def test_bytes_both_ways():
    async def script(peer):
        assert "upgrade: websocket" in await peer.head()
        await peer.say(SWITCHED + b"first")
        while data := await peer.reader.read(100):
            await peer.say(data.upper())
        await peer.say(b"end")

    async def main():
        async with against(script) as (origin, transport):
            answer, way = await switched(transport, origin)
            assert (answer.status, ("sec-x", "y") in answer.fields) == (101, True)
            assert await way.read() == b"first"
            answer.close()  # It is over; what goes on does not end with it.
            for word in (b"one", b"two"):
                await way.write(word)
                assert await way.read() == word.upper()
            way.end()
            assert await way.read() == b"end"
            assert await way.read() == b""
            assert await way.read() == b""
            way.close()

    drive(main())


def test_who_closes_it_ends_the_connection():
    async def script(peer):
        await peer.head()
        await peer.say(SWITCHED)
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            _, way = await switched(transport, origin)
            way.close()
            while transport.open_connections:
                await asyncio.sleep(0)
            assert await way.read() == b""

    drive(main())


def test_an_origin_may_end_first():
    async def script(peer):
        await peer.head()
        await peer.say(SWITCHED)
        peer.writer.write_eof()
        assert await peer.reader.read() == b"still"

    async def main():
        async with against(script) as (origin, transport):
            _, way = await switched(transport, origin)
            assert await way.read() == b""
            await way.write(b"still")
            way.end()
            while transport.open_connections:
                await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await way.write(b"too late")

    drive(main())


def test_an_origin_that_does_not_switch_answers():
    async def main():
        async with against(answer_all) as (origin, transport):
            answer, way = await transport.switch(origin.endpoint, UPGRADE, TIMEOUTS)
            assert (answer.whole, way) == (b"ok", None)
            assert (await transport.send(origin.endpoint, GET, TIMEOUTS)).whole == b"ok"
            assert origin.accepted == 1

    drive(main())


def test_a_switch_that_does_not_say_to_what_is_none():
    async def main():
        async with against(answering(b"HTTP/1.1 101 Switching\r\n\r\n" + OK)) as (origin, transport):
            with pytest.raises(OriginFailed, match="without saying to which"):
                await switched(transport, origin)

    drive(main())


def test_what_is_not_read_is_left_to_the_origin():
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.head()
        await peer.say(SWITCHED)
        for _ in range(500):
            peer.writer.write(b"x" * 100_000)
            await peer.writer.drain()
            sent += 100_000

    async def main():
        async with against(script) as (origin, transport):
            _, way = await switched(transport, origin)
            before = -1
            while sent > before or not sent:
                before = sent
                for _ in range(2000):
                    await asyncio.sleep(0)
            assert sent < 50_000_000
            size = 0
            while data := await way.read():
                size += len(data)
            assert size == 50_000_000
            way.close()

    drive(main())


def test_what_the_origin_does_not_take_waits():
    async def script(peer):
        await peer.head()
        await peer.say(SWITCHED)
        peer.writer.transport.pause_reading()
        await go.wait()
        peer.writer.transport.resume_reading()
        await peer.reader.readexactly(20_000_000)

    async def main():
        async with against(script) as (origin, transport):
            _, way = await switched(transport, origin)
            write = asyncio.ensure_future(way.write(b"x" * 20_000_000))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not write.done()
            go.set()
            await write
            way.end()
            assert await way.read() == b""
            way.close()

    go = asyncio.Event()
    drive(main())


def test_closing_the_transport_ends_it():
    async def script(peer):
        await peer.head()
        await peer.say(SWITCHED)
        await peer.reader.read()

    async def main():
        async with against(script) as (origin, transport):
            _, way = await switched(transport, origin)
            reading = asyncio.ensure_future(way.read())
            await asyncio.sleep(0)
            await transport.aclose()
            assert await reading == b""

    drive(main())
