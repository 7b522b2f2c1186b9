"""Two links, one as server and one as client, over bytes in memory."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.functions import web_socket_link
from littoral.functions.stream_terms import StreamTerms
from littoral.functions.web_socket_link import WebSocketLink, accepts
from littoral.workers.web_socket import CloseEvent, MessageEvent, WebSocket, WebSocketPair


class Way:
    """One direction is another one's other."""

    def __init__(self, come: "asyncio.Queue[bytes]", go: "asyncio.Queue[bytes]") -> None:
        self.come = come
        self.go = go
        self.room = asyncio.Event()
        """Whether what is written is taken."""
        self.room.set()
        self.slow_s = 0.0

    async def read(self) -> bytes:
        return await self.come.get()

    async def write(self, data: bytes) -> None:
        await self.room.wait()
        await asyncio.sleep(self.slow_s)
        self.go.put_nowait(data)


class Talk:
    """A function that is a client, and one that is its server."""

    def __init__(self, terms: StreamTerms) -> None:
        up, down = asyncio.Queue[bytes](), asyncio.Queue[bytes]()
        self.ways = Way(down, up), Way(up, down)
        self.limits: list[str] = []
        self.ends: list[WebSocket] = []
        self.carriers: list[WebSocketLink] = []
        self.links: list[asyncio.Task[None]] = []
        for way, is_client in zip(self.ways, (True, False), strict=True):
            given, kept = WebSocketPair()
            kept.accept()
            link = WebSocketLink(given, way, terms, is_client=is_client, limit=self.limits.append)
            self.ends.append(kept)
            self.carriers.append(link)
            self.links.append(asyncio.get_running_loop().create_task(link.run()))


def run(scenario: Callable[[Talk], Awaitable[None]], terms: StreamTerms | None = None) -> None:
    async def main() -> None:
        talk = Talk(terms or StreamTerms())
        async with asyncio.timeout(5):
            await scenario(talk)
            await asyncio.gather(*talk.links, return_exceptions=True)

    asyncio.run(main())


async def heard(end: WebSocket) -> object:
    event = await end.receive()
    return event.data if isinstance(event, MessageEvent) else (event.code, event.reason, event.wasClean)


def test_messages_go_both_ways_and_so_does_the_end() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        client.send("größe")
        server.send(b"\x00" * 200_000)
        assert (await heard(server), await heard(client)) == ("größe", b"\x00" * 200_000)
        server.close(4000, "done")
        assert await heard(client) == (4000, "done", True)
        assert await heard(server) == (4000, "done", True)

    run(scenario)


def test_a_message_that_is_too_large_ends_it_for_both() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        client.send("x" * 101)
        assert await heard(client) == (1009, "a message has at most 100 bytes", True)
        assert await heard(server) == (1009, "the message is too large", False)
        assert talk.limits == ["a message of more than 100 bytes"]

    run(scenario, StreamTerms(message_bytes=100))


def test_a_way_that_ends_is_an_end_without_a_word() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        talk.ways[0].come.put_nowait(b"")
        assert await heard(client) == (1006, "", False)
        assert await heard(server) != "x"

    async def both(talk: Talk) -> None:
        talk.ways[1].come.put_nowait(b"")
        await scenario(talk)

    run(both)


def test_the_end_of_the_way_is_noticed_also_while_the_function_takes_nothing() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        for _ in range(20):
            client.send(b"x" * 100_000)
            await asyncio.sleep(0)
        await asyncio.wait([asyncio.ensure_future(client.drained())], timeout=0.05)
        assert not talk.links[1].done()
        talk.carriers[1].lost()
        await talk.links[1]
        events = [event async for event in server]
        assert events
        assert server.readyState == WebSocket.CLOSED
        talk.links[0].cancel()

    run(scenario)


def test_a_link_that_is_cancelled_says_that_it_goes_away() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        client.send("x")
        assert await heard(server) == "x"
        talk.links[1].cancel()
        assert await heard(client) == (1001, "", True)
        assert isinstance(event := await server.receive(), CloseEvent)
        assert (event.code, event.wasClean) == (1001, False)

    run(scenario)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_client_that_takes_nothing_does_not_keep_its_web_socket_from_ending(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket_link, "CLOSE_S", 0.01)

    async def scenario(talk: Talk) -> None:
        _, server = talk.ends
        talk.ways[1].room.clear()
        if how == "closed":
            server.close(4000, "done")
        else:
            server.send("x")
            await asyncio.sleep(0)
            talk.links[1].cancel()
        await asyncio.wait([talk.links[1]])
        assert isinstance(event := await server.receive(), CloseEvent)
        assert (event.code, event.wasClean) == (1001 if how == "cancelled" else 1006, False)
        talk.links[0].cancel()

    run(scenario)


@pytest.mark.parametrize("message", ["x", ""], ids=["in mid-message", "idle"])
def test_a_client_that_takes_nothing_is_gone(message: str) -> None:
    async def scenario(talk: Talk) -> None:
        _, server = talk.ends
        talk.ways[1].room.clear()
        if message:
            server.send(message)
        await talk.links[1]
        assert "nothing was taken of what was sent for 0.01 s" in talk.limits
        assert isinstance(event := await server.receive(), CloseEvent)
        assert (event.code, event.wasClean) == (1006, False)
        talk.links[0].cancel()

    run(scenario, msgspec.structs.replace(StreamTerms(), ping_s=0.01))


def test_a_client_that_takes_little_at_a_time_is_there() -> None:
    async def scenario(talk: Talk) -> None:
        client, server = talk.ends
        talk.ways[1].slow_s = 0.02
        message = b"x" * (web_socket_link.WRITE_BYTES * 10)
        server.send(message)
        assert await heard(client) == message
        assert talk.limits == []
        server.close()
        assert await heard(client) == (1000, "", True)

    run(scenario, msgspec.structs.replace(StreamTerms(), ping_s=0.05))


def test_what_is_no_handshake_is_not_accepted() -> None:
    # The example of RFC 6455, section 1.3.
    wish = {"upgrade": "WebSocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert accepts(wish.get) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for name in wish:
        assert accepts({**wish, name: ""}.get) is None
