"""The parser of responses (httptools, which is strict unless told otherwise), as a list of what it has found.

Judging what is found while the parser runs would take a call for each, of which most say nothing new.
"""

from functools import partial
from typing import Final, Protocol, cast

import httptools

from littoral.gateway.field_block import Fields

BEGIN: Final = 1
HEAD: Final = 2
END: Final = 3
"""Of a message: its first byte, the end of its head, its last byte."""
Field = tuple[bytes, bytes]
"""Of a head, or, after it, a trailer."""
Event = int | Field | bytes
"""bytes: a piece of a body."""
Head = tuple[int, str]
"""Status and version."""

KNOWN_FIELDS = 2048
"""Fields remembered as they are read: most responses of an origin have most of them in common."""
KNOWN_BYTES = 64
"""The largest name or value that is."""

_known: dict[Field, tuple[str, str]] = {}


class _Parser(Protocol):
    """What httptools has without types."""

    def feed_data(self, data: bytes) -> None: ...
    def get_status_code(self) -> int: ...
    def get_http_version(self) -> str: ...


class _Handler:
    """What httptools calls."""

    def __init__(self, events: list[Event], heads: list[Head]) -> None:
        found, found_head = events.append, heads.append
        self.on_message_begin = partial(found, BEGIN)
        self.on_body = found
        self.on_message_complete = partial(found, END)
        # Functions of their own: a bound method costs each call more.
        parser = self.parser = cast("_Parser", None)

        def on_header(name: bytes, value: bytes) -> None:
            found((name, value))

        def on_headers_complete() -> None:
            found_head((parser.get_status_code(), parser.get_http_version()))
            found(HEAD)

        self.on_header = on_header
        self.on_headers_complete = on_headers_complete
        parser = self.parser = cast("_Parser", httptools.HttpResponseParser(self))


def response_parser(events: list[Event], heads: list[Head]) -> _Parser:
    """A parser whose `feed_data` adds to `events`, and to `heads` one for each HEAD. It raises httptools.HttpParserError, and
    HttpParserUpgrade where another protocol begins."""
    return _Handler(events, heads).parser


def read_fields(found: list[Field]) -> Fields:
    """As text, with names in lower case."""
    known = _known
    return [known.get(field) or _read(field) for field in found]


def _read(field: Field) -> tuple[str, str]:
    name, value = field
    read = (name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t"))
    if len(value) <= KNOWN_BYTES and len(name) <= KNOWN_BYTES:
        if len(_known) >= KNOWN_FIELDS:
            _known.clear()
        _known[field] = read
    return read
