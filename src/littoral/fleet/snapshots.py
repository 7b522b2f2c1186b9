"""What is folded from the parent's streams, as snapshots: key-value tables and the desired state."""

from collections.abc import Sequence

import msgspec

from littoral.core.names import StreamName
from littoral.fleet.desired import DESIRED, DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.store.kv import kv_namespace
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart

ENTRIES_AT_ONCE = 512
"""Key-value entries in one part; with values at their limit a part is still below the limit of a response."""
PART_BYTES = 4 << 20

_encode = msgspec.msgpack.Encoder().encode


class FoldSnapshots:
    """Implements `littoral.streams.bootstrap.Snapshots` for the two folds there are."""

    def __init__(self, store: Store, kv: KvFold, desired: DesiredFold) -> None:
        self._store = store
        self._kv = kv
        self._desired = desired

    def covers(self, name: StreamName) -> bool:
        """See Snapshots.covers."""
        return name.path == DESIRED or kv_namespace(name.path) is not None

    def position(self, info: StreamInfo) -> int:
        """See Snapshots.position."""
        if info.name.path == DESIRED:
            return self._store.fold_offset(self._desired.name, info.name)
        # A write reaches the table and the stream in one transaction.
        return info.next

    def part(self, name: StreamName, cursor: str | None) -> SnapshotPart:
        """See Snapshots.part."""
        namespace = kv_namespace(name.path)
        if namespace is None:
            return self._desired_part(cursor)
        items: list[bytes] = []
        size = 0
        after = cursor
        for entry in self._store.kv_entries(namespace, after or "", ENTRIES_AT_ONCE):
            if items and size > PART_BYTES:
                return SnapshotPart(items, after)
            items.append(_encode(entry))
            size += len(items[-1])
            after = entry.key
        return SnapshotPart(items, after if len(items) == ENTRIES_AT_ONCE else None)

    def _desired_part(self, cursor: str | None) -> SnapshotPart:
        """One resource at a time: with an app's code it may be large."""
        state = self._store.state(DESIRED)
        keys = sorted(key for key in state if cursor is None or key > cursor)
        if not keys:
            return SnapshotPart([], None)
        return SnapshotPart([state[keys[0]]], keys[0] if len(keys) > 1 else None)

    def take(self, tx: Transaction, name: StreamName, items: Sequence[bytes]) -> None:
        """See Snapshots.take."""
        if name.path == DESIRED:
            self._desired.apply(tx, name, 0, items)
            return
        self._kv.apply(tx, name, 0, items)

    def finish(self, tx: Transaction, name: StreamName, offset: int) -> None:
        """See Snapshots.finish."""
        fold = self._desired.name if name.path == DESIRED else self._kv.name
        tx.set_fold(fold, name, offset)
