"""The open store: reading, waiting, opening again, and disks that refuse."""

import asyncio
import contextlib
import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from littoral.core.errors import (
    Gone,
    IncompatibleStore,
    LittoralError,
    NotFound,
    StartupError,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from littoral.store.opening import VERSION_FILE
from littoral.store.schema import FORMAT_VERSION
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.disk import CutAt, Point, PowerCut
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, local_store, name, records_of

A, B = name("plant-a/a"), name("plant-a/b")


class TestReading:
    def test_begins_with_the_batch_that_holds_the_offset(self):
        async def main() -> None:
            store = SimStore().open()
            for first in range(0, 9, 3):
                await store.submit(append(A, *(b"%d" % n for n in range(first, first + 3))))
            spans = [(batch.first, batch.next) for batch in store.read(A, 4, 1 << 20)]
            assert spans == [(3, 6), (6, 9)]
            assert store.read(A, 9, 1 << 20) == []
            assert len(store.read(A, 0, 1)) == 1, "at least one, whatever its size"
            size = len(store.read(A, 0, 1)[0].payload)
            assert len(store.read(A, 0, 2 * size)) == 2

        run(main)

    def test_leaves_no_cursor_behind(self):
        """A node reads for months."""

        def cursors() -> int:
            gc.collect()
            return sum(isinstance(each, apsw.Cursor) for each in gc.get_objects())

        async def main() -> None:
            store = SimStore().open()
            for n in range(4):
                await store.submit(append(A, b"%d" % n))
            before = cursors()
            for most_bytes in (1, 1 << 20) * 10:
                assert store.read(A, 0, most_bytes)
            assert cursors() == before

        run(main)

    def test_says_what_is_not_there_and_what_is_gone(self):
        async def main() -> None:
            store = SimStore().open()
            with pytest.raises(NotFound, match="cannot read stream plant-a/a: there is no such stream on this node"):
                store.read(A, 0, 1)
            for n in range(4):
                await store.submit(append(A, b"%d" % n, retention_bytes=1))
            await store.submit(lambda tx: tx.retain(A, 0, 2))
            with pytest.raises(Gone, match="offset 1 is no longer held; the oldest is 2"):
                store.read(A, 1, 1)
            assert [record for batch in store.read(A, 2, 1 << 20) for record in batch.records()] == [b"2", b"3"]

        run(main)

    def test_for_a_neighbour_says_what_it_needs_to_know(self):
        async def main() -> None:
            store = SimStore().open()
            await store.submit(append(A, b"0", retention_bytes=1))
            await store.submit(append(A, b"1"))
            await store.submit(lambda tx: tx.retain(A, 0, 1))
            (stored,) = store.read_stored(A, 1, 1 << 20)
            assert (stored.earliest, stored.lane, stored.reach) == (1, "telemetry", "root")
            with pytest.raises(NotFound):
                store.read_stored(B, 0, 1)

        run(main)


class TestWaiting:
    def test_ends_when_the_tail_is_beyond_the_offset(self):
        async def main() -> None:
            store = SimStore().open()
            await store.submit(append(A, b"0"))
            await store.wait(A, 0)
            waiting = asyncio.gather(store.wait(A, 1), store.wait(A, 2))
            await store.submit(append(A, b"1"))
            await asyncio.sleep(1)
            assert not waiting.done()
            await store.submit(append(A, b"2"))
            await waiting
            assert store._waiters == {}

        run(main)

    def test_ends_when_the_stream_is_closed_or_deleted(self):
        def end(tx: Transaction) -> None:
            tx.close_stream(A)
            tx.delete_stream(B)

        async def main() -> None:
            store = SimStore().open()
            await store.submit(lambda tx: (tx.open_stream(A), tx.open_stream(B)))
            waiting = asyncio.gather(store.wait(A, 5), store.wait(B, 5), return_exceptions=True)
            await asyncio.sleep(0)
            await store.submit(end)
            closed, deleted = await waiting
            assert closed is None
            assert isinstance(deleted, NotFound)
            with pytest.raises(NotFound, match="cannot wait for stream plant-a/b"):
                await store.wait(B, 0)

        run(main)

    def test_that_is_given_up_leaves_nothing_behind(self):
        async def main() -> None:
            store = SimStore().open()
            await store.submit(lambda tx: tx.open_stream(A))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await store.wait(A, 0)
            assert store._waiters == {}

        run(main)

    def test_watchers_hear_of_every_change_until_they_stop(self):
        async def main() -> None:
            store = SimStore().open()
            heard: list[StreamInfo] = []
            stop = store.watch(heard.append)
            await store.submit(append(A, b"0", b"1"))
            await store.submit(lambda tx: tx.put_state("s", "k", b"v"))
            stop()
            await store.submit(append(A, b"2"))
            assert [(info.name, info.next) for info in heard] == [(A, 2)]

        run(main)


class TestOpening:
    def test_again_finds_everything(self):
        def put(tx: Transaction) -> None:
            tx.set_fold("f", A, 1)
            tx.put_state("s", "k", b"v")
            tx.kv_put("n", "k", b"w")

        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            lineage = store.lineage
            await store.submit(append(A, b"0", b"1"))
            await store.submit(put)
            before, entry = store.stream(A), store.kv_get("n", "k")
            assert entry is not None
            await store.close()
            sim.clock.step(-3_600_000)
            store = sim.open()
            assert (store.lineage, store.stream(A)) == (lineage, before)
            assert records_of(store, A) == [b"0", b"1"]
            assert (store.fold_offset("f", A), store.state_value("s", "k")) == (1, b"v")
            assert await store.submit(append(A, b"2")) == 2
            # The clock was set back by an hour meanwhile: a new write is newer all the same.
            assert (await store.submit(lambda tx: tx.kv_put("n", "k", b"x"))).hlc > entry.hlc

        run(main)

    @pytest.mark.parametrize("version", ["2\n", "later", ""])
    def test_a_directory_of_a_newer_version_is_left_alone(self, version: str):
        async def main() -> None:
            sim = SimStore()
            await sim.open().close()
            sim.disk.write(VERSION_FILE, version.encode())
            before = {path: sim.disk.read(path) for path in sim.disk.paths()}
            with pytest.raises(
                IncompatibleStore, match=r"VERSION says .*, this Littoral knows up to 1\. Run the version"
            ):
                sim.open()
            assert {path: sim.disk.read(path) for path in sim.disk.paths()} == before

        run(main)

    def test_a_database_of_a_newer_version_is_left_alone(self):
        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            await store.submit(append(A, b"0"))
            store.committer._connection.pragma("user_version", FORMAT_VERSION + 1)
            await store.close()
            before = sim.disk.read("store.db")
            known = f"its format is version {FORMAT_VERSION + 1}, this Littoral knows up to {FORMAT_VERSION}"
            with pytest.raises(IncompatibleStore, match=known):
                sim.open()
            assert sim.disk.read("store.db") == before

        run(main)

    def test_another_nodes_directory_is_left_alone(self):
        async def main() -> None:
            sim = SimStore("plant-a")
            await sim.open().close()
            sim.node = "plant-b"
            with pytest.raises(StartupError, match="it is the data directory of node 'plant-a', not of 'plant-b'"):
                sim.open()
            sim.node = "plant-a"
            await sim.open().close()

        run(main)

    def test_something_that_is_no_database_is_said_to_be_damaged(self):
        async def main() -> None:
            sim = SimStore()
            sim.disk.write("store.db", b"not a database" * 1000)
            with pytest.raises(StartupError, match="it is encrypted and no key is given, or its beginning is damaged"):
                sim.open()

        run(main)

    def test_a_power_cut_at_any_point_of_the_first_start_leaves_a_directory_that_starts(self):
        async def main() -> None:
            points = 0
            while True:
                sim = SimStore(seed=points)
                sim.disk.schedule_cut(CutAt(points + 1, takes_effect=points % 2 == 0))
                try:
                    sim.open()
                except (PowerCut, LittoralError):
                    points += 1
                    store = sim.open()
                    await store.submit(append(A, b"0"))
                    await store.close()
                    continue
                sim.disk.schedule_cut(None)
                break
            assert points > 10

        run(main)


class TestDisksThatRefuse:
    def test_a_full_disk_loses_nothing_and_the_store_goes_on_by_itself(self):
        async def main() -> None:
            sim = SimStore(free_bytes=1)
            store = sim.open()
            sim.disk.capacity_bytes = sum(len(sim.disk.read(path) or b"") for path in sim.disk.paths()) + 200_000
            acknowledged = await fill(store, 2000)
            assert acknowledged > 5
            before = records_of(store, A)
            assert len(before) == acknowledged
            with pytest.raises(StorageFull, match=r"the disk is full\. Free some space; the node goes on by itself"):
                await store.submit(append(A, os.urandom(2000)))
            sim.disk.capacity_bytes = 1 << 40
            assert await store.submit(append(A, b"after")) == acknowledged
            sim.cut_power()
            assert records_of(sim.open(), A) == [*before, b"after"]

        run(main)

    def test_a_read_only_disk_still_answers_reads(self):
        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            await store.submit(append(A, b"0"))
            sim.disk.read_only = True
            with pytest.raises(StorageReadOnly, match=r"the file system does not take writes .*Mount it read-write"):
                await store.submit(append(A, b"1"))
            assert records_of(store, A) == [b"0"]
            sim.disk.read_only = False
            assert await store.submit(append(A, b"1")) == 1

        run(main)

    def test_a_new_store_is_not_made_on_one(self):
        async def main() -> None:
            sim = SimStore()
            sim.disk.read_only = True
            with pytest.raises(StorageReadOnly, match="Read-only file system"):
                sim.open()
            sim.disk.read_only = False
            sim.disk.capacity_bytes = 10_000
            with pytest.raises(StorageFull):
                sim.open()
            sim.disk.capacity_bytes = 1 << 40
            await sim.open().submit(append(A, b"0"))

        run(main)

    @pytest.mark.parametrize(
        ("trouble", "reason"), [("failing", "the simulated disk fails"), ("full", "the disk is full")]
    )
    def test_the_reason_is_the_disk_s_wherever_it_begins_to_refuse_a_new_store(self, trouble: str, reason: str):
        """Not that of what SQLite cannot do any more after that."""

        async def main() -> None:
            points = 0
            told: list[str] = []
            while True:
                sim, seen = SimStore(), 0

                def refuse(point: Point, sim: SimStore = sim, nth: int = points) -> None:
                    nonlocal seen
                    seen += 1
                    if seen == nth and trouble == "failing":
                        sim.disk.failing = True
                    elif seen == nth:
                        sim.disk.capacity_bytes = 0

                sim.disk.latency = refuse
                try:
                    sim.open()
                except StorageError as error:
                    told.append(str(error))
                if seen < points:
                    break
                points += 1
            assert len(told) > 5
            assert [each for each in told if reason not in each] == []

        run(main)

    def test_a_reader_is_told_the_disk_s_reason(self):
        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            await store.submit(lambda tx: tx.kv_put("ns", "k", bytes(100_000)))
            store.committer._connection.execute("PRAGMA shrink_memory")
            sim.disk.failing = True
            with pytest.raises(StorageError, match="the simulated disk fails"):
                store.kv_entries("ns", "", 10)
            with pytest.raises(StorageError, match="the simulated disk fails"):
                store.kv_snapshot("ns", "", 10, 10)

        run(main)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", mount], check=False).returncode
    ):
        pytest.skip("mounting a small file system takes root")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def remount(mount: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", mount], check=True)


async def fill(store: Store, size_bytes: int) -> int:
    """Append until the disk is full; returns how many were acknowledged."""
    count = 0
    with contextlib.suppress(StorageFull):
        while True:
            await store.submit(append(A, os.urandom(size_bytes)))
            count += 1
    return count


def test_a_real_full_disk_loses_nothing_and_the_store_goes_on_by_itself(small_disk: Path):
    async def main() -> None:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        async with local_store(small_disk, free_bytes=1) as store:
            count = await fill(store, 20_000)
            assert count > 10
            assert len(records_of(store, A)) == count
            with pytest.raises(StorageFull, match="the disk is full"):
                await store.submit(append(A, os.urandom(20_000)))
            ballast.unlink()
            assert await store.submit(append(A, b"after")) == count
        async with local_store(small_disk, free_bytes=1) as store:
            records = records_of(store, A)
            assert (len(records), records[-1]) == (count + 1, b"after")

    asyncio.run(main())


def test_a_real_read_only_disk_is_named(small_disk: Path):
    async def main() -> None:
        async with local_store(small_disk, free_bytes=1) as store:
            await store.submit(append(A, b"0"))
        remount(small_disk, "ro")
        with pytest.raises(StorageReadOnly, match="read-write|how the file system is mounted"):
            async with local_store(small_disk, free_bytes=1):
                pass
        remount(small_disk, "rw")
        async with local_store(small_disk, free_bytes=1) as store:
            assert records_of(store, A) == [b"0"]

    asyncio.run(main())


def test_rows_that_changed_on_disk_are_found_when_they_are_read(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            await store.submit(append(A, b"0", b"1"))
        connection = apsw.Connection(str(tmp_path / "store.db"))
        connection.execute("UPDATE batches SET payload=zeroblob(length(payload))")
        connection.close()
        async with local_store(tmp_path) as store:
            (batch,) = store.read(A, 0, 1 << 20)
            with pytest.raises(StorageError, match=r"plant-a/a \[0, 2\): its checksum does not match"):
                batch.records()

    asyncio.run(main())


def test_every_commit_is_synced_on_real_files_too(tmp_path: Path):
    async def main() -> None:
        async with local_store(tmp_path) as store:
            connection = store.committer._connection
            assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)
            assert msgspec.structs.asdict(await store.submit(lambda tx: tx.open_stream(A)))["next"] == 0

    asyncio.run(main())


def test_a_disk_that_takes_no_writes_does_not_keep_a_store_from_closing():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(append(A, b"kept"))
        sim.disk.read_only = True
        await store.close()
        sim.disk.read_only = False
        store = sim.open()
        assert records_of(store, A) == [b"kept"]
        await store.close()

    run(main)
