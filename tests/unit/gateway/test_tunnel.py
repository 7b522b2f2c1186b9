import asyncio
from collections.abc import Callable

import pytest

from littoral.gateway.tunnel import tunnel, wanted_protocol
from littoral.testing.loop import run
from tests.support.exchanges import MemoryExchange


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([("connection", "Upgrade"), ("upgrade", "websocket")], "websocket"),
        ([("connection", "keep-alive, upgrade"), ("upgrade", "h2c, websocket")], "websocket"),
        ([("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")], "a, b"),
        (
            [("connection", "upgrade, http2-settings"), ("upgrade", "h2c")],
            None,
        ),  # what came then, nobody here would read
        ([("connection", "upgrade"), ("upgrade", "TLS/1.2")], None),
        ([("upgrade", "websocket")], None),
        ([("connection", "upgrade")], None),
        ([], None),
    ],
)
def test_what_a_client_may_go_on_with(fields: list[tuple[str, str]], wanted: str | None) -> None:
    assert wanted_protocol(MemoryExchange("GET", "/", fields)) == wanted


def test_a_wish_over_http_2_is_one_too() -> None:
    fields = [("connection", "upgrade"), ("upgrade", "websocket")]
    assert wanted_protocol(MemoryExchange("GET", "/", fields, version="2")) == "websocket"


@pytest.mark.parametrize(
    "exchange",
    [
        MemoryExchange("POST", "/", [("connection", "upgrade"), ("upgrade", "websocket")]),
        MemoryExchange("GET", "/", [("connection", "upgrade"), ("upgrade", "websocket")], version="1.0"),
        MemoryExchange("GET", "/", [("connection", "upgrade"), ("upgrade", "websocket")], pieces=[b"x"]),
    ],
)
def test_other_requests_are_answered_as_they_are(exchange: MemoryExchange) -> None:
    assert wanted_protocol(exchange) is None


class End:
    """One side of a tunnel."""

    def __init__(self, *said: bytes, gone: bool = False) -> None:
        self._said = list(said)
        self._gone = gone
        self._closed = asyncio.Event()
        self.heard: list[bytes] = []
        self.ended = False
        self.closes = 0

    async def read(self) -> bytes:
        if self._said:
            return self._said.pop(0)
        await self._closed.wait()
        return b""

    async def write(self, data: bytes) -> None:
        if self._gone:
            raise ConnectionError
        self.heard.append(data)
        if data == b"bye":
            self._closed.set()

    def end(self) -> None:
        self.ended = True
        self._closed.set()

    def close(self) -> None:
        self.closes += 1
        self._closed.set()


def test_bytes_go_both_ways_until_both_have_said_all() -> None:
    async def scenario() -> None:
        one, other = End(b"hello", b"bye"), End(b"hi")
        assert not await tunnel(one, other, 60)
        assert (other.heard, one.heard) == ([b"hello", b"bye"], [b"hi"])
        assert one.ended
        assert other.ended
        assert min(one.closes, other.closes) == 1

    asyncio.run(scenario())


def test_a_side_that_is_gone_ends_the_other() -> None:
    async def scenario() -> None:
        one, other = End(b"hello"), End(gone=True)
        assert not await tunnel(one, other, 60)
        assert min(one.closes, other.closes) >= 1

    asyncio.run(scenario())


class Talker(End):
    """One that says something now and then."""

    def __init__(self, every_s: float, times: int) -> None:
        super().__init__()
        self._every_s = every_s
        self._times = times

    async def read(self) -> bytes:
        if not self._times:
            return await super().read()
        self._times -= 1
        try:
            async with asyncio.timeout(self._every_s):
                await self._closed.wait()
        except TimeoutError:
            return b"still here"
        return b""


@pytest.mark.parametrize(
    ("one", "other", "lasts_s"),
    [
        (End, End, 60),
        (lambda: Talker(50, 3), End, 210),
        (End, lambda: Talker(50, 3), 210),
        (lambda: Talker(50, 3), lambda: Talker(40, 5), 260),
        (lambda: Talker(70, 1), End, 60),
    ],
)
def test_a_tunnel_ends_once_nothing_has_moved_either_way(
    one: Callable[[], End], other: Callable[[], End], lasts_s: float
) -> None:
    async def scenario() -> None:
        ends = one(), other()
        began_s = asyncio.get_running_loop().time()
        assert await tunnel(*ends, 60)
        assert round(asyncio.get_running_loop().time() - began_s) == lasts_s
        assert min(each.closes for each in ends) >= 1

    run(scenario)
