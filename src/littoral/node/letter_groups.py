"""What the open dead letters have in common: how many there are of each reason, and of each part that put them aside.

Reasons name offsets, sizes and times; those that differ in numbers only are one group. Of very many letters the oldest
are looked at: letters pile up because of one thing, and the first of them say which.
"""

import asyncio
import re

import msgspec

from littoral.store.letter_reader import Letter, LetterReader

GROUPED_LETTERS = 1000
GROUPED_READS = 8
"""Pages looked at, each of up to `read-bytes`."""
GROUPS = 50
"""Shown; the rest is one group without a reason."""
REASON_CHARACTERS = 300

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class LetterGroup(msgspec.Struct, frozen=True):
    """Open letters with one reason."""

    by: str
    """Who put them aside; empty where nobody can apply them again."""
    reason: str
    """With # for numbers; empty for all that found no group of their own."""
    containing: str
    """The longest part of the reason without numbers: what to look for to list them."""
    count: int
    last_ms: int
    """When the last of them was put aside, ms since the epoch."""


class LetterGroups(msgspec.Struct, frozen=True):
    """A survey of the open letters."""

    groups: list[LetterGroup]
    """The largest first."""
    looked_at: int
    open: int
    """How many there are."""
    now_ms: int


async def grouped(reader: LetterReader, now_ms: int) -> LetterGroups:
    """The survey as of now. Raises StorageError."""
    info = reader.info()
    groups: dict[tuple[str, str], LetterGroup] = {}
    looked_at = after = 0
    for _ in range(GROUPED_READS):
        if info is None or after >= info.next or looked_at >= GROUPED_LETTERS:
            break
        page = reader.page(after, info.next, GROUPED_LETTERS - looked_at)
        for letter in page.letters:
            _count(groups, letter)
        looked_at += len(page.letters)
        after = page.next
        await asyncio.sleep(0)  # A page may be a megabyte; others have their turn.
    largest = sorted(groups.values(), key=lambda group: group.count, reverse=True)
    return LetterGroups(largest, looked_at, reader.open_count(), now_ms)


def _count(groups: dict[tuple[str, str], LetterGroup], letter: Letter) -> None:
    said = letter.said
    reason = said.reason[:REASON_CHARACTERS]
    common = _NUMBER.sub("#", reason)
    key = (said.by, common)
    known = groups.get(key)
    if known is None and len(groups) >= GROUPS:
        key, common, reason = ("", ""), "", ""
        known = groups.get(key)
    if known is None:
        known = LetterGroup(key[0], common, max(_NUMBER.split(reason), key=len).strip(), 0, 0)
    groups[key] = msgspec.structs.replace(known, count=known.count + 1, last_ms=max(known.last_ms, said.at_ms))
