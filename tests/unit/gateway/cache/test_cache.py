import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from littoral.core.errors import TimedOut
from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.notes import Notes
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.transport import OriginFailed
from littoral.gateway.target import read_target
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import CachePolicy
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin, failure
from tests.support.fakes import FakeClock

START_S = 1_800_000_000
FRESH = ("cache-control", "max-age=60")


class Edge:
    """A route with a cache in front of an origin in memory."""

    def __init__(self, *answers: MemoryAnswer | OriginFailed, body_bytes: int = 1000, collapse: bool = True) -> None:
        self.clock = FakeClock(START_S * 1000)
        self.origin = MemoryOrigin(*answers)
        self.tier = MemoryTier(1 << 20)
        self.meter = CacheMeter()
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        settings = CacheSettings(CachePolicy(name="edge"), key_maker(CacheKey()), body_bytes, collapse)
        sender = OriginSender(self.origin, "", "")
        cache = RouteCache(settings, self.tier, sender, self.clock, self.tasks, self.meter)
        self.calls = OriginCalls(sender, cache, Limits())

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    async def ask(self, target: str = "/a", method: str = "GET", **fields: str) -> MemoryExchange:
        exchange = MemoryExchange(method, target, [(name.replace("_", "-"), value) for name, value in fields.items()])
        await self.serve(exchange)
        while len(self.tasks):
            await asyncio.sleep(0)
        assert not self.faults
        return exchange

    async def serve(self, exchange: MemoryExchange) -> int:
        status = self.calls.serve(exchange, read_target(exchange.target), "r-1")
        if isinstance(status, Awaitable):
            status = await status
        assert status == exchange.status
        return status


def answer(body: bytes = b"hello", *fields: tuple[str, str], status: int = 200) -> MemoryAnswer:
    date = ("date", format_date(START_S))
    return MemoryAnswer(status, [date, *(fields or (FRESH,))], body)


def streamed(*pieces: bytes | OriginFailed, fields: tuple[tuple[str, str], ...] = (FRESH,)) -> MemoryAnswer:
    return MemoryAnswer(200, fields, None, pieces)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_what_is_fresh_is_given_without_the_origin() -> None:
    async def scenario() -> None:
        edge = Edge(answer())
        first = await edge.ask()
        edge.after(10)
        second = await edge.ask()
        assert (first.sent, second.sent, len(edge.origin.asked)) == (b"hello", b"hello", 1)
        assert first.said["cache-status"] == "edge; fwd=uri-miss; stored; ttl=60"
        assert second.said["cache-status"] == "edge; hit; ttl=50"
        assert second.said["age"] == "10"
        assert (edge.meter.hits, edge.meter.misses, edge.meter.stored, edge.meter.hit_bytes) == (1, 1, 1, 5)

    run(scenario)


def test_what_is_stale_is_validated_and_given_if_it_still_holds() -> None:
    async def scenario() -> None:
        still = MemoryAnswer(304, [("etag", '"1"'), FRESH], b"")
        edge = Edge(answer(b"hello", FRESH, ("etag", '"1"')), still)
        await edge.ask()
        edge.after(61)
        second = await edge.ask()
        assert ("if-none-match", '"1"') in edge.origin.asked[1].fields
        assert (second.status, second.sent) == (200, b"hello")
        assert second.said["cache-status"].startswith("edge; fwd=stale; fwd-status=304; stored; ttl=60")
        edge.after(30)
        assert (await edge.ask()).said["cache-status"] == "edge; hit; ttl=30"
        assert (len(edge.origin.asked), edge.meter.validated) == (2, 1)

    run(scenario)


def test_many_who_want_the_same_have_it_fetched_once() -> None:
    async def scenario() -> None:
        edge = Edge(answer())
        edge.origin.held = asyncio.Event()
        exchanges = [MemoryExchange("GET", "/a") for _ in range(64)]
        waiting = [asyncio.ensure_future(edge.serve(each)) for each in exchanges]
        await asyncio.sleep(0)
        edge.origin.held.set()
        await asyncio.gather(*waiting)
        assert len(edge.origin.asked) == 1
        assert {each.sent for each in exchanges} == {b"hello"}
        assert sum("collapsed" in each.said["cache-status"] for each in exchanges) == 63

    run(scenario)


