"""Stores in virtual time, and on real files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import apsw

from littoral.core.lanes import Lane
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.security.store_key import StoreKey
from littoral.store.opening import open_store
from littoral.store.store import Store
from littoral.store.stream import Reach
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter
from littoral.testing.store import SimStore

__all__ = ["SimStore", "append", "column", "local_store", "name", "records_of"]


@contextlib.asynccontextmanager
async def local_store(directory: Path, node: str = "plant-a", *, key: StoreKey | None = None, **limits: int):
    """A store with a thread, on real files."""
    bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
    store = open_store(node, LocalDisk(directory), SystemClock(), SystemRandom(), bounds, ThreadWriter(bounds), key)
    try:
        yield store
    finally:
        await store.close()


def name(text: str) -> StreamName:
    """origin/path"""
    origin, _, path = text.partition("/")
    return StreamName(origin, path)


class Made(TypedDict, total=False):
    """What a stream is made with, as of Transaction.open_stream."""

    content_type: str
    lane: Lane
    retention_bytes: int | None
    retention_ms: int | None
    reach: Reach


def append(
    stream: StreamName, *records: bytes, essential: bool = False, **made: Unpack[Made]
) -> Callable[[Transaction], int]:
    """A job that appends to a stream, and makes it where there is none; it returns the first record's offset."""

    def job(tx: Transaction) -> int:
        tx.open_stream(stream, **made)
        return tx.append(stream, records, essential=essential).first

    return job


def records_of(store: Store, stream: StreamName) -> list[bytes]:
    """All that a store holds of a stream."""
    info = store.stream(stream)
    if info is None:
        return []
    return [record for batch in store.read(stream, info.first, 1 << 30) for record in batch.records()]


def column(connection: apsw.Connection, query: str) -> Iterator[object]:
    """The first column of a query's rows."""
    return (row[0] for row in connection.execute(query))
