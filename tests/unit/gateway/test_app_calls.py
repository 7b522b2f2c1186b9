import asyncio
from typing import Any

import pytest

from littoral.core.errors import BadGateway, TooLarge, Unavailable
from littoral.core.limits import FUNCTION_BODY_BYTES, Limits
from littoral.gateway.app_calls import AppCalls, AppSender
from littoral.gateway.meters import Meters
from littoral.gateway.notes import Notes
from littoral.gateway.target import read_target
from littoral.wire.trace_context import trace_of
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock


class App:
    """Records what it is asked, and answers with what it was given."""

    def __init__(self, answer: Any = (200, [("content-type", "x")], b"hello")) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, *asked: Any) -> Any:
        self.asked.append(asked)
        return self.answer


def serve(app: App, exchange: MemoryExchange, **limits: int) -> MemoryExchange:
    meters = Meters()
    values = Limits({name.replace("_", "-"): value for name, value in limits.items()})

    async def main() -> int:
        served = AppCalls(AppSender("shop", app, values, meters)).serve(exchange, read_target(exchange.target), "r-1")
        return served if isinstance(served, int) else await served

    try:
        status = asyncio.run(main())
    finally:
        assert meters.held_bytes == 0
    assert status == exchange.status
    return exchange


def test_a_request_reaches_the_app_and_its_response_the_client() -> None:
    app = App(
        (200, [("Content-Type", "x"), ("Connection", "close"), ("Content-Length", "999"), ("Set-Cookie", "a")], b"hi")
    )
    sent = [("host", "edge.test"), ("content-length", "4"), ("accept", "*/*"), ("x-request-id", "forged")]
    result = serve(app, MemoryExchange("POST", "/a%20b?x=1", sent, pieces=[b"bo", b"dy"], body_length=4))
    name, method, url, headers, body, request_id = app.asked[0]
    assert (name, method, url, body, request_id) == ("shop", "POST", "http://edge.test/a%20b?x=1", b"body", "r-1")
    assert headers == [
        ("host", "edge.test"),
        ("accept", "*/*"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "edge.test"),
        ("x-forwarded-proto", "http"),
        ("forwarded", 'for="192.0.2.7";host="edge.test";proto=http'),
        ("x-request-id", "r-1"),
        ("via", "1.1 littoral"),
        ("cdn-loop", "littoral"),
        ("traceparent", str(trace_of(None, "r-1"))),
        ("content-length", "4"),
    ]
    assert result.answered == [("content-type", "x"), ("set-cookie", "a"), ("x-request-id", "r-1")]
    assert result.sent == b"hi"


def test_a_body_announced_as_too_large_is_not_read() -> None:
    exchange = MemoryExchange("POST", pieces=[b"x"], body_length=Limits()[FUNCTION_BODY_BYTES] + 1)
    with pytest.raises(TooLarge):
        serve(App(), exchange)
    assert exchange.read == 0


def test_a_body_that_grows_too_large_is_not_read_to_its_end() -> None:
    app, exchange = App(), MemoryExchange("POST", pieces=[b"xxxx"] * 10)
    with pytest.raises(TooLarge):
        serve(app, exchange, function_body_bytes=9)
    assert (exchange.read, app.asked) == (3, [])


def test_the_memory_of_all_bodies_is_bounded() -> None:
    with pytest.raises(Unavailable):
        serve(App(), MemoryExchange("POST", pieces=[b"xxxx", b"xxxx"]), gateway_held_bytes=7)


@pytest.mark.parametrize(
    "wrong",
    [
        (99, [], b""),
        (700, [], b""),
        (200, [("x", "a\r\nb: c")], b""),
        (200, [("x y", "a")], b""),
        (200, [("x", "\0")], b""),
    ],
)
def test_an_answer_that_is_no_http_is_a_502(wrong: Any) -> None:
    with pytest.raises(BadGateway):
        serve(App(wrong), MemoryExchange())


def test_what_the_app_does_is_a_step_of_the_request() -> None:
    clock = FakeClock()
    notes = Notes(clock.monotonic_s, clock.monotonic_s())
    serve(App(), MemoryExchange("POST", "/", pieces=[b"body"], body_length=4, notes=notes))
    assert [(each.name, each.detail, each.status) for each in notes.steps] == [
        ("read body", "", 0),
        ("app", "shop", 200),
    ]
    broken = Notes(clock.monotonic_s, clock.monotonic_s())
    with pytest.raises(BadGateway):
        serve(App((999, [], b"")), MemoryExchange(notes=broken))
    assert "999 is the status of no answer" in broken.steps[0].failure
