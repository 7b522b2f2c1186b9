"""Server-sent events (WHATWG HTML, section 9.2) as the Durable Streams protocol uses them.

A data event carries records, a control event says where the reader is; every data event is followed by one.
"""

import base64
import re

import msgspec

_LINE_END = re.compile(rb"\r\n|\r|\n")


class Control(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Where a reader is after what it was sent."""

    stream_next_offset: str
    stream_cursor: str | None = None
    """None only at the end of a closed stream: nobody reconnects there."""
    up_to_date: bool = False
    stream_closed: bool = False


def data_event(payload: bytes, *, text: bool) -> bytes:
    """A data event. `text` payloads go as they are, one `data:` line for each of theirs; others as base64."""
    if not text:
        payload = base64.b64encode(payload)
    # Every way to end a line is cut at, so nothing in a payload can begin a field or an event of its own.
    return b"event: data\n" + b"".join(map(_data_line, _LINE_END.split(payload))) + b"\n"


def control_event(control: Control) -> bytes:
    """A control event."""
    return b"event: control\n" + _data_line(msgspec.json.encode(control)) + b"\n"


def _data_line(line: bytes) -> bytes:
    # A parser takes one leading space away, so a line that begins with one is given another.
    return (b"data: " if line.startswith(b" ") else b"data:") + line + b"\n"
