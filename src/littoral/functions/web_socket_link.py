"""Carries messages between one end of a WebSocket and bytes both ways (RFC 6455, from the handshake's end on).

Frames are read and written by wsproto. Pings are answered, and sent to notice a peer that is gone; one that takes nothing of what is
written has gone, too. What the peer sends waits while the function does not take it, and with it the peer.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, generate_accept_token

from littoral.workers.web_socket import (
    ABNORMAL,
    GOING_AWAY,
    TOO_LARGE,
    CloseEvent,
    MessageEvent,
    WebSocket,
)

CLOSE_S = 5.0
"""A peer has so long to take the word that it is the end, and as long again to say the same."""
WRITE_BYTES = 1 << 16
"""Of a frame that are written at a time: whether its peer takes anything is seen as they go."""
VERSION = "13"


class ByteWay(Protocol):
    """Bytes both ways."""

    async def read(self) -> bytes:
        """The next ones; empty at the end. Raises ConnectionError, or another error of the platform, where it breaks off."""
        ...

    async def write(self, data: bytes) -> None:
        """Return once there is room for more. Raises the same."""
        ...


class WebSocketTerms(Protocol):
    """Bounds; `messages.StreamTerms` has them."""

    @property
    def message_bytes(self) -> int:
        """The most of one message that comes."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """The most that may wait to be sent."""
        ...

    @property
    def ping_s(self) -> float:
        """How long nothing comes until a ping is sent, and then until the peer has gone; so, too, for how long it takes nothing."""
        ...


class WebSocketLink:
    """One end, and the network."""

    def __init__(
        self, end: WebSocket, way: ByteWay, terms: WebSocketTerms, *, is_client: bool, limit: Callable[[str], None]
    ) -> None:
        """end: what is sent there goes to the network, and what comes from it is sent there. is_client: whether this side asked
        for the WebSocket. limit: is told, in words, of a bound that was reached."""
        end.most_bytes = terms.unsent_bytes
        self._end = end
        self._way = way
        self._terms = terms
        self._limit = limit
        self._connection = Connection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER)
        self._writing = asyncio.Lock()
        self._parts: list[str | bytes] = []
        self._size = 0
        self._heard = True
        """Whether anything came since the last ping."""
        self._taken = False
        """Whether anything of a frame was written since then, or one was begun."""
        self._reading: asyncio.Task[None] | None = None
        self._waits = False
        """Whether nothing is read until the function has taken what came."""
        self._closed: CloseEvent | None = None
        """How it ended, as the function is told."""

    async def run(self) -> None:
        """Carry messages until it is closed. Raises nothing but CancelledError; then, too, the function hears of the end."""
        self._end.accept()
        loop = asyncio.get_running_loop()
        reading = self._reading = loop.create_task(self._read(), name="WebSocket, reading")
        others = [loop.create_task(self._write(reading), name="WebSocket, writing")]
        others.append(loop.create_task(self._ping(reading), name="WebSocket, pings"))
        try:
            await asyncio.wait([reading, *others[:1]], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([reading], timeout=CLOSE_S)
        except asyncio.CancelledError:
            self._closed = CloseEvent(GOING_AWAY, "the function is being replaced", clean=False)
            await self._say_close(GOING_AWAY, "")
            raise
        finally:
            for task in (reading, *others):
                task.cancel()
            await asyncio.gather(reading, *others, return_exceptions=True)
            closed = self._closed or CloseEvent(ABNORMAL, clean=False)
            self._end.end(closed.code, closed.reason, clean=closed.wasClean)

    def lost(self) -> None:
        """The way is gone. What is read from it says so, too, but nothing is while the function takes nothing."""
        if self._reading is not None:
            self._reading.cancel()

    # From the network

    async def _read(self) -> None:
        try:
            while data := await self._way.read():
                self._heard = True
                self._connection.receive_data(data)
                for event in self._connection.events():
                    if not await self._take(event):
                        return
        except Exception:  # noqa: BLE001 - whatever breaks the way off is its end, which the function hears of
            return

    async def _take(self, event: Event) -> bool:
        """Whether there may be more."""
        if isinstance(event, (TextMessage, BytesMessage)):
            await self._take_message(event)
        elif isinstance(event, Ping):
            await self._send(event.response())
        elif isinstance(event, CloseConnection):
            await self._take_close(event)
        return self._closed is None

    async def _take_message(self, event: TextMessage | BytesMessage) -> None:
        data = event.data
        self._size += len(data)
        if self._size > self._terms.message_bytes:
            self._limit(f"a message of more than {self._terms.message_bytes} bytes")
            self._closed = CloseEvent(TOO_LARGE, "the message is too large", clean=False)
            await self._say_close(TOO_LARGE, f"a message has at most {self._terms.message_bytes} bytes")
            return
        self._parts.append(data if isinstance(data, str) else bytes(data))
        if event.message_finished:
            parts, self._parts, self._size = self._parts, [], 0
            if self._end.readyState == WebSocket.OPEN:
                text = isinstance(data, str)
                self._end.send("".join(parts) if text else b"".join(parts))  # type: ignore[arg-type]
                self._waits = True
                await self._end.drained()
                self._waits = False

    async def _take_close(self, event: CloseConnection) -> None:
        state = self._connection.state
        if state is ConnectionState.OPEN or state is ConnectionState.LOCAL_CLOSING:
            # What came was no WebSocket: the code says why, and the peer is told.
            self._closed = CloseEvent(event.code, event.reason or "", clean=False)
            await self._say_close(event.code, event.reason or "")
            return
        if state is ConnectionState.REMOTE_CLOSING:
            await self._send(event.response())
        self._closed = CloseEvent(int(event.code), event.reason or "")

    # To the network

    async def _write(self, reading: "asyncio.Task[None]") -> None:
        try:
            while True:
                event = await self._end.receive()
                if not isinstance(event, MessageEvent):
                    await self._say_close(event.code, event.reason)
                    return
                data = event.data
                await self._send(TextMessage(data=data) if isinstance(data, str) else BytesMessage(data=data))
        except Exception:  # noqa: BLE001 - as in _read
            reading.cancel()

    async def _ping(self, reading: "asyncio.Task[None]") -> None:
        silence = ""
        # Whatever breaks the way off is its end, as in _read.
        with contextlib.suppress(Exception):
            while not silence:
                await asyncio.sleep(self._terms.ping_s)
                silence = await self._silence()
            self._limit(silence)
        reading.cancel()

    async def _silence(self) -> str:
        """What says that the peer has gone; where nothing does, it is sent a ping."""
        nothing_taken = f"nothing was taken of what was sent for {self._terms.ping_s} s"
        if self._writing.locked():
            # A ping would wait behind the frame that is being written: whoever takes some of that is there.
            self._heard, taken, self._taken = True, self._taken, False
            return "" if taken else nothing_taken
        if not (self._heard or self._waits):
            return f"nothing came for {self._terms.ping_s} s, and no answer to a ping"
        self._heard = False
        try:
            async with asyncio.timeout(self._terms.ping_s):
                await self._send(Ping())
        except TimeoutError:
            return nothing_taken
        self._taken = False
        return ""

    async def _say_close(self, code: int, reason: str) -> None:
        """Tell the peer of the end, if it was not told yet."""
        # The way may be gone, or its peer take nothing, or both have said so already: that is the end, too.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await self._send(CloseConnection(code=code, reason=reason or None))

    async def _send(self, event: Event) -> None:
        """Raises LocalProtocolError where nothing is sent any more; what the way raises."""
        async with self._writing:
            if self._connection.state is ConnectionState.CLOSED:
                raise LocalProtocolError("the WebSocket is closed")
            data = self._connection.send(event)
            for at in range(0, len(data), WRITE_BYTES):
                self._taken = True
                await self._way.write(data[at : at + WRITE_BYTES])


def accepts(headers: "Callable[[str], str | None]") -> str | None:
    """What a server says to a client's handshake in Sec-WebSocket-Accept; None where that is no handshake.

    headers: gives a field of the request by its name, or None.
    """
    key = headers("sec-websocket-key")
    if (headers("upgrade") or "").lower() != "websocket" or not key or headers("sec-websocket-version") != VERSION:
        return None
    return generate_accept_token(key.encode("latin-1", "replace")).decode("ascii")
