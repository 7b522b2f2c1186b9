"""What requests and responses share: a body that is read once, whole or piece by piece (Fetch Standard, section 5)."""

import json as _json
from collections.abc import AsyncIterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from littoral.workers.blob import Blob
from littoral.workers.buffers import Buffer, Bytes
from littoral.workers.form_data import FormData
from littoral.workers.headers import Headers
from littoral.workers.streams import ReadableStream

TEXT = "text/plain;charset=UTF-8"


class BodyUsedError(OSError):
    """The body was read already; a clone taken before could be read again."""

    def __init__(self) -> None:
        super().__init__("Body already used: read it once, or take .clone() before")


@runtime_checkable
class BodySource(Protocol):
    """What knows how it looks as a body: Blob, FormData, URLSearchParams."""

    def as_body(self) -> tuple[bytes, str | None]:
        """The bytes, and their content type."""
        ...


BodyInit: TypeAlias = str | bytes | bytearray | memoryview | ReadableStream | BodySource | AsyncIterable[object] | None


class _Used:
    """In the place of a body that was read."""


USED = _Used()


def extract(body: BodyInit) -> tuple[bytes | ReadableStream | None, str | None]:
    """A body as it is kept, and the content type that follows from what it was given as.

    Raises TypeError for what is no body.
    """
    if isinstance(body, str):
        return body.encode(), TEXT
    if body is None or isinstance(body, ReadableStream):
        return body, None
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), None
    if isinstance(body, BodySource):
        return body.as_body()
    if isinstance(body, AsyncIterable):
        return ReadableStream(body), None
    raise TypeError(
        "a body is str, bytes, None, FormData, Blob, URLSearchParams, a stream or an async iterator, "
        f"not {type(body).__name__}"
    )


class Body:
    """The part of Request and Response that is their body.

    Kept as bytes where it is whole, and as a ReadableStream where it comes piece by piece, or somebody asked for one.
    """

    __slots__ = ("_body", "headers")

    _body: Bytes | ReadableStream | _Used | None
    headers: Headers

    @property
    def body(self) -> ReadableStream | None:
        """The body as a stream; None where there is none."""
        body = self._body
        if isinstance(body, bytes):
            if not body:
                return None
            body = self._body = ReadableStream(body)
        if isinstance(body, _Used):
            body = ReadableStream(b"")
            body.disturbed = True
        return body

    @property
    def body_used(self) -> bool:
        """Whether it was read."""
        return self._body is USED or (isinstance(self._body, ReadableStream) and self._body.disturbed)

    @property
    def bodyUsed(self) -> bool:
        """Whether it was read."""
        return self.body_used

    async def bytes(self) -> Bytes:
        """The whole body. Raises BodyUsedError where it was read before."""
        body = self._body
        if type(body) is bytes:
            if body:
                self._body = USED
            return body
        if body is None:
            return b""
        if not isinstance(body, ReadableStream) or body.disturbed:
            raise BodyUsedError
        return await body.whole()

    async def text(self) -> str:
        """The body as UTF-8; what is none is replaced. Raises BodyUsedError."""
        return (await self.bytes()).decode("utf-8", "replace")

    async def json(self, **options: Any) -> Any:
        """The body decoded. `options` are those of json.loads. Raises json.JSONDecodeError, BodyUsedError."""
        return _json.loads(await self.bytes(), **options)

    async def buffer(self) -> Buffer:
        """The body as what JavaScript would call an ArrayBuffer. Raises BodyUsedError."""
        return Buffer(await self.bytes())

    async def blob(self) -> Blob:
        """The body, with its content type. Raises BodyUsedError."""
        return Blob(await self.bytes(), self.headers.get("content-type"))

    async def form_data(self) -> FormData:
        """The form in the body. Raises BodyUsedError; FormError, a TypeError, where there is none."""
        # The parser is loaded by functions that read forms only.
        from littoral.workers.multipart import parse_form  # noqa: PLC0415

        return parse_form(await self.bytes(), self.headers.get("content-type"))

    formData = form_data
    arrayBuffer = buffer

    def _copied_body(self) -> Bytes | ReadableStream | None:
        """A body like this one, for a clone. Raises BodyUsedError where it was read, or is being read."""
        body = self._body
        if not isinstance(body, ReadableStream):
            if isinstance(body, _Used):
                raise BodyUsedError
            return body
        if body.disturbed or body.locked:
            raise BodyUsedError
        self._body, copy = body.tee()
        return copy
