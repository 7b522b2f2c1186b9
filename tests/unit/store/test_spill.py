"""The oldest records of a stream lie in spill files, and are read as if they did not."""

import asyncio
import contextlib
from functools import partial

import pytest

from littoral.core.errors import Gone, StorageCorrupt, StorageFull, Unavailable
from littoral.core.resources.model import SpillPlace, Storage, StreamBudget
from littoral.store.batch import StoredBatch
from littoral.store.lineage import begin_lineage
from littoral.store.retention import SPILL_AGAIN_S
from littoral.store.spill import FILE_BYTES
from littoral.store.transaction import Transaction
from littoral.testing.store import check_histories
from tests.support.retention import Retained, run_story
from tests.support.stores import SimStore, name, records_of

A, B, C = name("plant-a/a"), name("plant-a/b"), name("plant-a/c")
PLACE = SpillPlace(directory="/mnt/slow", bytes="16MiB")
BUDGET = 20_000


def storage(place: SpillPlace = PLACE, *, age: str | None = None, size: str = f"{BUDGET}") -> Storage:
    return Storage(streams=[StreamBudget(streams=["*"], bytes=size, age=age, policy="spill")], spill=place)


def take(stored: StoredBatch, tx: Transaction) -> object:
    return tx.append_replica(stored, "plant-a")


class Running(Retained):
    """With a second place, whose files are looked at."""

    async def fill(self, stream=A, count: int = 60, size: int = 1000) -> list[bytes]:
        """Records of their own batch each, and time to move them."""
        records = [self.sim.random.token_bytes(size) for _ in range(count)]
        for record in records:
            await self.append(stream, record)
        await asyncio.sleep(5)
        return records

    def files(self) -> dict[str, bytes]:
        """All but the mark, the oldest first."""
        return {path: data for path, data in self.everything().items() if not path.endswith("SPILL")}

    def everything(self) -> dict[str, bytes]:
        """All files in the place."""
        disk = self.sim.spill_disk
        assert disk is not None
        return {path: disk.read(path) or b"" for path in disk.paths()}


def play(story, bounds: Storage | None = None, **limits: int) -> None:
    run_story(story, lambda: Running(bounds or storage(), **limits))


