"""Taking over another node's history: what to do with a batch that arrives, decided without I/O.

batch's lineage is not ours          chains equal at our tail -> the history went on under a new name: adopt it
                                     otherwise                -> DIVERGED
ends at or before our tail           -> DUPLICATE, nothing to do
begins after our tail                the sender has nothing older -> SKIP what is lost for ever, and say so
                                     otherwise                    -> GAP, ask for our tail
is not what its checksum says        -> CORRUPT
is over a limit, or no stream of its origin's     -> REFUSED
begins before our tail               holds what we hold -> TRIM, append the rest
                                     otherwise          -> DIVERGED
begins at our tail                   chains equal -> APPEND
                                     otherwise    -> DIVERGED

A batch that was trimmed on its way names no chain before it, and is appended on the word of who compared it.
"""

from enum import Enum

import msgspec

from littoral.store.batch import UNLINKED, StoredBatch
from littoral.store.stream import StreamInfo


class Verdict(Enum):
    """What a receiver does with a batch."""

    APPEND = "append"
    TRIM = "trim"
    SKIP = "skip"
    DUPLICATE = "duplicate"
    GAP = "gap"
    DIVERGED = "diverged"
    CORRUPT = "corrupt"
    REFUSED = "refused"


class ReplicaOutcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of a batch, and where the receiver's copy now ends."""

    origin: str
    path: str
    verdict: Verdict
    next: int
    """The receiver's high-water mark: the offset it wants."""
    lost: int = 0
    """Records the sender no longer had when we asked for them."""


def judge(head: StreamInfo | None, stored: StoredBatch) -> Verdict:
    """The rule above; for TRIM the caller compares the records."""
    batch = stored.batch
    if head is None:
        return Verdict.APPEND if batch.first == 0 else _beyond(0, stored)
    if batch.lineage != head.lineage and not (batch.first == head.next and batch.chain_before == head.chain):
        return Verdict.DIVERGED
    if batch.next <= head.next:
        return Verdict.DUPLICATE
    if batch.first > head.next:
        return _beyond(head.next, stored)
    if batch.first < head.next:
        return Verdict.TRIM
    return Verdict.APPEND if batch.chain_before in (head.chain, UNLINKED) else Verdict.DIVERGED


def _beyond(wanted: int, stored: StoredBatch) -> Verdict:
    return Verdict.SKIP if wanted < stored.earliest and stored.batch.first <= stored.earliest else Verdict.GAP
