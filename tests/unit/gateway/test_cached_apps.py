import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from littoral.core.errors import FunctionFailed, LittoralError
from littoral.core.limits import Limits
from littoral.core.resources.web import CacheKey
from littoral.core.tasks import Tasks
from littoral.gateway.app_answers import PIECE_BYTES
from littoral.gateway.app_calls import AppCalls, AppSender
from littoral.gateway.cache.cache import CacheSettings, RouteCache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.exchange import Later
from littoral.gateway.meters import Meters
from littoral.gateway.target import read_target
from littoral.wire.caching.policy import CachePolicy
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock

FRESH = ("cache-control", "max-age=60")
OBJECT_BYTES = 2 * PIECE_BYTES
Answer = tuple[int, list[tuple[str, str]], Any]


def page(*fields: tuple[str, str], status: int = 200, body: bytes = b"hello") -> Answer:
    return status, list(fields), body


class Shop:
    """A route to an app, with a cache before it. The app gives these answers, one after the other."""

    def __init__(self, *answers: Answer | LittoralError, strip_prefix: str = "") -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.clock = FakeClock(1_800_000_000_000)
        self.meter = CacheMeter()
        self.tasks = Tasks(lambda _: None)
        self._numbers = itertools.count(1)
        limits = Limits({"gateway-cache-object-bytes": OBJECT_BYTES})
        sender = AppSender("shop", self._call, limits, Meters(), strip_prefix)
        policy = CachePolicy(name="edge")
        settings = CacheSettings(policy, key_maker(CacheKey()), OBJECT_BYTES)
        cache = RouteCache(settings, MemoryTier(1 << 20), sender, self.clock, self.tasks, self.meter)
        self._calls = AppCalls(sender, cache)

    async def _call(self, app: str, method: str, url: str, fields: Any, *rest: Any) -> Answer:
        self.asked.append((method, url, dict(fields)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(0)
        if isinstance(answer, LittoralError):
            raise answer
        return answer

    def serve(self, exchange: MemoryExchange) -> int | Awaitable[int]:
        served = self._calls.serve(exchange, read_target(exchange.target), f"r-{next(self._numbers)}")
        assert not isinstance(served, Later)
        return served

    async def ask(self, target: str = "/a", method: str = "GET", **fields: str) -> MemoryExchange:
        exchange = MemoryExchange(method, target, [(name.replace("_", "-"), value) for name, value in fields.items()])
        answered = self.serve(exchange)
        status = answered if isinstance(answered, int) else await answered
        assert status == exchange.status
        return exchange


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_what_is_fresh_is_given_without_the_app_and_says_nothing_of_another_request() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH))
        first, second = await shop.ask(), await shop.ask()
        assert (first.sent, second.sent, len(shop.asked)) == (b"hello", b"hello", 1)
        assert (first.said["x-request-id"], second.said.get("x-request-id")) == ("r-1", None)
        assert second.said["cache-status"] == "edge; hit; ttl=60"

    run(scenario)


def test_many_who_want_the_same_cost_one_call() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH))
        replies = await asyncio.gather(*(shop.ask() for _ in range(20)))
        assert ({reply.sent for reply in replies}, len(shop.asked)) == ({b"hello"}, 1)

    run(scenario)


def test_what_has_come_between_a_request_and_its_turn_is_not_fetched_again() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH))
        asked = [MemoryExchange(), MemoryExchange()]
        for turn in [shop.serve(exchange) for exchange in asked]:
            assert not isinstance(turn, int)
            await turn
        assert ([exchange.sent for exchange in asked], len(shop.asked)) == ([b"hello"] * 2, 1)

    run(scenario)


