"""What apps answer: whole, in pieces, or with a WebSocket."""

from typing import Literal

from littoral.core.errors import LittoralError
from littoral.gateway.app_asking import AppStream
from littoral.gateway.field_block import Fields
from littoral.gateway.meters import Meters
from littoral.gateway.origins.transport import OriginFailed

REQUEST_ID = "x-request-id"
PIECE_BYTES = 1 << 18
"""Of a body that is too large to be stored in memory: it is given, and written to the disk, piece by piece."""


class AppAnswer:
    """Implements `littoral.gateway.origins.transport.OriginAnswer`: all of it is here."""

    __slots__ = ("_at", "body", "fields", "length", "older_s", "personal", "status", "trailers", "version", "whole")

    def __init__(self, status: int, fields: Fields, body: bytes, request_id: str) -> None:
        self.status = status
        self.fields: Fields = fields
        self.version = "1.1"
        self.body = body
        self.whole: bytes | None = body
        self.length: int | None = len(body)
        self._at = len(body)
        """How far it has been read."""
        self.trailers: Fields = ()
        self.personal: Fields = ((REQUEST_ID, request_id),)
        self.older_s = 0.0

    def take_apart(self) -> None:
        """It is too large to be stored whole: have it read instead."""
        self.whole, self._at = None, 0
        self.fields = [*self.fields, ("content-length", str(len(self.body)))]

    async def read(self) -> bytes:
        """See OriginAnswer.read."""
        start, self._at = self._at, self._at + PIECE_BYTES
        return self.body[start : self._at]

    def close(self) -> None:
        """There is nothing to close."""


class AppAnswerStream:
    """Implements `littoral.gateway.origins.transport.OriginAnswer`: it comes in pieces."""

    def __init__(
        self,
        app: str,
        status: int,
        fields: Fields,
        stream: AppStream,
        method: str,
        request_id: str,
        meters: Meters,
    ) -> None:
        """fields: without content-length, which is added where it is known."""
        self._app = app
        self._stream = stream
        self._count = _Open(meters, "app_streams")
        self._left = None if method == "HEAD" else stream.length
        """Of the announced length: what is still to come. A worker is not trusted to send as much."""
        self.status = status
        self.length = stream.length
        self.fields: Fields = fields if self.length is None else [*fields, ("content-length", str(self.length))]
        self.version = "1.1"
        self.whole: bytes | None = None
        self.trailers: Fields = ()
        self.personal: Fields = ((REQUEST_ID, request_id),)
        self.older_s = 0.0

    async def read(self) -> bytes:
        """See OriginAnswer.read."""
        try:
            piece = await self._stream.read()
        except LittoralError as error:
            raise self._failed(error.cause or str(error)) from None
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0 or (self._left and not piece):
                raise self._failed("it sent more or less than it had announced")
        return piece

    def close(self) -> None:
        """See OriginAnswer.close."""
        self._count.close()
        self._stream.close()

    def _failed(self, cause: str) -> OriginFailed:
        failure = OriginFailed("call app", self._app, cause)
        failure.stage = "body"
        return failure


class AppWay:
    """Implements `littoral.gateway.exchange.Duplex`: the bytes between a client and the worker that speaks with it."""

    def __init__(self, stream: AppStream, meters: Meters) -> None:
        stream.switched = True
        self._stream = stream
        self._count = _Open(meters, "web_sockets")

    async def read(self) -> bytes:
        """See Duplex. Raises ConnectionError at the end: whatever the worker has said by then is all there is to say."""
        try:
            piece = await self._stream.read()
        except LittoralError as error:
            raise ConnectionError(str(error)) from None
        if not piece:
            raise ConnectionError("the function has closed it")
        return piece

    async def write(self, data: bytes) -> None:
        """See Duplex."""
        await self._stream.write(data)

    def end(self) -> None:
        """See Duplex."""
        self._stream.end()

    def close(self) -> None:
        """See Duplex."""
        self._count.close()
        self._stream.close()


class _Open:
    """Counts something as open until it is closed."""

    def __init__(self, meters: Meters, name: Literal["app_streams", "web_sockets"]) -> None:
        self._meters: Meters | None = meters
        self._name = name
        setattr(meters, name, getattr(meters, name) + 1)

    def close(self) -> None:
        """Once is enough."""
        meters, self._meters = self._meters, None
        if meters is not None:
            setattr(meters, self._name, getattr(meters, self._name) - 1)
