"""The writer's hands on key-value: writes, and neighbours' writes by last writer wins, and their streams."""

from collections.abc import Sequence

import apsw

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.hlc import HybridClock
from littoral.core.kv import KvEntry
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.store.bounds import Bounds
from littoral.store.heads import Heads
from littoral.store.history_writes import HistoryWrites
from littoral.store.kv import (
    KV_STREAMS,
    HeldKey,
    KvRow,
    KvTable,
    Merged,
    encode_entry,
    held_namespaces,
    kv_down_stream,
    kv_stream,
    read_entries,
    read_entry,
)
from littoral.store.rows import take_rows
from littoral.store.stream import Reach


class KvWrites(HistoryWrites):
    """See `littoral.store.transaction`."""

    def __init__(
        self,
        connection: apsw.Connection,
        heads: Heads,
        node: str,
        lineage: str,
        clock: Clock,
        limits: Limits,
        hlc: HybridClock,
        bounds: Bounds,
    ) -> None:
        super().__init__(connection, heads, node, lineage, clock, limits, bounds)
        self._kv = KvTable(connection, hlc)

    def kv_put(self, namespace: str, key: str, value: bytes | None, expires_s: int = 0, metadata: str = "") -> KvEntry:
        """A local write (None deletes): newer than everything seen here, published in this node's stream."""
        entry = self._kv.write_local(namespace, key, value, self.node, expires_s, metadata)
        self._publish_kv(kv_stream(self.node, namespace), [entry], essential=False)
        return entry

    def kv_get(self, namespace: str, key: str) -> KvEntry | None:
        """The key as this job sees it, tombstones included."""
        return read_entry(self._connection, namespace, key)

    def kv_merge_from_below(self, namespace: str, entries: Sequence[KvEntry]) -> Merged:
        """Apply writes of a child's, or of nodes below it, by last writer wins; what wins is published to all neighbours.

        A doubtful one is refused, and the tombstone in its place published as a write of this node's: so it goes again
        wherever it is. Who wrote it has to be told.
        Raises: InvalidInput for an entry too far in the future.
        """
        merged = self._kv.merge(namespace, entries, refuse=True, wall_ms=self.now_ms)
        self._publish_kv(kv_stream(self.node, namespace), merged.won)
        # Whoever sent what lost to a tombstone may have forgotten it: see `kv_merge_from_above`.
        self._publish_kv(kv_down_stream(self.node, namespace), merged.buried)
        return merged

    def kv_merge_from_above(self, namespace: str, entries: Sequence[KvEntry]) -> Merged:
        """Apply the parent's writes by last writer wins; what wins is published to the children.

        A doubtful one is applied: this node forgets only what its parent has, so that the parent's word counts for more
        than this node's doubt. But the parent's two streams are read one after the other, and the tombstone may have
        been in the one that came first. So the write is published to the parent, too, which says its tombstone again
        where it has it, refuses the write where that is forgotten there, and is silent where the key lives.
        Raises: InvalidInput for an entry too far in the future.
        """
        merged = self._kv.merge(namespace, entries, refuse=False, wall_ms=self.now_ms)
        doubtful = frozenset(merged.doubtful)
        certain = [entry for entry in merged.won if entry not in doubtful]
        self._publish_kv(kv_down_stream(self.node, namespace), certain)
        self._publish_kv(kv_stream(self.node, namespace), merged.doubtful)
        return merged

    def kv_insert(self, namespace: str, after: str, last: str | None, rows: Sequence[KvRow]) -> bool:
        """Take over the parent's entries with keys in (after, last] where this node holds none of that range; False, and
        nothing done, where it does, or one of them is not as it should be. They are not published: whoever asks for
        that tells the children to begin anew (`kv_begin_anew`)."""
        try:
            with self.attempt():
                return self._kv.insert(namespace, after, last, rows)
        except (InvalidInput, apsw.ConstraintError):
            return False

    def kv_newer(self, namespace: str, rows: Sequence[KvRow]) -> list[KvRow]:
        """Of the parent's entries, those that are later than what is held here."""
        return self._kv.newer(namespace, rows)

    def kv_begin_anew(self, namespace: str) -> None:
        """The table holds what was not published: the stream to the children is another from now on, so that they begin
        with a snapshot of the table."""
        name = kv_down_stream(self.node, namespace)
        if self._heads.get(name) is not None:
            self.delete_stream(name)
        self._open_kv(name)

    def kv_absent(
        self, namespace: str, after: str, last: str | None, present: frozenset[str], horizon: int, most: int
    ) -> tuple[list[HeldKey], str | None]:
        """The living entries up to `horizon` with keys in (after, last] that are not `present` at the parent, which has
        forgotten tombstones up to there, by a look at up to `most` keys; and after which key to go on, None at the end.
        last: None for all keys that follow."""
        return self._kv.absent(namespace, after, last, present, horizon, most)

    def kv_bury(self, namespace: str, held: Sequence[HeldKey]) -> None:
        """Delete living entries that are not at the parent.

        The tombstones are published to all neighbours, as a write of this node's: should the parent know better by now
        than when it was asked, both end with the same.
        """
        self._publish_kv(kv_stream(self.node, namespace), self._kv.bury(namespace, held))

    def kv_forget(self, namespace: str, before: int, most: int) -> int:
        """Forget up to `most` tombstones of the namespace older than the timestamp `before`; returns how many."""
        return self._kv.forget(namespace, before, most)

    def kv_expire(self, most: int) -> int:
        """Make tombstones of up to `most` keys that have expired; returns how many."""
        return self._kv.expire(self.now_ms, most)

    def kv_raise_horizon(self, namespace: str, hlc: int) -> None:
        """The table now lacks tombstones that a neighbour has forgotten, up to `hlc`."""
        self._kv.raise_horizon(namespace, hlc)

    def kv_namespaces(self) -> list[str]:
        """The namespaces of which anything is held."""
        return held_namespaces(self._connection)

    def kv_publish_again(self, namespace: str, after: str, most_entries: int, most_bytes: int) -> str | None:
        """Append what the table holds now, tombstones included, to this node's stream again: the entries with keys
        greater than `after`, at least one if there are any, and no more than either bound. Returns the last key, None
        at the end. Who has an entry already is not disturbed: it does not win again.
        """
        entries = read_entries(self._connection, namespace, after, most_entries)
        part, _ = take_rows(
            entries, lambda entry: len(entry.key) + len(entry.value or b"") + len(entry.metadata), most_bytes
        )
        if not part:
            return None
        self._publish_kv(kv_stream(self.node, namespace), part)
        return part[-1].key

    def _publish_kv(self, name: StreamName, entries: Sequence[KvEntry], *, essential: bool = True) -> None:
        if not entries:
            return
        self._open_kv(name)
        self.append(name, [encode_entry(entry) for entry in entries], essential=essential)

    def _open_kv(self, name: StreamName) -> None:
        reach: Reach = "link" if name.path.startswith(KV_STREAMS) else "node"
        self.open_stream(name, content_type="application/msgpack", lane="state", reach=reach)

    # For the committer

    def abandon(self) -> None:
        """The group failed: forget all that is pending."""
        super().abandon()
        self._kv.abandon()

    def write_heads(self) -> None:
        """Write the rows of all streams that changed, and what else goes with a commit."""
        super().write_heads()
        self._kv.keep_newest()
