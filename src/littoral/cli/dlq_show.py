"""littoral dlq show."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, printable, size
from littoral.cli.targets import at_node
from littoral.core.errors import Gone
from littoral.node.letter_messages import PATH, LetterShown

HEX_BYTES = 16
"""In a line of a hex dump."""

Offset = Annotated[int, typer.Argument(min=0, metavar="OFFSET", help="The letter, by the offset in the list.")]


@at_node
def show(
    api: ApiClient,
    offset: Offset,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes of the record to stdout, and no more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; the record is in base64.")] = False,
) -> None:
    """Show one dead letter whole: why it was put aside, and the record, as text or as a hex dump.

    Also one that was retried or dropped, as long as retention keeps it.
    """
    letter = api.get(f"{PATH}/{offset}", LetterShown)
    if raw:
        if letter.record is None:
            raise Gone("write", f"the record of dead letter {offset}", "it is not kept", "Its reason says more")
        sys.stdout.buffer.write(letter.record)
        return
    if as_json:
        print_json(letter)
        return
    for line in _lines(letter):
        print(line)


def _lines(letter: LetterShown) -> Iterator[str]:
    state: str = letter.state
    if letter.until_ms is not None:
        state += f", at {_when(letter.until_ms)} or before"
    facts = {
        "letter": f"{letter.offset}, {state}",
        "put aside": _when(letter.at_ms),
        "source": printable(letter.source),
        "by": printable(letter.by) or "nobody who can retry it",
        "size": size(letter.size) if letter.size is not None else "unknown",
        "reason": printable(letter.reason),
    }
    for name, fact in facts.items():
        yield f"{name:<10} {fact}"
    yield ""
    if letter.record is None:
        yield (
            f"The record is not kept. It began with: {printable(letter.head)}" if letter.head else "There is no record."
        )
        return
    text = _text(letter.record)
    if text is not None:
        yield text
    else:
        yield from _hex(letter.record)


def _text(record: bytes) -> str | None:
    """The record as text; None if it is none that a terminal can show."""
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return None
    text = text.replace("\r\n", "\n")
    return text if text.replace("\n", "").replace("\t", "").isprintable() else None


def _hex(record: bytes) -> Iterator[str]:
    for start in range(0, len(record), HEX_BYTES):
        line = record[start : start + HEX_BYTES]
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{start:08x}  {line.hex(' '):<{HEX_BYTES * 3}} {ascii_text}"


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).isoformat()
