"""The writer's thread: order, groups, bounds, and the way it ends."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from littoral.core.errors import Conflict, LimitReached, Unavailable
from littoral.core.limits import Limits
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter
from tests.support.stores import append, local_store, name, records_of

A = name("plant-a/a")
DEADLINE_S = 20


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[None]:
    """Keep the writer busy, so that what is submitted meanwhile waits."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(DEADLINE_S)

    holding = store.submit(hold)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.to_thread(begun.wait, DEADLINE_S)
        yield
    finally:
        go_on.set()
        await holding


def test_it_commits_at_once_when_idle_and_in_order(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            assert await store.submit(append(A, b"0")) == 0
            assert await store.submit(append(A, b"1")) == 1
            spans = await asyncio.gather(*(store.submit(append(A, b"%d" % n)) for n in range(2, 300)))
            assert spans == list(range(2, 300))
            assert records_of(store, A) == [b"%d" % n for n in range(300)]

    asyncio.run(main())


def test_what_arrives_during_a_commit_is_the_next_group(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            await store.submit(append(A, b"first"))
            async with held(store):
                waiting = [store.submit(append(A, b"%d" % n)) for n in range(100)]
            await asyncio.gather(*waiting)
            first, second = store.read(A, 0, 1 << 20)
            assert (first.next, second.next) == (1, 101), "one row for the whole group"

    asyncio.run(main())


def test_a_group_is_bounded(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path, commit_group_jobs=10) as store:
            async with held(store):
                waiting = [store.submit(append(A, b"%d" % n)) for n in range(25)]
            await asyncio.gather(*waiting)
            assert [batch.next - batch.first for batch in store.read(A, 0, 1 << 20)] == [10, 10, 5]

    asyncio.run(main())


def test_writers_that_outrun_the_disk_are_told(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path, commit_queue_jobs=3) as store:
            async with held(store):
                waiting = [store.submit(append(A, b"%d" % n)) for n in range(3)]
                with pytest.raises(LimitReached, match="3 jobs are waiting for the disk"):
                    store.submit(append(A, b"too many"))
            await asyncio.gather(*waiting)
            assert await store.submit(append(A, b"3")) == 3

    asyncio.run(main())


def test_a_job_that_fails_tells_its_owner_only(tmp_path: Path):
    async def main() -> None:
        def fail(tx: Transaction) -> None:
            tx.append(A, [b"undone"])
            raise Conflict("do", "it", "this is a test")

        async with local_store(tmp_path) as store:
            await store.submit(append(A, b"0"))
            async with held(store):
                waiting = [store.submit(append(A, b"1")), store.submit(fail), store.submit(append(A, b"2"))]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert (results[0], type(results[1]), results[2]) == (1, Conflict, 2)
            assert records_of(store, A) == [b"0", b"1", b"2"]

    asyncio.run(main())


def test_who_no_longer_waits_disturbs_nobody(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            async with held(store):
                given_up = store.submit(append(A, b"0"))
                other = store.submit(append(A, b"1"))
                given_up.cancel()
            assert await other == 1
            # It was on its way: cancelling does not undo.
            assert records_of(store, A) == [b"0", b"1"]

    asyncio.run(main())


def test_it_commits_what_is_queued_before_it_ends(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            async with held(store):
                waiting = [store.submit(append(A, b"%d" % n)) for n in range(5)]
                closing = asyncio.gather(store.close())
            await closing
            assert await asyncio.gather(*waiting) == list(range(5))
            with pytest.raises(Unavailable, match="cannot write to store: it is closed"):
                store.submit(append(A, b"late"))
        async with local_store(tmp_path) as store:
            assert records_of(store, A) == [b"%d" % n for n in range(5)]

    asyncio.run(main())


def test_one_that_never_began_takes_nothing_and_stops():
    async def main() -> None:
        writer = ThreadWriter(Limits())
        with pytest.raises(Unavailable):
            writer.submit(lambda tx: None)
        await writer.stop()

    asyncio.run(main())


def test_a_thread_that_dies_tells_who_waits_and_who_watches_over_it(tmp_path: Path):
    async def main() -> None:
        def die(tx: Transaction) -> None:
            raise SystemExit("the test says so")

        async with local_store(tmp_path) as store:
            async with held(store):
                waiting = [store.submit(append(A, b"0"))]
                dying = store.submit(die)
                waiting.append(dying)
            results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), DEADLINE_S)
            assert [type(result) for result in results] == [Unavailable, Unavailable]
            with pytest.raises(RuntimeError, match=r"ended: SystemExit\('the test says so'\)"):
                await asyncio.wait_for(store.writer_ended(), DEADLINE_S)
            with pytest.raises(Unavailable):
                store.submit(append(A, b"1"))

    asyncio.run(main())


def test_nobody_is_told_that_the_writer_ended_while_it_still_works(tmp_path: Path):
    async def main() -> None:
        begun, go_on = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> None:
            begun.set()
            assert go_on.wait(DEADLINE_S)

        async with local_store(tmp_path) as store:

            def fail(info: StreamInfo) -> None:
                store.submit(hold)
                assert begun.wait(DEADLINE_S)
                raise ZeroDivisionError

            store.watch(fail)
            await asyncio.wait_for(store.submit(append(A, b"0")), DEADLINE_S)
            ended = asyncio.ensure_future(store.writer_ended())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not ended.done()
            go_on.set()
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(ended, DEADLINE_S)

    asyncio.run(main())


def test_a_watcher_that_fails_ends_the_writer_and_leaves_nobody_waiting(tmp_path: Path):
    async def main() -> None:
        def fail(info: StreamInfo) -> None:
            raise ZeroDivisionError

        async with local_store(tmp_path) as store:
            store.watch(fail)
            assert await asyncio.wait_for(store.submit(append(A, b"0")), DEADLINE_S) == 0
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(store.writer_ended(), DEADLINE_S)

    asyncio.run(main())
