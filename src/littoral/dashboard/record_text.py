"""A record as a person reads it: JSON laid out, text as it is, and bytes in hex. Always bounded."""

import json
from dataclasses import dataclass
from typing import Literal

from littoral.dashboard.texts import bytes_text
from littoral.wire.durable_streams import is_json

SHOWN_CHARACTERS = 8000
"""Of one record: two screens."""
LINE_CHARACTERS = 100
"""JSON that fits in one line stays in one."""
HEX_BYTES = 16
"""In a line of a hex dump."""
HEX_LINES = 64
_CONTROLS = (code for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r")
_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What turns the direction of text around could make a record look like another."""
_UNSHOWN = dict.fromkeys((*_CONTROLS, *_BIDI_CONTROLS), "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True)
class RecordText:
    """What is shown of a record."""

    text: str
    kind: Literal["JSON", "text", "bytes"]
    note: str = ""
    """What is not shown."""


def record_text(head: bytes, size: int, content_type: str = "") -> RecordText:
    """The record that begins with `head` and has `size` bytes. content_type: of its stream; empty where it has none."""
    is_whole = len(head) == size
    text = _decoded(head, is_whole=is_whole)
    if text is None:
        return _hex(head, size)
    if is_whole and (is_json(content_type) or not content_type or text[:1] in ("{", "[")):
        laid_out = _laid_out(text)
        if laid_out is not None:
            return _cut(laid_out, "JSON", size, is_whole=True)
    return _cut(text, "text", size, is_whole=is_whole)


def _decoded(head: bytes, *, is_whole: bool) -> str | None:
    """The bytes as text; None if they are none. The last character of a head may be cut in the middle."""
    for missing in range(1 if is_whole else 4):
        try:
            text = head[: len(head) - missing].decode()
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text.translate(_UNSHOWN)
    return None


def _laid_out(text: str) -> str | None:
    try:
        value = json.loads(text)
        short = json.dumps(value, ensure_ascii=False)
        return short if len(short) <= LINE_CHARACTERS else json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _cut(text: str, kind: Literal["JSON", "text"], size: int, *, is_whole: bool) -> RecordText:
    text = text.translate(_UNSHOWN)
    if len(text) <= SHOWN_CHARACTERS and is_whole:
        return RecordText(text, kind)
    return RecordText(text[:SHOWN_CHARACTERS], kind, f"Only the beginning is shown. The record has {bytes_text(size)}.")


def _hex(head: bytes, size: int) -> RecordText:
    shown = head[: HEX_BYTES * HEX_LINES]
    lines = []
    for start in range(0, len(shown), HEX_BYTES):
        line = shown[start : start + HEX_BYTES]
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        lines.append(f"{start:06x}  {line.hex(' '):<{HEX_BYTES * 3}} {ascii_text}")
    note = "" if len(shown) == size else f"Only the beginning is shown. The record has {bytes_text(size)}."
    return RecordText("\n".join(lines), "bytes", note)
