"""One HTTP/1.1 connection in the event loop itself: for listeners without TLS.

    parser (httptools)  bytes -> requests, of which one at a time is answered; what is pipelined behind it waits, unread
    refused             a request that is over a bound, late, or no HTTP: it is answered at once, and the connection ends
                        once the client has heard of it, or after a while
    no upgrade          who would go on with another protocol is answered in this one
    cut off             a client that takes nothing of its answer; one that asks nothing, after a longer while
    left                the client has gone: what only waits is ended, and all else goes on to its end

A request crosses no thread here. Through a server that reads in a thread of its own, as granian does, an append takes four
times as long as in the store: every crossing is a wake-up, and a body is several.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote

import httptools

from littoral.core.errors import InvalidInput, LimitReached, LittoralError, MethodNotAllowed, TooLarge
from littoral.core.http import AnyResponse, Handler, Request, StreamingResponse
from littoral.core.limits import API_HEAD_BYTES, API_IDLE_S, API_PIPELINED, API_WRITE_S, Limits
from littoral.core.waiting import Client
from littoral.drivers.pieces import close_pieces
from littoral.drivers.problem import unexpected_response
from littoral.drivers.request_bodies import HeldBody, RequestBodies
from littoral.wire.http_fields import BODILESS, flaw_of
from littoral.wire.problem import answer, problem_response

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}" for each in HTTPStatus}

_log = logging.getLogger("littoral.http")


class Connections(Protocol):
    """What a connection knows of its listener."""

    handler: Handler
    bodies: RequestBodies
    limits: Limits

    def date(self) -> str:
        """Now, as HTTP writes it."""
        ...

    def opened(self, connection: "HttpConnection") -> bool:
        """Count a connection; False if it is one too many."""
        ...

    def closed(self, connection: "HttpConnection") -> None:
        """It is no more."""
        ...

    def streaming(self, task: "asyncio.Task[int]") -> None:
        """The task sends an answer that may have no end."""
        ...


class _Incoming:
    """A request that is arriving, or waits for its turn."""

    __slots__ = ("headers", "held", "keep_alive", "method", "pieces", "refusal", "target", "version")

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.held = HeldBody()
        self.keep_alive = True
        self.version = "1.1"
        self.refusal: LittoralError | None = None
        """Why it is not even looked at."""

    @property
    def path(self) -> str:
        """As far as it is known, for errors."""
        return self.target[:120].decode("latin-1")

    def request(self, remote: str) -> Request:
        """Raises InvalidInput."""
        query: dict[str, str] = {}
        try:
            url = httptools.parse_url(self.target)
            path = (url.path or b"/").decode("latin-1")
            if "%" in path:
                path = unquote(path, errors="strict")
            if url.query:
                query = dict(parse_qsl(url.query.decode(), keep_blank_values=True, errors="strict"))
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, ValueError) as error:
            raise InvalidInput("read target of request", self.path, str(error)) from error
        body = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        return Request(self.method, path, query, self.headers, body, remote)


class HttpConnection(asyncio.Protocol):
    """One client."""

    def __init__(self, listener: Connections) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._head_bytes = 0
        """Of the request whose head is arriving."""
        self._in_head = True
        self._head_again = b""
        """Of a request that would have the connection go on with another protocol, without that wish."""
        self._late: asyncio.TimerHandle | None = None
        self._client = Client()
        self._end: asyncio.TimerHandle | None = None
        """When it is looked whether the connection has been idle for too long; or, once it is closed, when it is cut."""
        self._idle_since_s = self._loop.time()
        self._waiting: deque[_Incoming] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[int] | None = None
        """Of an answer that comes in pieces."""
        self._drained: asyncio.Future[None] | None = None
        """Pending while the client does not read."""
        self._paused = False
        """Whether nothing is read until what came has been answered."""
        self._lost = False
        self._ending = False
        """Whether nothing more is read."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = self._transport.get_extra_info("peername")
        self._remote = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        if not self._listener.opened(self):
            self._transport.abort()
            return
        self._end = self._loop.call_later(self._listener.limits[API_IDLE_S], self._end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ending = True
        self._no_longer_late()
        if self._end is not None:
            self._end.cancel()
        for each in (self._incoming, *self._waiting):
            if each is not None:
                self._listener.bodies.release(each.held)
        self._incoming = None
        self._waiting.clear()
        self.resume_writing()
        if self._sending is not None:
            self._sending.cancel()
        self._client.leave()
        self._listener.closed(self)

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._ending:
                self._refuse(InvalidInput("read request from", self._remote, f"it is no HTTP/1.1: {error}"))
            return
        most = self._listener.limits[API_HEAD_BYTES]
        if self._in_head and self._head_bytes > most and not self._ending:
            self._listener.limits.hit(API_HEAD_BYTES)
            cause, remedy = f"its head is larger than {most} bytes", f"The limit is {API_HEAD_BYTES.name}"
            self._refuse(TooLarge("read request from", self._remote, cause, remedy))
        else:
            self._wait_for_the_rest()

    def _parse(self, data: bytes) -> None:
        """Raises HttpParserError."""
        while data and not self._ending:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser takes all that follows for another protocol, the request's own body too.
                self._parser = httptools.HttpRequestParser(self)
                data, self._head_again = self._head_again + data[upgrade.args[0] :], b""
            else:
                return

    def _wait_for_the_rest(self) -> None:
        """Of a request that has begun to arrive, unless nothing is read anyway: then it is not the client that is late."""
        is_arriving = self._incoming is not None or self._head_bytes
        if is_arriving and self._late is None and not self._ending and not self._paused:
            self._late = self._loop.call_later(self._listener.bodies.seconds, self._is_late)

    def _is_late(self) -> None:
        path = self._incoming.path if self._incoming is not None else ""
        self._refuse(self._listener.bodies.timed_out(path))

    def _no_longer_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end_if_idle(self) -> None:
        """Once per while, not per request: a timer for each would be dear."""
        most_s = self._listener.limits[API_IDLE_S]
        # What has begun to arrive has a time of its own.
        is_asked = not self._is_idle() or self._incoming is not None or self._head_bytes
        left_s = most_s if is_asked else self._idle_since_s + most_s - self._loop.time()
        if left_s > 0:
            self._end = self._loop.call_later(left_s, self._end_if_idle)
            return
        self._listener.limits.hit(API_IDLE_S)
        self._ending = True
        self._close()

    def _close(self) -> None:
        """Close once the client has taken what was written; cut it off if it does not."""
        if self._end is not None:
            self._end.cancel()
        self._transport.close()
        if not self._lost and self._transport.get_write_buffer_size():
            self._end = self._loop.call_later(self._listener.limits[API_WRITE_S], self._cut_off)

    def _linger(self) -> None:
        """Close once the client has heard what it was told: what it still sends is read and dropped for a while. Were that
        left unread, the system would answer it with a reset, which takes the answer from a client that is sending."""
        if self._transport.is_closing():
            self._close()
            return
        if self._end is not None:
            self._end.cancel()
        if self._paused:
            self._transport.resume_reading()
        self._transport.write_eof()
        self._end = self._loop.call_later(self._listener.limits[API_WRITE_S], self._transport.abort)

    def _cut_off(self) -> None:
        self._listener.limits.hit(API_WRITE_S)
        self._transport.abort()

    # The parser

    def on_message_begin(self) -> None:
        if not self._ending:
            self._incoming = _Incoming()

    def on_url(self, target: bytes) -> None:
        if self._incoming is not None:
            self._incoming.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head or self._incoming is None:
            return  # What follows a body is not taken for what was said before it.
        headers = self._incoming.headers
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        incoming = self._incoming
        if incoming is None:
            return
        incoming.method = self._parser.get_method().decode("ascii")
        incoming.version = self._parser.get_http_version()
        if self._parser.should_upgrade():
            self._do_not_upgrade(incoming)
            return
        try:
            self._listener.bodies.announce(incoming.path, incoming.headers.get("content-length", ""))
        except LittoralError as error:
            self._refuse(error)
            return
        if incoming.headers.get("expect", "").lower() == "100-continue" and self._is_idle():
            self._transport.write(_CONTINUE)

    def _do_not_upgrade(self, incoming: _Incoming) -> None:
        """Have the request read again as one that asks for nothing else than HTTP/1.1 (RFC 9110, section 7.8)."""
        if incoming.method == "CONNECT":
            self._refuse(MethodNotAllowed("call", incoming.path, "CONNECT is not what it takes"))
            return
        lines = [f"{incoming.method} {incoming.target.decode('latin-1')} HTTP/{incoming.version}"]
        lines += [f"{name}: {value}" for name, value in incoming.headers.items() if name != "upgrade"]
        self._head_again = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self._incoming = None

    def on_body(self, piece: bytes) -> None:
        if self._incoming is None:
            return
        try:
            self._listener.bodies.hold(self._incoming.path, len(piece), self._incoming.held)
        except LittoralError as error:
            self._refuse(error)
            return
        self._incoming.pieces.append(piece)

    def on_message_complete(self) -> None:
        incoming, self._incoming = self._incoming, None
        self._in_head = True
        self._no_longer_late()
        if incoming is not None and not self._ending:
            incoming.keep_alive = self._parser.should_keep_alive()
            if not incoming.keep_alive:
                self._ending = True
            if len(self._waiting) >= self._listener.limits[API_PIPELINED]:
                self._listener.limits.hit(API_PIPELINED)
                self._incoming = incoming
                cause = f"{len(self._waiting)} requests on this connection wait for their answers"
                remedy = f"Wait for answers before more is asked. The limit is {API_PIPELINED.name}"
                self._refuse(LimitReached("take request", incoming.path, cause, remedy))
                return
            self._take(incoming)

    def _refuse(self, error: LittoralError) -> None:
        """Answer what is arriving, after what came before it, and read no further."""
        incoming, self._incoming = self._incoming or _Incoming(), None
        self._listener.bodies.release(incoming.held)
        incoming.refusal = error
        incoming.keep_alive = False
        self._no_longer_late()
        self._ending = True
        self._take(incoming)

    # Answers

    def finish(self) -> None:
        """Take no more requests, and close the connection if it is idle."""
        self._ending = True
        if self._is_idle() and not self._lost:
            self._close()

    def abort(self) -> None:
        """End it, whatever it is doing."""
        self._transport.abort()

    def _is_idle(self) -> bool:
        return self._answering is None and not self._waiting

    def _take(self, incoming: _Incoming) -> None:
        self._waiting.append(incoming)
        if self._answering is None:
            self._answering = self._loop.create_task(self._answer_all())
        else:
            # What comes now is not late by the client's doing.
            self._no_longer_late()
            self._paused = True
            self._transport.pause_reading()

    async def _answer_all(self) -> None:
        self._client.answered_here()
        try:
            while self._waiting:
                incoming = self._waiting.popleft()
                await self._answer(incoming)
                if self._lost:
                    return
                if incoming.refusal is not None:
                    self._linger()
                    return
                if not incoming.keep_alive or (self._ending and not self._waiting):
                    self._close()
                    return
            self._transport.resume_reading()
            self._paused = False
            self._wait_for_the_rest()
        finally:
            self._answering = None
            self._idle_since_s = self._loop.time()

    async def _answer(self, incoming: _Incoming) -> None:
        method = incoming.method
        try:
            if incoming.refusal is not None:
                response: AnyResponse = problem_response(incoming.refusal)
            else:
                try:
                    request = incoming.request(self._remote)
                except LittoralError as error:
                    response = problem_response(error)
                else:
                    response = await answer(self._listener.handler, request, unexpected_response)
            await self._send(incoming, response)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is logged and answered
            incoming.keep_alive = False
            await self._send(incoming, unexpected_response(method, incoming.path, error))
        finally:
            self._listener.bodies.release(incoming.held)

    async def _send(self, incoming: _Incoming, response: AnyResponse) -> None:
        if isinstance(response, StreamingResponse):
            await self._stream(incoming, response)
            return
        length = len(response.body)
        bodiless = response.status in BODILESS
        unsaid = bodiless or (incoming.method == "HEAD" and not length)
        head = self._head(incoming, response, "" if unsaid else f"content-length: {length}")
        if not self._lost:
            self._transport.write(head if bodiless or incoming.method == "HEAD" else head + response.body)
            await self._drain()

    async def _stream(self, incoming: _Incoming, response: StreamingResponse) -> None:
        """Send pieces until they end, the client goes away, or the listener stops."""
        length = next((value for name, value in response.headers if name.lower() == "content-length"), None)
        bodiless = response.status in BODILESS
        chunked = length is None and incoming.version != "1.0" and not bodiless
        if length is None and not chunked and not bodiless:
            incoming.keep_alive = False
        try:
            head = self._head(incoming, response, "transfer-encoding: chunked" if chunked else "")
        except ValueError:
            await close_pieces(response.chunks)
            raise
        if not self._lost:
            self._transport.write(head)
        if self._lost or bodiless or incoming.method == "HEAD":
            await close_pieces(response.chunks)
            return
        # In a task of its own, which ends with the connection, or with the listener.
        sending = self._loop.create_task(self._send_pieces(response.chunks, chunked=chunked))
        self._sending = sending
        self._listener.streaming(sending)
        await asyncio.wait([sending])
        self._sending = None
        # Of one that failed the reader is to notice that there was to be more. One that the listener ended is whole.
        failed = not sending.cancelled() and sending.exception() is not None
        if failed or (length is not None and (sending.cancelled() or sending.result() != int(length))):
            incoming.keep_alive = False
        elif chunked and not self._lost:
            self._transport.write(b"0\r\n\r\n")

    async def _send_pieces(self, pieces: AsyncIterator[bytes], *, chunked: bool) -> int:
        """Returns how many bytes they were."""
        size = 0
        try:
            async for piece in pieces:
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    size += len(piece)
                    await self._drain()
        except Exception:
            _log.exception("a streaming response ended early")
            raise
        finally:
            await close_pieces(pieces)
        return size

    async def _drain(self) -> None:
        """Wait until the client has taken most of what was written. One that takes nothing of it is cut off."""
        while (drained := self._drained) is not None:
            before = self._transport.get_write_buffer_size()
            done, _ = await asyncio.wait([drained], timeout=self._listener.limits[API_WRITE_S])
            if done:
                return
            # However slow a link is, something of it goes through.
            if self._transport.get_write_buffer_size() >= before:
                self._cut_off()

    def _head(self, incoming: _Incoming, response: AnyResponse, framing: str) -> bytes:
        """Raises ValueError for what would not be read as it is meant: it may come from another node, or be made of what
        a client sent."""
        status = response.status
        if flaw := flaw_of(status, response.headers):
            raise ValueError(flaw)
        lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} ", f"date: {self._listener.date()}"]
        # In lower case, as HTTP/2 has them: what is written for the one server must not differ for the other.
        for name, value in response.headers:
            field = name.lower()
            if field == "content-length" and (framing or status == HTTPStatus.NO_CONTENT):
                if framing and framing != f"{field}: {value}":
                    raise ValueError(f"the body is not of the length {value!r}")
                continue
            if field == "transfer-encoding" or (field == "content-length" and not value.isdecimal()):
                raise ValueError(f"{field}: {value!r} does not frame the body")
            lines.append(f"{field}: {value}")
        if framing:
            lines.append(framing)
        if not incoming.keep_alive or (self._ending and not self._waiting):
            lines.append("connection: close")
        elif incoming.version == "1.0":
            lines.append("connection: keep-alive")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
