import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.functions.flow import FIRST_ROOM_BYTES, PIECE_BYTES, FlowEnded, Incoming, Outgoing

WINDOW = 4 * FIRST_ROOM_BYTES
PIECE = b"x" * PIECE_BYTES


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await scenario()

    asyncio.run(main())


class Pipe:
    """Both ends, and what lies between them."""

    def __init__(self) -> None:
        self.under_way: list[bytes] = []
        self.given: list[int] = []
        self.incoming = Incoming(WINDOW, self.give_room)
        self.outgoing = Outgoing(self.under_way.append)

    def give_room(self, count: int) -> None:
        self.given.append(count)
        self.outgoing.add_room(count)

    def deliver(self) -> None:
        while self.under_way:
            self.incoming.feed(self.under_way.pop(0))


def test_no_more_is_under_way_than_there_is_room_for_and_what_is_read_makes_room() -> None:
    async def scenario() -> None:
        pipe = Pipe()
        writing = asyncio.ensure_future(pipe.outgoing.write(PIECE * 20))
        await asyncio.sleep(0)
        assert sum(map(len, pipe.under_way)) == FIRST_ROOM_BYTES
        size = 0
        while size < 20 * PIECE_BYTES:
            reading = asyncio.ensure_future(pipe.incoming.read())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held = sum(map(len, pipe.under_way))
            assert held <= WINDOW
            pipe.deliver()
            size += len(await reading)
        await writing
        assert len(pipe.given) <= 20 * PIECE_BYTES // (WINDOW // 2) + 1, "not a word for each piece"

    run(scenario)


def test_more_than_there_was_room_for_is_refused() -> None:
    async def scenario() -> None:
        pipe = Pipe()
        pipe.incoming.feed(b"x" * FIRST_ROOM_BYTES)
        with pytest.raises(ValueError, match="than there was room for"):
            pipe.incoming.feed(b"x")

    run(scenario)


def test_it_ends_or_fails_behind_what_has_come_and_is_dropped_before_it() -> None:
    async def scenario() -> None:
        ended, failed, dropped = Pipe().incoming, Pipe().incoming, Pipe().incoming
        for each in (ended, failed, dropped):
            each.feed(b"last")
        ended.end()
        failed.fail(FlowEnded("broken"))
        dropped.drop(FlowEnded("gone"))
        assert [piece async for piece in ended] == [b"last"]
        assert await ended.read() == b""
        assert await failed.read() == b"last"
        with pytest.raises(FlowEnded, match="broken"):
            await failed.read()
        with pytest.raises(FlowEnded, match="gone"):
            await dropped.read()
        dropped.feed(b"late")
        dropped.fail(FlowEnded("again"))
        with pytest.raises(FlowEnded, match="gone"):
            await dropped.read()

    run(scenario)


def test_who_waits_for_room_or_for_a_piece_hears_of_the_end() -> None:
    async def scenario() -> None:
        pipe = Pipe()
        writing = asyncio.ensure_future(pipe.outgoing.write(PIECE * 2))
        reading = asyncio.ensure_future(Pipe().incoming.read())
        pipe_of_reader = Pipe()
        other = asyncio.ensure_future(pipe_of_reader.incoming.read())
        await asyncio.sleep(0)
        pipe.outgoing.close()
        pipe_of_reader.incoming.fail(FlowEnded("broken"))
        with pytest.raises(FlowEnded):
            await writing
        with pytest.raises(FlowEnded, match="broken"):
            await other
        reading.cancel()

    run(scenario)


def test_a_wait_that_is_cancelled_leaves_the_next_one_in_order() -> None:
    async def scenario() -> None:
        pipe = Pipe()
        cancelled = asyncio.ensure_future(pipe.incoming.read())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        pipe.incoming.feed(b"x")
        assert await pipe.incoming.read() == b"x"

    run(scenario)
