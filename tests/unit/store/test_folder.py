"""Folds: effect and offset in one transaction, poison put aside, and nothing applied twice."""

import asyncio
from collections.abc import Sequence

import apsw
import msgspec
import pytest

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.names import StreamName
from littoral.core.tasks import Tasks
from littoral.store.folder import Folder
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.disk import CutAt
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, name, records_of

A, B = name("plant-a/a"), name("plant-a/b")
LETTERS = name("plant-a/dead-letters")


class Sum:
    """Adds up numbers, and lists what it was given; "poison" is no number, "fault" is more than it can bear, and for
    "early" it is too early until `is_time`."""

    name = "sum"

    is_time = False

    def wants(self, info: StreamInfo) -> bool:
        return info.name in (A, B)

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        for place, record in enumerate(records, first):
            total = int(tx.get_state("sum", "total") or b"0")
            tx.put_state("sum", f"{source.path}@{place}", record)
            if record == b"fault":
                raise RecursionError("maximum recursion depth exceeded")
            if record == b"early":
                if not self.is_time:
                    raise Unavailable("add", "early", "it is too early")
                continue
            if not record.isdigit():
                raise InvalidInput("add", repr(record), "it is no number")
            tx.put_state("sum", "total", b"%d" % (total + int(record)))


class Running:
    """A store with its fold at work."""

    def __init__(self, sim: SimStore) -> None:
        self.failures: list[BaseException] = []
        self.tasks = Tasks(self.failures.append)
        self.store = sim.open()
        self.sum = Sum()
        self.folder = Folder(self.store, self.sum, sim.limits, sim.clock.wall_ms)
        self.tasks.start(self.folder.run(), "fold")

    async def until_folded(self) -> None:
        async with asyncio.timeout(60):
            while any(
                self.store.fold_offset("sum", info.name) < info.next
                for info in self.store.streams()
                if info.name != LETTERS
            ):
                await asyncio.sleep(0.01)
        assert self.failures == []


def total(store: Store) -> int:
    return int(store.state_value("sum", "total") or b"0")


def test_every_stream_it_wants_is_folded_up_to_its_tail():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(append(A, b"1", b"2"))
        await store.close()
        running = Running(sim)
        await running.until_folded()
        await running.store.submit(append(A, b"10"))
        await running.store.submit(append(B, b"100"))
        await running.until_folded()
        assert total(running.store) == 113
        assert running.folder.applied_records == 4

    run(main)


def test_poison_is_put_aside_with_its_reason_and_the_fold_goes_on():
    async def main() -> None:
        sim = SimStore()
        running = Running(sim)
        await running.store.submit(append(A, b"1", b"poison", b"2", b"p2"))
        await running.until_folded()
        await running.store.submit(append(A, b"4"))
        await running.until_folded()
        assert total(running.store) == 7
        letters = [msgspec.json.decode(record) for record in records_of(running.store, LETTERS)]
        assert [(letter["source"], letter["head"]) for letter in letters] == [
            ("plant-a/a@1", "poison"),
            ("plant-a/a@3", "p2"),
        ]
        assert letters[0]["reason"] == "cannot add b'poison': it is no number"
        # What the fold did before it raised is undone.
        assert "a@1" not in running.store.state("sum")

    run(main)


