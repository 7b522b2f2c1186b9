"""One node's store: producers, folds, retention, deleting and making anew, closing and opening again."""

import asyncio
from functools import partial

import msgspec

from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.store import SimStore
from tests.support.stores import name, records_of

PRODUCERS = ("a", "b", "c")
RECORDS = 8
"""Of each producer."""
LOG = name("plant-a/log")
NOTES = name("plant-a/notes")
SHORT = name("plant-a/short")
SUM = "sum"


def append(producer: str, n: int, tx: Transaction) -> int:
    """Add a record; unless it is there, for the answer to an earlier time may not have come."""
    held = tx.get_state("producers", producer)
    if held is not None and int(held) >= n:
        return tx.open_stream(LOG).next
    tx.open_stream(LOG)
    span = tx.append(LOG, [f"{producer}{n}".encode() * 20])
    tx.put_state("producers", producer, b"%d" % n)
    return span.next


async def produce(node: SimStore, producer: str, told: list[str]) -> None:
    for n in range(RECORDS):
        await node.insist(partial(append, producer, n))
        told.append(f"{producer}{n}")


def fold(upto: int, records: int, tx: Transaction) -> None:
    """State and offset in one: what `records` is after everything before `upto`."""
    tx.put_state(SUM, "records", b"%d" % records)
    tx.set_fold(SUM, LOG, upto)


async def fold_all(node: SimStore) -> None:
    """Count what is new, in steps, from what is on disk."""
    while True:
        store = node.running()
        offset = store.fold_offset(SUM, LOG)
        info = store.stream(LOG)
        assert info is not None
        if offset >= info.next:
            return
        step = min(info.next, offset + 5)
        seen = int(store.state(SUM).get("records", b"0"))
        assert seen == offset, "the state is that of another offset"
        await node.insist(partial(fold, step, seen + step - offset))


def short(n: int, tx: Transaction) -> None:
    """A stream that keeps little; each record says how many there were."""
    info = tx.open_stream(SHORT, retention_bytes=900)
    if info.next <= n:
        tx.append(SHORT, [b"%04d" % n * 50])


def renew(tx: Transaction) -> None:
    """Delete a stream and make another of its name, with something in it, in one."""
    if tx.stream(NOTES) is not None:
        tx.delete_stream(NOTES)
    tx.open_stream(NOTES)
    tx.append(NOTES, [b"anew", b"and whole"])


async def retain(node: SimStore) -> None:
    while await node.insist(lambda tx: tx.retain(SHORT, tx.now_ms, 2)):
        pass


def put_key(n: int, tx: Transaction) -> None:
    tx.kv_put("lines", f"k{n % 3}", b"%d" % n if n % 4 else None)


async def store(crash: Crash) -> None:
    """What was acknowledged is there, in order and once; folds stand where their state is; nothing is half done."""
    node = crash.store("plant-a")
    told: list[str] = []
    await node.insist(lambda tx: tx.open_stream(NOTES))
    async with asyncio.TaskGroup() as work:
        for producer in PRODUCERS:
            work.create_task(produce(node, producer, told))
    _check_log(node, told)
    await fold_all(node)
    for n in range(9):
        await node.insist(partial(short, n))
    await retain(node)
    _check_short(node)
    await node.close()
    before = _lineage(node, NOTES)
    await node.insist(renew)
    assert _lineage(node, NOTES) != before
    for n in range(9):
        await node.insist(partial(put_key, n))
    await node.close()
    running = node.running()
    _check_log(node, told)
    _check_short(node)
    assert records_of(running, NOTES) == [b"anew", b"and whole"]
    assert running.fold_offset(SUM, LOG) == int(running.state(SUM)["records"]) == len(told)
    _check_keys(node)


def _check_log(node: SimStore, told: list[str]) -> None:
    found = [record[: len(record) // 20].decode() for record in records_of(node.running(), LOG)]
    assert sorted(found) == sorted(told), "not what was acknowledged"
    for producer in PRODUCERS:
        assert [each for each in found if each[0] == producer] == [f"{producer}{n}" for n in range(RECORDS)]


def _check_short(node: SimStore) -> None:
    info = node.running().stream(SHORT)
    assert info is not None
    assert info.bytes <= info.retention_bytes
    assert info.next == 9
    numbers = [int(record[:4]) for record in records_of(node.running(), SHORT)]
    assert numbers == list(range(info.first, info.next))
    assert 0 < len(numbers) < 9


def _check_keys(node: SimStore) -> None:
    running = node.running()
    table = {entry.key: entry.value for entry in running.kv_entries("lines", "", 10)}
    assert table == {"k0": b"6", "k1": b"7", "k2": None}
    said = {}
    for record in records_of(running, name("plant-a/kv/lines")):
        entry = msgspec.msgpack.decode(record)
        said[entry[0]] = entry[1]
    assert said == table, "the stream tells another story than the table"


def _lineage(node: SimStore, stream: StreamName) -> str:
    info = node.running().stream(stream)
    assert info is not None
    return info.lineage
