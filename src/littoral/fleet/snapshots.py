"""What is folded from the parent's streams, as snapshots: key-value tables, the desired state, purges, and retained messages."""

import msgspec

from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.desired import DESIRED, DesiredFold, DesiredRecord
from littoral.fleet.global_relay import GlobalRelay
from littoral.fleet.kv_fold import KvFold, put_write_aside
from littoral.fleet.purges import PURGES, PurgeFold, purges_part
from littoral.fleet.registry import SUBTREE
from littoral.iot.global_records import tree_name
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.folder import apply_or_put_aside
from littoral.store.kv import KvRow, kv_down_stream, kv_namespace, kv_stream, said
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import CHUNK_BYTES, SnapshotPart, items_of
from littoral.streams.kv_again import all_shipped

KEYS_AT_ONCE = 512
"""Key-value entries of this node's that are looked at in one transaction, whether the parent has them: it may have few
where this node has many."""
ENTRIES_AT_ONCE = 512
"""Key-value entries in one part: small ones take longer to read and to write than their bytes say."""
UNSAID = "kv-unsaid"
"""Scope of the state: the namespaces whose table holds what came in a snapshot and was not published."""
ARRIVING = "desired-arriving"
"""Scope of the desired state of a snapshot whose parts have not all come."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DesiredRecord).decode
_decode_entries = msgspec.msgpack.Decoder(list[KvEntry]).decode


class FoldSnapshots:
    """Implements `littoral.streams.bootstrap.Snapshots` for the folds there are."""

    def __init__(
        self, store: Store, kv: KvFold, desired: DesiredFold, purges: PurgeFold, messages: GlobalRelay | None = None
    ) -> None:
        """messages: None where there is no broker."""
        self._store = store
        self._messages = messages
        self._purges = purges
        self._kv = kv
        self._desired = desired
        self.dropped_entries = 0
        """Key-value entries that had been deleted while this node was away. Counted on the writer."""
        self._sent_to: dict[str, int] = {}
        """Of each namespace, up to where this node's stream holds nothing that the parent has not but what the parts of
        the snapshot under way appended. The writer's."""

    def covers(self, name: StreamName) -> bool:
        """See Snapshots.covers."""
        messages = self._messages is not None and tree_name(name.path) is not None
        return messages or name.path in (DESIRED, PURGES) or kv_namespace(name.path) is not None

    def position(self, info: StreamInfo) -> int:
        """See Snapshots.position."""
        if info.name.path == DESIRED:
            return self._store.fold_offset(self._desired.name, info.name)
        # A write reaches the table and the stream in one transaction; purges are what is in the stream.
        return info.next

    def part(self, name: StreamName, cursor: str | None, most_bytes: int) -> SnapshotPart:
        """See Snapshots.part."""
        if name.path == PURGES:
            return purges_part(self._store, name)
        if self._messages is not None and (group := tree_name(name.path)) is not None:
            return self._messages.part(self._store, group, cursor, most_bytes)
        namespace = kv_namespace(name.path)
        if namespace is None:
            return self._desired_part(cursor, most_bytes)
        rows, complete, horizon = self._store.kv_snapshot(namespace, cursor or "", ENTRIES_AT_ONCE, most_bytes)
        return SnapshotPart(_encode([said(row) for row in rows]), None if complete else rows[-1][0], horizon)

    def _desired_part(self, cursor: str | None, most_bytes: int) -> SnapshotPart:
        values, complete = self._store.state_part(DESIRED, cursor or "", most_bytes)
        return SnapshotPart(_encode([msgspec.Raw(value) for _, value in values]), None if complete else values[-1][0])

    def siblings(self, name: StreamName) -> list[StreamName]:
        """See Snapshots.siblings."""
        namespace = kv_namespace(name.path)
        if namespace is None:
            return []
        both = (kv_stream(name.origin, namespace), kv_down_stream(name.origin, namespace))
        return [each for each in both if each != name]

    def begin(self, tx: Transaction, name: StreamName) -> None:
        """See Snapshots.begin."""
        if (namespace := kv_namespace(name.path)) is not None:
            self._sent_to.pop(namespace, None)
        elif name.path == DESIRED:
            tx.clear_state(ARRIVING)
        elif self._messages is not None and (group := tree_name(name.path)) is not None:
            self._messages.begin(tx, name, group)

    def take(
        self, tx: Transaction, name: StreamName, part: SnapshotPart, after: str | None, at: str | None = None
    ) -> str | None:
        """See Snapshots.take."""
        if name.path == PURGES:
            self._purges.take(tx, part.items)
            return None
        if self._messages is not None and (group := tree_name(name.path)) is not None:
            self._messages.take(tx, name, group, part)
            return None
        namespace = kv_namespace(name.path)
        if namespace is None:
            self._take_desired(tx, name, items_of(part.items))
            return None
        rows = _rows(part.items)
        if rows is None:
            # One of them is poison; the others are found by looking at each.
            apply_or_put_aside(tx, self._kv, name, 0, items_of(part.items))
            return None
        if at is None and tx.kv_insert(namespace, after or "", part.cursor, rows):
            # Nothing of what the part covers was held here, as at a new node. It is not published: whoever follows this
            # node begins anew once the snapshot is complete.
            self._kv.merged_entries += len(rows)
            tx.put_state(UNSAID, namespace, b"")
            return None
        # Entry by entry: the last writer wins, and what is deleted at the parent is deleted.
        sent = all_shipped(tx, namespace) or all_shipped(tx, namespace, self._sent_to.get(namespace, 0))
        if at is None:
            apply_or_put_aside(tx, self._kv, name, 0, [_encode(row) for row in tx.kv_newer(namespace, rows)])
        # A tombstone there may be older than one that was forgotten: only what lives at the parent may live here.
        present = frozenset(row[0] for row in rows if row[1] is not None)
        going_on = self._drop_absent(tx, name, part, present, at or after or "", sent=sent)
        own = tx.stream(kv_stream(tx.node, namespace))
        if sent and own is not None:
            # What this part has appended is no write of anybody's.
            self._sent_to[namespace] = own.next
        return going_on

    def _take_desired(self, tx: Transaction, name: StreamName, items: list[bytes]) -> None:
        for item in items:
            try:
                tx.put_state(ARRIVING, _decode(item).key, item)
            except UNDECODABLE as error:
                letters = dead_letters(f"snapshot of {name}", str(error), item, tx.now_ms, f"fold/{self._desired.name}")
                append_dead_letters(tx, letters)

    def _drop_absent(
        self, tx: Transaction, name: StreamName, part: SnapshotPart, present: frozenset[str], at: str, *, sent: bool
    ) -> str | None:
        """Delete what lives here and is not `present` (does not live) in the part, which holds all keys up to its cursor: it
        was deleted while this node was away, as far as the parent has forgotten deletions. A piece from the key `at` on; returns where
        to go on, None at the end.

        sent: whether the parent has been told of all that was written here and below."""
        namespace = kv_namespace(name.path) or ""
        absent, going_on = tx.kv_absent(namespace, at, part.cursor, present, part.horizon, KEYS_AT_ONCE)
        size = 0
        for place, held in enumerate(absent, 1):
            below = held.node == tx.node or tx.get_state(SUBTREE, held.node) is not None
            if below and not sent:
                # It may never reach the parent: then nobody else has heard of it, or is going to.
                entry = tx.kv_get(namespace, held.key)
                assert entry is not None
                put_write_aside(tx, f"snapshot of {name}", namespace, entry, part.horizon)
                size += len(entry.value or b"")
            if size >= CHUNK_BYTES and place < len(absent):
                absent, going_on = absent[:place], held.key
                break
        tx.kv_bury(namespace, absent)
        self.dropped_entries += len(absent)
        return going_on

    def finish(self, tx: Transaction, name: StreamName, offset: int, horizon: int) -> None:
        """See Snapshots.finish."""
        if name.path == PURGES:
            self._purges.begin_anew(tx, name, offset)
            return
        if self._messages is not None and (group := tree_name(name.path)) is not None:
            self._messages.finish(tx, name, group, offset)
            return
        namespace = kv_namespace(name.path)
        if namespace is None:
            # What is not in the snapshot was withdrawn while this node did not hear of it.
            arrived = tx.state(ARRIVING)
            tx.clear_state(DESIRED)
            tx.clear_state(ARRIVING)
            for key, value in arrived.items():
                tx.put_state(DESIRED, key, value)
        else:
            if horizon:
                # This table now lacks the tombstones that the parent's lacks, and those below are told so in turn. Not
                # earlier: while parts are missing, a key that is not here may well live at the parent.
                tx.kv_raise_horizon(namespace, horizon)
            if tx.get_state(UNSAID, namespace) is not None:
                tx.kv_begin_anew(namespace)
                tx.put_state(UNSAID, namespace, None)
        fold = self._desired.name if namespace is None else self._kv.name
        tx.set_fold(fold, name, offset)


def _rows(items: bytes) -> list[KvRow] | None:
    """The entries of a part; None where one of them is none."""
    try:
        return [msgspec.structs.astuple(entry) for entry in _decode_entries(items)]
    except UNDECODABLE:
        return None
