"""Requests that operators trace."""

import asyncio
from collections.abc import Awaitable

import pytest

from littoral.core.errors import BadGateway
from littoral.gateway import tracing
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.gateway import Gateway
from littoral.gateway.notes import ORIGIN, step
from littoral.gateway.routes import Route, RouteTable
from littoral.gateway.target import RequestTarget
from littoral.gateway.tracing import TraceAsk, Tracer, TraceReport
from tests.support.fakes import FakeClock

ASK = TraceAsk("GET", "https", "shop.test", "/a?b", [("accept", "x")])
TIMING = [("server-timing", 'db;dur=1.5;desc="a b", cache;desc=hit')]


class Shop:
    """Asks an origin, which takes its time; then answers, fails, or goes on for ever."""

    def __init__(self, clock: FakeClock, *, fails: bool = False, is_endless: bool = False) -> None:
        self.clock = clock
        self.fails = fails
        self.is_endless = is_endless
        self.asked: list[Exchange] = []

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Awaitable[int]:
        self.asked.append(exchange)
        return self._serve(exchange)

    async def _serve(self, exchange: Exchange) -> int:
        with step(exchange.notes, ORIGIN, "http://a") as tried:
            self.clock.advance(seconds=0.002)
            if self.fails:
                raise BadGateway("connect to", "http://a", "connection refused")
            tried.answered(200, TIMING)
        await exchange.begin(200, FieldBlock([("cache-status", "littoral; fwd=uri-miss")]), ())
        self.clock.advance(seconds=0.003)
        await exchange.send(b"hello")
        while self.is_endless:
            await asyncio.sleep(0.001)
        await exchange.end()
        return 200


def trace(shop: Shop, ask: TraceAsk = ASK) -> TraceReport:
    gateway = Gateway(shop.clock, "g", print)
    gateway.configure(RouteTable([Route("route/shop", "/a*")]), {"route/shop": shop})
    report = asyncio.run(Tracer(gateway.serve, shop.clock, 1).trace(ask))
    assert gateway.meters.inflight == 0
    return report


def shown(report: TraceReport) -> list[tuple[int, str, str, int | None, int | None, int, str]]:
    def whole(milliseconds: float | None) -> int | None:
        return None if milliseconds is None else round(milliseconds)

    return [
        (each.depth, each.name, each.detail, whole(each.began_ms), whole(each.length_ms), each.status, each.failure)
        for each in report.steps
    ]


def test_each_step_is_shown_and_what_the_origin_says_of_its_own() -> None:
    shop = Shop(FakeClock())
    report = trace(shop)
    assert shown(report) == [
        (0, "origin", "http://a", 0, 2, 200, ""),
        (1, "db", "a b", None, 2, 0, ""),
        (1, "cache", "hit", None, None, 0, ""),
        (0, "body", "", 2, 3, 0, ""),
    ]
    assert (report.gateway, report.request_id, report.route, report.status) == (1, "g-1", "route/shop", 200)
    assert (report.bytes, round(report.duration_ms), report.failure) == (5, 5, "")
    assert (report.cache, report.cache_status) == ("uri-miss", "littoral; fwd=uri-miss")
    assert (report.origin, report.tries) == ("http://a", 1)
    asked = shop.asked[0]
    assert (asked.scheme, asked.host, asked.target, asked.method) == ("https", "shop.test", "/a?b", "GET")
    assert asked.fields == [("host", "shop.test"), ("accept", "x")]


def test_what_fails_says_where_and_why() -> None:
    report = trace(Shop(FakeClock(), fails=True))
    cause = "cannot connect to http://a: connection refused"
    assert shown(report) == [(0, "origin", "http://a", 0, 2, 0, cause)]
    assert (report.status, report.failure) == (502, cause)


def test_what_no_route_takes_says_so() -> None:
    report = trace(Shop(FakeClock()), TraceAsk("GET", "http", "shop.test", "/b", []))
    assert (report.route, report.status, report.steps) == ("", 404, [])
    assert report.failure == "cannot route request /b: nothing at this node answers this path"


def test_what_does_not_end_is_given_up_and_what_it_has_done_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "TRACE_S", 0.05)
    report = trace(Shop(FakeClock(), is_endless=True))
    assert shown(report)[-1] == (0, "body", "", 2, None, 0, "")
    assert (report.status, report.bytes) == (200, 5)
    assert report.failure == "it was not whole after 0.05 s, and was given up"


def test_only_who_asks_for_it_is_an_operator_to_the_cache() -> None:
    shop = Shop(FakeClock())
    trace(shop)
    trace(shop, TraceAsk("GET", "http", "shop.test", "/a", [], refresh=True))
    assert [each.notes is not None and each.notes.is_operators for each in shop.asked] == [False, True]
