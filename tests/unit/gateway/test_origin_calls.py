"""Requests to origins: which target they say they are for, and who is told of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.exchange import Duplex
from littoral.gateway.field_block import Fields
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.steers import HashSource, MarkCookie, Steers
from littoral.gateway.target import read_target
from littoral.wire.caching.policy import CachePolicy
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin
from tests.support.fakes import FakeClock
from tests.support.pools import Way

MARKED = Steers(MarkCookie("m"))
SET = ("set-cookie", "m=mark-1; Path=/; HttpOnly; SameSite=Lax")
FRESH = ("cache-control", "max-age=60")


class SwitchingExchange(MemoryExchange):
    """One that goes on with another protocol."""

    def switch(self, status: int, fields: Fields) -> Duplex:
        self.status, self.answered = status, list(fields)
        return Way()


class Front:
    """A route before an origin in memory."""

    def __init__(
        self, *answers: MemoryAnswer, steers: Steers | None = MARKED, policy: CachePolicy | None = None
    ) -> None:
        self.origin = MemoryOrigin(*answers)
        self.origin.mark = "mark-1"
        self.tasks = Tasks(lambda error: None)
        sender = OriginSender(self.origin, "", "", steers)
        cache = None
        if policy is not None:
            settings = CacheSettings(policy, key_maker(CacheKey()), 1000)
            cache = RouteCache(settings, MemoryTier(1 << 20), sender, FakeClock(), self.tasks, CacheMeter())
        self.calls = OriginCalls(sender, cache, Limits())

    async def serve(self, exchange: MemoryExchange) -> MemoryExchange:
        status = self.calls.serve(exchange, read_target(exchange.target), "r-1")
        if isinstance(status, Awaitable):
            status = await status
        while len(self.tasks):
            await asyncio.sleep(0)
        assert status == exchange.status
        return exchange

    async def get(self, *fields: tuple[str, str]) -> MemoryExchange:
        return await self.serve(MemoryExchange("GET", "/a", fields))


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def streamed(*fields: tuple[str, str]) -> MemoryAnswer:
    return MemoryAnswer(200, fields, None, [b"a", b"b"])


def test_a_client_is_told_once_how_to_come_back() -> None:
    async def scenario() -> None:
        for answer in (MemoryAnswer(), streamed()):
            front = Front(answer)
            assert (await front.get()).answered[-2:] == [SET, ("cache-control", "private")]
            assert "set-cookie" not in (await front.get(("cookie", "a=1; m=mark-1"))).said
            assert [mark for _, mark in front.origin.steered] == ["", "mark-1"]
            assert ("cookie", "a=1") in front.origin.asked[1].fields

    run(scenario)


def test_it_is_told_anew_where_another_target_has_answered() -> None:
    async def scenario() -> None:
        front = Front(MemoryAnswer())
        assert SET in (await front.get(("cookie", "m=gone"))).answered

    run(scenario)


def test_a_mark_is_neither_stored_nor_given_to_others() -> None:
    async def scenario() -> None:
        # Also where the route stores the cookies that origins set.
        for policy in (CachePolicy(), CachePolicy(store_set_cookie=True)):
            for answer in (MemoryAnswer(200, [FRESH]), streamed(FRESH)):
                front = Front(answer, policy=policy)
                first, second = await front.get(), await front.get()
                assert (len(front.origin.asked), second.said["cache-status"].split(";")[1]) == (1, " hit")
                assert not {"set-cookie"} & (first.said.keys() | second.said.keys())

    run(scenario)


def test_who_asks_for_what_is_not_stored_is_told() -> None:
    async def scenario() -> None:
        for answer in (MemoryAnswer(200, [("cache-control", "no-store")]), streamed(("cache-control", "private"))):
            front = Front(answer, policy=CachePolicy())
            for _ in range(2):
                assert SET in (await front.get()).answered

    run(scenario)


def test_many_who_wait_for_one_answer_are_each_told_of_their_own() -> None:
    async def scenario() -> None:
        front = Front(MemoryAnswer(200, [("cache-control", "private")]), policy=CachePolicy())
        front.origin.held = asyncio.Event()
        waiting = [asyncio.ensure_future(front.get(("cookie", f"m={number}"))) for number in range(3)]
        await asyncio.sleep(0)
        front.origin.held.set()
        exchanges = await asyncio.gather(*waiting)
        assert all(SET in each.answered for each in exchanges)
        assert sorted(mark for _, mark in front.origin.steered) == ["0", "1", "2"]

    run(scenario)


def test_another_protocol_goes_to_the_same_target() -> None:
    wish = (("connection", "upgrade"), ("upgrade", "websocket"))

    async def scenario() -> None:
        front = Front(MemoryAnswer(101, [("upgrade", "websocket")]))
        front.origin.way = Way()
        first = await front.serve(SwitchingExchange("GET", "/chat", wish))
        assert (first.status, SET in first.answered) == (101, True)
        again = await front.serve(SwitchingExchange("GET", "/chat", (*wish, ("cookie", "m=mark-1"))))
        assert "set-cookie" not in again.said
        assert front.origin.steered == [("edge.test/chat", ""), ("edge.test/chat", "mark-1")]

    run(scenario)


def test_what_is_hashed_by_a_field_goes_by_that_and_else_by_its_url() -> None:
    async def scenario() -> None:
        front = Front(MemoryAnswer(), steers=Steers(None, HashSource("header", "x-user")), policy=CachePolicy())
        await front.get(("x-user", "ann"))
        await front.get()
        await front.serve(MemoryExchange("POST", "/a"))
        assert [key for key, _ in front.origin.steered] == ["ann", "http://edge.test/a", "edge.test/a"]

    run(scenario)


def test_without_either_nothing_is_told() -> None:
    async def scenario() -> None:
        front = Front(MemoryAnswer(), steers=None)
        assert "set-cookie" not in (await front.get(("cookie", "m=1"))).said
        assert ("cookie", "m=1") in front.origin.asked[0].fields

    run(scenario)
