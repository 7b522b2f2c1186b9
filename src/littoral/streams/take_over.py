"""Taking over a frame of batches: what is wrong with one of them is said of that one, and the others go on."""

from collections.abc import Sequence

from littoral.core.errors import Conflict, InvalidInput, LimitReached, StorageCorrupt, StorageFull
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.transaction import Transaction


def take_over(frame: Sequence[StoredBatch], via: str, tx: Transaction) -> list[ReplicaOutcome]:
    """What became of each batch that the child `via` sent; one that there is no room for does not keep the others out.
    Raises StorageError only, where the disk itself refuses."""
    return [_take_over_if_room(stored, via, tx) for stored in frame]


def take_over_all(frame: Sequence[StoredBatch], via: str, tx: Transaction) -> list[ReplicaOutcome]:
    """As `take_over`, of batches of one stream that the parent `via` has given. Raises StorageError, also where there is no
    room for one of them."""
    return [_take_over(stored, via, tx) for stored in frame]


def _take_over_if_room(stored: StoredBatch, via: str, tx: Transaction) -> ReplicaOutcome:
    try:
        return _take_over(stored, via, tx)
    except StorageFull:
        return _not_taken(stored, Verdict.FULL, tx)


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
