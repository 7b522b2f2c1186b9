"""Requests that an origin answers in a callback: no task waits for them, and all else is as if one did."""

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.cache.purge import EVERYTHING, aim_of
from littoral.gateway.exchange import Answering, Later
from littoral.gateway.field_block import Fields
from littoral.gateway.gateway import GONE_STATUS, Gateway
from littoral.gateway.notes import Notes
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.steers import MarkCookie, Steers
from littoral.gateway.routes import Route, RouteTable
from littoral.wire.caching.policy import CachePolicy
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock
from tests.support.pools import Answer, Begun, Scripted, caller_of, failed

NO_STORE = ("cache-control", "no-store")
FRESH = ("cache-control", "max-age=60")


class Stage:
    """A gateway before a pool, to whose targets connections are kept; this test plays the targets."""

    def __init__(
        self, *hosts: str, cached: bool = False, collapse: bool = False, steers: Steers | None = None, **scripts: Any
    ) -> None:
        names = hosts or ("a",)
        self.origin = Scripted(**scripts)
        self.origin.kept = set(names)
        self.caller = caller_of(self.origin, *names)
        self.begun: list[Answering] = []
        self.tasks = Tasks(lambda error: None)
        clock = FakeClock()
        sender = OriginSender(self.caller, "", "", steers)
        self.tier = MemoryTier(1 << 20)
        self.cache = None
        if cached:
            # What is not collapsed is asked at once, also for the first time.
            settings = CacheSettings(CachePolicy(name="c"), key_maker(CacheKey()), 1000, collapse=collapse)
            self.cache = RouteCache(settings, self.tier, sender, clock, self.tasks, CacheMeter())
        self.gateway = Gateway(clock, "g", lambda fault: None)
        calls = OriginCalls(sender, self.cache, Limits())
        self.gateway.configure(RouteTable([Route("route/r")]), {"route/r": calls})

    def exchange(self, method: str = "GET", *fields: tuple[str, str], **told: Any) -> MemoryExchange:
        return MemoryExchange(method, "/x?y", fields, go_on=self.begun.append, **told)

    def serve(self, exchange: MemoryExchange) -> Begun:
        """It is asked at once."""
        later = self.gateway.serve(exchange)
        assert isinstance(later, Later)
        self.later = later
        assert self.gateway.meters.inflight == 1
        return self.origin.begun[-1]

    async def wait(self) -> None:
        """For what has become a task."""
        while self.begun:
            await self.begun.pop(0)

    async def given(self, fields: Fields, *, asked: Fields, status: int, at_once: bool) -> tuple[int, Fields, bytes]:
        """What a client is answered, in a callback or by a task."""
        exchange = self.exchange("GET", *asked)
        if at_once:
            begun = self.serve(exchange)
            begun.fields = tuple(fields)
            begun.come(status, whole=b"body")
            assert not self.begun
        else:
            exchange.go_on = None
            answer = Answer(status)
            answer.fields, answer.whole = tuple(fields), b"body"
            self.origin.scripts["a"].append(answer)
            waiting = self.gateway.serve(exchange)
            assert waiting is not None
            assert not isinstance(waiting, Later)
            await waiting
        return exchange.status, exchange.answered, exchange.sent

    def check_over(self, *statuses: int, failures: int = 0) -> None:
        meter = self.gateway.meters.routes["route/r"]
        assert meter.statuses == {each: statuses.count(each) for each in statuses}
        assert self.gateway.meters.inflight == 0
        members = self.caller.pool.members
        assert [each.inflight for each in members] == [0] * len(members)
        assert sum(each.meter.failures for each in members) == failures


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_whole_answer_is_given_in_the_callback_that_brings_it(method: str, cached: bool) -> None:
    async def scenario() -> None:
        stage = Stage(cached=cached)
        exchange = stage.exchange(method)
        begun = stage.serve(exchange)
        assert not exchange.status
        begun.fields = (NO_STORE, ("connection", "close"))
        begun.come(201, whole=b"body")
        assert (exchange.status, exchange.sent) == (201, b"body" if method == "GET" else b"")
        assert exchange.answered[:2] == [NO_STORE, ("via", "1.1 littoral")]
        assert stage.begun == []
        [request] = stage.origin.requests
        assert (request.method, request.target) == (method, "/x?y")
        assert ("x-request-id", "g-1") in request.own
        stage.check_over(201)

    run(scenario)