class TestReading:
    def test_what_was_spilled_is_read_from_anywhere_and_in_pieces(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            assert running.held(A) <= BUDGET
            assert running.files()
            for offset in (0, 1, 25, 39, 41, 59):
                found = []
                at = offset
                while at < 60:
                    batches = running.store.read(A, at, 2500)
                    assert sum(len(each.payload) for each in batches) <= 2500
                    found += [record for batch in batches for record in batch.records()]
                    at = batches[-1].next
                assert found == records[offset:]
            check_histories(running.store)

        play(story)

    def test_a_store_that_is_opened_again_has_it_all(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            await running.close()
            running.open()
            assert records_of(running.store, A) == records
            more = await running.fill()
            assert records_of(running.store, A) == records + more

        play(story)

    def test_forks_have_what_was_spilled_of_their_source(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            await running.store.submit(lambda tx: tx.fork_stream(B, A, 10, asked=""))
            assert records_of(running.store, B) == records[:10]
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            assert records_of(running.store, B) == records[:10]
            await running.store.submit(lambda tx: tx.delete_stream(B))
            await asyncio.sleep(5)
            assert running.files() == {}

        play(story)

    def test_a_fork_whose_source_is_deleted_and_dropped_by_the_place_begins_later(self):
        async def story(running: Running) -> None:
            # Four batches, with a point between the second and the third, all spilled but what comes after it.
            for _ in range(4):
                await running.append(A, *(running.sim.random.token_bytes(200_000) for _ in range(5)))
            await asyncio.sleep(5)
            await running.store.submit(lambda tx: tx.fork_stream(B, A, 10, asked=""))
            await running.append(B, b"its own")
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            assert len(records_of(running.store, B)) == 11
            await running.fill(C, count=30, size=1_000_000)
            assert running.store.stream(B).first == 10  # type: ignore[union-attr]
            assert records_of(running.store, B) == [b"its own"]

        play(story)

    def test_a_fork_within_a_spilled_batch(self):
        async def story(running: Running) -> None:
            await running.append(A, b"one", b"two", b"three")
            await running.fill()
            await running.store.submit(lambda tx: tx.fork_stream(B, A, 1, part_bytes=2, asked=""))
            assert records_of(running.store, B) == [b"one", b"tw"]

        play(story)

    def test_a_neighbour_is_given_it_with_its_chains(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            parent = SimStore("cloud").open()
            frame = running.store.read_stored(A, 0, 1 << 30)
            for stored in frame:
                await parent.submit(partial(take, stored))
            assert records_of(parent, A) == records
            check_histories(parent)

        play(story)


class TestKeeping:
    def test_the_place_has_a_budget_of_its_own_and_drops_the_oldest(self):
        async def story(running: Running) -> None:
            records = await running.fill(count=40, size=1_000_000)
            assert sum(map(len, running.files().values())) <= 16 << 20
            info = running.store.stream(A)
            assert info is not None
            assert 0 < info.first < 30
            assert records_of(running.store, A) == records[info.first :]
            with pytest.raises(Gone):
                running.store.read(A, info.first - 1, 1)
            check_histories(running.store)

        play(story)

    def test_it_is_dropped_when_it_is_too_old(self):
        async def story(running: Running) -> None:
            await running.fill()
            await asyncio.sleep(100)
            late = await running.fill(count=3)
            assert records_of(running.store, A) == late
            assert running.files() == {}

        play(story, storage(age="60s"))

    def test_a_stream_that_may_not_spill_any_more_drops_it_first(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            await running.close()
            entry = StreamBudget(streams=["*"], bytes="10000", policy="drop-oldest")
            running.sim.storage = Storage(streams=[entry], spill=PLACE)
            running.open()
            await asyncio.sleep(60)
            kept = records_of(running.store, A)
            assert 0 < len(kept) <= 10
            assert kept == records[-len(kept) :]
            assert running.files() == {}

        play(story)

    def test_a_deleted_streams_files_go(self):
        async def story(running: Running) -> None:
            await running.fill()
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            assert running.files() == {}

        play(story)

    def test_a_file_is_not_larger_than_one_is_read_at_once(self):
        async def story(running: Running) -> None:
            await running.fill(count=40, size=200_000)
            sizes = [len(data) for data in running.files().values()]
            assert len(sizes) >= 7
            assert max(sizes) <= FILE_BYTES + 201_000

        play(story)

    def test_what_was_written_is_not_to_be_read_there(self):
        async def story(running: Running) -> None:
            await running.append(A, *(b"the plain text of a record %d" % n for n in range(300)))
            await running.fill()
            assert all(b"plain text" not in data for data in running.files().values())

        play(story)

    def test_a_past_that_is_cut_back_is_brought_back_first(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            await running.store.submit(lambda tx: tx.cut_back(A, 10, B))
            assert records_of(running.store, A) == records[:10]
            assert records_of(running.store, B) == records[10:]
            check_histories(running.store)

        play(story)

    def test_what_was_written_since_a_restore_is_cut_out_though_the_place_dropped_its_beginning(self):
        async def story(running: Running) -> None:
            await running.append(A, b"before")
            begin_lineage(running.store.committer._connection, "ab" * 8, 0)
            await running.close()
            running.open()
            records = [record for _ in range(3) for record in await running.fill(count=25)]
            info = running.store.stream(A)
            assert info is not None
            assert info.first > 2
            assert running.files()
            assert await running.store.submit(lambda tx: tx.went_on_at(A)) == 1
            assert await running.store.submit(lambda tx: tx.cut_back(A, 1, B))
            assert records_of(running.store, A) == []
            assert records_of(running.store, B) == records[info.first - 1 :]
            check_histories(running.store)

        play(story, storage(SpillPlace(directory="/mnt/slow", bytes="40000")))

    def test_what_was_dropped_while_its_file_was_written_stays_dropped(self):
        async def story(running: Running) -> None:
            for n in range(30):
                await running.append(B, b"%04d" % n * 250)
            spilling = await running.store.submit(lambda tx: tx.begin_spill(B, 10))
            assert spilling is not None
            await running.store.submit(lambda tx: tx.cut_back(B, 3, None))
            assert await running.store.submit(lambda tx: tx.end_spill(spilling, 1000)) == 0
            assert len(records_of(running.store, B)) == 3
            assert running.store.spilled.dropped(9) == [(spilling.number, spilling.file)]

        play(story, storage(size="100MiB"))

    def test_a_place_that_is_full_takes_files_again_once_some_were_dropped(self):
        async def story(running: Running) -> None:
            disk = running.sim.spill_disk
            assert disk is not None
            disk.capacity_bytes = 100_000
            await running.fill(B, count=60)
            assert running.retention.spill_refused == ""
            await running.fill(A, count=100)
            assert "No space left" in running.retention.spill_refused
            await running.store.submit(lambda tx: tx.delete_stream(B))
            await asyncio.sleep(SPILL_AGAIN_S * 2 + 40)
            assert running.held(A) <= BUDGET
            assert len(records_of(running.store, A)) == 100

        play(story)


class TestAPlaceThatIsNotThere:
    def test_nothing_is_put_into_an_empty_directory_and_appends_go_on(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            disk = running.sim.spill_disk
            assert disk is not None
            away = running.everything()
            for path in away:
                disk.remove(path)
            await running.close()
            running.open()
            with pytest.raises(
                Unavailable, match=r"/mnt/slow: there is no file plant-a/SPILL in it: it is not mounted"
            ):
                running.store.read(A, 0, 1000)
            assert running.store.read(A, 59, 1000)
            more = await running.fill()
            assert disk.paths() == []
            assert running.held(A) > 60_000
            assert len(running.warnings) == 1
            for path, data in away.items():
                disk.write(path, data)
            await asyncio.sleep(SPILL_AGAIN_S + 40)
            assert running.held(A) <= BUDGET
            assert records_of(running.store, A) == records + more

        play(story)

    def test_nor_where_nothing_of_it_is_needed_any_more(self):
        async def story(running: Running) -> None:
            await running.fill()
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            assert not running.store.spilled.has_any()
            disk = running.sim.spill_disk
            assert disk is not None
            away = running.everything()
            for path in away:
                disk.remove(path)
            records = await running.fill(B)
            assert disk.paths() == []
            assert "it is not mounted, or was emptied" in running.retention.spill_refused
            for path, data in away.items():
                disk.write(path, data)
            await asyncio.sleep(SPILL_AGAIN_S + 40)
            assert running.held(B) <= BUDGET
            assert records_of(running.store, B) == records

        play(story)

    def test_another_directory_is_set_up(self):
        async def story(running: Running) -> None:
            await running.fill()
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            await running.close()
            disk = running.sim.spill_disk
            assert disk is not None
            for path in running.everything():
                disk.remove(path)
            running.sim.storage = storage(SpillPlace(directory="/mnt/other", bytes="16MiB"))
            running.open()
            await running.fill(B)
            assert running.held(B) <= BUDGET
            assert running.store.spilled.directory() == "/mnt/other"

        play(story)

    def test_a_store_that_was_restored_may_be_on_another_machine(self):
        async def story(running: Running) -> None:
            await running.fill()
            await running.store.submit(lambda tx: tx.delete_stream(A))
            await asyncio.sleep(5)
            begin_lineage(running.store.committer._connection, "ab" * 8, 0)
            await running.close()
            disk = running.sim.spill_disk
            assert disk is not None
            for path in running.everything():
                disk.remove(path)
            running.open()
            records = await running.fill(B)
            assert running.held(B) <= BUDGET
            assert records_of(running.store, B) == records

        play(story)

    def test_it_is_kept_up_to_the_nodes_budget_and_then_refused(self):
        async def story(running: Running) -> None:
            disk = running.sim.spill_disk
            assert disk is not None
            disk.capacity_bytes = 0
            with pytest.raises(StorageFull, match="nothing of this stream may be dropped for it"):
                await running.fill(count=150)
            assert running.held(A) > 90_000
            disk.capacity_bytes = 1 << 30
            await asyncio.sleep(SPILL_AGAIN_S + 40)
            await running.fill(count=10)
            assert running.held(A) <= BUDGET

        play(story, store_bytes=100_000)

    def test_a_document_that_names_none_any_more(self):
        async def story(running: Running) -> None:
            records = await running.fill()
            await running.close()
            running.sim.storage = None
            running.open()
            with pytest.raises(Unavailable, match="it is in a spill directory, and spec.storage.spill names none"):
                running.store.read(A, 0, 1000)
            assert running.store.read(A, 59, 1000)[0].records() == records[59:]

        play(story)


class TestDamage:
    @contextlib.contextmanager
    def _one_file(self, running: Running):
        disk = running.sim.spill_disk
        assert disk is not None
        path = next(iter(running.files()))
        yield disk, path
        with pytest.raises(StorageCorrupt, match=path):
            running.store.read(A, 0, 1000)
        assert running.store.read(A, 59, 1000)

    def test_a_file_that_was_changed(self):
        async def story(running: Running) -> None:
            await running.fill()
            with self._one_file(running) as (disk, path):
                data = bytearray(running.files()[path])
                data[len(data) // 2] ^= 1
                disk.write(path, bytes(data))

        play(story)

    def test_a_file_that_is_missing(self):
        async def story(running: Running) -> None:
            await running.fill()
            with self._one_file(running) as (disk, path):
                disk.remove(path)

        play(story)

    def test_a_file_in_the_place_of_another(self):
        async def story(running: Running) -> None:
            await running.fill()
            await running.fill()
            with self._one_file(running) as (disk, path):
                disk.write(path, [*running.files().values()][1])

        play(story)
