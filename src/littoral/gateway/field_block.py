"""Header fields that are sent many times, written once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

Fields = Sequence[tuple[str, str]]
"""Names in lower case, values as latin-1."""

_FRAMING = frozenset({"content-length", "transfer-encoding"})
_OF_THE_WRITER = _FRAMING | {"date"}


class FieldBlock:
    """Fields, and what they are on the wire of HTTP/1.1. What they hold was checked where they came from."""

    __slots__ = ("encoded", "fields", "frames", "has_date")

    encoded: bytes
    """A line each, with its end."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.has_date = any(name == "date" for name, _ in fields)
        self.frames = any(name in _FRAMING for name, _ in fields)
        """Whether one of them says how the body is framed, which who writes a response has to compare with the body."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> bytes:
            # What is not there yet is `encoded`, and from then on it is an attribute like others: it is read with each answer.
            if name != "encoded":
                raise AttributeError(name)
            self.encoded = encoded = encode_fields(self.fields)
            return encoded


def says_of_writer(fields: Fields) -> bool:
    """Whether one of them is what who writes a response says itself where nobody else does."""
    for name, _ in fields:  # noqa: SIM110 -- on the path of every hit: a generator takes three times as long
        if name in _OF_THE_WRITER:
            return True
    return False


def encode_fields(fields: Fields) -> bytes:
    """As HTTP/1.1 writes them: a line each, with its end."""
    if len(fields) == 1:
        # What nearly every answer has of its own.
        name, value = fields[0]
        return f"{name}: {value}\r\n".encode("latin-1")
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")
