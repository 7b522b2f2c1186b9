"""Forks: what they read, that nothing is copied, and what stays of streams that are deleted under them."""

import asyncio
import itertools
import sys
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import Conflict, Gone, InvalidInput, LimitReached, NotFound
from littoral.core.names import StreamName
from littoral.core.tasks import Tasks
from littoral.store.retention import Retention
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.offload import at_once
from tests.support.stores import SimStore, append, column, name, records_of

SOURCE, FORK, THIRD = name("plant-a/source"), name("plant-a/fork"), name("plant-a/third")
RECORDS = [b"%d" % n for n in range(9)]


put = partial(append, content_type="text/plain")


def fork(stream: StreamName, source: StreamName, at: int, part_bytes: int = 0) -> Callable[[Transaction], object]:
    return lambda tx: tx.fork_stream(stream, source, at, part_bytes=part_bytes, asked=f"{source} {at}")


async def made(*, batches_of: int = 3) -> SimStore:
    """A store with nine records in SOURCE."""
    sim = SimStore()
    store = sim.open()
    for first in range(0, len(RECORDS), batches_of):
        await store.submit(put(SOURCE, *RECORDS[first : first + batches_of]))
    return sim


def rows(store: Store) -> int:
    return sum(1 for _ in column(store.committer._connection, "SELECT 1 FROM batches"))


async def purge(store: Store) -> None:
    while await store.submit(lambda tx: tx.purge(2)):
        pass


def check_chain(store: Store, stream: StreamName) -> None:
    """Each batch is whole, and of this stream's history; the last leads to its head."""
    info = store.stream(stream)
    assert info is not None
    batches = store.read(stream, info.first, 1 << 30)
    for batch in batches:
        batch.check()
        assert batch.lineage == info.lineage
        assert batch.name == stream
    for one, other in itertools.pairwise(batches):
        assert (other.first, other.chain_before) == (one.next, one.chain)
    assert [batches[-1].chain] == [info.chain] if batches else info.next == info.first


@pytest.mark.parametrize("at", range(len(RECORDS) + 1))
def test_a_fork_has_what_is_before_its_point_and_goes_on_by_itself(at: int):
    async def main() -> None:
        store = (await made()).running()
        before = rows(store)
        await store.submit(fork(FORK, SOURCE, at))
        assert records_of(store, FORK) == RECORDS[:at]
        assert rows(store) == before + (at % 3 != 0), "only a batch that the point cuts is written again"
        await store.submit(put(SOURCE, b"not in the fork"))
        assert await store.submit(put(FORK, b"new", b"newer")) == at
        assert records_of(store, FORK) == [*RECORDS[:at], b"new", b"newer"]
        assert records_of(store, SOURCE) == [*RECORDS, b"not in the fork"]
        check_chain(store, FORK)

    run(main)


def test_a_point_may_be_within_a_record():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(put(SOURCE, b"hello", b"world"))
        for number, (at, part, content) in enumerate([(0, 3, [b"hel"]), (0, 5, [b"hello"]), (1, 2, [b"hello", b"wo"])]):
            stream = name(f"plant-a/fork{number}")
            await store.submit(fork(stream, SOURCE, at, part))
            await store.submit(put(stream, b"!"))
            assert records_of(store, stream) == [*content, b"!"]
            check_chain(store, stream)
        for at, part in ((0, 6), (2, 1)):
            with pytest.raises(InvalidInput, match=r"cannot fork stream plant-a/source"):
                await store.submit(fork(FORK, SOURCE, at, part))

    run(main)


def test_what_is_appended_in_the_same_group_is_there():
    async def main() -> None:
        store = SimStore().open()

        def job(tx: Transaction) -> None:
            put(SOURCE, b"0", b"1")(tx)
            fork(FORK, SOURCE, 2)(tx)
            put(SOURCE, b"2")(tx)

        await store.submit(job)
        assert records_of(store, FORK) == [b"0", b"1"]
        assert records_of(store, SOURCE) == [b"0", b"1", b"2"]

    run(main)


