"""One request and one response, as every API of a node sees them, whatever carried them.

Handlers are plain coroutines `Request -> Response`: drivers serve them over TCP in the event loop and over TLS with
granian, and the simulated network calls them in virtual time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request whose body is already read, within the limit of the listener."""

    method: str
    path: str
    """Percent-decoded path, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; repeated fields joined with ", "."""
    body: bytes = b""
    remote: str = ""
    """Address of the peer, for logs and limits only."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class StreamingResponse:
    """A response whose body arrives in pieces; `chunks` is closed when the client goes away."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]


AnyResponse = Response | StreamingResponse
Handler = Callable[[Request], Awaitable[AnyResponse]]
