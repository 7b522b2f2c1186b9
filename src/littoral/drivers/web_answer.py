"""An exchange over HTTP/1: how its answer is written (RFC 9112)."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import msgspec

from littoral.drivers.web_body import IncomingBytes
from littoral.drivers.web_exchange import WebExchange, length_of_whole
from littoral.drivers.web_host import WebHost
from littoral.gateway.exchange import ClientGone, Duplex
from littoral.gateway.field_block import FieldBlock, Fields, encode_fields, says_of_writer
from littoral.wire.http_fields import BODILESS
from littoral.wire.problem import CONTENT_TYPE, Problem
from littoral.wire.request_head import FieldSection, RefusedRequest

JOINED_BYTES = 32 * 1024
"""A body up to this is copied behind its head: that is cheaper than another buffer on its way to the system."""
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class _StatusLines(dict[int, bytes]):
    def __missing__(self, status: int) -> bytes:
        line = self[status] = b"HTTP/1.1 %d \r\n" % status
        return line


STATUS_LINES = _StatusLines({each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus})


def refusal(status: int, cause: str, date_line: bytes) -> bytes:
    """A whole answer, after which the connection ends, to what is not looked at any further."""
    title = HTTPStatus(status).phrase
    body = msgspec.json.encode(Problem(title, status, detail=f"cannot read the request: {cause}"))
    head = b"content-type: %b\r\ncache-control: no-store\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return STATUS_LINES[status] + date_line + head % (CONTENT_TYPE.encode(), len(body)) + body


class Http1Carrier(Protocol):
    """A connection, as its exchanges see it."""

    listener: WebHost
    blocked: bool
    """Whether the client has not taken enough of what was written."""
    client: str
    scheme: str
    tls: str

    @property
    def write(self) -> Callable[[bytes], None]:
        """Send it, now or when the client takes it. Not where the exchange is lost."""
        ...

    async def drained(self) -> None:
        """Return once it is no longer blocked, or the client has gone."""
        ...

    def is_last(self) -> bool:
        """Whether the connection ends with the answer to the request that is being answered."""
        ...

    def answered(self) -> None:
        """The answer is complete."""
        ...

    def switch(self) -> Duplex:
        """Speak another protocol from now on."""
        ...

    def abort(self) -> None:
        """End, whatever is under way."""
        ...


class Http1Exchange(WebExchange):
    """One request, and its answer. `version` is "1.1" or "1.0"."""

    _chunked = False

    version = "1.1"

    def __init__(self, carrier: Http1Carrier, method: str, target: str, section: FieldSection) -> None:
        self._carrier = carrier
        self._listener = carrier.listener
        self.method = method
        self.target = target
        self.host = section.host or ""
        self.fields = section.fields
        self.scheme = carrier.scheme
        self.client = carrier.client
        self.tls = carrier.tls
        self.ends_connection = section.close
        """Whether the client wants no more answered on it, or we."""

    def speak_1_0(self, section: FieldSection) -> None:
        """The client knows no better. Raises RefusedRequest."""
        if section.chunked:
            raise RefusedRequest(400, "HTTP/1.0 has no Transfer-Encoding")
        self.version = "1.0"
        self.ends_connection = section.close or not section.keep_alive

    def expect_body(self, incoming: IncomingBytes, length: int | None) -> None:
        """A body follows."""
        self._incoming = incoming
        self.has_body = True
        self.body_length = length

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""
        if self.begun or self.lost:
            return
        self.begun = self.complete = True
        carrier = self._carrier
        if block.frames or status in BODILESS or self.method == "HEAD" or says_of_writer(extra):
            head, body = self._framed(status, (*block.fields, *extra), body)
        else:
            fields = encode_fields(extra) if extra else b""
            date = b"" if block.has_date else self._listener.date_line
            length = b"content-length: %d\r\n" % len(body)
            head = b"".join((STATUS_LINES[status], date, block.encoded, fields, length))
        ending = b"\r\n"
        if self.ends_connection or self.has_body or self._listener.draining or self.version != "1.1":
            ending = self._ending()
        self.sent_bytes = size = len(body)
        if size <= JOINED_BYTES:
            carrier.write(b"".join((head, ending, body)))
        else:
            carrier.write(head + ending)
            carrier.write(body)
        if self._incoming is not None:
            self.answered()
        carrier.answered()

    def _framed(self, status: int, fields: Fields, body: bytes) -> tuple[bytes, bytes]:
        """The head without its end, where the fields or the request say something of its framing; and what is sent behind it."""
        kept = [field for field in fields if field[0] not in _FRAMING]
        length = length_of_whole(self.method, status, fields, body)
        if length is not None:
            kept.append(("content-length", length))
        is_bodiless = self.method == "HEAD" or status in BODILESS
        date = b"" if any(name == "date" for name, _ in kept) else self._listener.date_line
        return b"".join((STATUS_LINES[status], date, encode_fields(kept))), b"" if is_bodiless else body

    def _ending(self) -> bytes:
        """What of the head comes last."""
        if self.ends_connection or self._carrier.is_last():
            self.ends_connection = True
            return b"connection: close\r\n\r\n"
        return b"\r\n" if self.version == "1.1" else b"connection: keep-alive\r\n\r\n"

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""
        if self.lost:
            return
        said = (*block.fields, *extra)
        length = self._announce(status, said)
        fields = [field for field in said if field[0] not in _FRAMING]
        if length is not None:
            fields.append(("content-length", length))
        elif not self._is_bodiless:
            self._chunked = self.version == "1.1"
            if self._chunked:
                fields.append(("transfer-encoding", "chunked"))
            else:
                self.ends_connection = True
        has_date = any(name == "date" for name, _ in fields)
        date = b"" if has_date else self._listener.date_line
        self._carrier.write(b"".join((STATUS_LINES[status], date, encode_fields(fields), self._ending())))

    async def send(self, piece: bytes | memoryview) -> None:
        """See Exchange."""
        size = len(piece)
        if not self._counts(size):
            return
        self._carrier.write(b"".join((b"%x\r\n" % size, piece, b"\r\n")) if self._chunked else bytes(piece))
        if self._carrier.blocked:
            await self._carrier.drained()
            if self.lost:
                raise ClientGone("the client has gone")

    async def end(self, trailers: Fields = ()) -> None:
        """See Exchange."""
        self._check_whole()
        if self._chunked:
            self._carrier.write(b"0\r\n%b\r\n" % encode_fields(trailers))
        self.answered()
        self._carrier.answered()

    def inform(self, status: int, fields: Fields) -> None:
        """See Exchange."""
        if self.version == "1.1" and not self.begun and not self.lost:
            self._carrier.write(STATUS_LINES[status] + encode_fields(fields) + b"\r\n")

    def switch(self, status: int, fields: Fields) -> Duplex:
        """See Exchange."""
        assert not self.begun, "an answer begins once"
        if not self.lost:
            kept = [field for field in fields if field[0] not in _FRAMING and field[0] != "connection"]
            head = encode_fields([*kept, ("connection", "upgrade")])
            self._carrier.write(b"".join((STATUS_LINES[status], self._listener.date_line, head, b"\r\n")))
        self.answered()
        return self._carrier.switch()

    def abort(self) -> None:
        """See Exchange."""
        if not self.complete:
            self._carrier.abort()