def test_an_app_that_fails_is_stood_in_for_by_what_was_stored() -> None:
    async def scenario() -> None:
        ill: tuple[Answer | LittoralError, ...]
        ill = (FunctionFailed("call", "app shop", "it crashed"), page(status=500, body=b"ill"))
        for says in (FRESH, ("cache-control", "s-maxage=60, stale-if-error=600")):
            for illness in ill:
                shop = Shop(page(says), illness)
                await shop.ask()
                shop.clock.advance(seconds=61)
                stale = await shop.ask()
                assert (stale.status, stale.sent, len(shop.asked)) == (200, b"hello", 2)
                assert shop.meter.stale_hits == 1

    run(scenario)


def test_an_app_may_say_that_what_is_stored_still_holds() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH, ("etag", '"1"')), page(FRESH, ("etag", '"1"'), status=304, body=b""))
        await shop.ask()
        shop.clock.advance(seconds=61)
        again = await shop.ask()
        assert (again.status, again.sent) == (200, b"hello")
        assert shop.asked[1][2]["if-none-match"] == '"1"'

    run(scenario)


def test_what_a_request_changes_is_forgotten() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH), page(body=b"done"), page(FRESH, body=b"new"))
        await shop.ask()
        posted = await shop.ask(method="POST")
        assert (posted.sent, posted.said["x-request-id"]) == (b"done", "r-2")
        assert (await shop.ask()).sent == b"new"

    run(scenario)


def test_what_an_answer_says_was_changed_may_be_no_target_at_all() -> None:
    async def scenario() -> None:
        for location in ("/%zz", "/a b", "/\xfc", "http://[/", "/a%00"):
            shop = Shop(page(FRESH), page(("location", location), status=303, body=b"done"), page(body=b"new"))
            await shop.ask()
            assert (await shop.ask(method="POST")).status == 303
            assert (await shop.ask()).sent == b"new"

    run(scenario)


def test_head_says_how_long_the_body_would_be_whoever_answers() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH))
        asked = await shop.ask(method="HEAD")
        assert (asked.said["content-length"], asked.sent, shop.asked[0][0]) == ("5", b"", "HEAD")
        await shop.ask()
        assert (await shop.ask(method="HEAD")).said["cache-status"] == "edge; hit; ttl=60"

    run(scenario)


def test_what_is_too_large_to_be_stored_goes_through_in_pieces() -> None:
    async def scenario() -> None:
        content = bytes(range(256)) * (OBJECT_BYTES // 256) + b"end"
        shop = Shop(page(FRESH, body=content))
        for number in (1, 2):
            found = await shop.ask()
            assert (found.sent, found.ended) == (content, True)
            assert (found.said["content-length"], found.said["x-request-id"]) == (str(len(content)), f"r-{number}")
        assert (len(shop.asked), shop.meter.stored) == (2, 0)
        assert (await shop.ask(method="POST")).sent == content

    run(scenario)


class Pieces:
    """An answer that comes in pieces; an exception breaks it off."""

    length = None
    switched = False

    def __init__(self, *pieces: bytes | LittoralError) -> None:
        self.pieces = list(pieces)
        self.closed = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, LittoralError):
            raise piece
        return piece

    async def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def end(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


def test_what_comes_in_pieces_is_stored_once_it_is_whole_and_not_before() -> None:
    async def scenario() -> None:
        broken = Pieces(b"hel", FunctionFailed("call app", "shop", "its code raised an exception"))
        whole = Pieces(b"hel", b"lo")
        shop = Shop((200, [FRESH], broken), (200, [FRESH], whole))
        cut = await shop.ask()
        assert (cut.sent, cut.ended, cut.aborted) == (b"hel", False, True)
        first, second = await asyncio.gather(shop.ask(), shop.ask())
        third = await shop.ask()
        assert [each.sent for each in (first, second, third)] == [b"hello"] * 3
        assert (len(shop.asked), broken.closed, whole.closed) == (2, True, True)

    run(scenario)


def test_the_app_does_not_see_the_prefix_that_its_route_takes_off() -> None:
    async def scenario() -> None:
        shop = Shop(page(FRESH), strip_prefix="/shop")
        await shop.ask("/shop/a?b=c")
        assert shop.asked[0][1] == "http://edge.test/a?b=c"

    run(scenario)
