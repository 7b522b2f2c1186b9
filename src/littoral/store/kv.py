"""The key-value table: last writer wins by (hlc, node), deletes are tombstones.

Every write that wins at a node, whoever made it, is appended to a stream of that node's, and the neighbours in the
tree apply it in turn. A write that a node already has does not win again, so it stops by itself; any part of a
divided tree converges. Two streams keep what came from above from being sent up again:

    kv/<namespace>       own writes, and those from below that won: goes to the parent and to the children
    kv-down/<namespace>  those from the parent that won: goes to the children only
"""

from collections.abc import Sequence

import apsw

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


class KvTable:
    """The writer's view of the table."""

    def __init__(self, connection: apsw.Connection, hlc: HybridClock) -> None:
        self._connection = connection
        self._hlc = hlc

    def write_local(self, namespace: str, key: str, value: bytes | None, node: str) -> KvEntry:
        """Write with a fresh timestamp. It wins over what the key holds here, also if that is from a clock that was
        ahead; such a one does not drag the other keys along."""
        held = read_entry(self._connection, namespace, key)
        entry = KvEntry(key, value, self._hlc.after(held.hlc if held else 0), node)
        self._write(namespace, entry)
        return entry

    def merge(self, namespace: str, entries: Sequence[KvEntry]) -> list[KvEntry]:
        """Write those entries that win; returns them. Raises InvalidInput for one too far in the future."""
        won = []
        for entry in entries:
            self._hlc.observe(entry.hlc)
            row = self._connection.execute(
                "SELECT hlc, node FROM kv WHERE namespace=? AND key=?", (namespace, entry.key)
            ).fetchone()
            if row is None or (entry.hlc, entry.node) > (row[0], row[1]):
                self._write(namespace, entry)
                won.append(entry)
        return won

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


def read_entries(connection: apsw.Connection, namespace: str, after: str, limit: int) -> list[KvEntry]:
    """Up to `limit` entries with keys greater than `after`, tombstones included, in order of the keys."""
    rows = connection.execute(
        "SELECT key, value, hlc, node FROM kv WHERE namespace=? AND key>? ORDER BY key LIMIT ?",
        (namespace, after, limit),
    )
    return [KvEntry(*row) for row in rows]


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


def greatest_hlc(connection: apsw.Connection) -> int:
    """The newest timestamp in the table."""
    row = connection.execute("SELECT max(hlc) FROM kv").fetchone()
    return row[0] or 0 if row else 0
