"""Groups: a failing job undoes itself only, a failing commit everything, and nobody is told before the sync."""

import asyncio
import sys
from functools import partial

import apsw
import pytest

from littoral.core.errors import Conflict, StorageError, StorageFull
from littoral.core.order import Order
from littoral.store.committer import Job, OrderedJob
from littoral.store.transaction import Transaction
from littoral.testing.disk import CutAt, Point, assert_wal
from littoral.testing.loop import run
from tests.support.counting import calls
from tests.support.stores import SimStore, append, name, records_of

A, B = name("plant-a/a"), name("plant-a/b")


def test_jobs_of_one_group_share_a_transaction_a_sync_and_a_batch():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(lambda tx: tx.open_stream(A))
        syncs = sim.disk.counts["sync"]
        spans = await asyncio.gather(*(store.submit(append(A, b"%d" % n)) for n in range(50)))
        assert spans == list(range(50))
        assert sim.disk.counts["sync"] == syncs + 1
        assert len(store.read(A, 0, 1 << 20)) == 1

    run(main)


@pytest.mark.parametrize("fails", [False, True], ids=["all succeed", "every other fails"])
def test_a_job_costs_the_same_however_many_streams_its_group_has_touched(fails: bool):
    async def main() -> None:
        store = SimStore().open()

        def job(n: int, tx: Transaction) -> None:
            stream = name(f"plant-a/{n}")
            tx.open_stream(stream)
            tx.append(stream, [b"record"])
            if fails and n % 2:
                raise Conflict("do", "it", "this is a test")

        def cost_of_each(count: int) -> float:
            jobs: list[Job] = [partial(job, n) for n in range(count)]
            store.committer.commit(jobs)
            return calls(lambda: store.committer.commit(jobs)) / count

        assert cost_of_each(800) <= 1.1 * cost_of_each(100)

    run(main)


@pytest.mark.parametrize("fault", ["commit", "job"])
def test_what_follows_a_failure_in_its_order_does_not_overtake_it(fault: str):
    """A device sends again what was not acknowledged, in its order: what was stored behind the gap would come before it."""

    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        order = Order()

        def fail(tx: Transaction) -> None:
            raise Conflict("do", "it", "this is a test")

        await store.submit(OrderedJob(append(A, b"0"), order))
        sim.disk.read_only = fault == "commit"
        first = store.submit(OrderedJob(append(A, b"1") if fault == "commit" else fail, order))
        while not first.done():
            await asyncio.sleep(0.001)
        sim.disk.read_only = False
        others = [store.submit(OrderedJob(append(A, b"2"), order)), store.submit(OrderedJob(append(A, b"9"), Order()))]
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert [type(each).__name__ for each in results[1:]] == ["Unavailable", "int"]
        assert "what came before it could not be written" in str(results[1])
        assert records_of(store, A) == [b"0", b"9"]

    run(main)


def test_a_failing_job_undoes_only_itself():
    async def main() -> None:
        store = SimStore().open()

        def fail(tx: Transaction) -> None:
            tx.append(A, [b"undone", b"undone"])
            tx.open_stream(B)
            tx.put_state("s", "k", b"undone")
            raise Conflict("do", "it", "this is a test")

        def crash(tx: Transaction) -> None:
            tx.append(A, [b"undone too"])
            raise ZeroDivisionError

        jobs = [append(A, b"0"), fail, append(A, b"1"), crash, append(A, b"2", b"3")]
        results = await asyncio.gather(*map(store.submit, jobs), return_exceptions=True)
        assert [type(each).__name__ for each in results] == ["int", "Conflict", "int", "ZeroDivisionError", "int"]
        assert [each for each in results if isinstance(each, int)] == [0, 1, 2]
        assert records_of(store, A) == [b"0", b"1", b"2", b"3"]
        (batch,) = store.read(A, 0, 1 << 20)
        batch.check()
        assert store.stream(B) is None
        assert store.state("s") == {}

    run(main)


def test_a_group_does_not_hold_on_to_records_that_fill_a_batch():
    async def main() -> None:
        store = SimStore(batch_records=2).open()
        record = bytes(1000)
        held: list[int] = []

        def look(tx: Transaction) -> None:
            held.append(sys.getrefcount(record))

        jobs = [look, append(A, record), look, append(A, b"fills the batch"), look]
        await asyncio.gather(*map(store.submit, jobs))
        before, pending, written = held
        assert before == written < pending

    run(main)


def test_a_failing_job_takes_nothing_of_a_full_batch_along():
    async def main() -> None:
        store = SimStore(batch_records=4).open()

        def fail(tx: Transaction) -> None:
            tx.append(A, [b"undone"] * 9)
            raise Conflict("do", "it", "this is a test")

        jobs = [append(A, b"0", b"1", b"2"), fail, append(A, b"3"), fail, append(A, b"4")]
        await asyncio.gather(*map(store.submit, jobs), return_exceptions=True)
        assert records_of(store, A) == [b"%d" % n for n in range(5)]
        for batch in store.read(A, 0, 1 << 20):
            batch.check()

    run(main)


