"""What is folded from the parent's streams, as snapshots: key-value tables and the desired state."""

from collections.abc import Sequence

import msgspec

from littoral.core.names import StreamName
from littoral.fleet.desired import DESIRED, DesiredFold, DesiredRecord
from littoral.fleet.kv_fold import KvFold
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.folder import apply_or_put_aside
from littoral.store.kv import kv_namespace
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart

ENTRIES_AT_ONCE = 512
"""Key-value entries in one part."""
ARRIVING = "desired-arriving"
"""Scope of the desired state of a snapshot whose parts have not all come."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DesiredRecord).decode


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

    def part(self, name: StreamName, cursor: str | None, most_bytes: int) -> SnapshotPart:
        """See Snapshots.part."""
        namespace = kv_namespace(name.path)
        if namespace is None:
            return self._desired_part(cursor)
        items: list[bytes] = []
        size = 0
        after = cursor
        for entry in self._store.kv_entries(namespace, after or "", ENTRIES_AT_ONCE):
            item = _encode(entry)
            size += len(item)
            if items and size > most_bytes:
                return SnapshotPart(items, after)
            items.append(item)
            after = entry.key
        return SnapshotPart(items, after if len(items) == ENTRIES_AT_ONCE else None)

    def _desired_part(self, cursor: str | None) -> SnapshotPart:
        """One resource at a time: with an app's code it may be large."""
        state = self._store.state(DESIRED)
        keys = sorted(key for key in state if cursor is None or key > cursor)
        if not keys:
            return SnapshotPart([], None)
        return SnapshotPart([state[keys[0]]], keys[0] if len(keys) > 1 else None)

    def begin(self, tx: Transaction, name: StreamName) -> None:
        """See Snapshots.begin."""
        if name.path == DESIRED:
            tx.clear_state(ARRIVING)

    def take(self, tx: Transaction, name: StreamName, items: Sequence[bytes]) -> None:
        """See Snapshots.take."""
        if name.path == DESIRED:
            for item in items:
                try:
                    tx.put_state(ARRIVING, _decode(item).key, item)
                except msgspec.DecodeError as error:
                    append_dead_letters(tx, dead_letters(f"snapshot of {name}", str(error), item, tx.now_ms))
            return
        apply_or_put_aside(tx, self._kv, name, 0, items)

    def finish(self, tx: Transaction, name: StreamName, offset: int) -> None:
        """See Snapshots.finish."""
        if name.path == DESIRED:
            # What is not in the snapshot was withdrawn while this node did not hear of it.
            arrived = tx.state(ARRIVING)
            tx.clear_state(DESIRED)
            tx.clear_state(ARRIVING)
            for key, value in arrived.items():
                tx.put_state(DESIRED, key, value)
        fold = self._desired.name if name.path == DESIRED else self._kv.name
        tx.set_fold(fold, name, offset)
