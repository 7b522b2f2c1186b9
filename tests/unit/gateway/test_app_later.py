"""Requests that an app answers in a callback: no task waits for them, and all else is as if one did."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from littoral.core.errors import TimedOut, Unavailable
from littoral.core.limits import Limits
from littoral.functions.messages import Answer
from littoral.gateway.app_asking import AppAsking
from littoral.gateway.app_calls import AppCalls, AppSender
from littoral.gateway.exchange import Answering, Later
from littoral.gateway.gateway import GONE_STATUS, Gateway
from littoral.gateway.meters import Meters
from littoral.gateway.notes import Notes
from littoral.gateway.routes import Route, RouteTable
from littoral.wire.trace_context import trace_of
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock


class Stream:
    """Implements `littoral.gateway.app_calls.AppStream`."""

    switched = False

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.length = length
        self.closed = False

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def end(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


class Stage:
    """A gateway with one app, which this test plays."""

    def __init__(self, prefix: str = "") -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.who: AppAsking | None = None
        self.cancelled = 0
        self.refusal: Unavailable | None = None
        self.waited_for: list[str] = []
        self.begun: list[Answering] = []
        self.log: list[str] = []
        self.clock = FakeClock()
        self.gateway = Gateway(self.clock, "g", self.log.append)
        sender = AppSender("shop", self.call, Limits(), Meters(), prefix, "cf-ipcountry", self.ask)
        self.gateway.configure(RouteTable([Route("app/shop")]), {"app/shop": AppCalls(sender)})

    async def call(self, *asked: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        self.waited_for.append(asked[1])
        return 200, [], b"waited for"

    def ask(self, *asked: Any) -> "Stage":
        if self.refusal is not None:
            raise self.refusal
        *said, self.who = asked
        self.asked.append(tuple(said))
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def exchange(self, **told: Any) -> MemoryExchange:
        return MemoryExchange(go_on=self.begun.append, **told)

    def serve(self, exchange: MemoryExchange) -> Later:
        later = self.gateway.serve(exchange)
        assert isinstance(later, Later)
        assert self.gateway.meters.inflight == 1
        return later

    def answer(self, answer: Answer, stream: Stream | None = None) -> None:
        assert self.who is not None
        self.who.answered(answer, stream)

    def check_counted(self, *statuses: int) -> None:
        meter = self.gateway.meters.routes["app/shop"]
        assert meter.statuses == {each: statuses.count(each) for each in statuses}
        assert (self.gateway.meters.inflight, sum(meter.latency)) == (0, len(statuses))


def test_a_request_reaches_the_app_and_its_answer_the_client() -> None:
    stage = Stage("/v1")
    sent = [("accept", "*/*"), ("x-request-id", "forged"), ("cf-ipcountry", "ch")]
    exchange = stage.exchange(target="/v1/a/../b?c=d", fields=sent, tls="TLSv1.3 X")
    stage.serve(exchange)
    app, method, url, told, request_id = stage.asked[0]
    assert (app, method, url, request_id) == ("shop", "GET", "http://edge.test/b?c=d", "g-1")
    assert told.of(request_id) == [
        ("host", "edge.test"),
        ("accept", "*/*"),
        ("cf-ipcountry", "ch"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "edge.test"),
        ("x-forwarded-proto", "http"),
        ("forwarded", 'for="192.0.2.7";host="edge.test";proto=http'),
        ("via", "1.1 littoral"),
        ("cdn-loop", "littoral"),
        ("littoral-tls", "TLSv1.3 X"),
        ("littoral-country", "CH"),
        ("x-request-id", "g-1"),
        ("traceparent", str(trace_of(None, "g-1"))),
    ]
    assert not exchange.status
    stage.clock.advance(seconds=0.007)
    stage.answer(Answer(1, 201, [("Content-Type", "x"), ("Connection", "close"), ("Content-Length", "9")], b"hello"))
    assert (exchange.status, exchange.sent) == (201, b"hello")
    assert exchange.answered == [("content-type", "x"), ("x-request-id", "g-1")]
    stage.check_counted(201)
    meter = stage.gateway.meters.routes["app/shop"]
    assert (round(meter.latency_sum_ms), meter.sent_bytes) == (7, 5)
    assert stage.waited_for == []


@pytest.mark.parametrize(
    "headers", [[("x", "a\r\nset-cookie: b")], [("a b", "c")], [("x", "\0")]], ids=["line break", "name", "nul"]
)
def test_what_is_no_response_of_http_does_not_reach_the_client(headers: list[tuple[str, str]]) -> None:
    for stream in (None, Stream(b"body")):
        stage = Stage()
        exchange = stage.exchange()
        stage.serve(exchange)
        stage.answer(Answer(1, 200, headers, b"body", more=stream is not None), stream)
        assert exchange.status == 502
        assert b"not valid HTTP" in exchange.sent
        assert stream is None or stream.closed
        assert not stage.begun
        stage.check_counted(502)


def test_a_status_that_is_none_is_refused() -> None:
    stage = Stage()
    exchange = stage.exchange()
    stage.serve(exchange)
    stage.answer(Answer(1, 101, [], b""))
    assert exchange.status == 502
    stage.check_counted(502)


def test_a_failure_becomes_a_problem() -> None:
    stage = Stage()
    exchange = stage.exchange()
    stage.serve(exchange)
    assert stage.who is not None
    stage.who.failed(TimedOut("call app", "shop", "it did not answer"))
    assert (exchange.status, exchange.said["x-request-id"]) == (504, "g-1")
    assert json.loads(exchange.sent)["detail"] == "cannot call app shop: it did not answer"
    stage.check_counted(504)


def test_what_is_known_at_once_to_fail_is_answered_at_once() -> None:
    stage = Stage()
    stage.refusal = Unavailable("call app", "shop", "it is not running at this node")
    exchange = stage.exchange()
    assert stage.gateway.serve(exchange) is None
    assert exchange.status == 503
    stage.check_counted(503)


def test_a_fault_of_ours_is_logged_and_not_shown() -> None:
    stage = Stage()
    exchange = stage.exchange()
    stage.serve(exchange)
    assert stage.who is not None
    stage.who.failed(ZeroDivisionError("secret"))
    assert (exchange.status, b"secret" in exchange.sent) == (500, False)
    assert "ZeroDivisionError: secret" in stage.log[0]
    stage.check_counted(500)


def test_when_the_client_goes_the_app_is_told_and_it_is_counted() -> None:
    stage = Stage()
    exchange = stage.exchange()
    stage.serve(exchange).cancel()
    assert (stage.cancelled, exchange.status) == (1, 0)
    stage.check_counted(GONE_STATUS)


def test_an_answer_in_pieces_goes_on_as_a_task() -> None:
    stage = Stage()
    exchange = stage.exchange()
    stage.serve(exchange)
    stream = Stream(b"one", b"two", length=6)
    stage.answer(Answer(1, 200, [("content-type", "x")], more=True, length=6), stream)
    (rest,) = stage.begun
    assert not exchange.status
    asyncio.run(rest)
    assert (exchange.status, exchange.sent, exchange.ended, stream.closed) == (200, b"onetwo", True, True)
    assert exchange.answered == [("content-type", "x"), ("content-length", "6"), ("x-request-id", "g-1")]
    stage.check_counted(200)


def _now_s() -> float:
    return 0.0


@pytest.mark.parametrize(
    "told",
    [
        {"method": "HEAD"},
        {"method": "POST"},
        {"pieces": [b"body"], "body_length": 4},
        {"notes": Notes(_now_s, 0.0)},
        {"go_on": None},
    ],
    ids=["HEAD", "POST", "body", "notes", "who waits"],
)
def test_what_needs_a_task_has_one(told: dict[str, Any]) -> None:
    stage = Stage()
    on: Callable[[Answering], None] = stage.begun.append
    exchange = MemoryExchange(**({"go_on": on} | told))
    rest = stage.gateway.serve(exchange)
    assert rest is not None
    assert not isinstance(rest, Later)
    asyncio.run(rest)
    assert (exchange.status, stage.asked, stage.waited_for) == (200, [], [exchange.method])
    stage.check_counted(200)
