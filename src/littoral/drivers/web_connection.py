"""One connection of HTTP/1 at the gateway, in the event loop itself.

    head        bytes are a request's head, or none have come
    body        bytes are the body of the request that is being answered; if it was answered already, they are dropped
    behind      that body has come whole; bytes are requests that wait until the one in front is answered
    switched    bytes are another protocol's
    deaf        the client was told that nothing more is read; what it still sends is dropped for a while
    closing     nothing more is read; what was written is still being taken

    head    ─ a head with a body ─► body ─ its end ─► behind, or head if it is answered
    head    ─ a head without ─► behind ─ the answer ─► head
    body, behind  ─ 101 ─► switched
    any     ─ no HTTP, too late, too much ─► deaf ─ a while, or the client closes ─► closed
    any     ─ the last answer ─► closing, or deaf if there are bytes that nobody reads

Where the answer is at hand, a request is read and answered in one turn of the loop, without a task. Reading pauses where
more has come than one buffer holds, and no request is looked at while the client does not take its answers.
"""

import asyncio

from littoral.core.gateway_limits import GATEWAY_FIELDS, GATEWAY_HEAD_S, GATEWAY_IDLE_S, GATEWAY_UNREAD_BYTES
from littoral.core.limits import API_WRITE_S
from littoral.drivers.web_answer import Http1Exchange, refusal
from littoral.drivers.web_body import IncomingBytes
from littoral.drivers.web_client import ClientConnection
from littoral.drivers.web_duplex import WebDuplex
from littoral.drivers.web_host import Refused, WebHost
from littoral.drivers.web_request_body import RequestBody
from littoral.drivers.web_unfinished_head import UnfinishedHead, without_empty_line
from littoral.gateway.exchange import BodyBroken, Duplex
from littoral.wire.chunked_body import BrokenChunks
from littoral.wire.request_head import (
    METHODS,
    REQUEST_LINE,
    FieldSection,
    RefusedRequest,
    TooManyFields,
    read_fields,
    read_target,
)

_HEAD, _BODY, _BEHIND, _SWITCHED, _DEAF, _CLOSING = range(6)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PREFACE = b"PRI * HTTP/2.0\r\n"
_NO_FIELDS = FieldSection(())
_KEPT_BYTES = 4096
"""Of a head that is kept in case it comes again: most are shorter, and each connection keeps one."""
_WHY: dict[int, Refused] = {400: "malformed", 421: "malformed", 414: "head", 431: "head", 408: "late"}


