"""Many hellos at once: one at a time, others in between, and no more than can be kept waiting."""

import asyncio
import itertools

import pytest

from littoral.core.errors import Unavailable
from littoral.core.http import AnyResponse, Request
from littoral.core.limits import HELLOS_AT_ONCE, Limits
from littoral.streams.hello_queue import HelloQueue
from littoral.testing.loop import run
from littoral.wire import peer
from littoral.wire.peer import SPREAD_MOST_S
from littoral.wire.problem import error_of, problem_response
from tests.support.neighbours import Neighbours


def test_between_two_hellos_whatever_else_is_ready_gets_its_turn():
    async def main() -> None:
        queue = HelloQueue("cloud", Limits())
        order: list[str] = []

        async def hello(number: int) -> None:
            await queue.turn("plant-a")
            order.append(f"hello {number}")
            loop.call_soon(order.append, "other")

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(hello(number) for number in range(3)))
        assert order == ["hello 0", "other", "hello 1", "other", "hello 2", "other"]

    run(main)


def test_those_that_find_too_many_waiting_are_told_to_come_later_and_the_others_get_in():
    async def main() -> None:
        limits = Limits({HELLOS_AT_ONCE.name: 10})
        queue = HelloQueue("cloud", limits)
        answers = await asyncio.gather(*(queue.turn("plant-a") for _ in range(25)), return_exceptions=True)
        assert [type(each) for each in answers] == [type(None)] * 10 + [Unavailable] * 15
        assert limits.reached[HELLOS_AT_ONCE.name] == 15
        refused = problem_response(answers[-1])  # type: ignore[arg-type]
        assert refused.status == 503
        error = error_of(refused.status, refused.body, "call", "cloud", refused.headers)
        assert isinstance(error, Unavailable)
        assert error.retry_after_s == 1.0, "which a child keeps to"
        await queue.turn("plant-a")

    run(main)


@pytest.mark.parametrize(
    ("children", "spread_s"), [(1, 0.0), (20, 0.0), (250, 1.0), (10_000, 40.0), (10_000_000, SPREAD_MOST_S)]
)
def test_the_more_children_there_are_the_longer_they_spread(children: int, spread_s: float):
    assert HelloQueue("cloud", Limits()).spread_s(children) == spread_s


def test_a_child_that_is_told_to_come_later_does_so_and_not_at_the_very_moment_it_was_told(
    monkeypatch: pytest.MonkeyPatch,
):
    async def main() -> None:
        both = Neighbours()
        refusals = 4
        take = both.server.handle

        async def handle(child: str, request: Request) -> AnyResponse:
            nonlocal refusals
            if request.path == peer.HELLO and refusals:
                refusals -= 1
                raise Unavailable("open session of", child, "others are waiting")
            return await take(child, request)

        monkeypatch.setattr(both.server, "handle", handle)
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        waits = [after - before for before, after in itertools.pairwise(both.hellos_s)]
        assert len(waits) == 4
        assert all(wait >= 1.0 for wait in waits), waits
        assert any(wait > 1.2 for wait in waits[:2]), "the first waits of a backoff alone are shorter"
        await both.stop()

    run(main)


def test_a_parent_of_many_asks_its_children_to_spread():
    async def main() -> None:
        both = Neighbours()
        both.family.children = 10_000
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        assert both.uplink.spread_s == 40.0
        await both.stop()

    run(main)