def test_a_failing_commit_fails_everybody_and_leaves_the_state_as_before():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(append(A, b"0"))
        before = store.stream(A)
        sim.disk.capacity_bytes = 0
        jobs = [append(A, b"1"), lambda tx: tx.open_stream(B), lambda tx: tx.kv_put("n", "k", b"v")]
        results = await asyncio.gather(*map(store.submit, jobs), return_exceptions=True)
        assert [type(each) for each in results] == [StorageFull] * 3
        assert store.stream(A) == before
        assert store.stream(B) is None
        assert store.kv_get("n", "k") is None
        sim.disk.capacity_bytes = 1 << 40
        assert await store.submit(append(A, b"1")) == 1
        assert records_of(store, A) == [b"0", b"1"]
        await store.close()
        reopened = sim.open()
        assert records_of(reopened, A) == [b"0", b"1"]

    run(main)


@pytest.mark.parametrize("stays", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("nth", [*range(1, 12), 1200, 2400])
def test_a_disk_that_fails_anywhere_in_a_group_fails_everybody_and_the_store_goes_on(nth: int, stays: bool):
    """The failure may come inside a job, which then must not be taken for the job's own, or inside the commit."""

    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(append(A, b"0"))
        seen = 0

        def fail_at(point: Point) -> None:
            nonlocal seen
            seen += 1
            if seen == nth:
                sim.disk.failing = stays
                raise apsw.IOError("the test says so")

        sim.disk.latency = fail_at
        big = bytes(range(256)) * 800  # spills the page cache, so that SQLite writes before the commit

        def put(n: int, tx: Transaction) -> None:
            tx.put_state("s", f"{n}", big)

        results = await asyncio.gather(
            *(store.submit(partial(put, n)) for n in range(60)),
            store.submit(append(A, b"1")),
            return_exceptions=True,
        )
        assert seen == nth or not stays
        assert {type(each) for each in results} == {StorageError}
        sim.disk.latency = None
        sim.disk.failing = False
        assert store.state("s") == {}
        assert await store.submit(append(A, b"1")) == 1
        assert records_of(store, A) == [b"0", b"1"]

    run(main)


def test_nobody_is_told_before_the_sync():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        assert_wal(store.committer._connection, sim.disk.vfs)
        await store.submit(append(A, b"0"))
        told: list[str] = []

        def note(point: Point) -> None:
            told.append(point.kind)

        sim.disk.latency = note
        store.watch(lambda info: told.append("watcher"))
        future = store.submit(append(A, b"1"))
        future.add_done_callback(lambda _: told.append("future"))
        await future
        await asyncio.sleep(0)
        assert told.index("sync") < told.index("watcher") < told.index("future")
        assert told.count("sync") == 1
        assert "write" not in told[told.index("sync") :]

    run(main)


@pytest.mark.parametrize("takes_effect", [False, True])
def test_what_was_acknowledged_survives_a_power_cut_at_any_later_sync(takes_effect: bool):
    async def once(number: int) -> None:
        sim = SimStore(seed=number)
        store = sim.open()
        sim.disk.on_cut = sim.writer.kill
        sim.disk.schedule_cut(CutAt(sim.disk.counts["sync"] + number, "sync", takes_effect))
        futures = []
        for n in range(number):
            futures.append(store.submit(append(A, b"%d" % n)))
            await asyncio.sleep(0.01)
        assert not sim.disk.powered
        assert [future.done() for future in futures] == [True] * (number - 1) + [False]
        sim.died()
        found = records_of(sim.open(), A)
        assert found in ([b"%d" % n for n in range(count)] for count in (number - 1, number))

    async def main() -> None:
        for number in range(1, 12):
            await once(number)

    run(main)


def test_an_error_that_nobody_expected_fails_the_group_and_not_the_writer(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        store = SimStore().open()
        await store.submit(append(A, b"0"))
        with monkeypatch.context() as broken:
            broken.setattr(Transaction, "write_heads", lambda tx: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await store.submit(append(A, b"1"))
        assert await store.submit(append(A, b"1")) == 1
        assert records_of(store, A) == [b"0", b"1"]

    run(main)


def test_a_group_that_cannot_even_be_rolled_back_is_before_the_next(monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        """A connection that fails to commit and to roll back."""

        def __init__(self, connection: apsw.Connection) -> None:
            self._connection = connection

        def __getattr__(self, attribute: str) -> object:
            return getattr(self._connection, attribute)

        def execute(self, statement: str) -> object:
            if statement in ("COMMIT", "ROLLBACK"):
                raise apsw.IOError("the test says so")
            return self._connection.execute(statement)

    async def main() -> None:
        store = SimStore().open()
        await store.submit(append(A, b"0"))
        with monkeypatch.context() as broken:
            broken.setattr(store.committer, "_connection", Refusing(store.committer._connection))
            with pytest.raises(StorageError):
                await store.submit(append(A, b"undone"))
        assert await store.submit(append(A, b"1")) == 1
        assert records_of(store, A) == [b"0", b"1"]

    run(main)
