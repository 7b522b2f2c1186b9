"""What a rule makes of readings: windows, alerts and dead letters, and their JSON."""

import hashlib
from typing import Literal

import msgspec

from littoral.iot.rules.window import Number
from littoral.store.dead_letters import DeadLetter

Reason = Literal["late", "malformed", "invalid", "too-many-keys"]
"""late: its window was emitted. malformed: not JSON, or no number. invalid: a field is missing, of another type or out
of range. too-many-keys: the rule has as many keys as the limit rule-keys allows, and this is another one."""

READING, WINDOW, ALERT = "reading", "window", "alert"
"""What a rule puts aside, with the rule's name behind it: see DeadLetter.by."""

_encode = msgspec.json.Encoder().encode


class WindowResult(msgspec.Struct, frozen=True):
    """The aggregates of one closed window."""

    id: str
    """The same for the same rule, node, key, start and end, always."""
    rule: str
    node: str
    key: str
    start: int
    """Milliseconds since the epoch; the window is [start, end)."""
    end: int
    aggregates: dict[str, Number]

    def document(self) -> bytes:
        """As a JSON object; the aggregates are members like the rest."""
        fields = {name: getattr(self, name) for name in ("id", "rule", "node", "key", "start", "end")}
        return _encode(fields | self.aggregates)


class Alert(msgspec.Struct, frozen=True):
    """One anomaly."""

    id: str
    """The same for the same rule, node, key and reading, always."""
    rule: str
    node: str
    key: str
    ts: int
    """The reading's time, milliseconds since the epoch."""
    value: float
    zscore: float | None
    """None where the preceding readings are all the same."""
    mean: float
    """Of the preceding readings, as is `stddev`."""
    stddev: float
    sequence: int | None
    """The device's number of the reading."""

    def document(self) -> bytes:
        """As a JSON object."""
        return _encode(self)


Output = WindowResult | Alert | DeadLetter
"""A dead letter is a reading that the rule could not use."""


def output_id(*parts: str | int) -> str:
    """128 bits of SHA-256 over the parts as a JSON array, in hex: different parts never run into each other."""
    return hashlib.sha256(_encode(parts)).hexdigest()[:32]
