"""Stores in virtual time, and on real files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.security.store_key import StoreKey
from littoral.store.opening import open_store
from littoral.store.store import Store
from littoral.store.writer import ThreadWriter
from littoral.testing.store import SimStore

__all__ = ["SimStore", "column", "local_store", "name", "records_of"]


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


def records_of(store: Store, stream: StreamName) -> list[bytes]:
    """All that a store holds of a stream."""
    info = store.stream(stream)
    if info is None:
        return []
    return [record for batch in store.read(stream, info.first, 1 << 30) for record in batch.records()]


def column(connection: apsw.Connection, query: str) -> Iterator[object]:
    """The first column of a query's rows."""
    return (row[0] for row in connection.execute(query))
