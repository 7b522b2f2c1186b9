import asyncio
import json
from collections.abc import Awaitable

import pytest

from littoral.core.errors import TimedOut
from littoral.gateway.access_log import LogRule
from littoral.gateway.exchange import ClientGone, Exchange, Later
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.gateway import GONE_STATUS, NOBODY, Gateway
from littoral.gateway.routes import Route, RouteTable
from littoral.gateway.target import RequestTarget
from littoral.gateway.watch import Watch
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock


class Shop:
    """Answers at once, or later, or not."""

    def __init__(self, *, later: bool = False, error: Exception | None = None) -> None:
        self.later = later
        self.error = error
        self.paths: list[str] = []

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Awaitable[int]:
        self.paths.append(str(target))
        return self._answer(exchange) if self.later else self._answer_now(exchange)

    def _answer_now(self, exchange: Exchange) -> int:
        if self.error is not None:
            raise self.error
        exchange.respond(200, FieldBlock(()), (), b"hello")
        return 200

    async def _answer(self, exchange: Exchange) -> int:
        return self._answer_now(exchange)


def serve(shop: Shop, exchange: MemoryExchange) -> tuple[Gateway, list[str]]:
    log: list[str] = []
    gateway = Gateway(FakeClock(), "g", log.append)
    gateway.configure(RouteTable([Route("route/shop", "/*", methods=["GET", "POST"])]), {"route/shop": shop})

    async def scenario() -> None:
        later = gateway.serve(exchange)
        assert (later is None) == (not shop.later or exchange.status != 0)
        assert not isinstance(later, Later)
        if later is not None:
            assert gateway.meters.inflight == 0
            await later

    asyncio.run(scenario())
    assert gateway.meters.inflight == 0
    return gateway, log


def test_what_is_at_hand_is_given_at_once_and_what_is_not_is_waited_for() -> None:
    for later in (False, True):
        shop, exchange = Shop(later=later), MemoryExchange("GET", "/a/../b%2f?c")
        gateway, _ = serve(shop, exchange)
        assert (exchange.sent, shop.paths) == (b"hello", ["/b%2F?c"])
        assert gateway.meters.routes["route/shop"].statuses == {200: 1}


def test_errors_become_problems() -> None:
    for later in (False, True):
        exchange = MemoryExchange()
        gateway, _ = serve(Shop(later=later, error=TimedOut("call app", "shop", "it did not answer")), exchange)
        assert exchange.status == 504
        assert json.loads(exchange.sent)["detail"] == "cannot call app shop: it did not answer"
        assert exchange.said["x-request-id"] == "g-1"
        assert gateway.meters.routes["route/shop"].statuses == {504: 1}


def test_a_method_that_is_not_taken_is_answered_with_those_that_are() -> None:
    exchange = MemoryExchange("DELETE")
    gateway, _ = serve(Shop(), exchange)
    assert (exchange.status, exchange.said["allow"]) == (405, "GET, HEAD, POST")
    assert gateway.meters.routes[NOBODY].statuses == {405: 1}


def test_a_target_that_is_none_is_refused() -> None:
    exchange = MemoryExchange("GET", "/%zz")
    serve(Shop(), exchange)
    assert exchange.status == 400


def test_a_fault_of_ours_is_logged_and_not_shown() -> None:
    exchange = MemoryExchange()
    _, log = serve(Shop(later=True, error=ZeroDivisionError("secret")), exchange)
    assert exchange.status == 500
    assert b"secret" not in exchange.sent
    assert "[g-1] fault in the gateway" in log[0]
    assert "ZeroDivisionError: secret" in log[0]


def test_a_client_that_goes_away_is_counted_and_not_answered() -> None:
    exchange = MemoryExchange()
    gateway, log = serve(Shop(later=True, error=ClientGone()), exchange)
    assert (exchange.status, log) == (0, [])
    assert gateway.meters.routes["route/shop"].statuses == {GONE_STATUS: 1}


class Lines:
    """Implements `littoral.gateway.access_log.Sink`."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def put(self, line: bytes) -> None:
        self.lines.append(json.loads(line))


def watched(shop: Shop, exchange: MemoryExchange, lines: Lines) -> None:
    clock = FakeClock()
    gateway = Gateway(clock, "g", lambda text: None)
    rule = LogRule(1.0, ["request_id", "route", "status", "bytes", "complete", "failure"], lines, clock)
    gateway.configure(
        RouteTable([Route("route/shop", "/a*"), Route("route/quiet", "/b*")]),
        {"route/shop": shop, "route/quiet": shop},
        {NOBODY: Watch(rule), "route/shop": Watch(rule, shows_timing=True)},
    )

    async def scenario() -> None:
        later = gateway.serve(exchange)
        assert not isinstance(later, Later)
        if later is not None:
            await later

    asyncio.run(scenario())


def test_a_request_that_is_watched_is_written_down_once_it_has_ended() -> None:
    for later in (False, True):
        lines, exchange = Lines(), MemoryExchange(target="/a")
        watched(Shop(later=later), exchange, lines)
        assert lines.lines == [
            {"request_id": "g-1", "route": "route/shop", "status": 200, "bytes": 5, "complete": True, "failure": None}
        ]
        assert exchange.said["server-timing"] == "total;dur=0.0"


def test_others_are_not() -> None:
    lines, exchange = Lines(), MemoryExchange(target="/b")
    watched(Shop(), exchange, lines)
    assert (exchange.status, exchange.answered, lines.lines) == (200, [], [])


@pytest.mark.parametrize(
    ("target", "status", "route", "failure"),
    [
        ("/a", 504, "route/shop", "cannot call app shop: it did not answer"),
        ("/none", 404, None, "cannot route request /none: nothing at this node answers this path"),
        (
            "/%zz",
            400,
            None,
            "cannot read target of request %zz: a percent sign is not followed by two hexadecimal digits",
        ),
    ],
)
def test_what_is_refused_is_written_down_with_its_cause(
    target: str, status: int, route: str | None, failure: str
) -> None:
    lines, exchange = Lines(), MemoryExchange(target=target)
    watched(Shop(error=TimedOut("call app", "shop", "it did not answer")), exchange, lines)
    (line,) = lines.lines
    assert (exchange.status, line["status"], line["route"], line["failure"]) == (status, status, route, failure)


def test_a_client_that_goes_away_is_written_down_as_one() -> None:
    lines = Lines()
    watched(Shop(later=True, error=ClientGone()), MemoryExchange(target="/a"), lines)
    assert (lines.lines[0]["status"], lines.lines[0]["complete"]) == (GONE_STATUS, False)


def test_before_it_is_configured_a_gateway_asks_for_patience() -> None:
    exchange = MemoryExchange()
    assert Gateway(FakeClock(), "g", print).serve(exchange) is None
    assert (exchange.status, exchange.said["retry-after"]) == (503, "1")
