import asyncio

import pytest

from littoral.gateway.tunnel import tunnel, wanted_protocol
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
        await tunnel(one, other)
        assert (other.heard, one.heard) == ([b"hello", b"bye"], [b"hi"])
        assert one.ended
        assert other.ended
        assert min(one.closes, other.closes) == 1

    asyncio.run(scenario())


def test_a_side_that_is_gone_ends_the_other() -> None:
    async def scenario() -> None:
        one, other = End(b"hello"), End(gone=True)
        await tunnel(one, other)
        assert min(one.closes, other.closes) >= 1

    asyncio.run(scenario())
