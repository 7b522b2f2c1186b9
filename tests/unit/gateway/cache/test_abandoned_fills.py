"""Bodies on their way that nobody waits for any more: what may never end is given up, all else goes on and is stored."""

import asyncio

import pytest

from littoral.gateway.exchange import ClientGone
from tests.support.exchanges import MemoryAnswer, MemoryExchange
from tests.unit.gateway.cache.test_cache import FRESH, Edge, run, streamed


class LeavingExchange(MemoryExchange):
    """Its client goes once it has the first piece."""

    async def send(self, piece: bytes | memoryview) -> None:
        await super().send(piece)
        raise ClientGone


async def leave(edge: Edge) -> None:
    with pytest.raises(ClientGone):
        await edge.serve(LeavingExchange("GET", "/a"))


async def settled(edge: Edge) -> None:
    while len(edge.tasks):
        await asyncio.sleep(0)


def endless() -> MemoryAnswer:
    """Far more than anybody reads here, and nothing says how much."""
    return streamed(*[b"data: 1\n\n"] * 1000)


def test_what_may_never_end_ends_with_its_last_reader() -> None:
    async def scenario() -> None:
        edge = Edge(endless(), streamed(b"whole"), body_bytes=1 << 20)
        first = edge.origin.answers[0]
        assert isinstance(first, MemoryAnswer)
        await leave(edge)
        assert first.closed
        await settled(edge)
        # None of it is taken for an answer.
        assert (await edge.ask()).sent == b"whole"
        assert len(edge.origin.asked) == 2

    run(scenario)


def test_it_goes_on_while_somebody_else_reads_it() -> None:
    async def scenario() -> None:
        edge = Edge(streamed(b"a", b"b", b"c"))
        other = MemoryExchange("GET", "/a")
        reading = asyncio.ensure_future(edge.serve(other))
        await leave(edge)
        await reading
        assert (other.sent, other.ended, len(edge.origin.asked)) == (b"abc", True, 1)
        await settled(edge)
        assert (await edge.ask()).said["cache-status"].startswith("edge; hit")

    run(scenario)


def test_what_says_how_long_it_is_comes_to_its_end_and_is_stored() -> None:
    async def scenario() -> None:
        answer = MemoryAnswer(200, [FRESH], None, [b"a"] * 9, length=9)
        edge = Edge(answer)
        await leave(edge)
        await settled(edge)
        assert answer.read_pieces == 9
        assert (await edge.ask()).sent == b"a" * 9
        assert len(edge.origin.asked) == 1

    run(scenario)


def test_who_comes_just_then_has_it_fetched_for_itself() -> None:
    async def scenario() -> None:
        edge = Edge(endless(), streamed(b"whole"), body_bytes=1 << 20)
        edge.origin.held = asyncio.Event()
        leaving = asyncio.ensure_future(leave(edge))
        others = [MemoryExchange("GET", "/a") for _ in range(3)]
        waiting: list[asyncio.Future[int]] = []
        await asyncio.sleep(0)
        edge.origin.held.set()
        for other in others:
            waiting.append(asyncio.ensure_future(edge.serve(other)))
            await asyncio.sleep(0)
        await asyncio.gather(leaving, *waiting)
        assert all(other.ended and not other.aborted for other in others)

    run(scenario)
