"""How long background work keeps others waiting: the store of a node, with appends and reads going on all the time.

One process, real disk. A record is appended, and another one and a key are read, each every few milliseconds, by the
schedule and not after the last answer: who waits in a queue is counted. Meanwhile: nothing else; a stream of 1 GiB is
deleted and the file given back; retention by bytes takes as much as is written; a snapshot is given away; one is taken.
Beside each figure: what a process that has nothing to do with it waited for in the same moments (benches.control), when
it woke up, and when it synced a page to the same disk. What is more than that is ours.
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

from benches.control import ControlProcess
from benches.harness import Row
from littoral.core.garbage import keep_for_life
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.fleet.desired import DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.purges import PurgeFold
from littoral.fleet.snapshots import FoldSnapshots
from littoral.store.database import DATABASE
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
MOST_MS = 10.0
"""Added to what others waited."""


class Steady:
    """Appends and reads by a schedule, and how long each took."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.appends_ms: list[float] = []
        self.reads_ms: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        # Not the loop's time, which uvloop rounds to milliseconds.
        due_s = time.monotonic()
        while True:
            due_s += EVERY_S
            await asyncio.sleep(due_s - time.monotonic())
            self._store.submit(_append_one).add_done_callback(partial(self._appended, due_s))
            tail = self._store.stream(STEADY)
            assert tail is not None
            self._store.read(STEADY, max(tail.first, tail.next - 100), 4096)
            self._store.kv_get(SPACE, "key/000000001")
            self.reads_ms.append((time.monotonic() - due_s) * 1000)

    def _appended(self, due_s: float, _: "asyncio.Future[None]") -> None:
        self.appends_ms.append((time.monotonic() - due_s) * 1000)


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
        rows: list[KvRow] = [(f"key/{n:09}", pool, n + 1, store.node, 0, "") for n in range(first, first + at_once)]
        await store.submit(partial(Transaction.kv_insert, namespace=SPACE, after=after, last=None, rows=rows))
        after = rows[-1][0]
    await store.submit(lambda tx: tx.kv_put(SPACE, "~", b"end"))


async def _nothing(_: Store) -> None:
    await asyncio.sleep(PHASE_S)


async def _delete(store: Store, disk: LocalDisk) -> None:
    await store.submit(lambda tx: tx.delete_stream(LARGE))
    # The rows go first, a few megabytes at a time, and then the pages of the file.
    ends_s = time.monotonic() + 18 * PHASE_S
    while store.deleted_bytes() or (disk.size(DATABASE) or 0) > LARGE_BYTES // 4:
        assert time.monotonic() < ends_s, "it takes longer than expected"
        await asyncio.sleep(0.1)


async def _retain(store: Store) -> None:
    ends_s = time.monotonic() + PHASE_S
    while time.monotonic() < ends_s:
        await store.submit(partial(_append_batch, name=HOT))
        await asyncio.sleep(BATCH_BYTES / HOT_BYTES)


def _snapshots(store: Store) -> FoldSnapshots:
    above = "" if store.node == PARENT else PARENT
    return FoldSnapshots(store, KvFold(store.node, above), DesiredFold(store.node, above), PurgeFold(above))


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


def _high(took_ms: list[float]) -> float:
    return took_ms[int(len(took_ms) * 0.999)]


async def _measure(directory: Path) -> list[Row]:
    rows: list[Row] = []
    control = ControlProcess(directory, EVERY_S)

    async def note(what: str, store: Store, work: Callable[[Store], Awaitable[None]]) -> None:
        control.read()
        steady = await _measured(store, work)
        others = control.read()
        for kind, took_ms, others_ms in (
            ("append", sorted(steady.appends_ms), others.synced_ms),
            ("read", sorted(steady.reads_ms), others.late_ms),
        ):
            high, most = _high(others_ms), others_ms[-1]
            rows.append(Row(f"{what}: {kind}, p99.9", _high(took_ms), "ms", high, "others", most=high + MOST_MS))
            rows.append(Row(f"{what}: {kind}, max", took_ms[-1], "ms", most, "others", most=most + MOST_MS))

    async with _opened(directory / NODE, NODE) as store:
        await _fill(store)
        keep_for_life()
        await note("nothing else", store, _nothing)
        await note(
            "a stream of 1 GiB is deleted, the file gets smaller",
            store,
            partial(_delete, disk=LocalDisk(directory / NODE)),
        )
        await note("retention by bytes", store, _retain)
        await _fill_space(store)
        await note("a snapshot is given away", store, _give)
    async with _opened(directory / PARENT, PARENT) as parent:
        await _fill_space(parent)
        async with _opened(directory / "child", NODE) as child:
            await child.submit(lambda tx: [tx.open_stream(STEADY), tx.append(STEADY, [bytes(RECORD_BYTES)] * 1000)])
            await note("a snapshot is taken", child, partial(_take, parent))
    control.stop()
    return rows


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        return uvloop.run(_measure(Path(name).absolute()))