def test_to_wait_for_another_request_is_a_step_of_ones_own() -> None:
    async def scenario() -> None:
        edge = Edge(answer())
        edge.origin.held = asyncio.Event()
        leading = asyncio.ensure_future(edge.serve(MemoryExchange("GET", "/a")))
        await asyncio.sleep(0)
        notes = Notes(edge.clock.monotonic_s, edge.clock.monotonic_s())
        waiting = asyncio.ensure_future(edge.serve(MemoryExchange("GET", "/a", notes=notes)))
        await asyncio.sleep(0)
        edge.clock.advance(seconds=2)
        edge.origin.held.set()
        await asyncio.gather(leading, waiting)
        assert [(each.name, each.length_ms) for each in notes.steps] == [("wait for another request", 2000)]

    run(scenario)


def test_who_comes_while_a_body_is_on_its_way_has_it_from_its_beginning() -> None:
    async def scenario() -> None:
        edge = Edge(streamed(b"he", b"l", b"lo"))
        first, second = MemoryExchange("GET", "/a"), MemoryExchange("GET", "/a")
        leading = asyncio.ensure_future(edge.serve(first))
        while not first.sent:
            await asyncio.sleep(0)
        await asyncio.gather(leading, edge.serve(second))
        assert (first.sent, second.sent, len(edge.origin.asked)) == (b"hello", b"hello", 1)
        assert (await edge.ask()).said["cache-status"].startswith("edge; hit")

    run(scenario)


def test_what_is_for_one_client_is_waited_for_by_nobody_else() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"mine", ("cache-control", "private")))
        edge.origin.held = asyncio.Event()
        waiting = [asyncio.ensure_future(edge.serve(MemoryExchange("GET", "/a"))) for _ in range(5)]
        await asyncio.sleep(0)
        assert len(edge.origin.asked) == 1
        edge.origin.held.set()
        await asyncio.gather(*waiting)
        assert len(edge.origin.asked) == 5
        edge.origin.held = asyncio.Event()
        again = [asyncio.ensure_future(edge.serve(MemoryExchange("GET", "/a"))) for _ in range(2)]
        await asyncio.sleep(0)
        assert len(edge.origin.asked) == 7  # at once: the last one was not shared
        edge.origin.held.set()
        await asyncio.gather(*again)
        assert edge.tier.count == 0

    run(scenario)


def test_who_waits_goes_on_when_the_first_one_gives_up() -> None:
    async def scenario() -> None:
        edge = Edge(answer())
        edge.origin.held = asyncio.Event()
        first = asyncio.ensure_future(edge.serve(MemoryExchange("GET", "/a")))
        exchange = MemoryExchange("GET", "/a")
        second = asyncio.ensure_future(edge.serve(exchange))
        await asyncio.sleep(0)
        first.cancel()
        edge.origin.held.set()
        await asyncio.gather(first, second, return_exceptions=True)
        assert (exchange.sent, len(edge.origin.asked)) == (b"hello", 2)

    run(scenario)


def test_variants_are_told_apart() -> None:
    async def scenario() -> None:
        vary = ("vary", "Accept-Language")
        edge = Edge(answer(b"hello", FRESH, vary), answer(b"hallo", FRESH, vary))
        assert (await edge.ask(accept_language="en")).sent == b"hello"
        assert (await edge.ask(accept_language="de")).said["cache-status"].startswith("edge; fwd=vary-miss")
        assert (await edge.ask(accept_language="en")).sent == b"hello"
        assert (await edge.ask(accept_language="de")).sent == b"hallo"
        assert len(edge.origin.asked) == 2

    run(scenario)


@pytest.mark.parametrize("bad", [failure(), answer(b"broken", status=503)])
def test_what_is_stale_stands_in_for_an_origin_that_fails(bad: MemoryAnswer | OriginFailed) -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"hello", ("cache-control", "max-age=60, stale-if-error=100")), bad)
        await edge.ask()
        edge.after(70)
        second = await edge.ask()
        assert (second.status, second.sent) == (200, b"hello")
        assert second.said["warning"].startswith("110")
        assert "ttl=-10; detail=" in second.said["cache-status"]
        edge.after(100)
        if isinstance(bad, OriginFailed):
            with pytest.raises(OriginFailed):
                await edge.ask()
        else:
            assert (await edge.ask()).status == 503

    run(scenario)