def test_a_record_at_which_the_fold_fails_is_put_aside_and_logged_whatever_it_raises(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        sim = SimStore()
        running = Running(sim)
        await running.store.submit(append(A, b"1", b"fault", b"poison", b"2"))
        await running.until_folded()
        assert total(running.store) == 3
        fault, poison = [msgspec.json.decode(record) for record in records_of(running.store, LETTERS)]
        assert (fault["source"], poison["source"]) == ("plant-a/a@1", "plant-a/a@2")
        assert fault["reason"] == "fold sum failed at it with RecursionError: maximum recursion depth exceeded"
        assert "a@1" not in running.store.state("sum")

    run(main)
    assert [record.getMessage() for record in caplog.records] == ["fold sum puts aside plant-a/a@1, at which it failed"]


def test_what_cannot_be_applied_yet_is_waited_for():
    async def main() -> None:
        running = Running(SimStore())
        await running.store.submit(append(A, b"1", b"fault", b"early", b"2"))
        await asyncio.sleep(5)
        assert ("it is too early" in running.folder.failed, total(running.store)) == (True, 0)
        assert records_of(running.store, LETTERS) == []
        running.sum.is_time = True
        await running.until_folded()
        assert (total(running.store), len(records_of(running.store, LETTERS))) == (3, 1)

    run(main)


def test_a_disk_that_fails_below_a_record_puts_nothing_aside():
    """It is no fault of the record's: the fold is tried again once the disk is well."""

    async def main() -> None:
        sim = SimStore()
        running = Running(sim)
        refusing = True

        def apply(tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
            if refusing:
                raise apsw.IOError("disk I/O error")
            Sum.apply(running.sum, tx, source, first, records)

        running.sum.apply = apply  # type: ignore[method-assign]
        await running.store.submit(append(A, b"1", b"2"))
        await asyncio.sleep(5)
        assert ("disk I/O error" in running.folder.failed, total(running.store)) == (True, 0)
        refusing = False
        await running.until_folded()
        assert (total(running.store), records_of(running.store, LETTERS)) == (3, [])

    run(main)


def test_what_retention_took_is_stepped_over():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        for n in range(4):
            await store.submit(append(A, b"%d" % 10**n, retention_bytes=1))
        await store.submit(lambda tx: tx.retain(A, 0, 2))
        await store.close()
        running = Running(sim)
        await running.until_folded()
        assert total(running.store) == 1100

    run(main)


def test_a_full_disk_is_waited_for():
    async def main() -> None:
        sim = SimStore()
        running = Running(sim)
        await running.store.submit(append(A, b"1"))
        sim.disk.capacity_bytes = 0
        await asyncio.sleep(5)
        assert "the disk is full" in running.folder.failed
        assert total(running.store) == 0
        sim.disk.capacity_bytes = 1 << 40
        await running.until_folded()
        assert (total(running.store), running.folder.failed) == (1, "")

    run(main)


def test_a_power_cut_at_any_sync_applies_nothing_twice_and_leaves_nothing_out():
    async def once(number: int, *, takes_effect: bool) -> bool:
        sim = SimStore(seed=number)
        running = Running(sim)
        sim.disk.on_cut = sim.writer.kill
        sim.disk.schedule_cut(CutAt(sim.disk.counts["sync"] + number, "sync", takes_effect))
        for n in range(8):
            if sim.disk.powered:
                running.store.submit(append(A, b"%d" % 10**n, *([b"poison"] if n == 3 else [])))
            await asyncio.sleep(0.02)
        reached = not sim.disk.powered
        running.tasks.abandon()
        sim.died()
        running = Running(sim)
        await running.until_folded()
        numbers = [int(record) for record in records_of(running.store, A) if record.isdigit()]
        assert total(running.store) == sum(numbers)
        poison = records_of(running.store, A).count(b"poison")
        assert len(records_of(running.store, LETTERS)) == poison
        await running.tasks.stop()
        return reached

    async def main() -> None:
        reached = [await once(number, takes_effect=flag) for number in range(1, 15) for flag in (False, True)]
        assert all(reached)

    run(main)


def test_what_was_gone_before_it_was_folded_is_counted_and_said_once_for_each_gap():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        for n in range(4):
            await store.submit(append(A, b"%d" % 10**n, retention_bytes=1))
        await store.submit(lambda tx: tx.retain(A, 0, 2))
        await store.close()
        running = Running(sim)
        await running.until_folded()
        assert running.folder.lost_records == 2
        (letter,) = [msgspec.json.decode(record) for record in records_of(running.store, LETTERS)]
        assert letter["reason"] == "fold sum steps over offsets 0 to 2: 2 records are gone"
        assert letter["source"] == "plant-a/a"
        await running.tasks.stop()
        await running.store.submit(append(A, b"5"))
        await running.store.submit(lambda tx: tx.retain(A, 0, 10))
        await running.store.close()
        running = Running(sim)
        await running.until_folded()
        assert running.folder.lost_records == 1, "all of it is gone"
        assert len(records_of(running.store, LETTERS)) == 2

    run(main)


def test_retention_that_is_on_disk_and_not_yet_published_is_waited_for():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        for n in range(3):
            await store.submit(append(A, b"%d" % 10**n, retention_bytes=1))
        before = store.stream(A)
        assert before is not None
        await store.submit(lambda tx: tx.retain(A, 0, 2))
        after = store.stream(A)
        assert after is not None
        store._streams[A] = before
        failures: list[BaseException] = []
        folder = Folder(store, Sum(), sim.limits, sim.clock.wall_ms)
        Tasks(failures.append).start(folder.run(), "fold")
        await asyncio.sleep(5)
        assert (failures, total(store)) == ([], 0)
        store._streams[A] = after
        await store.submit(append(A, b"1000"))
        while total(store) < 1100:
            await asyncio.sleep(0.01)
        assert failures == []

    run(main)
