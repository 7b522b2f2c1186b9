"""A child's clock is corrected by what its parent says, and only where it is really wrong."""

import asyncio

import pytest

from littoral.core.errors import Unauthenticated
from littoral.core.http import Request, Response, StreamingResponse
from littoral.node.tree_time import TIME_HEADER, TOLERATED_MS, TimedTransport, TreeClock, telling_time
from littoral.testing.clock import SimClock
from littoral.testing.loop import run
from littoral.testing.net import SimNetwork
from littoral.testing.random import SeededRandom

PARENT = "https://eu.peer"


class Pair:
    """A parent that answers with its time, and a child's clock."""

    def __init__(self, ahead_ms: int, delay_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        self.parent, self.own = SimClock(loop), SimClock(loop, offset_ms=-ahead_ms)
        self.clock = TreeClock(self.own)
        self.network = SimNetwork(SeededRandom(1))
        self.network.serve(PARENT, telling_time(self.handle, self.parent))
        self.network.link("plant-a", PARENT).delay_s = delay_s
        self.transport = TimedTransport(self.network.transport("plant-a"), self.clock)

    async def handle(self, request: Request) -> Response:
        if request.path == "/refuse":
            raise Unauthenticated("accept node token", "of plant-a", "it expired")
        return Response(200, [("x", "y")], b"body")

    async def call(self, path: str = "/") -> Response:
        return await self.transport.request(PARENT, Request("GET", path), 100)

    @property
    def error_ms(self) -> int:
        return self.clock.wall_ms() - self.parent.wall_ms()


@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000, TOLERATED_MS + 2000, -TOLERATED_MS - 2000])
def test_a_clock_that_is_wrong_is_corrected_also_by_a_refusal(ahead_ms: int):
    async def main() -> None:
        for path in ("/", "/refuse"):
            pair = Pair(ahead_ms)
            assert pair.error_ms == -ahead_ms
            assert (await pair.call(path)).status == (200 if path == "/" else 401)
            assert pair.error_ms == 0

    run(main)


@pytest.mark.parametrize("ahead_ms", [0, 900, -900, TOLERATED_MS, -TOLERATED_MS])
def test_clocks_that_are_kept_in_step_are_left_alone(ahead_ms: int):
    async def main() -> None:
        pair = Pair(ahead_ms)
        await pair.call()
        assert pair.clock.offset_ms == 0

    run(main)


def test_a_slow_answer_is_no_wrong_clock():
    async def main() -> None:
        pair = Pair(0, delay_s=20.0)
        await pair.call()
        assert pair.clock.offset_ms == 0
        pair = Pair(3_600_000, delay_s=20.0)
        await pair.call()
        assert abs(pair.error_ms) <= 20_000, "as well as can be told"

    run(main)


def test_a_clock_that_was_set_right_is_gone_by_again():
    async def main() -> None:
        pair = Pair(3_600_000)
        await pair.call()
        pair.own.step(3_600_000 + 20)
        await pair.call()
        assert (pair.clock.offset_ms, pair.error_ms) == (0, 20)

    run(main)


@pytest.mark.parametrize("step_ms", [86_400_000, -86_400_000])
def test_a_clock_that_is_set_while_an_answer_is_under_way_waits_for_the_next(step_ms: int):
    async def main() -> None:
        pair = Pair(0, delay_s=1.0)
        call = asyncio.ensure_future(pair.call())
        await asyncio.sleep(1.5)
        for clock in (pair.parent, pair.own):
            clock.step(step_ms)
        await call
        assert pair.error_ms == 0
        await pair.call()
        assert pair.error_ms == 0

    run(main)


def test_what_is_no_time_is_ignored():
    async def main() -> None:
        pair = Pair(3_600_000)
        for value in ("", "-1", "1e9", "9" * 16, "\u0661\u0662"):

            async def handle(request: Request, value: str = value) -> Response:
                return Response(200, [(TIME_HEADER, value)])

            pair.network.serve(PARENT, handle)
            await pair.call()
        assert pair.clock.offset_ms == 0

    run(main)


def test_streams_and_answers_are_passed_on_as_they_are():
    async def main() -> None:
        clock = SimClock(asyncio.get_running_loop())

        async def chunks():
            yield b"chunk"

        async def stream(request: Request) -> StreamingResponse:
            return StreamingResponse(200, [("a", "b")], chunks())

        answer = await telling_time(stream, clock)(Request("GET", "/"))
        assert isinstance(answer, StreamingResponse)
        assert [each async for each in answer.chunks] == [b"chunk"]
        assert dict(answer.headers)["a"] == "b"
        assert (await Pair(0).call()).body == b"body"

    run(main)
