"""Below another store than before, a node says all of its key-value tables again.

What came from above is not sent up, for the parent has it. That is no longer so where the parent's store was restored from a
backup: what it lost is held by its children only. And of another parent it may never come to be so: the one that there was
may be lost before it has passed on what it had. Last writer wins makes it harmless where all of it is known.
"""

from collections.abc import Callable

from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.kv_again import UNSENT

PARENT = "kv-parent"
"""Scope of the state."""
LINEAGE = "lineage"
"""Key of the lineage of the store that has what the tables hold, or is being told."""


async def note_parent(store: Store, lineage: str, is_replicated: Callable[[str], bool]) -> None:
    """The parent's store is `lineage`; nobody knows which where that is empty. is_replicated: whether the parent takes
    writes to a namespace from here. Raises LimitReached, StorageError."""
    held, now = store.state_value(PARENT, LINEAGE), lineage.encode()
    if not now or now == held:
        return

    def note(tx: Transaction) -> None:
        tx.put_state(PARENT, LINEAGE, now)
        # The first of all lacks nothing that is held here.
        for namespace in tx.kv_namespaces() if held is not None else ():
            if is_replicated(namespace):
                tx.put_state(UNSENT, namespace, b"")

    await store.submit(note)
