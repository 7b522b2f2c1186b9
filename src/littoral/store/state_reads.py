"""Reading what the store keeps besides streams: what was folded from them, key-value, the table of blobs."""

from typing import Any

import apsw

from littoral.core.kv import KvEntry, KvPage
from littoral.core.names import StreamName
from littoral.store import kv
from littoral.store.blob_rows import BlobRow, read_blobs
from littoral.store.database import translated
from littoral.store.rows import take_rows
from littoral.store.stream import StreamInfo


class StateReads:
    """See `littoral.store.store.Store`. Each reads what is committed, and raises StorageError."""

    def __init__(self, node: str, reader: apsw.Connection, streams: dict[StreamName, StreamInfo]) -> None:
        """streams: as committed; kept up to date by whoever gave it."""
        self.node = node
        self._reader = reader
        self._streams = streams

    # Folds and state

    def fold_offset(self, fold: str, source: StreamName) -> int:
        """Up to where `fold` has applied `source`, as committed; 0 if never."""
        info = self._streams.get(source)
        if info is None:
            return 0
        with translated("read fold", fold):
            row = self._reader.execute("SELECT next FROM folds WHERE fold=? AND stream=?", (fold, info.id)).fetchone()
        return row[0] if row else 0

    def fold_offsets(self, fold: str) -> dict[StreamName, int]:
        """Up to where `fold` has applied each stream, as committed."""
        with translated("read fold", fold):
            rows: Any = self._reader.execute(
                "SELECT origin, path, folds.next FROM folds JOIN streams ON streams.id=folds.stream WHERE fold=?",
                (fold,),
            ).fetchall()
        return {StreamName(origin, path): offset for origin, path, offset in rows}

    def state(self, scope: str) -> dict[str, bytes]:
        """All values under `scope`, as committed."""
        with translated("read state", scope):
            return dict(self._reader.execute("SELECT key, value FROM state WHERE scope=?", (scope,)))

    def state_part(self, scope: str, after: str, most_bytes: int) -> tuple[list[tuple[str, bytes]], bool]:
        """Values under `scope` with keys greater than `after`, in order, as committed: at least one if there is any, then
        up to `most_bytes`; and whether they are the last."""
        with translated("read state", scope):
            query = "SELECT key, value FROM state WHERE scope=? AND key>? ORDER BY key"
            return take_rows(self._reader.execute(query, (scope, after)), lambda row: len(row[1]), most_bytes)

    def state_value(self, scope: str, key: str) -> bytes | None:
        """One value under `scope`, as committed."""
        with translated("read state", scope):
            row = self._reader.execute("SELECT value FROM state WHERE scope=? AND key=?", (scope, key)).fetchone()
        return row[0] if row else None

    # Blobs

    def blobs(self) -> list[BlobRow]:
        """All rows of the table, as committed."""
        with translated("read blobs of", "store"):
            return read_blobs(self._reader)

    # Key-value

    def kv_get(self, namespace: str, key: str) -> KvEntry | None:
        """The key as last written, tombstones included."""
        with translated("read key", key):
            return kv.read_entry(self._reader, namespace, key)

    def kv_page(self, namespace: str, prefix: str, cursor: str | None, limit: int, wall_ms: int = 0) -> KvPage:
        """Keys that begin with `prefix` and live at `wall_ms`."""
        with translated("list keys of", namespace):
            return kv.read_page(self._reader, namespace, prefix, cursor, limit, wall_ms)

    def kv_has_expired(self, wall_ms: int) -> bool:
        """Whether any key has expired by then, and is not a tombstone yet."""
        with translated("look for expired keys in", "store"):
            return kv.has_expired(self._reader, wall_ms)

    def kv_entries(self, namespace: str, after: str, limit: int) -> list[KvEntry]:
        """Entries in order of keys, tombstones included."""
        with translated("read namespace", namespace):
            return kv.read_entries(self._reader, namespace, after, limit)

    def kv_snapshot(
        self, namespace: str, after: str, most_entries: int, most_bytes: int
    ) -> tuple[list[kv.KvRow], bool, int]:
        """A snapshot's chunk: entries in order of keys, tombstones included, whether they are the last, and the horizon of
        the namespace at the same moment."""
        with translated("read namespace", namespace):
            return kv.read_snapshot(self._reader, namespace, after, most_entries, most_bytes)

    def kv_horizon(self, namespace: str) -> int:
        """The greatest timestamp of a tombstone of the namespace that was forgotten; 0 where none was."""
        with translated("read namespace", namespace):
            return kv.read_horizon(self._reader, namespace)

    def kv_with_tombstones(self, before: int) -> list[str]:
        """The namespaces that hold tombstones older than the timestamp `before`."""
        with translated("look for tombstones in", "store"):
            return kv.namespaces_with_tombstones(self._reader, before)
