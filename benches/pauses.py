"""How long background work keeps others waiting: the store of a node, with appends and reads going on all the time.

One process, real disk. A record is appended, and another one and a key are read, each every few milliseconds, by the
schedule and not after the last answer: who waits in a queue is counted. Meanwhile: nothing else; a stream of 1 GiB is
deleted and the file given back; retention by bytes takes as much as is written; a snapshot is given away; one is taken.
Beside each maximum: the longest that fdatasync of one page of the same disk took in the same run, and what is added to it.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uvloop

from benches.harness import Row
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.fleet.desired import DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.snapshots import FoldSnapshots
from littoral.store.kv import KvRow
from littoral.store.opening import open_store
from littoral.store.retention import Retention
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter
from littoral.streams.bootstrap import CHUNK_BYTES, SnapshotPart, snapshot_page
from littoral.wire import peer

BUILD = Path("build")
NODE, PARENT = "bench", "parent"
SPACE = "recipes"
STEADY = StreamName(NODE, "steady")
LARGE = StreamName(NODE, "large")
HOT = StreamName(NODE, "hot")
RECORD_BYTES = 200
EVERY_S = 0.003
PHASE_S = 10.0
LARGE_BYTES = 1 << 30
HOT_BYTES = 32 << 20
"""What retention leaves of the hot stream, and half of what the file gets a second."""
BATCH_BYTES = 256 << 10
SPACE_BYTES = 128 << 20
VALUE_BYTES = 4 << 10
SYNCS = 2000
MOST_MS = 10.0
"""Added to the disk's own."""


