"""What a job may do to streams and state, and that an attempt which fails leaves nothing behind."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import Conflict, InvalidInput, LimitReached, NotFound, TooLarge
from littoral.store.stream import Span
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of

A, B = name("plant-a/a"), name("plant-a/b")


def commit(work: Callable[[Transaction], None], **limits: int) -> SimStore:
    """Run one job on a new store; returns it, still readable."""

    async def main() -> SimStore:
        sim = SimStore(**limits)
        await sim.open().submit(work)
        return sim

    return run(main)


def stored(sim: SimStore, stream: str = "plant-a/a") -> list[bytes]:
    assert sim.store is not None
    return records_of(sim.store, name(stream))


class TestAppending:
    def test_offsets_follow_each_other(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            assert tx.append(A, [b"0", b"1"]) == Span(0, 2)
            assert tx.append(A, [b"2"]) == Span(2, 3)
            assert tx.append(A, []) == Span(3, 3)
            info = tx.stream(A)
            assert info is not None
            assert info.next == 3

        assert stored(commit(work)) == [b"0", b"1", b"2"]

    def test_a_stream_keeps_what_it_was_opened_with(self):
        def work(tx: Transaction) -> None:
            first = tx.open_stream(A, content_type="text/plain", lane="alerts", retention_bytes=7, reach="link")
            again = tx.open_stream(A, lane="bulk")
            assert again == first
            assert (again.content_type, again.lane, again.retention_bytes, again.reach) == (
                "text/plain",
                "alerts",
                7,
                "link",
            )

        commit(work)

    def test_many_records_are_cut_into_batches_within_the_limits(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            tx.append(A, [b"x" * 40] * 10)

        by_count = commit(work, batch_records=3)
        assert by_count.store is not None
        assert [batch.next - batch.first for batch in by_count.store.read(A, 0, 1 << 20)] == [3, 3, 3, 1]
        by_bytes = commit(work, batch_bytes=100)
        assert by_bytes.store is not None
        assert [batch.next - batch.first for batch in by_bytes.store.read(A, 0, 1 << 20)] == [2] * 5
        assert stored(by_bytes) == [b"x" * 40] * 10

    def test_what_cannot_be_appended_is_refused(self):
        def work(tx: Transaction) -> None:
            with pytest.raises(NotFound, match="cannot append to stream plant-a/a: there is no such stream"):
                tx.append(A, [b"x"])
            tx.open_stream(A)
            with pytest.raises(TooLarge, match="a record of 101 bytes; at most 100 are allowed"):
                tx.append(A, [b"x" * 101])
            tx.close_stream(A)
            tx.close_stream(A)
            with pytest.raises(Conflict, match="it is closed"):
                tx.append(A, [b"x"])
            with pytest.raises(InvalidInput):
                tx.open_stream(name("plant-a/../x"))

        assert stored(commit(work, record_bytes=100)) == []

    def test_streams_are_bounded(self):
        async def main() -> None:
            sim = SimStore(streams=1)
            store = sim.open()
            await store.submit(lambda tx: tx.open_stream(A))
            with pytest.raises(LimitReached, match="Raise limit streams"):
                await store.submit(lambda tx: tx.open_stream(B))
            assert sim.limits.reached["streams"] == 1
            assert store.stream(B) is None

        run(main)

    def test_a_deleted_stream_begins_anew_with_nothing_of_the_old(self):
        async def main() -> None:
            store = SimStore().open()

            def begin(tx: Transaction) -> None:
                tx.open_stream(A)
                tx.append(A, [b"old"])
                tx.set_fold("f", A, 1)

            def replace(tx: Transaction) -> None:
                tx.append(A, [b"older still pending"])
                tx.delete_stream(A)
                tx.open_stream(A)
                assert tx.fold_offset("f", A) == 0
                tx.append(A, [b"new"])

            await store.submit(begin)
            await store.submit(replace)
            assert records_of(store, A) == [b"new"]
            assert store.fold_offset("f", A) == 0

        run(main)


class TestState:
    def test_is_put_read_and_removed(self):
        def work(tx: Transaction) -> None:
            tx.put_state("s", "a", b"1")
            tx.put_state("s", "b", b"2")
            tx.put_state("s", "a", b"3")
            tx.put_state("s", "b", None)
            tx.put_state("t", "a", b"other")
            assert tx.get_state("s", "a") == b"3"
            assert tx.get_state("s", "b") is None
            assert tx.state("s") == {"a": b"3"}
            tx.clear_state("s")
            assert tx.state("s") == {}

        sim = commit(work)
        assert sim.store is not None
        assert (sim.store.state("s"), sim.store.state("t")) == ({}, {"a": b"other"})

    def test_a_fold_of_nothing_is_refused(self):
        def work(tx: Transaction) -> None:
            with pytest.raises(NotFound):
                tx.set_fold("f", A, 1)

        commit(work)


class _Mishap(Exception):
    """What goes wrong in a test."""


_steps = st.recursive(
    st.sampled_from(["append a", "append b", "write a", "delete a", "delete b", "fail"]),
    lambda steps: st.lists(steps, max_size=5),
    max_leaves=12,
)
"""What is done in a job; a list is an attempt."""


def _do(steps: list[object], expected: dict[str, list[bytes]], numbers: Iterator[int], tx: Transaction) -> None:
    """Do `steps`, and what they come to with `expected`; that is left as it was if one fails."""
    before = {path: list(records) for path, records in expected.items()}
    try:
        for step in steps:
            if isinstance(step, list):
                with suppress(_Mishap), tx.attempt():
                    _do(step, expected, numbers, tx)
                continue
            if step == "fail":
                raise _Mishap
            act, path = str(step).split()
            stream = name(f"plant-a/{path}")
            if act == "append":
                record = b"%d" % next(numbers)
                tx.open_stream(stream)
                tx.append(stream, [record, record])
                expected.setdefault(path, []).extend([record, record])
            elif path in expected and act == "write":  # rows of what is pending, before the job is done
                tx.went_on_at(stream)
            elif path in expected:
                tx.delete_stream(stream)
                del expected[path]
            assert len(tx._heads) == len(expected)
    except _Mishap:
        expected.clear()
        expected.update(before)
        raise


class TestAttempts:
    def test_one_that_fails_leaves_nothing_behind(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            tx.append(A, [b"before"])
            tx.put_state("s", "k", b"before")
            with suppress(_Mishap), tx.attempt():
                tx.append(A, [b"undone"])
                tx.open_stream(B)
                tx.append(B, [b"undone"])
                tx.put_state("s", "k", b"undone")
                tx.set_fold("f", A, 2)
                tx.kv_put("n", "k", b"undone")
                tx.close_stream(A)
                raise _Mishap
            assert tx.stream(B) is None
            assert tx.get_state("s", "k") == b"before"
            assert tx.append(A, [b"after"]) == Span(1, 2)

        sim = commit(work)
        assert stored(sim) == [b"before", b"after"]
        assert stored(sim, "plant-a/b") == []
        assert sim.store is not None
        assert sim.store.fold_offset("f", A) == 0
        assert sim.store.kv_get("n", "k") is None
        assert [str(info.name) for info in sim.store.streams()] == ["plant-a/a"]

    def test_a_deletion_that_fails_is_undone_with_the_records_that_were_pending(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            tx.append(A, [b"0"])
            with suppress(_Mishap), tx.attempt():
                tx.delete_stream(A)
                raise _Mishap
            tx.append(A, [b"1"])

        assert stored(commit(work)) == [b"0", b"1"]

    def test_they_nest(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            with tx.attempt():
                tx.append(A, [b"outer"])
                with suppress(_Mishap), tx.attempt():
                    tx.append(A, [b"inner"])
                    raise _Mishap
            with suppress(_Mishap), tx.attempt():
                with tx.attempt():
                    tx.append(A, [b"kept by the inner one"])
                raise _Mishap

        assert stored(commit(work)) == [b"outer"]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.lists(_steps, max_size=4), min_size=1, max_size=6))
    def test_whatever_happens_in_them_only_what_did_not_fail_is_there(self, jobs: list[list[object]]):
        async def main() -> None:
            store = SimStore(batch_records=3).open()
            expected: dict[str, list[bytes]] = {}
            numbers = count()
            work = [partial(_do, steps, expected, numbers) for steps in jobs]
            await asyncio.gather(*map(store.submit, work), return_exceptions=True)
            assert {info.name.path: records_of(store, info.name) for info in store.streams()} == expected
            for info in store.streams():
                for batch in store.read(info.name, 0, 1 << 20):
                    batch.check()

        run(main)


class TestRetaining:
    def test_the_oldest_batches_go_until_the_bytes_are_kept(self):
        def put(n: int, tx: Transaction) -> None:
            tx.open_stream(A, retention_bytes=40)
            tx.append(A, [b"%010d" % n])

        async def main() -> None:
            store = SimStore().open()
            for n in range(10):
                await store.submit(partial(put, n))
            info = store.stream(A)
            assert info is not None
            each = info.bytes // 10
            dropped = await store.submit(lambda tx: tx.retain(A, 0, 100))
            info = store.stream(A)
            assert info is not None
            assert (info.first, info.next) == (dropped, 10)
            assert info.bytes == each * (10 - dropped) <= 40 < info.bytes + each
            assert records_of(store, A)[0] == b"%010d" % dropped

        run(main)

    def test_at_most_so_many_at_once(self):
        async def main() -> None:
            store = SimStore().open()
            for _ in range(5):
                await store.submit(lambda tx: (tx.open_stream(A, retention_bytes=1), tx.append(A, [b"x"])))
            assert [await store.submit(lambda tx: tx.retain(A, 0, 2)) for _ in range(4)] == [2, 2, 1, 0]
            info = store.stream(A)
            assert info is not None
            assert (info.first, info.next, info.bytes, info.count) == (5, 5, 0, 0)
            assert (await store.submit(lambda tx: tx.append(A, [b"y"]))) == Span(5, 6)

        run(main)


class TestHowManyStreamsThereMayBe:
    def test_those_of_one_group_count_as_well(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            tx.open_stream(B)
            with pytest.raises(LimitReached, match="this node holds 2 streams, its limit"):
                tx.open_stream(name("plant-a/c"))

        commit(work, streams=2)

    def test_what_is_deleted_or_undone_makes_room_for_another(self):
        def work(tx: Transaction) -> None:
            tx.open_stream(A)
            with suppress(Conflict), tx.attempt():
                tx.open_stream(B)
                tx.delete_stream(A)
                raise Conflict("try", "it", "for the test")
            tx.open_stream(B)
            tx.delete_stream(A)
            tx.open_stream(name("plant-a/c"))
            with pytest.raises(LimitReached):
                tx.open_stream(A)

        commit(work, streams=2)
