"""Reading dead letters: a page of those that are open, and one whole."""

import base64
import binascii
from collections.abc import Iterator

import msgspec

from littoral.core.errors import Gone, NotFound, StorageCorrupt
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.batch import Batch
from littoral.store.dead_letters import DEAD_LETTERS, DeadLetter
from littoral.store.letter_marks import SCOPE, LetterMarks
from littoral.store.store import Store
from littoral.store.stream import StreamInfo

_decode = msgspec.json.Decoder(DeadLetter).decode


class Letter(msgspec.Struct, frozen=True):
    """A letter at its place in the stream."""

    offset: int
    said: DeadLetter
    """Its first part."""
    is_readable: bool = True
    """Whether `said` was read; else it says what is wrong with the letter itself."""
    next: int = 0
    """After its last part. Of `whole` only, as is `record`."""
    record: bytes | None = None
    """What could not be applied; None where the letter does not hold all of it."""


class Page(msgspec.Struct, frozen=True):
    """Some of the letters that are open, in order."""

    letters: list[Letter]
    parts: list[Letter]
    """Further parts that nobody has marked, as versions that knew of no marks have left them."""
    next: int
    """Where to go on; the end of what was asked for if there are no more."""


class LetterReader:
    """A node's own dead letters, as committed."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self.name = StreamName(store.node, DEAD_LETTERS)

    def info(self) -> StreamInfo | None:
        """The stream; None where nothing was ever put aside."""
        return self._store.stream(self.name)

    def marks(self, info: StreamInfo) -> LetterMarks:
        """What was done about letters."""
        return LetterMarks(info, lambda key: self._store.state_value(SCOPE, key))

    def open_count(self) -> int:
        """How many letters are open, without a look at them."""
        info = self.info()
        return self.marks(info).open_count() if info is not None else 0

    def page(self, after: int, until: int, most: int) -> Page:
        """Of the letters in [after, until) up to `most` that are open, as far as one read gives them. Raises
        StorageError."""
        letters: list[Letter] = []
        parts: list[Letter] = []
        info = self.info()
        if info is None:
            return Page(letters, parts, until)
        until = min(until, info.next)
        marks = self.marks(info)
        at = marks.next_open(max(after, info.first), until)
        if at == until:
            return Page(letters, parts, until)
        try:
            batches = self._store.read(self.name, at, self._limits[READ_BYTES])
        except Gone:
            return Page(letters, parts, at)  # retention is on disk, and about to be published
        for letter in _letters_in(batches, at, marks):
            if letter.offset >= until or len(letters) + len(parts) >= most:
                return Page(letters, parts, min(letter.offset, until))
            (parts if letter.said.part > 1 else letters).append(letter)
        return Page(letters, parts, marks.next_open(max(at, batches[-1].next), until) if batches else until)

    def whole(self, offset: int) -> Letter:
        """The letter whose first part is at `offset`, with its record. Raises NotFound, Gone, StorageError."""
        info = self.info()
        if info is None or offset >= info.next:
            tail = info.next if info is not None else 0
            raise NotFound(
                "find",
                f"dead letter {offset}",
                f"the letters of {self._store.node} end before offset {tail}",
                "`littoral dlq list` names them",
            )
        if offset < info.first:
            raise Gone(
                "find",
                f"dead letter {offset}",
                f"retention has taken all before offset {info.first}",
                "`littoral dlq list` names those that are left",
            )
        first, *rest = self._parts(info, offset)
        if first.said.part > 1:
            raise NotFound(
                "find",
                f"dead letter {offset}",
                f"it is part {first.said.part} of the letter at offset {offset - first.said.part + 1}",
                "Name that one",
            )
        return msgspec.structs.replace(first, next=offset + 1 + len(rest), record=_joined([first, *rest]))

    def _parts(self, info: StreamInfo, offset: int) -> list[Letter]:
        """The letter at `offset`, and what follows of it."""
        parts: list[Letter] = []
        at = offset
        while at < info.next:
            for letter in _letters_in(self._store.read(self.name, at, self._limits[READ_BYTES]), at):
                if parts and not _goes_on(parts[-1].said, letter.said):
                    return parts
                parts.append(letter)
                at = letter.offset + 1
                if letter.said.part >= letter.said.parts:
                    return parts
        return parts


def _goes_on(former: DeadLetter, letter: DeadLetter) -> bool:
    return (letter.source, letter.at_ms, letter.parts, letter.part) == (
        former.source,
        former.at_ms,
        former.parts,
        former.part + 1,
    )


def _letters_in(batches: list[Batch], first: int, marks: LetterMarks | None = None) -> Iterator[Letter]:
    """What the batches hold from `first` on, readable or not. marks: only what is open by them."""
    for batch in batches:
        try:
            records: list[bytes] | None = batch.records()
            cause = ""
        except StorageCorrupt as damage:
            records, cause = None, damage.cause
        for offset in range(max(first, batch.first), batch.next):
            if marks is not None and marks.find(offset) is not None:
                continue
            if records is None:
                yield _unreadable(offset, cause, batch.appended_ms)
                continue
            try:
                yield Letter(offset, _decode(records[offset - batch.first]))
            except UNDECODABLE as error:
                yield _unreadable(offset, str(error), batch.appended_ms)


def _unreadable(offset: int, cause: str, at_ms: int) -> Letter:
    said = DeadLetter(f"{DEAD_LETTERS}@{offset}", f"the letter itself cannot be read: {cause}", "", at_ms)
    return Letter(offset, said, is_readable=False)


def _joined(parts: list[Letter]) -> bytes | None:
    said = parts[0].said
    if len(parts) < said.parts or not all(part.said.record or said.size == 0 for part in parts):
        return None
    try:
        record = b"".join(base64.b64decode(part.said.record, validate=True) for part in parts)
    except binascii.Error:
        return None
    return record if said.size in (None, len(record)) else None
