"""An exchange over HTTP/2: how its answer is written (RFC 9113, section 8), as fast as the client's windows allow."""

import asyncio
import base64
import os
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Protocol

import msgspec
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from littoral.drivers.web_body import IncomingBytes
from littoral.drivers.web_duplex import WebDuplex
from littoral.drivers.web_exchange import WebExchange, length_of_whole
from littoral.drivers.web_host import WebHost
from littoral.gateway.exchange import BodyBroken, ClientGone, Duplex
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.wire.http2_head import Http2Head
from littoral.wire.http_fields import BODILESS
from littoral.wire.packed_fields import packed
from littoral.wire.problem import CONTENT_TYPE, Problem

_PROBLEM = FieldBlock((("content-type", CONTENT_TYPE), ("cache-control", "no-store")))
_OF_A_CONNECTION = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
_NOT_OURS = _OF_A_CONNECTION | {"content-length"}
"""Of an answer's fields: what this version of HTTP does not know, and what is said anew."""
_OF_A_SWITCH = _NOT_OURS | {"sec-websocket-accept"}


class Http2Carrier(Protocol):
    """A connection, as its exchanges see it."""

    listener: WebHost
    wire: H2Connection
    blocked: bool
    client: str
    scheme: str
    tls: str

    def flush(self) -> None:
        """Send the frames that were made."""
        ...

    def over(self, exchange: "Http2Exchange") -> None:
        """Nothing more is sent."""
        ...

    def late(self, exchange: "Http2Exchange") -> None:
        """Its body does not get on."""
        ...

    def unread(self) -> None:
        """Its client takes nothing."""
        ...


