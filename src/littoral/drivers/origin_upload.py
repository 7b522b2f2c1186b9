"""A request's body on its way to an origin, while the response may already come."""

from collections.abc import AsyncIterator
from typing import Protocol

from littoral.drivers.pieces import close_pieces


class BodyLength(ValueError):
    """A request's body is not of the length that was announced: sent so, it would reach into the next request, or wait for it."""


class Line(Protocol):
    """What an upload needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send it, or drop it where nobody takes it."""
        ...

    async def drained(self) -> None:
        """There is room for more. Raises ConnectionError where the other side is gone."""
        ...


async def upload(line: Line, body: AsyncIterator[bytes], length: int | None) -> None:
    """Send the body, chunked if it has no length; as fast as the origin takes it. Raises BodyLength, ConnectionError, and
    what iterating over the body raises. However it ends, the iterator is closed."""
    sent = 0
    try:
        async for piece in body:
            if not piece:
                continue
            sent += len(piece)
            if length is None:
                line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif sent <= length:
                line.write(piece)
            else:
                raise BodyLength(f"the request's body is longer than the {length} bytes announced")
            await line.drained()
        if length is None:
            line.write(b"0\r\n\r\n")
        elif sent != length:
            raise BodyLength(f"the request's body ends after {sent} of {length} bytes")
    finally:
        await close_pieces(body)
