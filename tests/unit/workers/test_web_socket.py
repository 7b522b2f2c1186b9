import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context

import pytest

from littoral.workers.web_socket import (
    HANDLERS,
    WAITING_BYTES,
    CloseEvent,
    MessageEvent,
    WebSocket,
    WebSocketError,
    WebSocketPair,
)


def run(scenario: Callable[[WebSocket, WebSocket], Awaitable[None]]) -> None:
    async def main() -> None:
        client, server = WebSocketPair.new().object_values()
        async with asyncio.timeout(5):
            await scenario(client, server)

    asyncio.run(main())


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_pair_has_two_ends_by_every_name() -> None:
    pair = WebSocketPair()
    client, server = pair
    assert (pair[0], pair["1"], pair.object_keys()) == (client, server, ["0", "1"])
    assert (client.readyState, WebSocket.READY_STATE_OPEN, WebSocket.CLOSED) == (0, 1, 3)


def test_what_is_sent_at_one_end_arrives_at_the_other_once_that_has_accepted() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        with pytest.raises(WebSocketError, match="call accept"):
            client.send("early")
        client.accept()
        heard: list[object] = []
        server.addEventListener("message", lambda event: heard.append(event.data))
        client.send("text")
        client.send(b"bytes")
        await settled()
        assert heard == []
        server.accept()
        await settled()
        assert heard == ["text", b"bytes"]
        assert heard[1].to_py() == b"bytes"  # type: ignore[attr-defined]
        server.send("back")
        assert isinstance(event := await client.receive(), MessageEvent)
        assert event.data == "back"

    run(scenario)


def test_properties_listen_as_well_and_what_they_raise_is_told_of() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        client.accept()
        told: list[object] = []
        failures: list[BaseException] = []
        server.failed = failures.append

        def fail(event: MessageEvent) -> None:
            raise ZeroDivisionError(event.data)

        async def fail_later(event: MessageEvent) -> None:
            await asyncio.sleep(0)
            raise KeyError(event.data)

        server.onmessage = fail
        server.onerror = lambda event: told.append(type(event.error))
        server.onclose = lambda event: told.append((event.code, event.reason, event.wasClean))
        server.accept()
        client.send("x")
        await settled()
        server.onmessage = fail_later
        client.send("y")
        client.close(3000, "bye")
        await settled()
        assert told == [ZeroDivisionError, (3000, "bye", True), KeyError]
        assert [type(each) for each in failures] == [ZeroDivisionError, KeyError]
        assert server.readyState == WebSocket.CLOSED
        with pytest.raises(WebSocketError, match="closed"):
            server.send("late")

    run(scenario)


def test_messages_can_be_iterated_over_until_the_end() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        client.accept()
        server.accept()
        for word in ("one", "two"):
            client.send(word)
        client.close()
        client.close(4000)
        assert [message async for message in server] == ["one", "two"]
        assert isinstance(event := await server.receive(), CloseEvent)
        assert event.code == 1006

    run(scenario)


def test_the_sender_can_wait_and_who_does_not_is_closed() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        server.accept()
        client.most_bytes = 4 * WAITING_BYTES
        server.send("x" * (WAITING_BYTES + 1))
        waiting = asyncio.ensure_future(server.drained())
        await settled()
        assert not waiting.done()
        assert server.bufferedAmount == WAITING_BYTES + 1
        await client.receive()
        await waiting
        for _ in range(5):
            server.send("x" * WAITING_BYTES)
        with pytest.raises(WebSocketError, match="wait to be sent"):
            server.send("x")
        assert server.readyState == WebSocket.CLOSING
        await server.drained()

    run(scenario)


def test_listeners_that_are_busy_hold_up_the_next_message() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        client.accept()
        free = asyncio.Event()
        begun: list[object] = []

        async def listen(event: MessageEvent) -> None:
            begun.append(event.data)
            await free.wait()

        server.addEventListener("message", listen)
        server.accept()
        for number in range(HANDLERS + 5):
            client.send(str(number))
        for _ in range(10):
            await settled()
        assert len(begun) == HANDLERS
        free.set()
        for _ in range(10):
            await settled()
        assert len(begun) == HANDLERS + 5

    run(scenario)


def test_listeners_run_in_the_context_that_they_were_given() -> None:
    async def scenario(client: WebSocket, server: WebSocket) -> None:
        variable: ContextVar[str] = ContextVar("variable", default="outside")
        server.context = copy_context()
        server.context.run(variable.set, "inside")
        seen: list[str] = []

        async def listen(event: MessageEvent) -> None:
            seen.append(variable.get())

        server.addEventListener("message", listen)
        server.addEventListener("message", lambda event: seen.append(variable.get()))
        server.accept()
        client.accept()
        client.send("x")
        await settled()
        assert seen == ["inside", "inside"]

    run(scenario)


@pytest.mark.parametrize("code", [999, 1005, 1006, 1015, 2999, 5000])
def test_what_cannot_be_said_at_the_end_is_refused(code: int) -> None:
    client, _ = WebSocketPair()
    with pytest.raises(ValueError, match="no code to close with"):
        client.close(code)
    with pytest.raises(ValueError, match="at most 123 bytes"):
        client.close(1000, "x" * 124)