def test_a_fork_that_fails_leaves_what_was_pending_as_it_was():
    async def main() -> None:
        store = SimStore().open()

        def job(tx: Transaction) -> None:
            put(SOURCE, b"0")(tx)
            with pytest.raises(InvalidInput), tx.attempt():
                fork(FORK, SOURCE, 7)(tx)
            put(SOURCE, b"1")(tx)

        await store.submit(job)
        assert records_of(store, SOURCE) == [b"0", b"1"]
        check_chain(store, SOURCE)

    run(main)


def test_forks_are_made_of_own_streams_that_are_there():
    async def main() -> None:
        sim = await made()
        store = sim.running()
        with pytest.raises(NotFound, match="there is no such stream"):
            await store.submit(fork(FORK, THIRD, 0))
        for at in (-1, 10):
            with pytest.raises(InvalidInput, match="it has offsets 0 to 9, not"):
                await store.submit(fork(FORK, SOURCE, at))
        copy = name("plant-b/copy")
        await store.submit(lambda tx: tx.open_stream(copy))
        with pytest.raises(Conflict, match="it is a copy. Fork it at plant-b"):
            await store.submit(fork(FORK, copy, 0))
        assert store.stream(FORK) is None

    run(main)


def test_forks_of_forks_read_through_and_outlive_what_they_come_from():
    async def main() -> None:
        sim = await made()
        store = sim.running()
        await store.submit(fork(FORK, SOURCE, 7))
        await store.submit(put(FORK, b"f7", b"f8"))
        await store.submit(fork(THIRD, FORK, 8))
        await store.submit(put(THIRD, b"t8"))
        expected = [*RECORDS[:7], b"f7", b"t8"]
        assert records_of(store, THIRD) == expected
        check_chain(store, THIRD)
        await store.submit(lambda tx: tx.delete_stream(SOURCE))
        await store.submit(lambda tx: tx.delete_stream(FORK))
        await purge(store)
        await store.close()
        store = sim.open()
        assert store.stream(SOURCE) is None
        assert (store.is_held(SOURCE), store.is_held(FORK)) == (True, True)
        assert records_of(store, THIRD) == expected
        await store.submit(lambda tx: tx.delete_stream(THIRD))
        assert (store.is_held(SOURCE), store.is_held(FORK)) == (False, False)
        assert rows(store) == 5, "what lies behind the point of its last fork goes at once"
        await purge(store)
        assert rows(store) == 0
        assert list(column(store.committer._connection, "SELECT 1 FROM forks UNION SELECT 1 FROM deleted")) == []

    run(main)


def test_the_rows_of_a_deleted_stream_go_by_themselves():
    async def main() -> None:
        sim = await made(batches_of=1)
        store = sim.running()
        warnings: list[str] = []
        retention = Retention(store, sim.clock, sim.limits, warnings.append, at_once)
        failures: list[BaseException] = []
        Tasks(failures.append).start(retention.run(), "retention")
        await asyncio.sleep(60)
        await store.submit(lambda tx: tx.delete_stream(SOURCE))
        assert rows(store) == 9, "not in the transaction that deletes the stream, which would take long"
        await asyncio.sleep(5)
        assert (rows(store), warnings, failures) == (0, [], [])

    run(main)


def test_the_rows_of_a_stream_deleted_before_a_restart_go_as_well():
    async def main() -> None:
        sim = await made()
        await sim.running().submit(lambda tx: tx.delete_stream(SOURCE))
        await sim.close()
        store = sim.open()
        assert rows(store) == 3
        warnings: list[str] = []
        failures: list[BaseException] = []
        Tasks(failures.append).start(
            Retention(store, sim.clock, sim.limits, warnings.append, at_once).run(), "retention"
        )
        await asyncio.sleep(5)
        assert (rows(store), warnings, failures) == (0, [], [])

    run(main)


