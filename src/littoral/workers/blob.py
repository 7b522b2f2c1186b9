"""Blob and File: bytes with a media type, and a name (W3C File API)."""

from collections.abc import Iterable
from typing import TypeAlias, Union

from littoral.workers.buffers import Buffer, Bytes
from littoral.workers.streams import ReadableStream

BlobPart: TypeAlias = Union[str, bytes, bytearray, memoryview, "Blob"]


class Blob:
    """Immutable bytes with a media type."""

    __slots__ = ("_data", "content_type")

    content_type: str
    """The media type; "" if it is unknown."""

    def __init__(
        self,
        blob_parts: Iterable[BlobPart] | BlobPart = (),
        content_type: str | None = None,
        endings: str | None = None,
    ) -> None:
        """blob_parts: one part, or several, which are joined. content_type: that of a single Blob by default. endings:
        "native" would turn CR LF into LF, as it is on Linux. Raises TypeError for another type of part."""
        if isinstance(blob_parts, str | bytes | bytearray | memoryview | Blob):
            self._data = _part(blob_parts, endings)
            if isinstance(blob_parts, Blob) and not content_type:
                content_type = blob_parts.content_type
        else:
            self._data = b"".join([_part(part, endings) for part in blob_parts])
        self.content_type = (content_type or "").lower()

    @property
    def size(self) -> int:
        """How many bytes."""
        return len(self._data)

    @property
    def type(self) -> str:
        """The media type; "" if it is unknown."""
        return self.content_type

    @property
    def js_object(self) -> "Blob":
        """Itself: there is no JavaScript underneath."""
        return self

    async def bytes(self) -> Bytes:
        """The bytes."""
        return self._data

    async def text(self) -> str:
        """The bytes as UTF-8; what is none is replaced."""
        return self._data.decode("utf-8", "replace")

    async def buffer(self) -> Buffer:
        """The bytes as a buffer."""
        return Buffer(self._data)

    arrayBuffer = buffer

    def stream(self) -> ReadableStream:
        """The bytes as a stream."""
        return ReadableStream(self._data)

    def slice(self, start: int | None = None, end: int | None = None, content_type: str | None = None) -> "Blob":
        """A blob of some of the bytes; negative positions count from the end."""
        return Blob(self._data[start:end], content_type)

    def as_body(self) -> tuple[Bytes, str | None]:
        """What it is in a request or response: its bytes, and their media type."""
        return self._data, self.content_type or None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.size} bytes {self.content_type}>"


class File(Blob):
    """A blob with a name."""

    __slots__ = ("last_modified", "name")

    last_modified: int
    """Milliseconds since 1970; 0 where nobody said."""

    def __init__(
        self,
        blob_parts: Iterable[BlobPart] | BlobPart,
        filename: str,
        content_type: str | None = None,
        endings: str | None = None,
        last_modified: int | None = None,
    ) -> None:
        """last_modified: milliseconds since 1970; that of a single File by default, or else 0."""
        super().__init__(blob_parts, content_type, endings)
        self.name = filename
        inherited = blob_parts.last_modified if isinstance(blob_parts, File) else 0
        self.last_modified = inherited if last_modified is None else last_modified

    @property
    def lastModified(self) -> int:
        """Milliseconds since 1970; 0 where nobody said."""
        return self.last_modified


def _part(part: object, endings: str | None) -> bytes:
    if isinstance(part, str):
        return (part.replace("\r\n", "\n") if endings == "native" else part).encode()
    if isinstance(part, Blob):
        return part._data
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part)
    raise TypeError(f"a blob's parts are str, bytes or Blob, not {type(part).__name__}")
