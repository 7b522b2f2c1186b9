"""What the gateway sees of one request and of the way to answer it, whatever version of HTTP carried it.

    the driver     reads a head, judges its framing (RFC 9112, section 6; RFC 9113, section 8), and hands the exchange over
    the gateway    answers it with exactly one of: `respond`; `begin`, `send` and `end`; `switch`; `abort`

An exchange is handed over when its head is whole; the body comes while it is answered, as fast as it is asked for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol

from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import Notes


class ClientGone(Exception):
    """The client has closed its side, or was cut off: nobody reads what is sent. Raised by `send`, `end` and `body`."""


class BodyBroken(Exception):
    """A request's body ended before its end, or is not framed as HTTP says. The driver has answered 400 by itself, or closed."""

    status = 400


class Duplex(Protocol):
    """Bytes both ways, after a connection has been switched to another protocol."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Return once there is room for more. Raises ConnectionError where the other side is gone."""
        ...

    def end(self) -> None:
        """Say that nothing more is written."""
        ...

    def close(self) -> None:
        """Close both ways."""
        ...


class Exchange(Protocol):
    """One request, and the response to it."""

    method: str
    """As sent: methods are case-sensitive."""
    target: str
    """The raw path and query, still percent-encoded ("/a%2Fb?c=d"); "*" for OPTIONS of the server. Never a whole URL: of the
    absolute form only this is left, and its authority has become `host` (RFC 9112, section 3.2.2)."""
    host: str
    """The authority that was asked, with its port if one was written; empty if none was (HTTP/1.0)."""
    scheme: str
    """"http" or "https"."""
    version: str
    """"1.0", "1.1" or "2"."""
    client: str
    """The address of who is connected, without its port."""
    tls: str
    """Version and cipher of the client's connection, as OpenSSL calls them, with a space between; empty for none."""
    fields: Fields
    """Names in lower case, values as latin-1, in their order, repeated ones apart. Without pseudo-header fields. Those of the
    connection are still in it: `te`, `connection`, `upgrade` and their like are the gateway's to judge."""
    has_body: bool
    """Whether there may be a body: content-length above 0, or chunked; of HTTP/2 no END_STREAM with the head."""
    body_length: int | None
    """As announced; None for none, or for one of unknown length."""
    notes: Notes | None
    """Where what becomes of it is written down; None for nowhere, as most of the time."""
    made_s: float
    """When what is answered was made, or was confirmed by the origin, at the earliest: a cache says so before it answers. In
    seconds since the epoch; 0 where nobody has said."""

    @property
    def sent_bytes(self) -> int:
        """Of the answer's body, without framing."""
        ...

    @property
    def go_on(self) -> "Callable[[Answering], None] | None":
        """Begins a task for what is left to be done of a `Later`. None where there may be no such thing: who has it served waits
        for what is returned."""
        ...

    def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece; nothing is read ahead of it but what one buffer holds. Once only. Sends "100 Continue" if
        it is waited for. What is not read of it is read and dropped, or the connection is closed, by the driver. Raises
        ClientGone, BodyBroken."""
        ...

    def inform(self, status: int, fields: Fields) -> None:
        """Send an interim response (1xx but 101). Nothing happens for clients of HTTP/1.0."""
        ...

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """Answer whole. block, extra: the header fields, without framing and without `date` unless the response has one of
        its own; the driver adds `date` where there is none, and content-length. Of HEAD, of 204 and of 304 `body` is not sent: for HEAD and 304 a
        content-length that the fields have is kept, and for HEAD without one it is the length of `body`, unless that is empty. Never raises: what
        nobody reads is dropped."""
        ...

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """Begin to answer with a body in pieces: of the length that a content-length among the fields says, chunked
        otherwise (HTTP/1.0: until the connection's end)."""
        ...

    async def send(self, piece: bytes | memoryview) -> None:
        """Return once there is room for more; so a slow client slows the source down. Raises ClientGone; a client that takes
        nothing for `api-write-seconds` is one."""
        ...

    async def end(self, trailers: Fields = ()) -> None:
        """The body is complete. Raises ClientGone."""
        ...

    def switch(self, status: int, fields: Fields) -> Duplex:
        """Answer 101, and go on with another protocol (RFC 9110, section 7.8); for HTTP/2 200 to an extended CONNECT
        (RFC 8441)."""
        ...

    def abort(self) -> None:
        """End it so that the client notices that there was to be more: close the connection, or reset the stream."""
        ...

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call this once if the client goes away before the answer is complete."""
        ...


class LaterHost(Protocol):
    """Who has an exchange answered later: the gateway."""

    def settle(self, later: "Later", status: int) -> None:
        """It was answered with this status."""
        ...

    def abandon(self, later: "Later") -> None:
        """The client has gone before."""
        ...

    def refuse_later(self, later: "Later", error: Exception) -> None:
        """There is no answer: give one that says so, and settle."""
        ...

    def take_on(self, later: "Later", rest: Awaitable[int]) -> None:
        """The rest takes a task. rest: gives the status."""
        ...


class Later:
    """An answer that comes in a callback: no task waits for it, which would take longer than most apps do. Made by a handler,
    and filled in by the gateway; its host is told once what has become of it, and never before the handler has returned."""

    __slots__ = ("began_s", "exchange", "host", "request_id", "to")

    exchange: Exchange
    request_id: str
    host: LaterHost
    to: str
    """What the request led to."""
    began_s: float

    def cancel(self) -> None:
        """The client has gone, and nobody wants the answer."""
        raise NotImplementedError


Answering = Coroutine[Any, Any, None]
"""What is still to be done for an exchange."""
Serve = Callable[[Exchange], Answering | Later | None]
"""What a listener calls with each exchange. Where the answer is at hand it is given at once, and None returned. A coroutine that
is returned is run as a task. That, or what comes later, the driver cancels if the client goes away, unless the method is not safe
and nothing was answered yet."""