def test_what_may_be_stale_for_a_while_is_fetched_again_meanwhile() -> None:
    async def scenario() -> None:
        said = ("cache-control", "max-age=60, stale-while-revalidate=30")
        edge = Edge(answer(b"old", said), MemoryAnswer(200, [said], b"new"))
        await edge.ask()
        edge.after(70)
        assert (await edge.ask()).sent == b"old"
        assert len(edge.origin.asked) == 2
        third = await edge.ask()
        assert (third.sent, third.said["cache-status"]) == (b"new", "edge; hit; ttl=60")

    run(scenario)


def test_parts_are_given_and_put_together() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"0123456789", FRESH, ("etag", '"1"')))
        await edge.ask()
        part = await edge.ask(range="bytes=2-4")
        assert (part.status, part.sent, part.said["content-range"]) == (206, b"234", "bytes 2-4/10")
        assert (await edge.ask(range="bytes=10-")).status == 416

        def some(first: int, last: int, body: bytes) -> MemoryAnswer:
            content_range = ("content-range", f"bytes {first}-{last}/10")
            return MemoryAnswer(206, [FRESH, ("etag", '"1"'), content_range], body)

        edge = Edge(some(0, 3, b"0123"), some(4, 9, b"456789"))
        assert (await edge.ask(range="bytes=0-3")).sent == b"0123"
        assert (await edge.ask(range="bytes=1-2")).sent == b"12"
        whole = await edge.ask()
        assert ("range", "bytes=4-") in edge.origin.asked[1].fields
        assert (whole.status, whole.sent) == (200, b"0123456789")
        assert (await edge.ask()).said["cache-status"].startswith("edge; hit")
        assert len(edge.origin.asked) == 2

    run(scenario)


def test_a_change_makes_what_is_stored_invalid() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"one"), answer(b"", status=204), answer(b"two"))
        await edge.ask()
        await edge.ask(method="DELETE")
        assert (await edge.ask()).sent == b"two"

    run(scenario)


def test_clients_conditions_are_answered_from_what_is_stored() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"hello", FRESH, ("etag", '"1"')))
        await edge.ask()
        second = await edge.ask(if_none_match='W/"1"')
        assert (second.status, second.sent, second.said["etag"]) == (304, b"", '"1"')
        assert (await edge.ask(if_none_match='"2"')).status == 200

    run(scenario)


def test_only_if_cached_asks_nobody() -> None:
    async def scenario() -> None:
        edge = Edge(answer())
        with pytest.raises(TimedOut):
            await edge.ask(cache_control="only-if-cached")
        await edge.ask()
        assert (await edge.ask(cache_control="only-if-cached")).sent == b"hello"
        assert len(edge.origin.asked) == 1

    run(scenario)


def test_a_body_that_breaks_off_is_not_stored_and_the_client_hears_of_it() -> None:
    async def scenario() -> None:
        edge = Edge(streamed(b"he", failure("the connection was closed")), answer())
        first = await edge.ask()
        assert (first.sent, first.aborted, first.ended) == (b"he", True, False)
        assert edge.tier.count == 0
        assert (await edge.ask()).sent == b"hello"

    run(scenario)


def test_a_body_over_the_bound_goes_through_and_is_not_stored() -> None:
    async def scenario() -> None:
        pieces = [bytes([number]) * 300 for number in range(9)]
        edge = Edge(streamed(*pieces))
        first = await edge.ask()
        assert (first.sent, first.ended) == (b"".join(pieces), True)
        assert edge.tier.count == 0
        announced = MemoryAnswer(200, [FRESH, ("content-length", "1001")], None, [b"x" * 1001], length=1001)
        edge = Edge(announced)
        assert len((await edge.ask()).sent) == 1001
        assert edge.tier.count == 0

    run(scenario)


def test_interim_responses_reach_the_client_and_head_is_not_stored() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b""), answer())
        head = await edge.ask(method="HEAD")
        assert (head.status, head.sent, edge.tier.count) == (200, b"", 0)
        assert (await edge.ask()).sent == b"hello"
        assert (await edge.ask(method="HEAD")).said["cache-status"].startswith("edge; hit")

    run(scenario)
