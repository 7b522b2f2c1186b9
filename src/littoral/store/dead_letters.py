"""What could not be applied, put aside with its reason so that the stream goes on.

What is done about a letter afterwards is kept beside the stream: `littoral.store.letter_marks`.
"""

import base64
from collections.abc import Sequence

import msgspec

from littoral.core.errors import LimitReached, TooLarge
from littoral.core.names import StreamName
from littoral.store.letter_marks import mark
from littoral.store.transaction import Transaction

DEAD_LETTERS = "dead-letters"
SHOWN_BYTES = 64
"""How much of what could not be applied is shown as text, for a person to recognise it."""
PART_BYTES = 384 * 1024
"""A greater record is put aside in parts: each must fit into one record itself, in base64 and with its reason."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One record of the stream `dead-letters`, which holds JSON."""

    source: str
    """The topic, or the stream and offset, it came from."""
    reason: str
    head: str
    """Its first bytes, as text."""
    at_ms: int
    """When it was put aside, ms since the epoch."""
    record: str = ""
    """All of it in base64, so that it can be tried again; empty where it is kept elsewhere (a reading: in `readings`)
    or cannot be read."""
    part: int = 1
    """Which part of the record this is, and of how many."""
    parts: int = 1
    by: str = ""
    """Who put it aside and can apply it again, as KIND/NAME (`littoral.node.retriers`); empty where there is nothing to
    be applied, and in letters of versions that did not say it."""
    size: int | None = None
    """Bytes of the whole record, wherever it is; None in letters of versions that did not say it."""
    place: str = ""
    """LINEAGE:OFFSET of a reading that is kept in `readings`."""


def head_text(data: bytes) -> str:
    """The first bytes of `data` as text a person can read."""
    return data[:SHOWN_BYTES].decode("utf-8", "replace")


def dead_letters(source: str, reason: str, record: bytes, at_ms: int, by: str = "") -> list[DeadLetter]:
    """A record that could not be applied, whole: in one letter, or in several where it is large. by: see DeadLetter."""
    parts = [record[at : at + PART_BYTES] for at in range(0, len(record), PART_BYTES)] or [b""]
    return [
        DeadLetter(
            source,
            reason,
            head_text(part),
            at_ms,
            base64.b64encode(part).decode("ascii"),
            number,
            len(parts),
            by,
            len(record),
        )
        for number, part in enumerate(parts, 1)
    ]


def append_dead_letters(tx: Transaction, letters: Sequence[DeadLetter]) -> None:
    """Put `letters` into this node's dead-letter stream. Never in the way of what goes on: where the node may hold no
    further stream they are left out, and where its records may not be so large, what they are about is.
    """
    if not letters:
        return
    name = StreamName(tx.node, DEAD_LETTERS)
    try:
        tx.open_stream(name, lane="telemetry")
    except LimitReached:
        return  # counted at the limit `streams`
    try:
        span = tx.append(name, [msgspec.json.encode(letter) for letter in letters], essential=True)
    except TooLarge:
        for letter in letters:
            _append_what_fits(tx, name, letter)
        return
    for offset, letter in enumerate(letters, span.first):
        _note_part(tx, name, offset, letter)


def _note_part(tx: Transaction, name: StreamName, offset: int, letter: DeadLetter) -> None:
    """Of a letter in parts the first one is open."""
    info = tx.stream(name)
    if letter.part > 1 and info is not None:
        mark(tx, info, offset, offset + 1, applied=False)


def _append_what_fits(tx: Transaction, name: StreamName, letter: DeadLetter) -> None:
    short = msgspec.structs.replace(
        letter, source=letter.source[:SHOWN_BYTES], reason=letter.reason[:SHOWN_BYTES], record=""
    )
    for each in (letter, short):
        try:
            span = tx.append(name, [msgspec.json.encode(each)], essential=True)
        except TooLarge:
            continue  # counted at the limit `record-bytes`
        _note_part(tx, name, span.first, letter)
        return
