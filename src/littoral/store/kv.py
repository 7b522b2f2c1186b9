"""The key-value table: last writer wins by (hlc, node), deletes are tombstones.

Every write that wins at a node, whoever made it, is appended to a stream of that node's, and the neighbours in the
tree apply it in turn. A write that a node already has does not win again, so it stops by itself; any part of a
divided tree converges. Two streams keep what came from above from being sent up again:

    kv/<namespace>       own writes, and those from below that won: goes to the parent and to the children
    kv-down/<namespace>  those from the parent that won: goes to the children only

Tombstones are forgotten in time. Of each namespace the table keeps its horizon: the greatest timestamp of a tombstone
that is missing here because it was forgotten. A living write up to the horizon, for a key that does not live here, is
doubtful: the key may have been deleted since. Above the horizon nothing is, and where nothing was forgotten nothing
ever is. What becomes of a doubtful write is decided where its writer is below (`littoral.store.kv_writes`); a write
that is not to be applied anywhere is answered with a tombstone that stands in for the one forgotten.
"""

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from littoral.core.hlc import HybridClock
from littoral.core.kv import KvEntry, KvPage
from littoral.core.names import StreamName

KV_STREAMS = "kv/"
KV_DOWN_STREAMS = "kv-down/"


def kv_namespace(path: str) -> str | None:
    """The namespace whose writes the stream at `path` carries, or None if it is no such stream."""
    for prefix in (KV_STREAMS, KV_DOWN_STREAMS):
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return None


def kv_stream(node: str, namespace: str) -> StreamName:
    """The stream of what was written at `node` or below it."""
    return StreamName(node, KV_STREAMS + namespace)


def kv_down_stream(node: str, namespace: str) -> StreamName:
    """The stream of what reached `node` from above."""
    return StreamName(node, KV_DOWN_STREAMS + namespace)


def stand_in(entry: KvEntry) -> KvEntry:
    """The tombstone that wins over `entry`, and over nothing that is later: a write in between may be known elsewhere.

    It names no node. So all who refuse the same write say the same, and no node's own write is ever equal to it.
    """
    return KvEntry(entry.key, None, entry.hlc + 1, "")


class Merged(msgspec.Struct, frozen=True):
    """What became of neighbours' writes."""

    won: list[KvEntry]
    """Those that are now in the table; with the tombstones written in place of those refused."""
    doubtful: list[KvEntry]
    """Those up to the horizon whose keys did not live here: refused, or taken at their word."""
    buried: list[KvEntry]
    """The tombstones in the table that living writes lost to."""
    horizon: int
    """The namespace's."""


class KvTable:
    """The writer's view of the table."""

    def __init__(self, connection: apsw.Connection, hlc: HybridClock) -> None:
        self._connection = connection
        self._hlc = hlc

    def write_local(self, namespace: str, key: str, value: bytes | None, node: str) -> KvEntry:
        """Write with a fresh timestamp. It wins over what the key holds here, also if that is from a clock that was
        ahead; such a one does not drag the other keys along. It also wins over what may have been forgotten: who sets
        a clock back finds no more of the key than its tombstone would have told."""
        held = read_entry(self._connection, namespace, key)
        after = held.hlc if held else 0
        if held is None or held.value is None:
            after = max(after, read_horizon(self._connection, namespace))
        entry = KvEntry(key, value, self._hlc.after(after), node)
        self._write(namespace, entry)
        return entry

    def merge(self, namespace: str, entries: Sequence[KvEntry], *, refuse: bool) -> Merged:
        """Write those entries that win; with `refuse`, a tombstone in place of each that is doubtful. Raises
        InvalidInput for one too far in the future."""
        horizon = read_horizon(self._connection, namespace)
        merged = Merged([], [], [], horizon)
        for entry in entries:
            self._hlc.observe(entry.hlc)
            hlc, node, lives = self._held(namespace, entry.key)
            if (entry.hlc, entry.node) <= (hlc, node):
                if entry.value is not None and not lives:
                    merged.buried.append(KvEntry(entry.key, None, hlc, node))
                continue
            if entry.value is not None and entry.hlc <= horizon and not lives:
                # A tombstone that is held says nothing here: it may have come after a later one was forgotten.
                merged.doubtful.append(entry)
                if refuse:
                    entry = stand_in(entry)  # noqa: PLW2901 -- it takes the refused one's place
            self._write(namespace, entry)
            merged.won.append(entry)
        return merged

    def bury_absent(
        self, namespace: str, after: str, last: str | None, present: frozenset[str], horizon: int
    ) -> list[KvEntry]:
        """Write tombstones over the living entries up to `horizon` with keys in (after, last] that are not `present`;
        last: None for all keys that follow. Returns the entries that lived."""
        rows = self._connection.execute(
            "SELECT key, value, hlc, node FROM kv WHERE namespace=? AND key>? AND (? IS NULL OR key<=?)"
            " AND value IS NOT NULL AND hlc<=? ORDER BY key",
            (namespace, after, last, last, horizon),
        )
        absent = [KvEntry(*row) for row in rows if row[0] not in present]
        for entry in absent:
            self._write(namespace, stand_in(entry))
        return absent

    def forget(self, namespace: str, before: int, most: int) -> int:
        """Forget up to `most` tombstones of the namespace older than the timestamp `before`, the oldest first; returns
        how many."""
        rows: Any = self._connection.execute(
            "SELECT key, hlc FROM kv INDEXED BY kv_tombstones WHERE value IS NULL AND namespace=? AND hlc<?"
            " ORDER BY hlc LIMIT ?",
            (namespace, before, most),
        ).fetchall()
        if rows:
            self.raise_horizon(namespace, rows[-1][1])
            self._connection.executemany(
                "DELETE FROM kv WHERE namespace=? AND key=?", [(namespace, key) for key, _ in rows]
            )
        return len(rows)

    def raise_horizon(self, namespace: str, hlc: int) -> None:
        """Tombstones up to `hlc` may be missing here from now on."""
        self._connection.execute(
            "INSERT INTO horizons(namespace, hlc) VALUES(?,?) ON CONFLICT DO UPDATE SET hlc=max(hlc, excluded.hlc)",
            (namespace, hlc),
        )

    def _held(self, namespace: str, key: str) -> tuple[int, str, bool]:
        """(hlc, node) of what the key holds, before all others where it holds nothing; and whether it lives."""
        row = self._connection.execute(
            "SELECT hlc, node, value IS NOT NULL FROM kv WHERE namespace=? AND key=?", (namespace, key)
        ).fetchone()
        return (row[0], row[1], bool(row[2])) if row else (-1, "", False)

    def _write(self, namespace: str, entry: KvEntry) -> None:
        self._connection.execute(
            "INSERT INTO kv(namespace, key, hlc, node, value) VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET hlc=excluded.hlc, node=excluded.node, value=excluded.value",
            (namespace, entry.key, entry.hlc, entry.node, entry.value),
        )


