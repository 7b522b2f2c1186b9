"""Taking over a frame of batches: what is wrong with one of them is said of that one, and the others go on."""

from collections.abc import Sequence

from littoral.core.errors import Conflict, InvalidInput, LimitReached, StorageCorrupt
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.transaction import Transaction


def take_over(frame: Sequence[StoredBatch], via: str, tx: Transaction) -> list[ReplicaOutcome]:
    """What became of each batch that the neighbour `via` sent. Raises StorageError only."""
    return [_take_over(stored, via, tx) for stored in frame]


def _take_over(stored: StoredBatch, via: str, tx: Transaction) -> ReplicaOutcome:
    try:
        return tx.append_replica(stored, via)
    except StorageCorrupt:
        return _not_taken(stored, Verdict.CORRUPT, tx)
    except (Conflict, InvalidInput, LimitReached):
        return _not_taken(stored, Verdict.REFUSED, tx)


def _not_taken(stored: StoredBatch, verdict: Verdict, tx: Transaction) -> ReplicaOutcome:
    name = stored.batch.name
    head = tx.stream(name)
    return ReplicaOutcome(name.origin, name.path, verdict, head.next if head else 0)
