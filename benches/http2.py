"""As much of HTTP/2 (RFC 9113) as a child says to its parent, over TLS, for a load of thousands of connections.

A client library would be measured along, and takes more memory for a connection than the server that is measured; so does
the TLS of an event loop. What is here relies on what the load does: few short requests at a time, so that no window of the server's is ever used up.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WINDOW_MOST = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
READ_BYTES = 65_536
STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
"""Names of HPACK's static table (RFC 7541, appendix A) that stand for a status."""
RETRY_AFTER = 53
AUTHORIZATION, CONTENT_LENGTH = 23, 28
FIVE_BITS, SIX_BITS = "012", "3456789"
"""Digits by the length of their Huffman codes, which count up from 0 and from 25."""


@dataclass
class Answer:
    """Of one request."""

    status: int = 0
    retry_after_s: float = 0.0
    body: bytearray = field(default_factory=bytearray)


class Lost(Exception):
    """The connection ended."""


class Http2(asyncio.Protocol):
    """One connection."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._authority = f"{host}:{port}".encode()
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection can be used."""
        self._shaking_hands = True
        self._buffer = b""
        self._next = 1
        self._waiting: dict[int, tuple[Answer, asyncio.Future[Answer]]] = {}
        self._stream = 0
        """The request whose answer has no end."""
        self.lost = False
        self.closed = asyncio.get_running_loop().create_future()
        """Done when the connection is no more, or the answer without an end has ended."""
        self.events = 0
        """Pieces of the answer without an end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not say that it is one
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        self._shaking_hands = False
        # No dynamic table (1), no push (2), and windows that need no attention (4, and that of the connection).
        settings = b"\0\1\0\0\0\0\0\2\0\0\0\0\0\4" + WINDOW_MOST.to_bytes(4)
        window = (WINDOW_MOST - DEFAULT_WINDOW).to_bytes(4)
        self._write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, window))
        if not self.ready.done():
            self.ready.set_result(None)

    def _write(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if data := self._to_send.read():
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(Lost(str(exc)))
        self._waiting.clear()
        if not self.ready.done():
            self.ready.set_exception(Lost(str(exc)))
        self._end()

    def _end(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def request(self, method: str, path: str, token: str, body: bytes = b"") -> "asyncio.Future[Answer]":
        """Send a request; the future raises Lost."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.lost:
            future.set_exception(Lost("the connection has ended"))
            return future
        self._waiting[self._send(method, path, token, body)] = (Answer(), future)
        return future

    def follow(self, path: str, token: str) -> "asyncio.Future[Answer]":
        """Send a request whose answer has no end: the future is done when its head has come."""
        future = self.request("GET", path, token)
        self._stream = self._next - 2
        return future

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.abort()

    def _send(self, method: str, path: str, token: str, body: bytes) -> int:
        number, self._next = self._next, self._next + 2
        block = (b"\x82" if method == "GET" else b"\x83") + b"\x87" + b"\x04" + _text(path.encode())
        block += b"\x01" + _text(self._authority) + _indexed(AUTHORIZATION) + _text(b"Bearer " + token.encode())
        if body:
            block += _indexed(CONTENT_LENGTH) + _text(str(len(body)).encode())
        data = _frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), number, block)
        self._write(data + _frame(DATA, END_STREAM, number, body) if body else data)
        return number

    def data_received(self, data: bytes) -> None:
        self._received.write(data)
        try:
            if self._shaking_hands:
                self._shake_hands()
            while not self._shaking_hands:
                self._read(self._tls.read(READ_BYTES))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._transport.abort()

    def _read(self, data: bytes) -> None:
        buffer = self._buffer + data
        at = 0
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3])
            if len(buffer) - at < 9 + size:
                break
            number = int.from_bytes(buffer[at + 5 : at + 9]) & WINDOW_MOST
            self._take(buffer[at + 3], buffer[at + 4], number, buffer[at + 9 : at + 9 + size])
            at += 9 + size
        self._buffer = buffer[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._write(_frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self._transport.close()
        elif kind in (DATA, HEADERS, RESET):
            self._answered(kind, flags, number, payload)

    def _answered(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        ended = kind == RESET or bool(flags & END_STREAM)
        if number == self._stream and (kind == DATA or ended):
            self.events += 1
            if ended:
                self._end()
            return
        if number not in self._waiting:
            return
        answer, future = self._waiting[number]
        if kind == HEADERS:
            _read_head(payload, answer)
            ended = ended or number == self._stream
        elif kind == DATA:
            answer.body += payload
        if ended:
            del self._waiting[number]
            if not future.done():
                future.set_result(answer) if kind != RESET else future.set_exception(Lost("reset"))


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + number.to_bytes(4) + payload


def _integer(value: int, bits: int, pattern: int) -> bytes:
    """RFC 7541, section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((pattern | value,))
    out = bytearray((pattern | most,))
    value -= most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def _indexed(name: int) -> bytes:
    return _integer(name, 4, 0)


def _text(value: bytes) -> bytes:
    return _integer(len(value), 7, 0) + value


def _read_head(block: bytes, answer: Answer) -> None:
    """Status and Retry-After; without a dynamic table every field stands for itself."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            name, at = _read_integer(block, at, 7)
            answer.status = STATUSES.get(name, answer.status)
        elif first & 0xE0 == 0x20:
            _, at = _read_integer(block, at, 5)
        else:
            name, at = _read_integer(block, at, 6 if first & 0x40 else 4)
            if name == 0:
                _, at = _read_text(block, at)
            value, at = _read_text(block, at)
            if name in STATUSES:
                answer.status = int(value)
            elif name == RETRY_AFTER:
                answer.retry_after_s = float(value)


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value == most:
        shift = 0
        while True:
            value += (block[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if not block[at - 1] & 128:
                break
    return value, at


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    """Of a Huffman-coded one only the digits it begins with."""
    coded = bool(block[at] & 0x80)
    size, at = _read_integer(block, at, 7)
    raw = block[at : at + size]
    return (_digits(raw) if coded else raw.decode("latin-1")), at + size


def _digits(raw: bytes) -> str:
    bits = "".join(f"{each:08b}" for each in raw)
    text = ""
    while len(bits) >= 5:
        if (short := int(bits[:5], 2)) < len(FIVE_BITS):
            text, bits = text + FIVE_BITS[short], bits[5:]
        elif len(bits) >= 6 and 25 <= int(bits[:6], 2) < 25 + len(SIX_BITS):
            text, bits = text + SIX_BITS[int(bits[:6], 2) - 25], bits[6:]
        else:
            break
    return text


async def connect(host: str, port: int, context: ssl.SSLContext) -> Http2:
    """Raises OSError, Lost."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: Http2(host, port, context), host, port)
    try:
        await protocol.ready
    except BaseException:
        protocol.close()
        raise
    return protocol