def test_deleted_rows_go_in_pieces_and_those_of_a_fork_before_those_of_its_source():
    async def main() -> None:
        store = (await made(batches_of=1)).running()
        await store.submit(fork(FORK, SOURCE, 9))
        for n in range(3):
            await store.submit(put(FORK, b"f%d" % n))
        await store.submit(lambda tx: tx.delete_stream(SOURCE))
        assert await store.submit(lambda tx: tx.purge(2)) == 0, "the fork needs them"
        await store.submit(lambda tx: tx.delete_stream(FORK))
        left = []
        while await store.submit(lambda tx: tx.purge(2)):
            left.append(rows(store))
        assert left == [10, 9, 7, 5, 3, 1, 0]

    run(main)


def test_a_name_is_free_again_at_once_where_nothing_was_forked():
    async def main() -> None:
        store = (await made()).running()
        await store.submit(lambda tx: tx.delete_stream(SOURCE))
        assert not store.is_held(SOURCE)
        await store.submit(put(SOURCE, b"another"))
        assert records_of(store, SOURCE) == [b"another"]
        await purge(store)
        assert records_of(store, SOURCE) == [b"another"]

    run(main)


def test_what_retention_takes_of_a_stream_its_forks_lack_as_well():
    async def main() -> None:
        store = (await made()).running()
        await store.submit(fork(FORK, SOURCE, 7))
        await store.submit(fork(THIRD, FORK, 4))
        await store.submit(lambda tx: tx.delete_stream(FORK))
        await store.submit(fork(FORK, SOURCE, 8))
        await store.submit(lambda tx: tx.set_retention(SOURCE, 1))
        await store.submit(lambda tx: tx.retain(SOURCE, 0, 2))
        assert records_of(store, SOURCE) == RECORDS[6:]
        assert records_of(store, FORK) == RECORDS[6:8]
        assert records_of(store, THIRD) == RECORDS[3:4], "what it has a row of its own for"
        with pytest.raises(Gone):
            store.read(THIRD, 0, 100)

    run(main)


def test_retention_of_a_fork_takes_what_it_inherited_first():
    async def main() -> None:
        sim = await made()
        store = sim.running()
        await store.submit(fork(FORK, SOURCE, 6))
        for n in range(4):
            await store.submit(put(FORK, b"f%d" % n))
        await store.submit(lambda tx: tx.set_retention(FORK, 1))
        await store.submit(lambda tx: tx.retain(FORK, 0, 1))
        assert records_of(store, FORK) == [b"f1", b"f2", b"f3"]
        assert records_of(store, SOURCE) == RECORDS
        await store.close()
        assert records_of(sim.open(), FORK) == [b"f1", b"f2", b"f3"]

    run(main)


def test_a_read_goes_from_row_to_row_of_several_streams_and_ends_where_it_has_enough():
    async def main() -> None:
        store = (await made()).running()
        await store.submit(fork(FORK, SOURCE, 6))
        await store.submit(put(FORK, b"f6"))
        await store.submit(fork(THIRD, FORK, 7))
        await store.submit(put(THIRD, b"t7"))
        whole = [batch.records() for batch in store.read(THIRD, 0, 1 << 20)]
        assert whole == [RECORDS[:3], RECORDS[3:6], [b"f6"], [b"t7"]]
        sizes = [len(batch.payload) for batch in store.read(THIRD, 0, 1 << 20)]
        for count in range(1, 5):
            for spare in (0, min(sizes) - 1):
                part = store.read(THIRD, 0, sum(sizes[:count]) + spare)
                assert [batch.records() for batch in part] == whole[:count]
        assert [batch.records() for batch in store.read(THIRD, 4, 0)] == whole[1:2]
        assert [batch.records() for batch in store.read(THIRD, 6, 0)] == whole[2:3]
        assert store.read(THIRD, 8, 1 << 20) == []

    run(main)


