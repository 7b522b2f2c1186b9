"""Header fields that are sent many times, written once."""

from collections.abc import Sequence

Fields = Sequence[tuple[str, str]]
"""Names in lower case, values as latin-1."""

_FRAMING = frozenset({"content-length", "date", "transfer-encoding"})


class FieldBlock:
    """Fields, and what they are on the wire of HTTP/1.1. What they hold was checked where they came from."""

    __slots__ = ("_encoded", "_frames", "fields")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._encoded: bytes | None = None
        self._frames: bool | None = None

    @property
    def encoded(self) -> bytes:
        """A line each, with its end."""
        if self._encoded is None:
            self._encoded = encode_fields(self.fields)
        return self._encoded

    @property
    def frames(self) -> bool:
        """Whether one of them is what who writes a response has to say by itself, unless it is said here."""
        if self._frames is None:
            self._frames = says_framing(self.fields)
        return self._frames


def says_framing(fields: Fields) -> bool:
    """Whether one of them is `date`, `content-length` or `transfer-encoding`."""
    return any(name in _FRAMING for name, _ in fields)


def encode_fields(fields: Fields) -> bytes:
    """As HTTP/1.1 writes them: a line each, with its end."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")
