"""What connections of the gateway know of their listener."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, Protocol

from msgspec import Struct

from littoral.core.gateway_limits import (
    GATEWAY_BODY_RATE,
    GATEWAY_BODY_S,
    GATEWAY_CONTROL_FRAMES,
    GATEWAY_FIELDS,
    GATEWAY_HEAD_BYTES,
    GATEWAY_HEAD_S,
    GATEWAY_IDLE_S,
    GATEWAY_LINGER_S,
    GATEWAY_READ_BYTES,
    GATEWAY_SEND_BYTES,
    GATEWAY_STREAM_RESETS,
    GATEWAY_STREAMS,
    GATEWAY_TARGET_BYTES,
    GATEWAY_UNREAD_BYTES,
)
from littoral.core.http import Response
from littoral.core.limit import Limit
from littoral.core.limits import API_WRITE_S, Limits
from littoral.gateway.exchange import Serve

Refused = Literal["connections", "malformed", "head", "unsupported", "late", "unread", "idle", "flood"]
"""Why a request or a connection was not served: too many connections; no HTTP, or not as the RFCs write it (400, 421); a head
over a bound (414, 431); what is not done here (405, 417, 501, 505); too slow (408); an answer that nobody takes; nothing was
asked; more of what costs a client nothing than anybody needs (HTTP/2)."""


class WebBounds(Struct, frozen=True):
    """The limits as numbers: looked up once, not for each request."""

    head_bytes: int
    target_bytes: int
    fields: int
    read_bytes: int
    send_bytes: int
    unread_bytes: int
    head_s: int
    body_s: int
    body_rate: int
    idle_s: int
    linger_s: int
    write_s: int
    streams: int
    stream_resets: int
    control_frames: int

    @classmethod
    def of(cls, limits: Limits) -> "WebBounds":
        """As they are set now."""
        return cls(
            head_bytes=limits[GATEWAY_HEAD_BYTES],
            target_bytes=limits[GATEWAY_TARGET_BYTES],
            fields=limits[GATEWAY_FIELDS],
            read_bytes=limits[GATEWAY_READ_BYTES],
            send_bytes=limits[GATEWAY_SEND_BYTES],
            unread_bytes=limits[GATEWAY_UNREAD_BYTES],
            head_s=limits[GATEWAY_HEAD_S],
            body_s=limits[GATEWAY_BODY_S],
            body_rate=limits[GATEWAY_BODY_RATE],
            idle_s=limits[GATEWAY_IDLE_S],
            linger_s=limits[GATEWAY_LINGER_S],
            write_s=limits[API_WRITE_S],
            streams=limits[GATEWAY_STREAMS],
            stream_resets=limits[GATEWAY_STREAM_RESETS],
            control_frames=limits[GATEWAY_CONTROL_FRAMES],
        )


class Ticked(Protocol):
    """A connection, as its listener sees it."""

    def tick(self, now_s: float) -> None:
        """A second has passed: end what is late."""
        ...

    def finish(self) -> None:
        """Take no more requests, and end once those that came are answered."""
        ...

    def abort(self) -> None:
        """End, whatever is under way."""
        ...


class WebHost(Protocol):
    """A listener, as its connections see it."""

    serve: Serve
    knows_h2c: bool
    """Whether HTTP/2 is spoken without TLS, with who begins with its preface."""

    @property
    def bounds(self) -> WebBounds:
        """The limits."""
        ...

    @property
    def date_line(self) -> bytes:
        """Now, as a header field with its line's end."""
        ...

    @property
    def now_s(self) -> float:
        """Of the loop's clock, as of the last second's beginning."""
        ...

    @property
    def draining(self) -> bool:
        """Whether each answer is the last of its connection."""
        ...

    def opened(self, connection: Ticked) -> bool:
        """Count a connection; False if it is one too many."""
        ...

    def closed(self, connection: Ticked) -> None:
        """It is no more."""
        ...

    def speak_http2(self, connection: Ticked, transport: asyncio.Transport, data: bytes) -> None:
        """Another protocol goes on with the transport of a connection; data: what was read from it."""
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Begin it. Tell of its end by `ran`."""
        ...

    def ran(self, task: "asyncio.Task[None]") -> None:
        """It has ended."""
        ...

    def refused(self, why: Refused, limit: Limit | None = None) -> None:
        """Count it; limit: which one was reached."""
        ...

    def reached(self, limit: Limit) -> None:
        """Count it."""
        ...

    def fault(self, method: str, target: str, error: Exception) -> Response:
        """Log what went wrong here, and what the client is told of it."""
        ...