class Http1Connection(ClientConnection):
    """One client."""

    def __init__(self, listener: WebHost) -> None:
        super().__init__(listener)
        self._state = _HEAD
        self._data = b""
        """What has come and is not to be looked at yet: a part of a head, or requests behind the one in front."""
        self._exchange: Http1Exchange | None = None
        """Being answered."""
        self._is_fresh = True
        """Whether nothing was asked yet."""
        self._block = b"?"
        """The fields of the last head as they came: clients repeat them."""
        self._section = _NO_FIELDS
        """The same, understood."""
        self._again = b""
        """The last request without a body, as it came: who asks the same again is not read again."""
        self._asked = ("", "", _NO_FIELDS)
        """The same, understood."""
        self._body: RequestBody | None = None
        """Of the last request, until it has come whole."""
        self._incoming: IncomingBytes | None = None
        """Of another protocol."""
        self._head = UnfinishedHead(listener)
        """Of the next request."""
        self._drained: asyncio.Future[None] | None = None
        self._is_paused = False
        """Whether nothing is read."""
        self._in_turn = False
        """Whether requests are being looked at: an answer at once must not look at the next ones by itself."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open(self, transport)
        self.write = self._transport.write

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _CLOSING
        self._leave()
        self.resume_writing()
        self.listener.closed(self)

    def eof_received(self) -> bool:
        if self._state == _SWITCHED and self._incoming is not None:
            self._incoming.end()
            # What is left to be written goes on, where TLS does not forbid it.
            return self._transport.can_write_eof()
        self._leave()
        return False

    def resume_writing(self) -> None:
        self.blocked = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        if self._state == _HEAD and self._is_paused and not self._gone:
            self._loop.call_soon(self._go_on)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if data == self._again and state == _HEAD and not self._data and not self.blocked:
            self._exchange = Http1Exchange(self, *self._asked)
            self._state = _BEHIND
            self._exchange.start()
        elif state == _HEAD:
            if self._data:
                data, self._data = self._data + data, b""
            self._take_requests(data)
        elif state == _BODY:
            self._take_body(data)
        elif state == _BEHIND:
            self._keep(data)
        elif state == _SWITCHED and self._incoming is not None:
            self._incoming.feed(data)
            if self._incoming.held > self.listener.bounds.read_bytes:
                self._pause()

    def _leave(self) -> None:
        """The client is gone."""
        if self._gone:
            return
        self._gone = True
        self._data = b""
        if self._exchange is not None:
            self._exchange.lose()
            self._exchange = None
        incoming = self._body.incoming if self._body is not None else self._incoming
        if incoming is not None:
            incoming.end()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._since_s = self.listener.now_s
            if self._body is not None:
                self._body.go_on(self._since_s)
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _keep(self, data: bytes) -> None:
        """For after the answer."""
        self._data += data
        if len(self._data) > self.listener.bounds.read_bytes:
            self._pause()

    # Requests

    def _take_requests(self, data: bytes) -> None:
        """Those that have come, up to the first that is not answered at once."""
        self._in_turn = True
        bounds = self.listener.bounds
        try:
            while data and self._state == _HEAD:
                end = data.find(b"\r\n\r\n")
                match = REQUEST_LINE.match(data)
                if end < 0 or match is None or end > bounds.head_bytes or self.blocked:
                    data = self._look_closer(data, end)
                    continue
                written, target, minor = match.groups()
                block = data[match.end() : end + 2]
                section = self._section if block == self._block else self._read_fields(block)
                method = METHODS.get(written) or written.decode("ascii")
                exchange = Http1Exchange(self, method, target.decode("ascii"), section)
                if minor == b"0" or target[0] != 47 or not section.host or len(target) > bounds.target_bytes:
                    self._judge(exchange, "1.0" if minor == b"0" else "1.1", section)
                elif not section.has_body and end <= _KEPT_BYTES:
                    self._again, self._asked = data[: end + 4], (method, exchange.target, section)
                self._exchange = exchange
                data = data[end + 4 :]
                if section.has_body:
                    data = self._begin_body(exchange, section, data)
                else:
                    self._state = _BEHIND
                if not exchange.lost:
                    exchange.start()
        except RefusedRequest as refused:
            self._refuse(refused)
            return
        finally:
            self._in_turn = False
        if data and self._state == _BEHIND:
            self._keep(data)
        elif data and self._state == _SWITCHED and self._incoming is not None:
            self._incoming.feed(data)

    def _read_fields(self, block: bytes) -> FieldSection:
        """Raises RefusedRequest."""
        section = read_fields(block, self.listener.bounds.fields)
        self._is_fresh = False
        if len(block) <= _KEPT_BYTES:
            self._block, self._section = block, section
        return section

    def _judge(self, exchange: Http1Exchange, version: str, section: FieldSection) -> None:
        """One that is not as most are. Raises RefusedRequest."""
        bounds = self.listener.bounds
        if len(exchange.target) > bounds.target_bytes:
            raise self._head.too_long()
        if version == "1.1" and not section.host:
            raise RefusedRequest(400, "it has no Host")
        if version == "1.0":
            exchange.speak_1_0(section)
        if exchange.target[0] != "/":
            exchange.target, exchange.host, exchange.fields = read_target(
                exchange.method, exchange.target, self.scheme, section
            )

    def _look_closer(self, data: bytes, end: int) -> bytes:
        """At what is no whole request, or cannot be taken now. Returns what is to be looked at again. Raises RefusedRequest."""
        if self.blocked:
            self._data = data
            self._pause()
            return b""
        if data.startswith(b"\r\n"):
            return without_empty_line(data)
        if end < 0 or data[0] == 13:
            self._head.look(data)
            self._data = data
            return b""
        line = data[: data.index(b"\r\n") + 2]
        if line == _PREFACE and self._is_fresh and self.listener.knows_h2c:
            self._state = _CLOSING
            self._gone = True
            self.listener.speak_http2(self, self._transport, data)
            return b""
        raise self._head.flaw(line)

    # Bodies

    def _begin_body(self, exchange: Http1Exchange, section: FieldSection, rest: bytes) -> bytes:
        """rest: what came behind the head; returns what of it is behind the body."""
        is_1_1 = exchange.version == "1.1"
        self._body = body = RequestBody(section, self._taken, self.listener.now_s, is_1_1=is_1_1)
        assert body.incoming is not None
        exchange.expect_body(body.incoming, section.body_length)
        self._state = _BODY
        if rest:
            self._take_body(rest)
        rest, self._data = self._data, b""
        return rest

    def _take_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        try:
            rest = body.take(data)
        except BrokenChunks as broken:
            self._refuse(RefusedRequest(400, str(broken)))
            return
        bounds = self.listener.bounds
        if body.incoming is not None:
            if body.incoming.held > bounds.read_bytes:
                self._pause()
        elif body.unread > bounds.unread_bytes:
            self.listener.reached(GATEWAY_UNREAD_BYTES)
            self._linger()
            return
        if rest is not None:
            self._end_body(body, rest)

    def _end_body(self, body: RequestBody, rest: bytes) -> None:
        """It has come whole; rest: what follows it."""
        self._body = None
        if body.incoming is not None:
            body.incoming.end()
        if self._exchange is not None:
            self._state = _BEHIND
            if rest:
                self._keep(rest)
        else:
            self._state, self._head.since_s, self._since_s = _HEAD, 0.0, self.listener.now_s
            if rest:
                self._take_requests(rest)

    def _taken(self, size: int) -> None:
        """Of the body of the request that is being answered; or it is waited for."""
        if self._exchange is None:
            return
        body = self._body
        if not size and body is not None and body.wants_continue:
            body.wants_continue = False
            if not self._exchange.begun:
                self.write(_CONTINUE)
        held = len(self._data) if body is None or body.incoming is None else body.incoming.held
        if self._is_paused and held <= self.listener.bounds.read_bytes // 2:
            self._resume()

    # Answers

    async def drained(self) -> None:
        """See Http1Carrier."""
        while self.blocked:
            if self._drained is None:
                self._drained = self._loop.create_future()
            # Whoever waits may be cancelled; others wait on.
            await asyncio.shield(self._drained)

    def is_last(self) -> bool:
        """See Http1Carrier."""
        if self.listener.draining:
            return True
        return self._body is not None and not self._body.is_worth_reading(self.listener.bounds)

    def answered(self) -> None:
        """See Http1Carrier."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._state == _BEHIND and not exchange.ends_connection:
            self._state, self._head.since_s, self._since_s = _HEAD, 0.0, self.listener.now_s
            if not self._in_turn and (self._data or self._is_paused):
                self._loop.call_soon(self._go_on)
        elif not exchange.ends_connection:
            if self._body is not None:
                self._body.drop(self.listener.now_s)
            self._resume()
        elif self._state == _BODY or self._data or self._is_paused:
            self._linger()
        else:
            self._close()

    def _go_on(self) -> None:
        """With requests that waited."""
        if self._state != _HEAD or self._gone or self.blocked:
            return
        data, self._data = self._data, b""
        self._resume()
        if data:
            self._take_requests(data)

    def _refuse(self, refused: RefusedRequest) -> None:
        """Say why nothing more is read."""
        why: Refused = _WHY.get(refused.status, "unsupported")
        self.listener.refused(why)
        if isinstance(refused, TooManyFields):
            self.listener.reached(GATEWAY_FIELDS)
        exchange, self._exchange = self._exchange, None
        was_begun = False
        if exchange is None and self._state == _BODY:
            # It was answered: a second answer would be taken for that to the next request.
            self._linger()
            return
        if exchange is not None:
            was_begun = exchange.begun
            if self._body is not None and self._body.incoming is not None:
                self._body.incoming.fail(BodyBroken(refused.cause))
            exchange.lose()
        if was_begun:
            self._transport.abort()
        elif not self._gone:
            self.write(refusal(refused.status, refused.cause, self.listener.date_line))
            self._linger()

    # Another protocol

    def switch(self) -> Duplex:
        """See Http1Carrier."""
        self._exchange = None
        if self._gone or self._state != _BEHIND:
            # What is left of a body cannot be told from what the other protocol says.
            self.abort()
            gone = IncomingBytes(self._duplex_taken)
            gone.end()
            return WebDuplex(self, gone)
        self._state = _SWITCHED
        self._incoming = IncomingBytes(self._duplex_taken)
        self._incoming.feed(self._data)
        self._data = b""
        self._resume()
        return WebDuplex(self, self._incoming)

    def _duplex_taken(self, size: int) -> None:
        if self._incoming is not None and self._incoming.held <= self.listener.bounds.read_bytes // 2:
            self._resume()

    async def write_through(self, data: bytes) -> None:
        """See DuplexCarrier."""
        if self._gone or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self.write(data)
        if self.blocked:
            await self.drained()
            if self._gone:
                raise ConnectionResetError("the client has gone")

    def end_writing(self) -> None:
        """See DuplexCarrier."""
        if not self._transport.can_write_eof():
            self.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """See DuplexCarrier."""
        if self._state == _SWITCHED:
            if self._incoming is not None:
                self._incoming.end()
            self._close()

    # Ends

    def abort(self) -> None:
        """See Http1Carrier."""
        self._state = _CLOSING
        self._transport.abort()
        self._leave()

    def finish(self) -> None:
        """See Ticked."""
        # One that has just come may have asked what was not read yet.
        if self._state == _HEAD and not self._data and not self._is_fresh:
            self._close()

    def _close(self) -> None:
        """Once the client has taken what was written."""
        self._state = _CLOSING
        self._data = b""
        self._note_unsent()
        self._transport.close()

    def _linger(self) -> None:
        """Close once the client has heard what it was told. Were what it still sends left unread, the system would answer
        it with a reset, which takes the answer from a client that is sending."""
        self._state = _DEAF
        self._data = b""
        self._body = self._incoming = None
        self._resume()
        self._since_s = self.listener.now_s
        self._note_unsent()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def tick(self, now_s: float) -> None:
        """See Ticked."""
        if (self.blocked or self._state in {_CLOSING, _DEAF}) and self._is_unread(now_s):
            self.listener.refused("unread", API_WRITE_S)
            self.abort()
        elif self._state == _HEAD:
            self._tick_head(now_s)
        elif self._state == _BODY and self._body is not None:
            self._tick_body(self._body, now_s)
        elif self._state == _DEAF:
            if self._unsent:
                self._since_s = now_s
            elif now_s - self._since_s >= self.listener.bounds.linger_s:
                self.abort()

    def _tick_head(self, now_s: float) -> None:
        bounds = self.listener.bounds
        if self._head.since_s:
            if now_s - self._head.since_s >= bounds.head_s:
                self.listener.reached(GATEWAY_HEAD_S)
                self._refuse(RefusedRequest(408, f"its head did not come within {bounds.head_s} s"))
        elif self.listener.draining and not self.blocked:
            self._close()
        elif now_s - self._since_s >= bounds.idle_s and not self.blocked:
            self.listener.refused("idle", GATEWAY_IDLE_S)
            self._close()

    def _tick_body(self, body: RequestBody, now_s: float) -> None:
        is_answered = self._exchange is None or self._exchange.begun
        limit = body.lateness(now_s, self.listener.bounds, is_answered=is_answered)
        if limit is not None:
            self.listener.reached(limit)
            self._refuse(RefusedRequest(408, f"its body did not get on within {self.listener.bounds.body_s} s"))
