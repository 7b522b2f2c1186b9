"""Forks of one node's store: made within batches and records, of each other, deleted in any order, and gone without a
rest."""

import asyncio
from functools import partial

from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.store import SimStore, check_histories
from tests.support.stores import column, name, records_of

SOURCE, LOG = name("plant-a/source"), name("plant-a/log")
CUT, PART, TAIL, BELOW, LATE, OLD = (
    name(f"plant-a/{path}") for path in ("cut", "part", "tail", "below", "late", "old")
)
FILLER = b"." * 60
"""Some bytes, so that the WAL is moved into the database now and then."""
PURGED_AT_ONCE = 2

Content = dict[StreamName, list[bytes]]
"""What was acknowledged, of the streams that are there."""


def fill(stream: StreamName, first: int, records: list[bytes], tx: Transaction) -> None:
    """Add records from `first` on; unless they are there, for the answer to an earlier time may not have come."""
    if tx.open_stream(stream, content_type="text/plain").next == first:
        tx.append(stream, records)


def fork(stream: StreamName, source: StreamName, at: int, part_bytes: int, tx: Transaction) -> None:
    if tx.stream(stream) is None:
        tx.fork_stream(stream, source, at, part_bytes=part_bytes, asked=f"{source} {at} {part_bytes}")


def fork_and_go_on(tx: Transaction) -> None:
    """All in one: the source grows, is forked at its new end, and both grow."""
    if tx.stream(TAIL) is None:
        tx.append(SOURCE, [b"before" + FILLER])
        fork(TAIL, SOURCE, tx.open_stream(SOURCE).next, 0, tx)
        tx.append(SOURCE, [b"after" + FILLER])
        tx.append(TAIL, [b"in the tail" + FILLER])


def delete(stream: StreamName, tx: Transaction) -> None:
    if tx.stream(stream) is not None:
        tx.delete_stream(stream)


async def grow(node: SimStore, content: Content, stream: StreamName, *counts: int) -> None:
    """Add so many records in one piece, and so many in the next."""
    held = content.setdefault(stream, [])
    for count in counts:
        records = [f"{stream.path} {len(held) + n} ".encode() + FILLER for n in range(count)]
        await node.insist(partial(fill, stream, len(held), records))
        held += records


async def branch(
    node: SimStore, content: Content, stream: StreamName, source: StreamName, at: int, part_bytes: int = 0
) -> None:
    """Fork, and go on in the fork."""
    inherited = content[source][:at]
    if part_bytes:
        inherited.append(content[source][at][:part_bytes])
    await node.insist(partial(fork, stream, source, at, part_bytes))
    content[stream] = inherited
    await grow(node, content, stream, 2)


async def remove(node: SimStore, content: Content, stream: StreamName) -> None:
    await node.insist(partial(delete, stream))
    del content[stream]


async def purge(node: SimStore) -> None:
    while await node.insist(lambda tx: tx.purge(PURGED_AT_ONCE)):
        pass


async def retain(node: SimStore) -> None:
    await node.insist(lambda tx: tx.set_retention(LOG, 400))
    while await node.insist(lambda tx: tx.retain(LOG, tx.now_ms, 1)):
        pass


async def forks(crash: Crash) -> None:
    """What a fork shares is there for as long as it is needed, whatever is deleted; nothing is left of it in the end."""
    node = crash.store("plant-a")
    content: Content = {}
    await grow(node, content, SOURCE, 3, 3, 3)
    async with asyncio.TaskGroup() as work:
        work.create_task(grow(node, content, SOURCE, 1, 1))
        work.create_task(branch(node, content, CUT, SOURCE, 4))
        work.create_task(branch(node, content, PART, SOURCE, 5, part_bytes=4))
    _check(node, content)
    await _make_tail(node, content)
    async with asyncio.TaskGroup() as work:
        work.create_task(branch(node, content, BELOW, CUT, 5))
        work.create_task(branch(node, content, LATE, TAIL, 3))
        work.create_task(grow(node, content, CUT, 2))
    _check(node, content)
    await _retained(node, content)
    for stream in (SOURCE, CUT, TAIL):
        await remove(node, content, stream)
        await purge(node)
        _check(node, content, held=[each for each in (SOURCE, CUT, TAIL) if each not in content])
    await node.close()
    _check(node, content, held=[SOURCE, CUT, TAIL])
    await remove(node, content, LATE)
    await purge(node)
    _check(node, content, held=[SOURCE, CUT])
    await remove(node, content, BELOW)
    await purge(node)
    await grow(node, content, CUT, 1)
    _check(node, content, held=[SOURCE])
    for stream in list(content):
        await remove(node, content, stream)
    await node.close()
    await grow(node, content, SOURCE, 2)
    await purge(node)
    _check(node, content)
    await remove(node, content, SOURCE)
    await purge(node)
    await node.close()
    _check(node, content)
    connection = node.running().committer._connection
    for table in ("streams", "batches", "forks", "deleted"):
        assert list(column(connection, f"SELECT count(*) FROM {table}")) == [0], f"rows are left in {table}"


async def _make_tail(node: SimStore, content: Content) -> None:
    before, after, tail = (word + FILLER for word in (b"before", b"after", b"in the tail"))
    await node.insist(fork_and_go_on)
    content[TAIL] = [*content[SOURCE], before, tail]
    content[SOURCE] += [before, after]
    _check(node, content)


async def _retained(node: SimStore, content: Content) -> None:
    """What retention takes of a stream, its fork lacks as well, and nothing more."""
    await grow(node, content, LOG, 2, 2, 2, 2)
    await branch(node, content, OLD, LOG, 5)
    await retain(node)
    store = node.running()
    log, old = store.stream(LOG), store.stream(OLD)
    assert log is not None
    assert old is not None
    assert old.fork is not None
    assert 0 < log.first < 8
    assert old.first == min(log.first, old.fork.inherited)
    _check(node, content)


def _check(node: SimStore, content: Content, held: list[StreamName] | None = None) -> None:
    """What is there is what was acknowledged, as far as retention left it, and what is deleted is kept as it must."""
    store = node.running()
    assert {info.name for info in store.streams()} == content.keys()
    for stream, records in content.items():
        info = store.stream(stream)
        assert info is not None
        assert info.first == 0 or stream in (LOG, OLD)
        assert records_of(store, stream) == records[info.first :], f"{stream} is not what was acknowledged"
    check_histories(store)
    for stream in (SOURCE, CUT, PART, TAIL, BELOW, LATE, OLD, LOG):
        assert store.is_held(stream) is (stream in (held or ())), stream