def test_a_chain_of_forks_has_an_end():
    chain = [name(f"plant-a/{number}") for number in range(4)]

    async def main() -> None:
        store = SimStore(fork_depth=2).open()
        await store.submit(put(chain[0], b"0"))
        await store.submit(fork(chain[1], chain[0], 1))
        await store.submit(fork(chain[2], chain[1], 1))
        with pytest.raises(LimitReached, match="would go through 3 other streams"):
            await store.submit(fork(chain[3], chain[2], 1))
        await store.submit(fork(chain[3], chain[1], 1))

    run(main)


def test_what_a_deleted_stream_has_beyond_its_forks_goes_and_the_rest_counts_for_the_store():
    async def main() -> None:
        sim = await made(batches_of=1)
        store = sim.running()
        await store.submit(fork(FORK, SOURCE, 4))
        held = store.stream(SOURCE)
        assert held is not None
        await store.submit(lambda tx: tx.delete_stream(SOURCE))
        assert store.deleted_bytes() == held.bytes
        await purge(store)
        assert rows(store) == 4
        assert 0 < store.deleted_bytes() < held.bytes
        assert records_of(store, FORK) == RECORDS[:4]
        assert not store.has_purgeable()
        await store.submit(lambda tx: tx.delete_stream(FORK))
        await purge(store)
        assert (rows(store), store.deleted_bytes()) == (0, 0)

    run(main)


def test_a_chain_of_forks_may_be_longer_than_python_calls_go_deep():
    length = sys.getrecursionlimit() + 100
    chain = [name(f"plant-a/{number}") for number in range(length)]

    def job(tx: Transaction) -> None:
        put(chain[0], b"0")(tx)
        for number in range(1, length):
            fork(chain[number], chain[number - 1], number)(tx)
            put(chain[number], b"%d" % number)(tx)

    async def main() -> None:
        store = SimStore(fork_depth=length).open()
        await store.submit(job)
        assert records_of(store, chain[-1]) == [b"%d" % number for number in range(length)]
        await store.submit(lambda tx: tx.set_retention(chain[0], 1))
        await store.submit(lambda tx: tx.retain(chain[0], 0, 1))
        for stream in chain[1:]:
            info = store.stream(stream)
            assert info is not None
            assert info.first == 1
        for stream in chain[:-1]:
            await store.submit(partial(Transaction.delete_stream, name=stream))
        assert store.is_held(chain[0])
        check_chain(store, chain[-1])

    run(main)


@settings(max_examples=150)
@given(st.data())
def test_any_tree_of_forks_reads_as_if_each_had_been_copied(data: st.DataObject):
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        model: dict[StreamName, list[bytes]] = {}
        deleted: dict[StreamName, None] = {}
        for number in range(data.draw(st.integers(1, 25))):
            action = data.draw(st.sampled_from(["make", "append", "append", "fork", "fork", "delete", "purge"]))
            stream = name(f"plant-a/s{number}")
            known = sorted(model)
            if action == "make" or not known:
                model[stream] = [b"%d" % number]
                await store.submit(put(stream, *model[stream]))
            elif action == "append":
                chosen = data.draw(st.sampled_from(known))
                records = [b"%d.%d" % (number, n) for n in range(data.draw(st.integers(1, 4)))]
                model[chosen] += records
                await store.submit(put(chosen, *records))
            elif action == "fork":
                chosen = data.draw(st.sampled_from(known))
                at = data.draw(st.integers(0, len(model[chosen])))
                model[stream] = model[chosen][:at]
                await store.submit(fork(stream, chosen, at))
            elif action == "delete":
                chosen = data.draw(st.sampled_from(known))
                del model[chosen]
                deleted[chosen] = None
                await store.submit(partial(Transaction.delete_stream, name=chosen))
            else:
                await store.submit(lambda tx: tx.purge(1))
        if data.draw(st.booleans()):
            await purge(store)
            await store.close()
            store = sim.open()
        for stream, records in model.items():
            assert records_of(store, stream) == records
            check_chain(store, stream)
        for stream in deleted:
            assert store.stream(stream) is None

    run(main)
