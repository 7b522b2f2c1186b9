"""What operators and a node say to each other of dead letters (`letter_api`)."""

from typing import Literal

import msgspec

PATH = "/v1/dead-letters"
Act = Literal["retry", "drop"]


class LetterEntry(msgspec.Struct, frozen=True):
    """One open letter of a listing."""

    offset: int
    """Its name: its offset in the stream `dead-letters`."""
    at_ms: int
    """When it was put aside, ms since the epoch."""
    source: str
    reason: str
    by: str
    """Who put it aside, and can apply it again; empty where nobody can."""
    size: int | None
    """Bytes of what could not be applied; null where the letter does not say."""
    head: str
    """Its first bytes, as text."""


class LetterPage(msgspec.Struct, frozen=True):
    """A part of the listing."""

    letters: list[LetterEntry]
    next: int | None
    """What to give as `after` for more; null at the end. Pages may be empty before it."""
    now_ms: int
    """The node's clock, ms since the epoch."""


class LetterShown(LetterEntry, frozen=True):
    """One letter, whole."""

    record: bytes | None
    """What could not be applied; null where it is not kept."""
    state: Literal["open", "retried", "dropped"]
    until_ms: int | None
    """It was retried or dropped at this time or before."""


class Failure(msgspec.Struct, frozen=True):
    """A letter that stays open."""

    offset: int
    reason: str


class Step(msgspec.Struct, frozen=True):
    """What became of some of many letters."""

    done: int
    failed: list[Failure]
    next: int | None
    """What to give as `after` to go on; null at the end."""
    until: int
    """What to give as `until` to go on: letters from this offset on came after the first step."""


class Outcome(msgspec.Struct, frozen=True):
    """Answer of a retry or drop of one letter."""

    offset: int
    outcome: str
    """What came of it, in words."""