def read_entry(connection: apsw.Connection, namespace: str, key: str) -> KvEntry | None:
    """The key as last written, tombstones included."""
    row = connection.execute(
        "SELECT key, value, hlc, node FROM kv WHERE namespace=? AND key=?", (namespace, key)
    ).fetchone()
    return KvEntry(*row) if row else None


_ENTRIES = "SELECT key, value, hlc, node FROM kv WHERE namespace=? AND key>? ORDER BY key LIMIT ?"


def read_entries(connection: apsw.Connection, namespace: str, after: str, limit: int) -> list[KvEntry]:
    """Up to `limit` entries with keys greater than `after`, tombstones included, in order of the keys."""
    return [KvEntry(*row) for row in connection.execute(_ENTRIES, (namespace, after, limit))]


def read_snapshot(connection: apsw.Connection, namespace: str, after: str, limit: int) -> tuple[list[KvEntry], int]:
    """As `read_entries`, and the horizon at the same moment."""
    # In one statement: a tombstone forgotten between two would be in neither. A transaction around two would end in
    # an error of its own where the disk fails, and hide the disk's.
    rows: list[Any] = connection.execute(
        "SELECT entry.*, horizon.hlc FROM (SELECT coalesce((SELECT hlc FROM horizons WHERE namespace=?), 0) AS hlc)"
        f" AS horizon LEFT JOIN ({_ENTRIES}) AS entry ORDER BY entry.key",
        (namespace, namespace, after, limit),
    ).fetchall()
    return [KvEntry(*row[:4]) for row in rows if row[0] is not None], rows[0][4]


def read_page(connection: apsw.Connection, namespace: str, prefix: str, cursor: str | None, limit: int) -> KvPage:
    """Living keys that begin with `prefix`, in order (of their UTF-8 bytes)."""
    start, bound = (cursor, ">") if cursor is not None else (prefix, ">=")
    rows = connection.execute(
        f"SELECT key FROM kv WHERE namespace=? AND key{bound}? AND value IS NOT NULL ORDER BY key LIMIT ?",
        (namespace, start, limit + 1),
    )
    keys = []
    for (key,) in rows:
        if not key.startswith(prefix):
            break
        keys.append(key)
    if len(keys) > limit:
        return KvPage(keys[:limit], keys[limit - 1])
    return KvPage(keys, None)


def read_horizon(connection: apsw.Connection, namespace: str) -> int:
    """The greatest timestamp of a tombstone of the namespace that is missing here; 0 where none is."""
    row = connection.execute("SELECT hlc FROM horizons WHERE namespace=?", (namespace,)).fetchone()
    return row[0] if row else 0


def namespaces_with_tombstones(connection: apsw.Connection, before: int) -> list[str]:
    """The namespaces that hold tombstones older than the timestamp `before`: two steps in an index for each namespace
    that holds any, however many they are."""
    found: list[str] = []
    at = ""
    while True:
        row = connection.execute(
            "SELECT namespace, hlc FROM kv INDEXED BY kv_tombstones WHERE value IS NULL AND namespace>?"
            " ORDER BY namespace, hlc LIMIT 1",
            (at,),
        ).fetchone()
        if row is None:
            return found
        at = row[0]
        if row[1] < before:
            found.append(at)


def greatest_hlc(connection: apsw.Connection) -> int:
    """The newest timestamp in the table."""
    row = connection.execute("SELECT max(hlc) FROM kv").fetchone()
    return row[0] or 0 if row else 0
