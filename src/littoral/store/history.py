"""What must be true of a stream's batches, one after the other, decided without I/O.

    each batch    checksum and chain are those of its payload, and it holds as many records as its offsets say
    each next     begins where the one before ended, and its chain goes on from there
    the head      first, next, chain and bytes are those of the batches

A copy of another node's stream may have holes: records that the origin had lost before they were sent. A batch that was
trimmed on arrival names no chain before it; what follows it does.
"""

from collections.abc import Iterator

import msgspec

from littoral.core.errors import StorageCorrupt
from littoral.store.batch import CHAIN_START, UNLINKED, Batch
from littoral.store.stream import Span, StreamInfo

RESTORE = "Restore the latest sound backup: `littoral store restore`"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a store that is not as it must be."""

    subject: str
    """What it is of: a stream as "origin/path", "fold NAME", or "store.db"."""
    first: int | None = None
    next: int | None = None
    """The offsets [first, next) of the stream that it concerns, where it does."""
    cause: str
    remedy: str = RESTORE

    def __str__(self) -> str:
        """For people: one line."""
        place = "" if self.first is None else f" [{self.first}, {self.next})"
        return f"{self.subject}{place}: {self.cause}"


class History:
    """Follows the batches of one stream, the oldest first."""

    def __init__(
        self, subject: str, first: int | None, chain: bytes | None = None, *, gapless: bool, inherited: int = 0
    ) -> None:
        """first: where they begin; None where any does. chain: the chain hash there, if it is known. gapless: whether a
        hole is a fault by itself. inherited: up to where they are another stream's, of which this one is a fork, or in
        spill files: the head does not count their bytes."""
        self._subject = subject
        self._gapless = gapless
        self._inherited = inherited
        self._chain = CHAIN_START if first == 0 else chain
        self._holes: list[Span] = []
        self.next = first
        self.batches = 0
        self.records = 0
        self.bytes = 0

    def follow(self, batch: Batch) -> Iterator[Problem]:
        """What is wrong with the next batch."""
        try:
            batch.check()
            self.records += len(batch.records())
        except StorageCorrupt as error:
            yield self._problem(batch.first, batch.next, error.cause)
        expected = batch.first if self.next is None else self.next
        if batch.first < expected:
            yield self._problem(batch.first, expected, "these offsets are held twice")
        elif batch.first > expected:
            if self._gapless:
                yield self._problem(expected, batch.first, "these records are missing")
            self._holes.append(Span(expected, batch.first))
            self._chain = None
        if self._chain is not None and batch.chain_before not in (self._chain, UNLINKED):
            yield self._problem(
                batch.first, batch.next, "it does not go on from the batch before: its chain is another"
            )
        self.next, self._chain = batch.next, batch.chain
        self.batches += 1
        if batch.first >= self._inherited:
            self.bytes += len(batch.payload)

    def step_over(self, following: int) -> None:
        """The batches up to here cannot be read: nothing is said of them, and of their chain."""
        self.next, self._chain = following, None

    def end(self, head: StreamInfo) -> Iterator[Problem]:
        """What is wrong with the stream's head, after all batches of its own."""
        if not 0 <= head.first <= head.next:
            yield self._problem(head.first, head.next, "the offsets of its head are impossible")
            return
        if self.next is not None and self.next != head.next:
            first, following = sorted((self.next, head.next))
            yield self._problem(first, following, f"its batches end at {self.next}, its head says {head.next}")
        elif self._chain is not None and self._chain != head.chain:
            yield self._problem(head.first, head.next, "its head is of another history: the chain at its end differs")
        if self.bytes != head.bytes:
            holes = ", ".join(f"[{hole.first}, {hole.next})" for hole in self._holes)
            missing = f"; what is missing may be {holes}" if holes else ""
            yield self._problem(
                head.first,
                head.next,
                f"its batches have {self.bytes} bytes of payload, its head says {head.bytes}{missing}",
            )

    def _problem(self, first: int, following: int, cause: str) -> Problem:
        return Problem(subject=self._subject, first=first, next=following, cause=cause)
