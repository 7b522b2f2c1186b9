"""Stores of older formats are brought up to this one, whole or not at all."""

import apsw
import pytest

from littoral.core.errors import StorageError, StorageFull
from littoral.core.kv import KvEntry
from littoral.store.database import DATABASE
from littoral.store.migrations import STEPS
from littoral.store.schema import FORMAT_VERSION
from littoral.store.store import Store
from littoral.testing.disk import CutAt, PowerCut
from littoral.testing.loop import run
from tests.support.stores import SimStore

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
TOMBSTONE = KvEntry("k1", None, 7, "plant-a")


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


def check(store: Store) -> None:
    """It is as if it had always been of this format, and holds what it held."""
    assert version_of(store) == FORMAT_VERSION
    assert schema_of(store) == schema_of(SimStore("fresh").open())
    assert store.kv_entries("ns", "", 10) == [KvEntry("k0", b"\0", 5, "plant-a"), TOMBSTONE]
    assert store.kv_with_tombstones(8) == ["ns"]


def test_there_is_a_step_from_every_version_to_the_next():
    assert sorted(STEPS) == list(range(1, FORMAT_VERSION))


def test_a_store_of_version_1_becomes_what_a_new_one_is_and_goes_on():
    async def main() -> None:
        sim = SimStore()
        make_format_1(sim)
        store = sim.open()
        check(store)
        await store.submit(lambda tx: tx.kv_forget("ns", 8, 10))
        await store.close()
        store = sim.open()
        assert version_of(store) == FORMAT_VERSION
        assert store.kv_horizon("ns") == 7

    run(main)


def test_a_power_cut_at_any_moment_of_it_leaves_one_or_the_other():
    async def main() -> None:
        operation = 0
        while True:
            operation += 1
            sim = SimStore(seed=operation)
            make_format_1(sim)
            sim.disk.schedule_cut(CutAt(sim.disk.points + operation, takes_effect=operation % 2 == 0))
            try:
                sim.open()
            except (PowerCut, StorageError):
                sim.died()
                check(sim.open())
                continue
            break
        assert operation > 5, "it was cut at no moment"

    run(main)


def test_a_disk_that_is_full_leaves_the_store_as_it_was():
    async def main() -> None:
        sim = SimStore()
        make_format_1(sim)
        capacity, sim.disk.capacity_bytes = sim.disk.capacity_bytes, 0
        with pytest.raises(StorageFull):
            sim.open()
        sim.disk.capacity_bytes = capacity
        check(sim.open())

    run(main)
