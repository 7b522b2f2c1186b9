"""One request that a function makes, as the platform is given it, and what it gives back. Redirects are requests of their own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from littoral.workers.streams import ReadableStream


class Way(Protocol):
    """Bytes both ways, after a switch to another protocol."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises FetchError where it breaks off."""
        ...

    async def write(self, data: bytes) -> None:
        """Return once there is room for more. Raises FetchError where the other side is gone."""
        ...

    def close(self) -> None:
        """Close both ways."""
        ...


@dataclass(slots=True)
class Outgoing:
    """A request."""

    url: str
    method: str = "GET"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | ReadableStream | None = None
    base: str = ""
    """What `url` is relative to, of a redirect."""
    web_socket_key: str = ""
    """Of the handshake, where the answer is to be a WebSocket."""


@dataclass(slots=True)
class Incoming:
    """What was answered."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, without those of the connection."""
    url: str
    """As it was asked, in canonical form."""
    location: str = ""
    """Where its Location leads to from there; empty for nowhere."""
    body: "bytes | AsyncIterator[bytes]" = b""
    way: Way | None = None
    """Where it was switched to another protocol."""

    async def close(self) -> None:
        """Nobody reads the rest."""
        close = getattr(self.body, "aclose", None)
        if close is not None:
            await close()
        if self.way is not None:
            self.way.close()
