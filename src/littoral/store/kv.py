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

A key may expire: from then on no reader finds it, and each node makes a tombstone of it when it comes to that (`expire`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw
import msgspec

from littoral.core.hlc import HybridClock
from littoral.core.kv import KvDetails, KvEntry, KvPage
from littoral.core.names import StreamName
from littoral.store.meta import put_meta, read_meta_value
from littoral.store.rows import take_rows

KV_STREAMS = "kv/"
KV_DOWN_STREAMS = "kv-down/"
_NEWEST = "hlc"
"""Key in the table `meta` of the newest timestamp that the table ever held."""

PAGE_BYTES = 512 * 1024
"""Of the keys of one page of a listing, with what is listed of them: well below a frame, in which a key may stand twice."""
ENTRY_BYTES = 32
"""About what an entry takes besides its key and value, as a neighbour is sent it."""
KvRow = tuple[str, bytes | None, int, str, int, str]
"""A KvEntry's fields, for where many are written at once."""
COLUMNS = "key, value, hlc, node, expires_s, metadata"
"""Of a KvEntry, and of a KvRow."""
_encode = msgspec.msgpack.Encoder().encode


def kv_namespace(path: str) -> str | None:
    """The namespace whose writes the stream at `path` carries, or None if it is no such stream."""
    for prefix in (KV_STREAMS, KV_DOWN_STREAMS):
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return None


def said(row: KvRow) -> tuple[object, ...]:
    """An entry as it is said to neighbours: without what it has none of, as nodes that knew of no more said it."""
    return row if row[4] or row[5] else row[:4]


def encode_entry(entry: KvEntry) -> bytes:
    """An entry as a record."""
    return _encode(said(msgspec.structs.astuple(entry)))


def kv_stream(node: str, namespace: str) -> StreamName:
    """The stream of what was written at `node` or below it."""
    return StreamName(node, KV_STREAMS + namespace)


def kv_down_stream(node: str, namespace: str) -> StreamName:
    """The stream of what reached `node` from above."""
    return StreamName(node, KV_DOWN_STREAMS + namespace)


class HeldKey(NamedTuple):
    """A living entry of the table without its value, which may be large."""

    key: str
    hlc: int
    node: str


def stand_in(entry: KvEntry | HeldKey) -> KvEntry:
    """The tombstone that wins over `entry`, and over nothing that is later: a write in between may be known elsewhere.

    It names no node. So all who refuse the same write say the same, and no node's own write is ever equal to it.
    """
    return KvEntry(entry.key, None, entry.hlc + 1, "")


class Merged(msgspec.Struct, frozen=True):
    """What became of neighbours' writes."""

    won: list[KvEntry]
    """Those that are now in the table; with the tombstones written in place of those refused."""
    doubtful: list[KvEntry]
    """Those up to the horizon whose keys may have been deleted since: refused, or taken at their word."""
    buried: list[KvEntry]
    """The tombstones in the table that living writes lost to."""
    horizon: int
    """The namespace's."""


class KvTable:
    """The writer's view of the table."""

    def __init__(self, connection: apsw.Connection, hlc: HybridClock) -> None:
        self._connection = connection
        self._hlc = hlc
        self._newest = self._kept = greatest_hlc(connection)
        """The newest timestamp written, and what is known to be in the table `meta`."""

    def keep_newest(self) -> None:
        """Before a commit: write down the newest timestamp, so that the next start goes on from there."""
        if self._newest > self._kept:
            put_meta(self._connection, _NEWEST, str(self._newest))
            self._kept = self._newest

    def abandon(self) -> None:
        """The commit failed: what was written down is not."""
        self._kept = 0

    def write_local(
        self, namespace: str, key: str, value: bytes | None, node: str, expires_s: int = 0, metadata: str = ""
    ) -> KvEntry:
        """Write with a fresh timestamp. It wins over what the key holds here, also if that is from a clock that was
        ahead; such a one does not drag the other keys along. It also wins over what may have been forgotten: who sets
        a clock back finds no more of the key than its tombstone would have told."""
        held = read_entry(self._connection, namespace, key)
        after = held.hlc if held else 0
        if held is None or held.value is None:
            after = max(after, read_horizon(self._connection, namespace))
        entry = KvEntry(key, value, self._hlc.after(after), node, expires_s, metadata)
        self._write(namespace, entry)
        return entry

    def merge(self, namespace: str, entries: Sequence[KvEntry], *, refuse: bool, wall_ms: int) -> Merged:
        """Write those entries that win; with `refuse`, a tombstone in place of each that is doubtful. Without it, so is also
        one whose key lives here: perhaps by a write that was taken at its word, and will be refused elsewhere. One that has
        expired is not doubtful: nobody reads it. Raises InvalidInput for one too far in the future."""
        horizon = read_horizon(self._connection, namespace)
        merged = Merged([], [], [], horizon)
        for entry in entries:
            self._hlc.observe(entry.hlc)
            hlc, node, lives = self._held(namespace, entry.key)
            if (entry.hlc, entry.node) <= (hlc, node):
                if entry.value is not None and not lives:
                    merged.buried.append(KvEntry(entry.key, None, hlc, node))
                continue
            if entry.lives(wall_ms) and entry.hlc <= horizon and not (lives and refuse):
                # A tombstone that is held says nothing here: it may have come after a later one was forgotten.
                merged.doubtful.append(entry)
                if refuse:
                    entry = stand_in(entry)  # noqa: PLW2901 -- it takes the refused one's place
            self._write(namespace, entry)
            merged.won.append(entry)
        return merged

    def insert(self, namespace: str, after: str, last: str | None, rows: Sequence[KvRow]) -> bool:
        """Write entries with keys in (after, last] where nothing of that range is held and none of them is doubtful: then
        all of them win, and need not be looked at one by one. False, and nothing done, where that is not so.

        Raises: InvalidInput for one too far in the future, apsw.ConstraintError for keys that are there or come twice;
        some may be written then.
        """
        horizon = read_horizon(self._connection, namespace)
        if any(row[2] <= horizon for row in rows) or self._holds(namespace, after, last):
            return False
        newest = max((row[2] for row in rows), default=0)
        self._hlc.observe(newest)
        self._connection.executemany(
            f"INSERT INTO kv(namespace, {COLUMNS}) VALUES(?,?,?,?,?,?,?)", [(namespace, *row) for row in rows]
        )
        self._newest = max(self._newest, newest)
        return True

    def newer(self, namespace: str, rows: Sequence[KvRow]) -> list[KvRow]:
        """Of entries, those that would win. Looked up one by one: between two of their keys there may be any number."""
        return [row for row in rows if (row[2], row[3]) > self._held(namespace, row[0])[:2]]

    def _holds(self, namespace: str, after: str, last: str | None) -> bool:
        row = self._connection.execute(
            f"SELECT 1 FROM kv WHERE {_in_range(last)} LIMIT 1", (namespace, after, last)
        ).fetchone()
        return row is not None

    def absent(
        self, namespace: str, after: str, last: str | None, present: frozenset[str], horizon: int, most: int
    ) -> tuple[list[HeldKey], str | None]:
        """The living entries up to `horizon` with keys in (after, last] that are not `present`, by a look at up to `most`
        keys; and after which key to go on, None at the end. last: None for all keys that follow."""
        if not horizon:
            return [], None
        rows: Any = self._connection.execute(
            f"SELECT key, hlc, node, value IS NOT NULL FROM kv WHERE {_in_range(last)} ORDER BY key LIMIT ?4",
            (namespace, after, last, most),
        ).fetchall()
        absent = [
            HeldKey(key, hlc, node) for key, hlc, node, lives in rows if lives and hlc <= horizon and key not in present
        ]
        return absent, rows[-1][0] if len(rows) == most else None

    def bury(self, namespace: str, held: Sequence[HeldKey]) -> list[KvEntry]:
        """Write tombstones over living entries; returns the tombstones."""
        tombstones = [stand_in(each) for each in held]
        for tombstone in tombstones:
            self._write(namespace, tombstone)
        return tombstones

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

    def expire(self, wall_ms: int, most: int) -> int:
        """Make tombstones of up to `most` keys that have expired; returns how many.

        A tombstone has the timestamp of the write that it replaces. So it is nobody's write and is said to nobody: each
        node makes its own, and where one of them meets the write again, neither wins.
        """
        rows: Any = self._connection.execute(
            "SELECT rowid FROM kv INDEXED BY kv_expiring WHERE expires_s>0 AND expires_s<=? LIMIT ?",
            (wall_ms // 1000, most),
        ).fetchall()
        self._connection.executemany("UPDATE kv SET value=NULL, expires_s=0, metadata='' WHERE rowid=?", rows)
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
            "INSERT INTO kv(namespace, key, hlc, node, value, expires_s, metadata) VALUES(?,?,?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET hlc=excluded.hlc, node=excluded.node, value=excluded.value,"
            " expires_s=excluded.expires_s, metadata=excluded.metadata",
            (namespace, entry.key, entry.hlc, entry.node, entry.value, entry.expires_s, entry.metadata),
        )
        self._newest = max(self._newest, entry.hlc)


def _in_range(last: str | None) -> str:
    """The condition for keys of the namespace ?1 in (?2, ?3]; last: None for all keys that follow. Not both in one text: SQLite
    would then read on to the end of the namespace."""
    # The third parameter has to be in the text, for it is given.
    return "namespace=?1 AND key>?2 AND " + ("?3 IS NULL" if last is None else "key<=?3")


def read_entry(connection: apsw.Connection, namespace: str, key: str) -> KvEntry | None:
    """The key as last written, tombstones included."""
    row = connection.execute(f"SELECT {COLUMNS} FROM kv WHERE namespace=? AND key=?", (namespace, key)).fetchone()
    return KvEntry(*row) if row else None


_ENTRIES = f"SELECT {COLUMNS} FROM kv WHERE namespace=? AND key>? ORDER BY key LIMIT ?"


def read_entries(connection: apsw.Connection, namespace: str, after: str, limit: int) -> list[KvEntry]:
    """Up to `limit` entries with keys greater than `after`, tombstones included, in order of the keys."""
    return [KvEntry(*row) for row in connection.execute(_ENTRIES, (namespace, after, limit))]


# In one statement: a tombstone forgotten between two would be in neither. A transaction around two would end in an error of
# its own where the disk fails, and hide the disk's.
_SNAPSHOT = (
    "SELECT NULL, NULL, coalesce((SELECT hlc FROM horizons WHERE namespace=?1), 0), NULL, NULL, NULL"
    f" UNION ALL SELECT * FROM (SELECT {COLUMNS} FROM kv WHERE namespace=?1 AND key>?2 ORDER BY key LIMIT ?3)"
)


def read_snapshot(
    connection: apsw.Connection, namespace: str, after: str, most_entries: int, most_bytes: int
) -> tuple[list[KvRow], bool, int]:
    """Entries with keys greater than `after`, tombstones included, in order of the keys: at least one if there is any, and
    no more than either bound; whether they are the last; and the horizon at the same moment."""
    # One more than is wanted tells whether there are more.
    cursor: Any = iter(connection.execute(_SNAPSHOT, (namespace, after, most_entries + 1)))
    horizon = next(cursor)[2]
    rows, complete = take_rows(
        cursor, lambda row: len(row[0]) + len(row[1] or b"") + len(row[5]) + ENTRY_BYTES, most_bytes, most_entries
    )
    return rows, complete, horizon


def read_page(
    connection: apsw.Connection, namespace: str, prefix: str, cursor: str | None, limit: int, wall_ms: int
) -> KvPage:
    """Keys that begin with `prefix` and live at `wall_ms`, in order (of their UTF-8 bytes): up to `limit`, or PAGE_BYTES."""
    start, bound = (cursor, ">") if cursor is not None and cursor >= prefix else (prefix, ">=")
    rows = connection.execute(
        f"SELECT key, expires_s, metadata FROM kv WHERE namespace=? AND key{bound}? AND value IS NOT NULL"
        " AND (expires_s=0 OR expires_s>?) ORDER BY key LIMIT ?",
        (namespace, start, wall_ms // 1000, limit + 1),
    )
    keys: list[str] = []
    details: dict[str, KvDetails] = {}
    size = 0
    for key, expires_s, metadata in rows:
        if not key.startswith(prefix):
            break
        if len(keys) == limit or size > PAGE_BYTES:
            return KvPage(keys, keys[-1], details)
        size += len(key.encode()) + len(metadata.encode())
        keys.append(key)
        if expires_s or metadata:
            details[key] = KvDetails(expires_s, metadata)
    return KvPage(keys, None, details)


def has_expired(connection: apsw.Connection, wall_ms: int) -> bool:
    """Whether any key has, and is not a tombstone yet."""
    query = "SELECT 1 FROM kv INDEXED BY kv_expiring WHERE expires_s>0 AND expires_s<=? LIMIT 1"
    return connection.execute(query, (wall_ms // 1000,)).fetchone() is not None


def read_horizon(connection: apsw.Connection, namespace: str) -> int:
    """The greatest timestamp of a tombstone of the namespace that is missing here; 0 where none is."""
    row = connection.execute("SELECT hlc FROM horizons WHERE namespace=?", (namespace,)).fetchone()
    return row[0] if row else 0


def held_namespaces(connection: apsw.Connection) -> list[str]:
    """The namespaces that hold anything, tombstones included: one step in an index for each."""
    found: list[str] = []
    at = ""
    while row := connection.execute(
        "SELECT namespace FROM kv WHERE namespace>? ORDER BY namespace LIMIT 1", (at,)
    ).fetchone():
        at = row[0]
        found.append(at)
    return found


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
    """The newest timestamp that the table ever held."""
    return int(read_meta_value(connection, _NEWEST) or 0)
