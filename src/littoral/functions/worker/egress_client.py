"""A worker's side of its own requests: each on a connection to the node's egress, which is kept for the next one.

An answer that nobody reads holds its connection until it is closed, or forgotten.
"""

import asyncio
import contextlib
import sys
import traceback
from collections.abc import AsyncIterator
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING

from littoral.core.egress import shown_url
from littoral.core.tasks import Tasks
from littoral.functions.egress_messages import (
    ADMITTED,
    END,
    FAILED,
    FRAME_BYTES,
    HEAD_BYTES,
    PIECE_BYTES,
    Ask,
    Head,
    decode_head,
    encode,
    end,
    frame,
    piece,
    read_frame,
)
from littoral.functions.stream_terms import StreamTerms
from littoral.workers.failures import FetchError
from littoral.workers.outgoing import Incoming, Outgoing, Way
from littoral.workers.platform import current
from littoral.workers.streams import ReadableStream

if TYPE_CHECKING:
    from littoral.workers.web_socket import WebSocket

FIRST_RETRY_S, LAST_RETRY_S = 0.01, 0.5
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that only read (RFC 9110, section 9.2.1)."""
REFUSAL = (
    "the node's egress does not take this connection: the app has twice as many of them as the limit egress-requests says. "
    "Read answers, or cancel them"
)
_BROKEN = (OSError, ValueError, asyncio.IncompleteReadError)


class EgressEnded(FetchError):
    """Nobody knows whether it was asked."""


class EgressClient:
    """Its `send` is a `littoral.workers.platform.Platform.subrequest`."""

    def __init__(
        self, path: str, credential: str, at_once: int, wait_s: float, terms: StreamTerms | None = None
    ) -> None:
        """credential: shown to the egress first. at_once: requests for one request of a client. wait_s: how long one waits for
        another to end, or for an egress that is being restarted. terms: of WebSockets."""
        self._terms = terms or StreamTerms()
        self._carrying = Tasks(_log)
        self._path = path
        self._credential = frame(encode(credential))
        self._at_once = at_once
        self._wait_s = wait_s
        self._idle: list[_Line] = []
        self._lines: set[_Line] = set()
        """All that are open."""

    async def send(self, outgoing: Outgoing) -> Incoming:
        """The answer to one request. Raises FetchError, and what iterating over its body raises."""
        scope = self._scope()
        scope.count += 1
        number, waited = scope.count, scope.room.locked()
        await self._enter(scope, outgoing.url)
        line: _Line | None = None
        try:
            ask = _ask(outgoing, number, waited)
            line = await self._line()
            try:
                head = await line.ask(ask, outgoing.body, outgoing.url)
            except EgressEnded:
                if not (line.is_used and ask.method in SAFE and outgoing.body is None):
                    raise
                # It had ended before this was asked, as far as anybody knows, and what only reads may be asked twice.
                line.close()
                line = await self._new_line()
                head = await line.ask(ask, None, outgoing.url)
        except BaseException:
            scope.room.release()
            if line is not None:
                line.close()
            raise
        if head.follows:
            answer = _Answer(self, line, scope, head.url)
            way = None
            if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                answer.is_way, way = True, answer
            return Incoming(head.status, head.headers, head.url, head.location, answer, way)
        scope.room.release()
        self.keep(line)
        if head.error:
            raise FetchError(head.error)
        return Incoming(head.status, head.headers, head.url, head.location, head.body)

    def keep(self, line: "_Line") -> None:
        """Its request is over. As many are kept as one request may need."""
        if line.is_whole and len(self._idle) < self._at_once:
            self._idle.append(line)
        else:
            line.close()

    def close(self) -> None:
        """Let go of the egress; what is under way is given up."""
        for line in list(self._lines):
            line.close()
        self._idle.clear()
        self._carrying.abandon()

    def carry(self, end: "WebSocket", way: Way) -> None:
        """See `littoral.workers.platform.Platform.carry`."""
        self._carrying.start(self._carry(end, way), "WebSocket of the function's own")

    async def _carry(self, end: "WebSocket", way: Way) -> None:
        # Its parser is loaded by functions only that have WebSockets.
        from littoral.functions.web_socket_link import WebSocketLink  # noqa: PLC0415

        def limit(reached: str) -> None:
            sys.stderr.write(f"a WebSocket of the function's own was closed: {reached}\n")
            sys.stderr.flush()

        try:
            await WebSocketLink(end, way, self._terms, is_client=True, limit=limit).run()
        finally:
            way.close()

    def _scope(self) -> "_Scope":
        """Of the request that is being handled."""
        request = current.get()
        if request is None:
            scope = _apart.get()
            if scope is None:
                scope = _Scope(self._at_once)
                _apart.set(scope)
            return scope
        known: _Scope | None = getattr(request, "subrequests", None)
        if known is None:
            known = request.subrequests = _Scope(self._at_once)
        return known

    async def _enter(self, scope: "_Scope", url: str) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await scope.room.acquire()
        except TimeoutError:
            raise FetchError(
                f"cannot fetch {shown_url(url)}: {self._at_once} requests of this request are under way, which is the limit "
                "subrequests-at-once, and none has ended. Read their answers, or cancel them"
            ) from None

    async def _line(self) -> "_Line":
        while self._idle:
            line = self._idle.pop()
            if line.is_open:
                line.is_used = True
                return line
            line.close()
        return await self._new_line()

    async def _new_line(self) -> "_Line":
        """Raises FetchError."""
        delay_s = 0.0
        try:
            async with asyncio.timeout(self._wait_s):
                while (line := await self._admitted()) is None:
                    await asyncio.sleep(delay_s)
                    delay_s = min(max(delay_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
                return line
        except TimeoutError:
            raise FetchError(
                f"the node's egress, which makes requests for functions, cannot be reached for {self._wait_s:g} s. "
                "Try again; if it goes on, look at the node's log"
            ) from None

    async def _admitted(self) -> "_Line | None":
        """A connection; None where nobody is there, or not any more. Raises FetchError where it is refused."""
        try:
            line = _Line(*await asyncio.open_unix_connection(self._path), self._lines)
        except OSError:
            return None
        is_taken = False
        try:
            is_taken = await line.is_admitted(self._credential)
        except _BROKEN:
            return None
        finally:
            if not is_taken:
                line.close()
        if not is_taken:
            raise FetchError(REFUSAL)
        return line


class _Scope:
    """What is made for one request of a client."""

    __slots__ = ("count", "room")

    def __init__(self, at_once: int) -> None:
        self.count = 0
        self.room = asyncio.Semaphore(at_once)


_apart: ContextVar[_Scope | None] = ContextVar("subrequests", default=None)
"""Of what is not done for any request: events."""


class _Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, among: "set[_Line]") -> None:
        self._reader = reader
        self._writer = writer
        self._among = among
        self.is_used = False
        """Whether it was kept from a request before."""
        among.add(self)
        self._upload: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the egress has not closed it."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    @property
    def is_whole(self) -> bool:
        """Whether it may be used again. Where a body was sent in pieces nobody here knows how much of it the egress had read
        when it answered; if not all, it closes."""
        return self._upload is None

    async def is_admitted(self, credential: bytes) -> bool:
        """Whether the egress takes this worker; it is the first that is said. Raises one of _BROKEN where nobody is there any more."""
        self._writer.write(credential)
        return await read_frame(self._reader) == ADMITTED

    async def ask(self, ask: Ask, body: bytes | ReadableStream | None, url: str) -> Head:
        """Raises FetchError, and what iterating over the body raises."""
        self._upload = None
        try:
            self._writer.write(frame(encode(ask)))
            if not ask.follows or ask.web_socket:
                return decode_head(await read_frame(self._reader))
            assert body is not None
            return await self._ask_with(body)
        except _BROKEN as error:
            raise EgressEnded(
                f"cannot fetch {shown_url(url)}: the node's egress, which makes requests for functions, has ended meanwhile"
            ) from error

    async def _ask_with(self, body: bytes | ReadableStream) -> Head:
        """The answer may come before all is sent, and what is left goes on being sent then."""
        loop = asyncio.get_running_loop()
        upload = self._upload = loop.create_task(self._send(body))
        reading = loop.create_task(read_frame(self._reader))
        try:
            await asyncio.wait({upload, reading}, return_when=asyncio.FIRST_COMPLETED)
            failed = upload.exception() if upload.done() else None
            # Who has answered takes no more, and closes the connection: then its answer is on its way.
            if failed is not None and not reading.done() and not isinstance(failed, ConnectionError):
                raise failed
            return decode_head(await reading)
        finally:
            reading.cancel()
            if not reading.cancelled() and reading.done():
                reading.exception()

    async def _send(self, body: bytes | ReadableStream) -> None:
        async for data in body if isinstance(body, ReadableStream) else _once(body):
            for start in range(0, len(data), PIECE_BYTES):
                await self.write(data[start : start + PIECE_BYTES])
        self._writer.write(frame(end()))

    async def write(self, data: bytes) -> None:
        """One piece. Raises ConnectionError."""
        self._writer.write(frame(piece(data)))
        await self._writer.drain()

    async def read(self) -> bytes:
        """The next frame. Raises one of _BROKEN."""
        return await read_frame(self._reader)

    def close(self) -> None:
        """Give up what is under way."""
        self._among.discard(self)
        if self._upload is not None:
            if not self._upload.done():
                self._upload.cancel()
            elif not self._upload.cancelled():
                # Who reads the answer is told of what went wrong, if anything did.
                self._upload.exception()
        self._writer.close()


class _Answer:
    """A body as it comes, and the way on where another protocol follows. Implements `littoral.workers.outgoing.Way`."""

    def __init__(self, client: EgressClient, line: _Line, scope: _Scope, url: str) -> None:
        self._client = client
        self._line: _Line | None = line
        self._scope = scope
        self._url = url
        self.is_way = False
        """Whether another protocol follows: then the connection is not used again."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if data := await self.read():
            return data
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """See `Way.read`."""
        while (line := self._line) is not None:
            try:
                content = await line.read()
            except _BROKEN as error:
                self.close()
                raise FetchError(
                    f"cannot read {shown_url(self._url)}: the connection to the node's egress was closed"
                ) from error
            except BaseException:
                self.close()
                raise
            if not content or content[0] == END:
                self._end(line)
                break
            if content[0] == FAILED:
                self._end(line)
                raise FetchError(content[1:].decode("utf-8", "replace"))
            if len(content) > 1:
                return content[1:]
        return b""

    async def write(self, data: bytes) -> None:
        """See `Way.write`."""
        try:
            if self._line is None:
                raise ConnectionResetError
            for start in range(0, len(data), PIECE_BYTES):
                await self._line.write(data[start : start + PIECE_BYTES])
        except OSError as error:
            raise FetchError(f"cannot write to {shown_url(self._url)}: the connection is closed") from error

    def close(self) -> None:
        """See `Way.close`; nobody reads the rest."""
        line, self._line = self._line, None
        if line is not None:
            self._scope.room.release()
            line.close()

    async def aclose(self) -> None:
        """Nobody reads the rest."""
        self.close()

    def _end(self, line: _Line) -> None:
        if self.is_way:
            self.close()
            return
        self._line = None
        self._scope.room.release()
        self._client.keep(line)

    def __del__(self) -> None:
        # Of what is left when a process ends, its event loop is gone.
        with contextlib.suppress(RuntimeError):
            self.close()


def _log(error: BaseException) -> None:
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _ask(outgoing: Outgoing, number: int, waited: bool) -> Ask:
    """Raises FetchError for one that is too long to be sent."""
    request, body = current.get(), outgoing.body
    whole = isinstance(body, bytes) and len(body) <= PIECE_BYTES
    ask = Ask(
        outgoing.url,
        outgoing.method,
        outgoing.headers,
        body if whole and isinstance(body, bytes) else b"",
        body is not None and not whole,
        len(body) if isinstance(body, bytes) else None,
        bool(outgoing.web_socket_key),
        outgoing.base,
        request.id if request is not None else "",
        number,
        waited,
        *(
            (request.headers.get(name) or "" for name in ("traceparent", "tracestate", "cdn-loop"))
            if request is not None
            else ()
        ),
    )
    size = len(outgoing.url) * 4 + sum((len(name) + len(value)) * 4 + 16 for name, value in outgoing.headers)
    if size > HEAD_BYTES and len(encode(ask)) > FRAME_BYTES:
        raise FetchError(
            f"cannot fetch {shown_url(outgoing.url)}: its URL and headers are longer than {HEAD_BYTES} bytes"
        )
    return ask
