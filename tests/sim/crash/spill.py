"""Spilling: batches go to files in a second place, are read from there, cut back, dropped, and removed, while the power of
either disk may go."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from littoral.core.errors import LittoralError
from littoral.core.resources.model import SpillPlace, Storage, StreamBudget
from littoral.store.spiller import Spiller
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.disk import PowerCut
from littoral.testing.offload import at_once
from littoral.testing.store import SimStore
from tests.support.stores import name, records_of

LOG, OTHER, ASIDE = name("plant-a/log"), name("plant-a/other"), name("plant-a/aside")
RECORDS = 14
SIZE = 700
PLACE = SpillPlace(directory="/mnt/slow", bytes="9000")
"""A few files: the oldest are dropped."""
STORAGE = Storage(streams=[StreamBudget(streams=["*"], bytes="2000", policy="spill")], spill=PLACE)

T = TypeVar("T")


def record(n: int) -> bytes:
    """Cannot be compressed."""
    return b"%04d" % n + b"".join(hashlib.sha256(b"%d %d" % (n, part)).digest() for part in range(SIZE // 32))


def append(stream, n: int, tx: Transaction) -> None:
    info = tx.open_stream(stream)
    if info.next <= n:
        tx.append(stream, [record(n)])


async def insist(node: SimStore, work: Callable[[Spiller], Awaitable[T]]) -> T:
    """Do something with what moves files, again where the power went meanwhile."""
    while True:
        spiller, deaths = Spiller(node.running(), at_once), node.deaths
        try:
            async with asyncio.timeout(3):
                return await work(spiller)
        except (LittoralError, PowerCut, TimeoutError):
            if node.deaths == deaths:
                raise


async def spill_all(node: SimStore, stream) -> None:
    while await insist(node, lambda spiller: spiller.spill(stream, 2000)):
        pass


def cut_back(tx: Transaction) -> None:
    """Once: what is put aside says so."""
    if tx.stream(ASIDE) is None:
        tx.cut_back(LOG, 9, ASIDE)


def delete(tx: Transaction) -> None:
    if tx.stream(OTHER) is not None:
        tx.delete_stream(OTHER)


def head_of(node: SimStore) -> StreamInfo:
    info = node.running().stream(LOG)
    assert info is not None
    return info


async def spill(crash: Crash) -> None:
    node = crash.store("plant-a", STORAGE)
    for n in range(RECORDS):
        await node.insist(partial(append, LOG, n))
        if n in (3, 7, 10, 13):
            await node.insist(partial(append, OTHER, n // 4))
            await spill_all(node, LOG)
            held = head_of(node)
            assert records_of(node.running(), LOG) == [record(each) for each in range(held.first, held.next)]
    assert head_of(node).first <= 9, "the rest of the test needs it"
    await node.insist(cut_back)
    await node.insist(delete)
    while await node.insist(lambda tx: tx.purge(2)):
        pass
    await insist(node, lambda spiller: spiller.sweep())
    store = node.running()
    info = head_of(node)
    assert info.next == 9
    assert 0 < info.first < 9, "the place has dropped its oldest"
    assert records_of(store, LOG) == [record(each) for each in range(info.first, 9)]
    assert records_of(store, ASIDE) == [record(each) for each in range(9, RECORDS)]
    assert node.spill_disk is not None
    known = {row[0] for row in store.committer._connection.execute("SELECT file FROM spilled")}
    assert {path for path in node.spill_disk.paths() if not path.endswith("SPILL")} == known, "each file has its row"
    assert store.spilled.end(info) > info.first, "something is spilled in the end"