class Http2Exchange(WebExchange):
    """One stream. Its frames are made at once, and sent at the end of the turn or of the call."""

    version = "2"
    _expects_continue = False
    _wants_switch = False
    """Whether another protocol was asked for."""

    def __init__(self, carrier: Http2Carrier, stream_id: int, *, has_ended: bool) -> None:
        self._carrier = carrier
        self._listener = carrier.listener
        self.stream_id = stream_id
        self.scheme = carrier.scheme
        self.client = carrier.client
        self.tls = carrier.tls
        self.method = self.target = self.host = ""
        self.fields = ()
        self.has_body = not has_ended
        if self.has_body:
            self._incoming = IncomingBytes(self._taken)
        self._has_ended = has_ended
        """Whether the client sends no more."""
        self._out: memoryview = memoryview(b"")
        """What is to be sent once there is room."""
        self._ends = False
        """Whether the stream ends behind it."""
        self._is_sent = False
        """Whether it has."""
        self._room: asyncio.Future[None] | None = None
        """Pending while something is to be sent."""
        self._since_s = self._out_since_s = carrier.listener.now_s
        self._came = 0

    def take(self, head: Http2Head) -> None:
        """What is asked is understood."""
        self.method, self.target, self.host, self.fields = head.method, head.target, head.host, head.fields
        self.body_length = head.body_length
        self._expects_continue = head.expects_continue
        if head.protocol:
            # As in HTTP/1, so that only this file knows the difference; the key proves nothing here (RFC 8441, section 5.1).
            self.method = "GET"
            self.has_body = False
            self._wants_switch = True
            key = base64.b64encode(os.urandom(16)).decode()
            wish = (("connection", "upgrade"), ("upgrade", head.protocol), ("sec-websocket-key", key))
            self.fields = (*self.fields, *wish)

    @property
    def is_running(self) -> bool:
        """Whether what was begun for it goes on."""
        return self._task is not None

    # The body

    def feed(self, data: bytes) -> bool:
        """Of the body; False if nobody wants it."""
        self._came += len(data)
        self._expects_continue = False
        if self._incoming is None or self.complete:
            return False
        self._incoming.feed(data)
        return True

    def body_ended(self) -> None:
        """It has come whole."""
        self._has_ended = True
        if self._incoming is not None:
            self._incoming.end()

    def _taken(self, size: int) -> None:
        if size:
            self._carrier.wire.acknowledge_received_data(size, self.stream_id)
        elif self._expects_continue and not self.begun:
            self._expects_continue = False
            self._send_head(100, (), ends=False)
        self._carrier.flush()

    # Frames

    def _send_head(self, status: int, fields: Fields, *, ends: bool) -> None:
        lines = [(b":status", b"%d" % status), (b"", packed(fields))]
        self._do(partial(self._carrier.wire.send_headers, self.stream_id, lines, ends))
        self._is_sent |= ends

    def _status(self, status: int) -> int:
        """Of a plain answer. To a wish for another protocol it says no, but 200 would say yes (RFC 8441, section 5)."""
        return HTTPStatus.NOT_IMPLEMENTED if self._wants_switch and status < 300 else status

    def _do(self, step: Callable[[], None]) -> None:
        """What the client has just made impossible is not done: it does not wait for it."""
        if not self.lost:
            try:
                step()
            except H2Error:
                self.lose()

    def _dated(self, fields: Fields) -> Fields:
        if any(name == "date" for name, _ in fields):
            return fields
        return (("date", self._listener.date_line[6:-2].decode()), *fields)

    def pump(self) -> bool:
        """Send one frame of what waits, if there is room; whether there was."""
        if not self._out or self.lost or self._carrier.blocked:
            return False
        wire = self._carrier.wire
        size = min(wire.local_flow_control_window(self.stream_id), wire.max_outbound_frame_size, len(self._out))
        if size <= 0:
            return False
        piece, self._out = bytes(self._out[:size]), self._out[size:]
        ends = self._ends and not self._out
        self._out_since_s = self._listener.now_s
        self._do(partial(wire.send_data, self.stream_id, piece, ends))
        if not self._out:
            self._wake()
        if ends:
            self._is_sent = True
            self._end_request()
        return True

    def _pump_all(self) -> None:
        while self.pump():
            pass

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def _end_request(self) -> None:
        """The answer is out: what is still sent of the request is not wanted (RFC 9113, section 8.1)."""
        if not self._has_ended:
            self._do(partial(self._carrier.wire.reset_stream, self.stream_id, ErrorCodes.NO_ERROR))
        self._carrier.over(self)

    async def _wait_for_room(self) -> None:
        while self._out and not self.lost:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
        if self.lost:
            raise ClientGone("the client has gone")

    # The exchange

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""
        if self.begun or self.lost:
            return
        status = self._status(status)
        said = (*block.fields, *extra)
        fields = [field for field in said if field[0] not in _NOT_OURS]
        length = length_of_whole(self.method, status, said, body)
        if length is not None:
            fields.append(("content-length", length))
        out = b"" if self.method == "HEAD" or status in BODILESS else body
        self.sent_bytes = len(out)
        self._send_head(status, self._dated(fields), ends=not out)
        self.answered()
        self._out, self._ends = memoryview(out), True
        self._out_since_s = self._listener.now_s
        if self._is_sent:
            self._end_request()
        self._pump_all()
        self._carrier.flush()

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""
        if self.lost:
            return
        status = self._status(status)
        said = (*block.fields, *extra)
        length = self._announce(status, said)
        fields = [field for field in said if field[0] not in _NOT_OURS]
        if length is not None:
            fields.append(("content-length", length))
        self._send_head(status, self._dated(fields), ends=False)
        self._carrier.flush()

    async def send(self, piece: bytes | memoryview) -> None:
        """See Exchange."""
        if self._counts(len(piece)):
            await self._send(piece)

    async def _send(self, piece: bytes | memoryview) -> None:
        await self._wait_for_room()
        self._out = memoryview(piece)
        self._out_since_s = self._listener.now_s
        self._pump_all()
        self._carrier.flush()
        await self._wait_for_room()

    async def end(self, trailers: Fields = ()) -> None:
        """See Exchange."""
        self._check_whole()
        await self._wait_for_room()
        wire = self._carrier.wire
        if trailers:
            self._do(partial(wire.send_headers, self.stream_id, [(b"", packed(trailers))], end_stream=True))
        else:
            self._do(partial(wire.end_stream, self.stream_id))
        self._is_sent = True
        self.answered()
        self._end_request()
        self._carrier.flush()

    def inform(self, status: int, fields: Fields) -> None:
        """See Exchange."""
        if not self.begun and not self.lost:
            self._send_head(status, fields, ends=False)
            self._carrier.flush()

    def abort(self) -> None:
        """See Exchange."""
        if self._is_sent:
            self.lose()
            return
        self._do(partial(self._carrier.wire.reset_stream, self.stream_id, ErrorCodes.INTERNAL_ERROR))
        self.lose()
        self._carrier.flush()

    def lose(self) -> None:
        """See WebExchange; a body that is being sent waits no longer."""
        super().lose()
        self._out = memoryview(b"")
        self._wake()
        self._carrier.over(self)

    def refuse(self, status: int, cause: str) -> None:
        """Say why it is not looked at any further, and end it."""
        if self._incoming is not None:
            self._incoming.fail(BodyBroken(cause))
        if self.begun:
            self.abort()
            return
        self._let_go()
        detail = f"cannot read the request: {cause}"
        self.respond(
            status, _PROBLEM, (), msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail=detail))
        )
        if self._task is not None:
            # What it answers all the same is dropped.
            self.abort()

    # Another protocol

    def switch(self, status: int, fields: Fields) -> Duplex:
        """See Exchange."""
        assert not self.begun, "an answer begins once"
        kept = [field for field in fields if field[0] not in _OF_A_SWITCH]
        self.begun = self.switched = True
        self._send_head(200, self._dated(kept), ends=False)
        self._carrier.flush()
        if self._incoming is None or self.lost:
            self._incoming = IncomingBytes(self._taken)
            self._incoming.end()
        return WebDuplex(self, self._incoming)

    async def write_through(self, data: bytes) -> None:
        """See DuplexCarrier."""
        if self.lost or self._ends:
            raise ConnectionResetError("the client has gone")
        try:
            await self._send(data)
        except ClientGone as error:
            raise ConnectionResetError(str(error)) from None

    def end_writing(self) -> None:
        """See DuplexCarrier."""
        if not self._ends and not self.lost:
            self._ends = self._is_sent = True
            self._do(partial(self._carrier.wire.end_stream, self.stream_id))
            if self._has_ended:
                self.close()
            self._carrier.flush()

    def close(self) -> None:
        """See DuplexCarrier."""
        if not self.complete:
            self.end_writing()
            self.answered()
            self._end_request()
            self._carrier.flush()

    # Time

    def tick(self, now_s: float) -> None:
        """A second has passed."""
        bounds = self._listener.bounds
        if self._out and now_s - self._out_since_s >= bounds.write_s:
            self._carrier.unread()
            self.abort()
            return
        if self._incoming is None or self._has_ended or not self._incoming.wanted or self.begun:
            self._since_s, self._came = now_s, 0
        elif now_s - self._since_s >= bounds.body_s:
            is_late = self._came < bounds.body_rate * bounds.body_s
            self._since_s, self._came = now_s, 0
            if is_late:
                self._carrier.late(self)

    def _done(self, task: "asyncio.Task[None]") -> None:
        super()._done(task)
        if self._is_sent or self.lost:
            self._carrier.over(self)