class Steady:
    """Appends and reads by a schedule, and how long each took."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.appends_ms: list[float] = []
        self.reads_ms: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += EVERY_S
            await asyncio.sleep(due_s - loop.time())
            self._store.submit(_append_one).add_done_callback(partial(self._appended, due_s))
            tail = self._store.stream(STEADY)
            assert tail is not None
            self._store.read(STEADY, max(tail.first, tail.next - 100), 4096)
            self._store.kv_get(SPACE, "key/000000001")
            self.reads_ms.append((loop.time() - due_s) * 1000)

    def _appended(self, due_s: float, _: "asyncio.Future[None]") -> None:
        self.appends_ms.append((asyncio.get_running_loop().time() - due_s) * 1000)


def _append_one(tx: Transaction) -> None:
    tx.append(STEADY, [bytes(RECORD_BYTES)])


def _append_batch(tx: Transaction, name: StreamName) -> None:
    tx.append(name, [os.urandom(BATCH_BYTES // 4) for _ in range(4)])


@asynccontextmanager
async def _opened(data_dir: Path, node: str) -> AsyncIterator[Store]:
    """A store as the hub has it, with what works in its background."""
    limits, clock = Limits({"stream-bytes": 8 << 30}), SystemClock()
    store = open_store(node, LocalDisk(data_dir), clock, SystemRandom(), limits, ThreadWriter(limits))
    assert store.checkpointer is not None
    retention = Retention(store, clock, limits, print, asyncio.to_thread)
    work = [asyncio.ensure_future(retention.run()), asyncio.ensure_future(store.checkpointer.run(asyncio.to_thread))]
    try:
        yield store
    finally:
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await store.close()


async def _fill(store: Store) -> None:
    for name in (STEADY, LARGE, HOT):
        most = HOT_BYTES if name == HOT else None
        await store.submit(partial(Transaction.open_stream, name=name, retention_bytes=most))
    for _ in range(LARGE_BYTES // BATCH_BYTES):
        await store.submit(partial(_append_batch, name=LARGE))
    await store.submit(lambda tx: tx.append(STEADY, [bytes(RECORD_BYTES)] * 1000))


async def _fill_space(store: Store) -> None:
    pool = os.urandom(VALUE_BYTES)
    after, at_once = "", CHUNK_BYTES // VALUE_BYTES
    for first in range(0, SPACE_BYTES // VALUE_BYTES, at_once):
        rows: list[KvRow] = [(f"key/{n:09}", pool, n + 1, store.node) for n in range(first, first + at_once)]
        await store.submit(partial(Transaction.kv_insert, namespace=SPACE, after=after, last=None, rows=rows))
        after = rows[-1][0]
    await store.submit(lambda tx: tx.kv_put(SPACE, "~", b"end"))


async def _nothing(_: Store) -> None:
    await asyncio.sleep(PHASE_S)


async def _delete(store: Store) -> None:
    await store.submit(lambda tx: tx.delete_stream(LARGE))
    # The rows go first, a few megabytes at a time, and then the pages of the file.
    await asyncio.sleep(2 * PHASE_S)
    assert not store.deleted_bytes(), "it takes longer than expected"


async def _retain(store: Store) -> None:
    ends_s = time.monotonic() + PHASE_S
    while time.monotonic() < ends_s:
        await store.submit(partial(_append_batch, name=HOT))
        await asyncio.sleep(BATCH_BYTES / HOT_BYTES)


def _snapshots(store: Store) -> FoldSnapshots:
    above = "" if store.node == PARENT else PARENT
    return FoldSnapshots(store, KvFold(store.node, above), DesiredFold(store.node, above))


async def _give(store: Store) -> None:
    """As the peer listener does, for a child that asks as fast as it can."""
    name = StreamName(NODE, f"kv/{SPACE}")
    info = store.stream(name)
    assert info is not None
    cursor: str | None = None
    while True:
        page = snapshot_page(store, _snapshots(store), info, cursor, CHUNK_BYTES, chunked=True)
        peer.encode(page)
        cursor = page.cursor
        await asyncio.sleep(0.001)
        if cursor is None:
            return


async def _take(parent: Store, store: Store) -> None:
    """As the uplink does: the next chunk is read while one is written."""
    name = StreamName(PARENT, f"kv/{SPACE}")
    info = parent.stream(name)
    assert info is not None
    cursor: str | None = None
    snapshots = _snapshots(store)
    await store.submit(lambda tx: [tx.kv_put(SPACE, "~", None), tx.kv_forget(SPACE, 1 << 62, 1)])
    while True:
        page = await asyncio.to_thread(partial(_page, parent, cursor))
        assert isinstance(page.items, bytes)
        part = SnapshotPart(page.items, page.cursor, page.horizon)
        await store.submit(partial(snapshots.take, name=name, part=part, after=cursor))
        cursor = page.cursor
        if cursor is None:
            return


def _page(parent: Store, cursor: str | None) -> peer.SnapshotPage:
    info = parent.stream(StreamName(PARENT, f"kv/{SPACE}"))
    assert info is not None
    return snapshot_page(parent, _snapshots(parent), info, cursor, CHUNK_BYTES, chunked=True)


async def _measured(store: Store, work: Callable[[Store], Awaitable[None]]) -> Steady:
    steady = Steady(store)
    running = asyncio.ensure_future(steady.run())
    await work(store)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(0.5)
    return steady


def _syncs_ms(directory: Path) -> list[float]:
    """How long fdatasync of one page takes, where the file's blocks are there already."""
    descriptor = os.open(directory / "synced", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(descriptor, bytes(4096 * SYNCS), 0)
    os.fsync(descriptor)
    took_ms = []
    for n in range(SYNCS):
        os.pwrite(descriptor, b"x" * 4096, n * 4096)
        began_s = time.monotonic()
        os.fdatasync(descriptor)
        took_ms.append((time.monotonic() - began_s) * 1000)
    os.close(descriptor)
    return sorted(took_ms)


async def _measure(directory: Path) -> list[Row]:
    rows: list[Row] = []
    syncs_ms = _syncs_ms(directory)

    def note(what: str, steady: Steady) -> None:
        for kind, took_ms in (("append", sorted(steady.appends_ms)), ("read", sorted(steady.reads_ms))):
            own_ms = syncs_ms[-1] if kind == "append" else 0.0
            high = took_ms[int(len(took_ms) * 0.999)]
            rows.append(Row(f"{what}: {kind}, p99.9", high, "ms"))
            rows.append(Row(f"{what}: {kind}, max", took_ms[-1], "ms", own_ms, "fdatasync, max", most=own_ms + MOST_MS))

    async with _opened(directory / NODE, NODE) as store:
        await _fill(store)
        note("nothing else", await _measured(store, _nothing))
        note("a stream of 1 GiB is deleted, the file gets smaller", await _measured(store, _delete))
        note("retention by bytes", await _measured(store, _retain))
        await _fill_space(store)
        note("a snapshot is given away", await _measured(store, _give))
    async with _opened(directory / PARENT, PARENT) as parent:
        await _fill_space(parent)
        async with _opened(directory / "child", NODE) as child:
            await child.submit(lambda tx: [tx.open_stream(STEADY), tx.append(STEADY, [bytes(RECORD_BYTES)] * 1000)])
            note("a snapshot is taken", await _measured(child, partial(_take, parent)))
    return rows


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        return uvloop.run(_measure(Path(name).absolute()))
