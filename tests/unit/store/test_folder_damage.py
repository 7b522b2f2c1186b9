"""A batch that nobody can read must not stop a fold: whoever sent it could otherwise stop the node for good."""

import asyncio
import zlib
from collections.abc import Sequence

import msgspec

from littoral.core.names import StreamName
from littoral.core.tasks import Tasks
from littoral.store.batch import CHAIN_START, StoredBatch, chain_after
from littoral.store.folder import Folder
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, name, records_of

SOURCE = name("plant-a/s")


class Kept:
    name = "kept"

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def wants(self, info: StreamInfo) -> bool:
        return info.name == SOURCE

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        self.records += records


def test_a_damaged_batch_goes_to_the_dead_letters_and_the_rest_is_folded():
    async def main() -> None:
        origin = SimStore("plant-a").open()
        for record in (b"1", b"2", b"3"):
            await origin.submit(append(SOURCE, record))
        frame = forged(origin.read_stored(SOURCE, 0, 1 << 20))
        sim = SimStore("cloud")
        store = sim.open()
        await store.submit(lambda tx: [tx.append_replica(each, "plant-a") for each in frame])
        fold = Kept()
        failures: list[BaseException] = []
        tasks = Tasks(failures.append)
        tasks.start(Folder(store, fold, sim.limits, sim.clock.wall_ms).run(), "fold")
        while store.fold_offset("kept", SOURCE) < 3:
            await asyncio.sleep(0.01)
            assert failures == []
        await tasks.stop()
        assert fold.records == [b"1", b"3"]
        (letter,) = [msgspec.json.decode(each) for each in records_of(store, name("cloud/dead-letters"))]
        assert letter["source"] == "plant-a/s"
        assert "cannot be decoded" in letter["reason"]

    run(main)


def test_a_batch_that_is_missing_is_stepped_over_and_the_rest_is_folded():
    async def main() -> None:
        sim = SimStore("plant-a")
        store = sim.open()
        for record in (b"1", b"2", b"3", b"4"):
            await store.submit(append(SOURCE, record))
        store.committer._connection.execute("DELETE FROM batches WHERE first IN (1, 3)")
        fold = Kept()
        failures: list[BaseException] = []
        tasks = Tasks(failures.append)
        losses: list[int] = []

        def lost(tx: Transaction) -> None:
            losses.append(tx.fold_offset("kept", SOURCE))

        folder = Folder(store, fold, sim.limits, sim.clock.wall_ms, lost=lost)
        tasks.start(folder.run(), "fold")
        while store.fold_offset("kept", SOURCE) < 4:
            await asyncio.sleep(0.01)
            assert failures == []
        await tasks.stop()
        assert (fold.records, folder.lost_records) == ([b"1", b"3"], 2)
        assert losses == [1, 3], "in the transaction that steps over it"
        letters = [msgspec.json.decode(each) for each in records_of(store, name("plant-a/dead-letters"))]
        assert ["[1, 2) are missing" in letters[0]["reason"], "[3, 4) are missing" in letters[1]["reason"]] == [
            True
        ] * 2

    run(main)


def forged(frame: list[StoredBatch]) -> list[StoredBatch]:
    """The second batch holds nonsense; checksums and chains are right."""
    batches, chain = [], CHAIN_START
    for stored in frame:
        batch = stored.batch
        payload = b"\xc1" if batch.first == 1 else batch.payload
        after = chain_after(chain, batch.first, batch.next, payload)
        batch = msgspec.structs.replace(
            batch, payload=payload, crc=zlib.crc32(payload), chain_before=chain, chain=after
        )
        batches.append(msgspec.structs.replace(stored, batch=batch))
        chain = after
    return batches