def test_also_of_a_method_that_no_cache_answers() -> None:
    async def scenario() -> None:
        stage = Stage(cached=True)
        exchange = stage.exchange("OPTIONS")
        stage.serve(exchange).come(200)
        assert (exchange.status, exchange.said["cache-status"]) == (200, "c; fwd=method")
        stage.check_over(200)

    run(scenario)


@pytest.mark.parametrize("cached", [False, True])
def test_an_answer_in_pieces_takes_a_task(cached: bool) -> None:
    async def scenario() -> None:
        stage = Stage(cached=cached)
        exchange = stage.exchange()
        stage.serve(exchange).come(200, b"a", b"b")
        assert not exchange.status
        assert stage.gateway.meters.inflight == 0
        await stage.wait()
        assert (exchange.status, exchange.sent, exchange.ended) == (200, b"ab", True)
        stage.check_over(200)

    run(scenario)


@pytest.mark.parametrize("cached", [False, True])
def test_what_fails_is_tried_again_elsewhere(cached: bool) -> None:
    async def scenario() -> None:
        for how in ("failure", 503):
            stage = Stage("a", "b", cached=cached)
            exchange = stage.exchange()
            begun = stage.serve(exchange)
            if isinstance(how, int):
                begun.come(how)
            else:
                begun.fail(failed("head"))
            await stage.wait()
            assert (exchange.status, stage.origin.asked) == (200, ["a", "b"])
            stage.check_over(200, failures=1)

    run(scenario)


def test_what_fails_everywhere_is_an_error_and_counted_once() -> None:
    async def scenario() -> None:
        stage = Stage(cached=True)
        exchange = stage.exchange()
        stage.serve(exchange).fail(failed("head"))
        await stage.wait()
        assert exchange.status == 502
        stage.check_over(exchange.status, failures=1)

    run(scenario)


def test_a_target_that_has_waited_too_long_for_a_request_is_for_the_transport_to_judge() -> None:
    async def scenario() -> None:
        stage = Stage()
        exchange = stage.exchange()
        stage.serve(exchange).come(408)
        assert stage.begun
        await stage.wait()
        assert exchange.status == 408
        stage.check_over(408)

    run(scenario)


def test_nobody_is_answered_who_has_gone() -> None:
    async def scenario() -> None:
        stage = Stage()
        exchange = stage.exchange()
        begun = stage.serve(exchange)
        stage.later.cancel()
        assert (begun.is_closed, exchange.status) == (True, 0)
        stage.check_over(GONE_STATUS)
        gone = weakref.ref(exchange)
        del exchange
        assert gone() is None

    run(scenario)


@pytest.mark.parametrize(
    "why", ["a body", "a change", "notes", "nobody goes on", "no connection", "a cookie says where"]
)
def test_other_requests_take_a_task(why: str) -> None:
    async def scenario() -> None:
        stage = Stage(steers=Steers(MarkCookie("m")) if why == "a cookie says where" else None)
        exchange = stage.exchange()
        if why == "a body":
            exchange = stage.exchange("POST", pieces=[b"x"])
        elif why == "a change":
            exchange = stage.exchange("DELETE")
        elif why == "notes":
            exchange.notes = Notes(FakeClock().monotonic_s, 0.0)
        elif why == "nobody goes on":
            exchange.go_on = None
        elif why == "no connection":
            stage.origin.kept = set()
        waiting = stage.gateway.serve(exchange)
        assert waiting is not None
        assert not isinstance(waiting, Later)
        await waiting
        assert (exchange.status, stage.origin.begun) == (200, [])
        stage.check_over(200)

    run(scenario)


