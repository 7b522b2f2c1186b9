"""A store of format 1, as its process left it when it was killed, is opened by this Littoral."""

from functools import partial

import apsw
import msgspec

from littoral.core.kv import KvEntry
from littoral.store.database import DATABASE
from littoral.store.schema import FORMAT_VERSION
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.store import SimStore
from tests.support.format_1 import make_format_1, schema_of, version_of
from tests.support.stores import name, records_of

LOG = name("plant-a/log")
RECORDS = [b"record %d" % n * 30 for n in range(12)]
TABLES = ("meta", "streams", "batches", "folds", "state", "kv")


class Held(msgspec.Struct, frozen=True):
    """What a store says it holds."""

    streams: list[StreamInfo]
    records: list[bytes]
    state: dict[str, bytes]
    fold: int
    entries: list[KvEntry]


async def migration(crash: Crash) -> None:
    """It is brought up to this format once, as if it had been of it from the beginning, holds what it held, and goes on."""
    node = crash.store("plant-a")
    held = await _make_old(node)
    crash.count_from_here()
    assert _held(node) == held
    store = node.running()
    assert version_of(store) == FORMAT_VERSION
    assert schema_of(store) == schema_of(SimStore("fresh").open())
    await node.insist(_append_last)
    await node.close()
    assert _held(node).records == [*RECORDS, b"last"]
    assert _held(node).entries == held.entries


async def _make_old(node: SimStore) -> Held:
    """Write a store of this format elsewhere, and copy what it holds into one of format 1 whose WAL is left behind."""
    new = SimStore("plant-a", seed="new")
    store = new.open()
    await store.submit(lambda tx: tx.open_stream(LOG))
    for n, record in enumerate(RECORDS):
        await store.submit(partial(_fill, n, record))
    held = _held(new)
    make_format_1(node)
    old = apsw.Connection(node.disk.database_path(DATABASE), vfs=node.disk.vfs)
    old.pragma("locking_mode", "exclusive")
    old.pragma("synchronous", "full")
    old.pragma("wal_autocheckpoint", 0)
    old.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    with old:
        for table in TABLES:
            old.execute(f"DELETE FROM {table}")
            columns = ",".join(str(row[1]) for row in old.execute(f"PRAGMA table_info({table})"))
            for row in store.committer._connection.execute(f"SELECT {columns} FROM {table}").fetchall():
                old.execute(f"INSERT INTO {table} VALUES({','.join('?' * len(row))})", row)
    old.close()
    assert f"{DATABASE}-wal" in node.disk.paths()
    await new.close()
    return held


def _fill(n: int, record: bytes, tx: Transaction) -> None:
    tx.append(LOG, [record])
    tx.set_fold("sum", LOG, n + 1)
    tx.put_state("sum", "records", b"%d" % (n + 1))
    tx.kv_put("lines", f"k{n % 5}", None if n % 3 == 0 else record)


def _held(node: SimStore) -> Held:
    store = node.running()
    records, entries = records_of(store, LOG), store.kv_entries("lines", "", 100)
    return Held(store.streams(), records, store.state("sum"), store.fold_offset("sum", LOG), entries)


def _append_last(tx: Transaction) -> None:
    """Once, though it may be asked for twice."""
    info = tx.stream(LOG)
    assert info is not None
    if info.next == len(RECORDS):
        tx.append(LOG, [b"last"])
