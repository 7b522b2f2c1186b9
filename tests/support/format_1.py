"""A store of format 1, made as its Littoral made it, and what tells formats apart."""

import apsw

from littoral.store.database import DATABASE
from littoral.store.store import Store
from littoral.testing.store import SimStore

FORMAT_1 = """
CREATE TABLE meta(
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streams(
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    origin          TEXT NOT NULL,
    path            TEXT NOT NULL,
    lineage         TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    lane            TEXT NOT NULL,
    first           INTEGER NOT NULL,
    next            INTEGER NOT NULL,
    chain           BLOB NOT NULL,
    bytes           INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    closed          INTEGER NOT NULL,
    retention_bytes INTEGER NOT NULL,
    retention_ms    INTEGER,
    ttl_s           INTEGER,
    expires_at      TEXT,
    reach           TEXT NOT NULL,
    via             TEXT NOT NULL,
    UNIQUE(origin, path)
) STRICT;

CREATE TABLE batches(
    stream       INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    next         INTEGER NOT NULL,
    lineage      TEXT NOT NULL,
    appended_ms  INTEGER NOT NULL,
    codec        INTEGER NOT NULL,
    crc          INTEGER NOT NULL,
    chain_before BLOB NOT NULL,
    chain        BLOB NOT NULL,
    payload      BLOB NOT NULL,
    PRIMARY KEY(stream, first)
) STRICT;

CREATE TABLE folds(
    fold   TEXT NOT NULL,
    stream INTEGER NOT NULL,
    next   INTEGER NOT NULL,
    PRIMARY KEY(fold, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE state(
    scope TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE kv(
    namespace TEXT NOT NULL,
    key       TEXT NOT NULL,
    hlc       INTEGER NOT NULL,
    node      TEXT NOT NULL,
    value     BLOB,
    PRIMARY KEY(namespace, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX kv_by_hlc ON kv(hlc);
CREATE INDEX kv_tombstones ON kv(hlc) WHERE value IS NULL;
"""
"""The whole schema as it was in version 1: never to be changed."""


def make_format_1(sim: SimStore) -> None:
    """A store of version 1 that holds something."""
    sim.disk.power_on()
    connection = apsw.Connection(
        sim.disk.database_path(DATABASE),
        flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
        vfs=sim.disk.vfs,
    )
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    with connection:
        connection.execute(FORMAT_1)
        connection.pragma("user_version", 1)
        connection.execute("INSERT INTO meta VALUES('node', 'plant-a'), ('lineage', '00')")
        connection.execute("INSERT INTO kv VALUES('ns', 'k0', 5, 'plant-a', x'00'), ('ns', 'k1', 7, 'plant-a', NULL)")
    connection.close()


def schema_of(store: Store) -> "list[tuple[apsw.SQLiteValue, ...]]":
    connection = store.committer._connection
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()


def version_of(store: Store) -> object:
    return store.committer._connection.pragma("user_version")
