"""Which dead letters are done with: two bits each, beside the stream, which stays the record of what happened.

The marks of CHUNK offsets in a row are one value of the state, with when the last of them was made. So a million
letters dropped one by one take a quarter of a megabyte, and how many are open follows from a tally of all marks without
a look at the letters. What retention takes of the stream, `prune` takes of the marks. They belong to one stream: of one
that was deleted and made anew by the same name nothing is done with.
"""

from collections.abc import Callable

import msgspec

from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

SCOPE = "dead-letters"
TALLY = "tally"
CHUNK = 4096
"""Offsets in one value of at most 1 KiB."""
PRUNED_AT_ONCE = 64
"""Values deleted in one transaction."""
_FULL = (1 << CHUNK) - 1

Get = Callable[[str], bytes | None]
"""A value of the scope: as committed, or as a transaction sees it."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """The marks of CHUNK offsets, the lowest bit first."""

    done: bytes = b""
    """Neither open nor the beginning of a letter: retried, dropped, or a further part."""
    applied: bytes = b""
    """Of those, the ones that a retry has applied."""
    at_ms: int = 0
    """When the last mark was made, ms since the epoch."""

    @property
    def bits(self) -> int:
        """`done` as a number."""
        return int.from_bytes(self.done, "little")


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What all chunks hold."""

    stream: int
    """The row's number of the stream they belong to."""
    lowest: int = 0
    """No chunk below this one is kept."""
    done: int = 0
    """Marks in the chunks that are."""


class Mark(msgspec.Struct, frozen=True):
    """What was done about a letter."""

    is_applied: bool
    """A retry has applied it; else it was dropped."""
    by_ms: int
    """It was done at this time or before, ms since the epoch."""


_encode = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_tally = msgspec.msgpack.Decoder(Tally).decode


class LetterMarks:
    """The marks of one stream at one moment."""

    def __init__(self, info: StreamInfo, get: Get) -> None:
        self._info = info
        self._get = get
        held = get(TALLY)
        tally = _decode_tally(held) if held is not None else None
        self.is_begun = tally is not None and tally.stream == info.id
        """Whether the values that are kept are this stream's."""
        self.tally = tally if tally is not None and self.is_begun else Tally(info.id, info.first // CHUNK)
        self._read: tuple[int, Chunk] = (-1, Chunk())

    def chunk(self, number: int) -> Chunk:
        """The marks of the offsets from `number` * CHUNK on."""
        if self._read[0] != number:
            value = self._get(_key(number)) if self.is_begun else None
            self._read = (number, _decode_chunk(value) if value is not None else Chunk())
        return self._read[1]

    def find(self, offset: int) -> Mark | None:
        """What was done about the letter at `offset`; None if it is open."""
        chunk = self.chunk(offset // CHUNK)
        bit = 1 << offset % CHUNK
        if not chunk.bits & bit:
            return None
        return Mark(bool(int.from_bytes(chunk.applied, "little") & bit), chunk.at_ms)

    def next_open(self, offset: int, until: int) -> int:
        """The first open offset in [offset, until), or `until`."""
        while offset < until:
            number = offset // CHUNK
            open_bits = (_FULL & ~self.chunk(number).bits) >> offset % CHUNK
            if open_bits:
                return min(until, offset + (open_bits & -open_bits).bit_length() - 1)
            offset = (number + 1) * CHUNK
        return until

    def open_count(self) -> int:
        """How many letters of the stream are open."""
        first = self._info.first
        gone = sum(self.chunk(number).bits.bit_count() for number in range(self.tally.lowest, first // CHUNK))
        gone += (self.chunk(first // CHUNK).bits & ((1 << first % CHUNK) - 1)).bit_count()
        # What is committed may be a step ahead of what is published of the stream.
        return max(0, self._info.count - (self.tally.done - gone))


def mark(tx: Transaction, info: StreamInfo, first: int, following: int, *, applied: bool) -> bool:
    """The letter with parts at [first, following) of the stream `info` is done with: a retry has applied it, or it was
    dropped. False, and nothing happens, if it was before, or is gone."""
    latest = tx.stream(info.name)
    if latest is None or latest.id != info.id or first < latest.first:
        return False
    marks = marks_in(tx, latest)
    if marks.find(first) is not None:
        return False
    if not marks.is_begun:
        tx.clear_state(SCOPE)  # of a stream that was deleted, if of any
    added = 0
    for number in range(first // CHUNK, (following - 1) // CHUNK + 1):
        start = number * CHUNK
        bits = _between(max(first, start) - start, min(following, start + CHUNK) - start)
        held = marks.chunk(number)
        added += (bits & ~held.bits).bit_count()
        done, kept = held.bits | bits, int.from_bytes(held.applied, "little")
        tx.put_state(
            SCOPE, _key(number), _encode(Chunk(_bytes(done), _bytes(kept | bits if applied else kept), tx.now_ms))
        )
    tally = msgspec.structs.replace(marks.tally, done=marks.tally.done + added)
    tx.put_state(SCOPE, TALLY, _encode(tally))
    return True


def prune(tx: Transaction, name: StreamName) -> bool:
    """Remove marks of what retention has taken, a bounded number at once; whether there may be more."""
    info = tx.stream(name)
    if info is None:
        tx.clear_state(SCOPE)
        return False
    marks = marks_in(tx, info)
    if not marks.is_begun:
        return False
    lowest = marks.tally.lowest
    end = min(info.first // CHUNK, lowest + PRUNED_AT_ONCE)
    if end <= lowest:
        return False
    gone = 0
    for number in range(lowest, end):
        gone += marks.chunk(number).bits.bit_count()
        tx.put_state(SCOPE, _key(number), None)
    tx.put_state(SCOPE, TALLY, _encode(Tally(info.id, end, marks.tally.done - gone)))
    return end < info.first // CHUNK


def marks_in(tx: Transaction, info: StreamInfo) -> LetterMarks:
    """The marks as a transaction sees them."""
    return LetterMarks(info, lambda key: tx.get_state(SCOPE, key))


def _between(first: int, following: int) -> int:
    return (1 << following) - (1 << first)


def _bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _key(number: int) -> str:
    return f"{number:08x}"