def test_targets_have_their_turns_whether_connections_to_them_are_kept_or_not() -> None:
    async def scenario() -> None:
        stage = Stage("a", "b")
        stage.origin.kept = {"a"}
        for _ in range(3):
            stage.serve(stage.exchange()).come()
            waiting = stage.gateway.serve(stage.exchange())
            assert waiting is not None
            assert not isinstance(waiting, Later)
            await waiting
        assert stage.origin.asked == ["a", "b"] * 3

    run(scenario)


def test_nothing_is_left_for_the_garbage_collector() -> None:
    async def scenario() -> None:
        stage = Stage()
        exchange = stage.exchange()
        stage.serve(exchange).come()
        gone = weakref.ref(exchange)
        stage.begun.clear()
        del exchange
        stage.later.cancel  # noqa: B018 -- it is still there, and holds nothing
        assert gone() is None

    run(scenario)


def test_what_others_may_wait_for_takes_a_task_until_it_has_turned_out_that_it_is_not_for_them() -> None:
    async def scenario() -> None:
        stage = Stage(cached=True, collapse=True)
        answer = Answer(200)
        answer.fields, answer.whole = (NO_STORE,), b"body"
        stage.origin.scripts["a"].append(answer)
        waiting = stage.gateway.serve(stage.exchange())
        assert waiting is not None
        assert not isinstance(waiting, Later)
        await waiting
        stage.serve(stage.exchange()).come()
        stage.check_over(200, 200)

    run(scenario)


ASKED: dict[str, Fields] = {
    "plain": (),
    "no-store": (("cache-control", "no-store"),),
    "authorized": (("authorization", "x"),),
    "a part": (("range", "bytes=0-1"),),
}
ANSWERED: dict[str, Fields] = {
    "no-store": (NO_STORE, ("content-length", "4")),
    "private": (("cache-control", "private, max-age=9"), ("age", "7")),
    "fresh": (FRESH, ("content-length", "4"), ("vary", "accept")),
    "understood": (("cache-control", "no-store, must-understand, max-age=60"),),
    "a cookie": (FRESH, ("set-cookie", "a=b")),
    "nothing": (("content-type", "text/plain"),),
}


@pytest.mark.parametrize("status", [200, 206, 304, 404, 500])
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("answered", ANSWERED)
def test_a_client_is_answered_the_same_in_a_callback_as_by_a_task(answered: str, asked: str, status: int) -> None:
    async def scenario() -> None:
        both = []
        for at_once in (True, False):
            stage = Stage(cached=True)
            # Twice, unless it is stored: what was worked out for the first is there for the second.
            both.append(
                [
                    await stage.given(ANSWERED[answered], asked=ASKED[asked], status=status, at_once=at_once)
                    for _ in range(1 if answered in ("fresh", "understood") else 2)
                ]
            )
        assert both[0] == both[1]

    run(scenario)


def test_an_answer_that_may_be_stored_is() -> None:
    async def scenario() -> None:
        stage = Stage(cached=True)
        begun = stage.serve(stage.exchange())
        begun.fields = (FRESH,)
        begun.come(200, whole=b"body")
        again = stage.exchange()
        assert stage.gateway.serve(again) is None
        assert again.said["cache-status"] == "c; hit; ttl=60"

    run(scenario)


@pytest.mark.parametrize("pieces", [(), (b"bo", b"dy")])
def test_a_purge_that_comes_after_the_origin_was_asked_is_meant_for_its_answer(pieces: tuple[bytes, ...]) -> None:
    async def scenario() -> None:
        stage = Stage(cached=True)
        exchange = stage.exchange()
        begun = stage.serve(exchange)
        stage.tier.purge(aim_of(EVERYTHING, []))
        begun.fields = (FRESH,)
        begun.come(200, *pieces, whole=b"body")
        await stage.wait()
        while len(stage.tasks):
            await asyncio.sleep(0)
        assert (exchange.sent, stage.tier.count) == (b"body", 0)

    run(scenario)
