"""Bodies that are too large for memory: spooled to the disk while they come, and read from there by everybody."""

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest

from littoral.core.tasks import Tasks
from littoral.gateway.cache.fill import AHEAD_BYTES, Fill
from littoral.gateway.cache.purge import Purge
from littoral.gateway.origins.transport import OriginFailed
from littoral.gateway.target import read_target
from tests.support.disk_cache import DiskEdge, PurgeStream, hit, page, play, running, streamed
from tests.support.exchanges import MemoryAnswer, MemoryExchange, failure

MIB = 1 << 20
BODY = os.urandom(4 * MIB)
PIECE = 64 << 10
PIECES = [BODY[at : at + PIECE] for at in range(0, len(BODY), PIECE)]


class Gated(MemoryAnswer):
    """Comes as far as it is let."""

    def __init__(self, pieces: list[bytes | OriginFailed], length: int | None = None) -> None:
        super().__init__(200, [("cache-control", "max-age=600")], None, pieces, length=length)
        self.gate = asyncio.Event()
        self.until = len(pieces)

    async def read(self) -> bytes:
        if self.read_pieces >= self.until:
            await self.gate.wait()
        return await super().read()


def files(root: Path) -> list[str]:
    return [path.name for pattern in ("objects/*/*", "spool/*/*") for path in root.glob(pattern)]


async def start(edge: DiskEdge, **fields: str) -> tuple[MemoryExchange, "asyncio.Future[int]"]:
    exchange = MemoryExchange("GET", "/a", list(fields.items()))
    given = edge.calls.serve(exchange, read_target("/a"), "r")
    assert isinstance(given, Awaitable)
    return exchange, asyncio.ensure_future(given)


@pytest.mark.parametrize("length", [len(BODY), None], ids=["announced", "chunked"])
def test_who_comes_at_any_time_has_all_of_it_and_memory_holds_little(tmp_path: Path, length: int | None) -> None:
    async def scenario(stream: PurgeStream) -> None:
        answer = Gated(list(PIECES), length)
        answer.until = 40
        async with running(DiskEdge(tmp_path, answer), stream) as edge:
            first, leading = await start(edge)
            while len(first.sent) < 40 * PIECE:
                await asyncio.sleep(0)
            others = [await start(edge) for _ in range(10)]
            while not all(len(each.sent) == 40 * PIECE for each, _ in others):
                await asyncio.sleep(0)
            (flight,) = edge.flights
            assert flight.fill is not None
            assert sum(map(len, flight.fill.pieces)) <= AHEAD_BYTES + PIECE
            answer.gate.set()
            await asyncio.gather(leading, *(task for _, task in others))
            assert {each.sent == BODY for each in (first, *(each for each, _ in others))} == {True}
            await edge.settle()
            again = await edge.ask()
            assert (again.sent == BODY, hit(again), edge.asked) == (True, True, 1)
            assert edge.memory.bytes < 10_000

    play(scenario)


def test_a_client_that_reads_slowly_holds_up_nobody(tmp_path: Path) -> None:
    class Slow(MemoryExchange):
        async def send(self, piece: bytes | memoryview) -> None:
            self.sent += piece
            await gate.wait()

    gate = asyncio.Event()

    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, streamed(PIECES, len(BODY))), stream) as edge:
            slow = Slow("GET", "/a")
            given = edge.calls.serve(slow, read_target("/a"), "r")
            assert isinstance(given, Awaitable)
            waiting = asyncio.ensure_future(given)
            while not slow.sent:
                await asyncio.sleep(0)
            fast = MemoryExchange("GET", "/a")
            at_once = edge.calls.serve(fast, read_target("/a"), "r")
            assert isinstance(at_once, Awaitable)
            await at_once
            assert (fast.sent == BODY, len(slow.sent) < len(BODY), edge.asked) == (True, True, 1)
            gate.set()
            await waiting
            assert slow.sent == BODY

    play(scenario)


def test_what_breaks_off_is_not_stored(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        broken = streamed([*PIECES[:20], failure("it has gone")], len(BODY))
        async with running(DiskEdge(tmp_path, broken, page(b"2")), stream) as edge:
            assert (await edge.ask()).aborted
            assert (await edge.ask()).sent == b"2"
            assert files(tmp_path) == []
            assert edge.objects.reserved_bytes == 0

    play(scenario)


def test_what_is_larger_than_may_be_kept_goes_through(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, *(streamed(PIECES, each) for each in (len(BODY), None))), stream) as edge:
            edge.disk.resize(1 << 30, MIB)
            announced, chunked = await edge.ask(), await edge.ask("/b")
            assert (announced.sent == BODY, chunked.sent == BODY) == (True, True)
            assert "detail=too large" in announced.said["cache-status"].replace('"', "")
            assert (edge.meter.stored, files(tmp_path), edge.objects.reserved_bytes) == (0, [], 0)

    play(scenario)


