"""How one node calls another. Real: `littoral.drivers.transport` (HTTPS, mTLS); simulated: `littoral.testing.net`."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from littoral.core.http import Headers, Request, Response


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A response being read: the head is here, `chunks` yields the body as it arrives."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Request/response and streaming to one peer at a time; connections are the implementation's."""

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """Send `request` to the node at `base_url` ("https://host:port") and read the whole answer.

        Raises: PeerUnreachable when no answer came (refused, cut, reset, timed out). Whether the
        peer acted on the request is then unknown: every peer operation is idempotent.
        """
        ...

    def stream(self, base_url: str, request: Request, idle_timeout_s: float) -> AbstractAsyncContextManager[OpenStream]:
        """Send `request` and read the answer piece by piece.

        `idle_timeout_s` bounds the silence between two pieces; it is how a half-open connection is noticed.
        Raises: PeerUnreachable, at the start or while reading.
        """
        ...
