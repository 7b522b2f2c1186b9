"""Whom the root's CA has signed for: everybody in the tree, by the key that each has."""

import msgspec

from littoral.core.errors import LimitReached
from littoral.core.limits import TREE_NODES, Limits
from littoral.fleet.state_tables import load_table, restore_entry
from littoral.security.enrolment import SignedRecord, SignRequest, authorise_signing
from littoral.store.store import Store

SIGNED = "signed"
"""The scope in the store: node -> SignedRecord."""


class SignedNodes:
    """Kept by the root's registry."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self.records = load_table(store, SIGNED, SignedRecord)
        """By name."""

    async def note(self, request: SignRequest, via: str, *, moves: bool, shown: bool) -> None:
        """Decide whether to sign, and note it. moves, shown: see `authorise_signing`; raises as that, and LimitReached."""
        record = authorise_signing(
            request, via=via, root=self._store.node, known=self.records, moves=moves, shown=shown
        )
        before = self.records.get(record.node)
        if before is None and len(self.records) >= self._limits[TREE_NODES]:
            self._limits.hit(TREE_NODES)
            raise LimitReached(
                "sign certificate for",
                record.node,
                f"the tree has {len(self.records)} nodes, the limit {TREE_NODES.name}",
                f"Raise the limit in spec.limits of {self._store.node}",
            )
        # Before anything is awaited: a second request for the name, from elsewhere in the tree, must find it taken.
        self.records[record.node] = record
        try:
            await self._store.submit(lambda tx: tx.put_state(SIGNED, record.node, msgspec.msgpack.encode(record)))
        except Exception:
            restore_entry(self.records, record.node, before)
            raise
