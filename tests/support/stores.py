"""Stores in virtual time, and on real files."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.store.store import Store, open_store
from littoral.store.writer import ThreadWriter
from littoral.testing.clock import SimClock
from littoral.testing.disk import SimDisk
from littoral.testing.random import SeededRandom
from littoral.testing.writer import SimWriter


class SimStore:
    """One node's disk, and the store that is open on it. Inside `littoral.testing.loop.run` only."""

    def __init__(self, node: str = "plant-a", /, *, seed: int | str = 1, **limits: int) -> None:
        self.node = node
        self.limits = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        self.random = SeededRandom(seed).fork(node)
        self.clock = SimClock(asyncio.get_running_loop())
        self.disk = SimDisk(self.random.fork("disk"))
        self.writer = SimWriter(self.limits, self.random.fork("writer"))
        self.store: Store | None = None

    def open(self) -> Store:
        """Open the store; a second time after `close` or `cut_power`."""
        self.disk.power_on()
        self.writer = SimWriter(self.limits, self.random.fork("writer"))
        self.store = open_store(self.node, self.disk, self.clock, self.random.fork("store"), self.limits, self.writer)
        return self.store

    def cut_power(self) -> None:
        """As when the machine loses power."""
        self.disk.cut_power()
        self.died()

    def died(self) -> None:
        """The power is off: nothing of the process remains."""
        self.writer.kill()
        if self.store is not None:
            self.store.abandon()
            self.store = None


@contextlib.asynccontextmanager
async def local_store(directory: Path, node: str = "plant-a", **limits: int):
    """A store with a thread, on real files."""
    bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
    store = open_store(node, LocalDisk(directory), SystemClock(), SystemRandom(), bounds, ThreadWriter(bounds))
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
