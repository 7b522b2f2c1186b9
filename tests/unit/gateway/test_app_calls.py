import asyncio
from typing import Any

import pytest

from littoral.core.errors import BadGateway, FunctionFailed, InvalidInput, Unavailable
from littoral.core.limits import Limits
from littoral.gateway.app_calls import WHOLE_BYTES, AppCalls, AppSender
from littoral.gateway.exchange import Later
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


def serve(app: App, exchange: MemoryExchange, country_header: str = "", **limits: int) -> MemoryExchange:
    meters = Meters()
    values = Limits({name.replace("_", "-"): value for name, value in limits.items()})

    async def main() -> int:
        sender = AppSender("shop", app, values, meters, country_header=country_header)
        served = AppCalls(sender).serve(exchange, read_target(exchange.target), "r-1")
        assert not isinstance(served, Later)
        return served if isinstance(served, int) else await served

    try:
        status = asyncio.run(main())
    finally:
        assert (meters.held_bytes, meters.app_streams, meters.web_sockets) == (0, 0, 0)
    assert status == exchange.status
    return exchange


def test_what_is_known_of_the_client_is_told_by_the_gateway_only() -> None:
    forged = [("littoral-tls", "forged"), ("littoral-country", "XX"), ("littoral-place", "{}"), ("cf-ipcountry", "ch")]
    app = App()
    serve(app, MemoryExchange("GET", "/", forged))
    assert not [name for name, _ in app.asked[0][3] if name.startswith("littoral-")]
    serve(app, MemoryExchange("GET", "/", forged, tls="TLSv1.3 X"), country_header="cf-ipcountry")
    assert [field for field in app.asked[1][3] if field[0].startswith("littoral-")] == [
        ("littoral-tls", "TLSv1.3 X"),
        ("littoral-country", "CH"),
    ]
    for said in ([("cf-ipcountry", "Switzerland")], [("cf-ipcountry", "CH"), ("cf-ipcountry", "DE")], []):
        serve(app, MemoryExchange("GET", "/", said), country_header="cf-ipcountry")
        assert not [name for name, _ in app.asked[-1][3] if name.startswith("littoral-")]


def test_a_request_reaches_the_app_and_its_response_the_client() -> None:
    app = App(
        (200, [("Content-Type", "x"), ("Connection", "close"), ("Content-Length", "999"), ("Set-Cookie", "a")], b"hi")
    )
    sent = [("host", "edge.test"), ("content-length", "4"), ("accept", "*/*"), ("x-request-id", "forged")]
    result = serve(app, MemoryExchange("POST", "/a%20b?x=1", sent, pieces=[b"bo", b"dy"], body_length=4))
    name, method, url, headers, body, request_id, _ = app.asked[0]
    assert (name, method, url, body, request_id) == ("shop", "POST", "http://edge.test/a%20b?x=1", b"body", "r-1")
    assert headers == [
        ("host", "edge.test"),
        ("accept", "*/*"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "edge.test"),
        ("x-forwarded-proto", "http"),
        ("forwarded", 'for="192.0.2.7";host="edge.test";proto=http'),
        ("via", "1.1 littoral"),
        ("cdn-loop", "littoral"),
        ("x-request-id", "r-1"),
        ("traceparent", str(trace_of(None, "r-1"))),
        ("content-length", "4"),
    ]
    assert result.answered == [("content-type", "x"), ("set-cookie", "a"), ("x-request-id", "r-1")]
    assert result.sent == b"hi"


class Reader(App):
    """Reads so many pieces of the request before it answers."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.read: list[bytes] = []

    async def __call__(self, *asked: Any) -> Any:
        self.asked.append(asked)
        async for piece in asked[4]:
            self.read.append(piece)
            if len(self.read) == self.pieces:
                break
        return self.answer


@pytest.mark.parametrize("length", [None, WHOLE_BYTES + 1])
def test_a_body_that_is_long_or_of_unknown_length_is_read_as_the_app_reads_it(length: int | None) -> None:
    app, exchange = Reader(2), MemoryExchange("POST", pieces=[b"one", b"two", b"three"], body_length=length)
    serve(app, exchange)
    assert (app.read, exchange.read) == ([b"one", b"two"], 2)
    assert ("content-length", str(length)) in app.asked[0][3] or length is None
    assert app.asked[0][6] == exchange.when_gone, "the app can hear that its client has gone"


def test_a_short_body_is_whole_before_the_app_is_asked() -> None:
    app = App()
    serve(app, MemoryExchange("POST", pieces=[b"one", b"two"], body_length=6))
    assert app.asked[0][4] == b"onetwo"


def test_the_memory_of_all_bodies_is_bounded() -> None:
    with pytest.raises(Unavailable):
        serve(App(), MemoryExchange("POST", pieces=[b"xxxx", b"xxxx"], body_length=8), gateway_held_bytes=7)


class Stream:
    """An answer in pieces, of which the last may be a failure."""

    def __init__(self, *pieces: Any, length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.length = length
        self.switched = False
        self.closed = False
        self.written: list[bytes] = []

    async def read(self) -> bytes:
        piece: Any = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return bytes(piece)

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    def end(self) -> None:
        self.written.append(b"")

    def close(self) -> None:
        self.closed = True


def test_an_answer_in_pieces_is_passed_on_as_it_comes() -> None:
    stream = Stream(b"one", b"two")
    result = serve(App((200, [("content-length", "999")], stream)), MemoryExchange())
    assert (result.sent, result.ended, stream.closed) == (b"onetwo", True, True)
    assert "content-length" not in result.said
    known = serve(App((200, [], Stream(b"one", length=3))), MemoryExchange())
    assert (known.said["content-length"], known.sent) == ("3", b"one")


@pytest.mark.parametrize(
    "stream",
    [
        Stream(b"one", FunctionFailed("call app", "shop", "its code raised an exception")),
        Stream(b"one", length=4),
        Stream(b"one", b"two", length=4),
    ],
    ids=["failed", "short", "long"],
)
def test_an_answer_that_breaks_off_is_broken_off_for_the_client(stream: Stream) -> None:
    result = serve(App((200, [], stream)), MemoryExchange())
    assert (result.status, result.sent, result.ended, result.aborted) == (200, b"one", False, True)
    assert stream.closed


def test_a_head_in_pieces_that_is_no_http_closes_the_stream() -> None:
    stream = Stream(b"one")
    with pytest.raises(BadGateway):
        serve(App((200, [("x", "a\r\nb: c")], stream)), MemoryExchange())
    assert stream.closed


WISH = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


def test_a_wish_for_web_socket_reaches_the_app_which_may_answer_otherwise() -> None:
    app = App((403, [], b"no"))
    result = serve(app, MemoryExchange(fields=WISH))
    assert (result.status, result.sent) == (403, b"no")
    assert app.asked[0][4] is None
    assert set(WISH) <= {
        (name, value.capitalize() if name == "connection" else value) for name, value in app.asked[0][3]
    }


@pytest.mark.parametrize("missing", ["sec-websocket-key", "sec-websocket-version"])
def test_a_wish_that_is_no_handshake_does_not_reach_the_app(missing: str) -> None:
    app = App()
    with pytest.raises(InvalidInput, match="its handshake lacks"):
        serve(app, MemoryExchange(fields=[field for field in WISH if field[0] != missing]))
    assert app.asked == []


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