def test_where_the_disk_takes_no_more_it_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    pwrite = os.pwrite

    def full(descriptor: int, data: memoryview, at: int) -> int:
        nonlocal written
        written += len(data)
        if written > MIB:
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data, at)

    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, streamed(PIECES, len(BODY))), stream) as edge:
            monkeypatch.setattr(os, "pwrite", full)
            exchanges = [await start(edge) for _ in range(3)]
            await asyncio.gather(*(task for _, task in exchanges))
            assert {each.sent == BODY and each.ended for each, _ in exchanges} == {True}
            await edge.settle()
            assert (edge.meter.stored, files(tmp_path), edge.asked) == (0, [], 1)

    play(scenario)


def test_bodies_that_still_come_are_counted(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        answers = [Gated(list(PIECES), len(BODY)) for _ in range(2)]
        for answer in answers:
            answer.until = 40
        async with (
            running(DiskEdge(tmp_path, answers[0]), stream) as one,
            running(DiskEdge(tmp_path, answers[1], streamed(PIECES, len(BODY))), stream) as other,
        ):
            for edge in (one, other):
                edge.disk.resize(20 * MIB, 20 * MIB)
            exchanges = []
            for edge in (one, other):
                exchanges.append(await start(edge))
                while len(exchanges[-1][0].sent) < 40 * PIECE:
                    await asyncio.sleep(0)
            # What the first may write leaves no room for what the second wants to.
            assert 30 * PIECE < sum(path.stat().st_size for path in spooled(tmp_path)) <= 40 * PIECE
            for answer in answers:
                answer.gate.set()
            for exchange, coming in exchanges:
                await coming
                assert exchange.sent == BODY
            await one.settle()
            await other.settle()
            assert [(edge.meter.refused, edge.meter.stored) for edge in (one, other)] == [(0, 1), (1, 0)]
            assert (await other.ask("/b")).sent == BODY
            assert other.meter.stored == 1

    play(scenario)


def spooled(root: Path) -> list[Path]:
    return list(root.glob("spool/*/*"))


def test_what_was_purged_while_it_came_is_given_to_who_waited_and_not_stored(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        answer = Gated(list(PIECES), len(BODY))
        answer.until = 40
        async with running(DiskEdge(tmp_path, answer, page(b"2")), stream) as edge:
            exchange, coming = await start(edge)
            while len(exchange.sent) < 40 * PIECE:
                await asyncio.sleep(0)
            stream.purges.append(Purge("url", "http://edge.test/a"))
            await edge.hear(stream)
            assert (await edge.calls_alone()).sent == b"2"
            answer.gate.set()
            await coming
            assert exchange.sent == BODY
            await edge.settle()
            assert (await edge.ask()).sent == b"2"
            assert files(tmp_path) == []

    play(scenario)


def test_a_body_is_read_to_its_end_though_it_is_purged_meanwhile(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, streamed(PIECES, len(BODY)), page(b"2")), stream) as edge:
            await edge.ask()
            exchange, reading = await start(edge)
            while not exchange.sent:
                await asyncio.sleep(0)
            stream.purges.append(Purge("all"))
            await edge.hear(stream)
            while files(tmp_path):
                await asyncio.sleep(0)
            await reading
            assert exchange.sent == BODY
            assert (await edge.ask()).sent == b"2"

    play(scenario)


def test_where_another_process_has_put_another_one_in_its_place_that_is_given(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        newer = BODY[::-1]
        new_answer = streamed([newer[at : at + PIECE] for at in range(0, len(newer), PIECE)], len(newer))
        async with (
            running(DiskEdge(tmp_path, streamed(PIECES, len(BODY))), stream) as one,
            running(DiskEdge(tmp_path, new_answer), stream) as other,
        ):
            await one.ask()
            other.disk.drop_url("http://edge.test/a")
            await other.ask()
            while len(files(tmp_path)) > 1:
                await asyncio.sleep(0)
            assert (await one.ask()).sent == newer
            assert one.asked == 1

    play(scenario)


def test_without_a_disk_as_much_as_before_is_held() -> None:
    async def scenario() -> None:
        fill = Fill(streamed(PIECES, len(BODY)), 100_000)
        reader, tasks = fill.reader(), Tasks(lambda error: None)
        tasks.start(fill.pump(), "pump")
        received, most = b"", 0
        while piece := await reader.read():
            received += piece
            most = max(most, fill.size - fill.first)
        assert (received == BODY, fill.is_open, fill.is_whole) == (True, False, False)
        assert most <= AHEAD_BYTES + PIECE
        await tasks.stop()

    asyncio.run(scenario())
