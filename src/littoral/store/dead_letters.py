"""What could not be applied, put aside with its reason so that the stream goes on."""

from collections.abc import Sequence

import msgspec

from littoral.core.names import StreamName
from littoral.store.transaction import Transaction

DEAD_LETTERS = "dead-letters"
SHOWN_BYTES = 64
"""How much of what could not be applied is kept for a person to look at."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One record of the stream `dead-letters`, which holds JSON."""

    source: str
    """The topic, or the stream and offset, it came from."""
    reason: str
    head: str
    """Its first bytes, as text."""
    at_ms: int
    """When it was put aside, ms since the epoch."""


def head_text(data: bytes) -> str:
    """The first bytes of `data` as text a person can read."""
    return data[:SHOWN_BYTES].decode("utf-8", "replace")


def append_dead_letters(tx: Transaction, letters: Sequence[DeadLetter]) -> None:
    """Put `letters` into this node's dead-letter stream."""
    if letters:
        name = StreamName(tx.node, DEAD_LETTERS)
        tx.open_stream(name, lane="telemetry")
        tx.append(name, [msgspec.json.encode(letter) for letter in letters])
