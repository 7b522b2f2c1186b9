"""Taking over another node's history: what to do with a batch that arrives, decided without I/O.

is of a later stream by the name     what we hold is of one that its origin deleted: it is set aside as `former/<path>`,
                                     and the batch judged as for a new copy
batch's lineage is otherwise not ours, and it
  begins at our tail                 chains equal -> the history went on under a new name: adopt it
                                     otherwise    -> DIVERGED
  begins after our tail              is of another store: the origin's was restored -> as below
                                     otherwise                                      -> DIVERGED
  ends at or before our tail         we hold one with the same end and chain -> DUPLICATE: it comes once more, from
                                                                                before a restore, by another way up
                                     otherwise                               -> DIVERGED
  reaches over our tail              DIVERGED
ends at or before our tail           -> DUPLICATE, nothing to do
begins after our tail                the sender has nothing older -> SKIP what is lost for ever, and say so
                                     otherwise                    -> GAP, ask for our tail
is not what its checksum says        -> CORRUPT
is over a limit, or no stream of its origin's     -> REFUSED
there is no room for it, on the disk or in a budget -> FULL, try again later
begins before our tail               holds what we hold -> TRIM, append the rest
                                     otherwise          -> DIVERGED
begins at our tail                   chains equal -> APPEND
                                     otherwise    -> DIVERGED

A batch that was trimmed on its way names no chain before it, and is appended on the word of who compared it.
"""

import re
from enum import Enum

import msgspec

from littoral.store.batch import UNLINKED, Batch, StoredBatch
from littoral.store.stream import StreamInfo

FORMER_STREAMS = "former/"
"""What a node held of a stream that its origin deleted and made anew is kept below this path, and goes no further: the
last such copy of each name."""

_LINEAGE = re.compile(r"(.+)\.([0-9]{1,18})")


def lineage_of(store: str, number: int) -> str:
    """The lineage of a store's stream; number: its row's, which no other stream of the store ever has."""
    return f"{store}.{number}"


def begins_anew(lineage: str, held: str) -> bool:
    """Whether `lineage` is that of a later stream than `held`, in the same store: the one held was deleted there."""
    later, earlier = lineage_parts(lineage), lineage_parts(held)
    if later is None or earlier is None:
        return False
    return later[0] == earlier[0] and later[1] > earlier[1]


def lineage_parts(lineage: str) -> tuple[str, int] | None:
    """The store's lineage and the number that a stream's is made of."""
    parts = _LINEAGE.fullmatch(lineage)
    return None if parts is None else (parts[1], int(parts[2]))


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
    FULL = "full"


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
    """The rule above; for TRIM, and for DUPLICATE of another lineage, the caller compares with what is held."""
    batch = stored.batch
    if head is None:
        return Verdict.APPEND if batch.first == 0 else _beyond(0, stored)
    if batch.lineage != head.lineage and not _may_go_on(head, batch):
        return Verdict.DIVERGED
    if batch.next <= head.next:
        return Verdict.DUPLICATE
    if batch.first > head.next:
        return _beyond(head.next, stored)
    if batch.first < head.next:
        return Verdict.TRIM
    return Verdict.APPEND if batch.chain_before in (head.chain, UNLINKED) else Verdict.DIVERGED


def _may_go_on(head: StreamInfo, batch: Batch) -> bool:
    """Whether a batch of another lineage may be of our history, by what of that can be told."""
    if batch.next <= head.next:
        return True
    if batch.first <= head.next:
        return batch.first == head.next and batch.chain_before == head.chain
    theirs, ours = lineage_parts(batch.lineage), lineage_parts(head.lineage)
    return theirs is not None and ours is not None and theirs[0] != ours[0]


def _beyond(wanted: int, stored: StoredBatch) -> Verdict:
    return Verdict.SKIP if wanted < stored.earliest and stored.batch.first <= stored.earliest else Verdict.GAP
