"""Tombstones are forgotten after their time, by the node's clock, and not before the parent has them."""

import asyncio
from functools import partial

import msgspec
import pytest

from littoral.core.hlc import hlc_at
from littoral.core.kv import KvEntry
from littoral.core.tasks import Tasks
from littoral.fleet.desired import DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.purges import PurgeFold
from littoral.fleet.registry import SUBTREE
from littoral.fleet.snapshots import KEYS_AT_ONCE, UNSAID, FoldSnapshots
from littoral.fleet.tombstones import TOMBSTONES_AT_ONCE, Tombstones
from littoral.store.kv import kv_stream, stand_in
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import CHUNK_BYTES, SnapshotPart, array_of
from littoral.streams.kv_again import UNSENT
from littoral.streams.outbox import UPLINK_FOLD, Outbox
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of

LIMIT_S = 100


class Running:
    """A store with what forgets its tombstones; outbox: whether it has a parent."""

    def __init__(self, *, parent: bool, node: str = "plant-a") -> None:
        self.sim = SimStore(node, kv_tombstone_seconds=LIMIT_S)
        self.store: Store = self.sim.open()
        self.outbox = Outbox(self.store, "cloud") if parent else None
        if self.outbox is not None:
            self.store.watch(self.outbox.note)
        self.warnings: list[str] = []
        self.failures: list[BaseException] = []
        self.tombstones = Tombstones(self.store, self.outbox, self.sim.clock, self.sim.limits, self.warnings.append)
        Tasks(self.failures.append).start(self.tombstones.run(), "tombstones")

    async def delete(self, *keys: str) -> None:
        for key in keys:
            await self.store.submit(partial(Transaction.kv_put, namespace="ns", key=key, value=None))

    def keys(self) -> list[str]:
        return [entry.key for entry in self.store.kv_entries("ns", "", 10_000)]


def test_a_parent_that_may_have_lost_them_is_told_of_deletions_from_above_before_they_are_forgotten():
    async def main() -> None:
        running = Running(parent=True)
        tombstone = KvEntry("gone", None, hlc_at(running.sim.clock.wall_ms()), "cloud")

        def lose(tx: Transaction) -> None:
            tx.kv_merge_from_above("ns", [tombstone])
            tx.put_state(UNSENT, "ns", b"")

        await running.store.submit(lose)
        await asyncio.sleep(2 * LIMIT_S)
        assert running.keys() == ["gone"]
        await running.store.submit(lambda tx: tx.put_state(UNSENT, "ns", None))
        await asyncio.sleep(LIMIT_S)
        assert running.keys() == []
        assert running.failures == []

    run(main)


def test_those_older_than_the_limit_are_forgotten_and_younger_ones_kept():
    async def main() -> None:
        running = Running(parent=False)
        await running.store.submit(lambda tx: tx.kv_put("ns", "alive", b"v"))
        await running.delete("old")
        last = running.store.kv_get("ns", "old")
        assert last is not None
        await asyncio.sleep(LIMIT_S * 0.7)
        await running.delete("young")
        assert running.keys() == ["alive", "old", "young"]
        await asyncio.sleep(LIMIT_S * 0.6)
        assert running.keys() == ["alive", "young"]
        assert running.store.kv_horizon("ns") == last.hlc
        assert running.tombstones.forgotten == 1
        commits = running.store.counters.commits
        await asyncio.sleep(LIMIT_S * 0.3)
        assert running.store.counters.commits == commits, "nothing is written while there is nothing to forget"
        assert running.failures == []

    run(main)


def test_many_are_forgotten_in_small_pieces():
    async def main() -> None:
        running = Running(parent=False)
        await running.delete(*(f"k{n}" for n in range(2 * TOMBSTONES_AT_ONCE + 1)))
        jobs = running.store.counters.jobs
        await asyncio.sleep(2 * LIMIT_S)
        assert running.keys() == []
        assert running.tombstones.forgotten == 2 * TOMBSTONES_AT_ONCE + 1
        assert running.store.counters.jobs == jobs + 3

    run(main)


def test_a_child_forgets_only_what_its_parent_has():
    async def main() -> None:
        running = Running(parent=True)
        outbox = running.outbox
        assert outbox is not None
        await running.delete("k")
        await asyncio.sleep(2 * LIMIT_S)
        assert running.keys() == ["k"], "retention may take the record, and then this is all there is to be sent"
        outbox.set_mark(kv_stream("plant-a", "ns"), 1)
        await running.store.submit(lambda tx: tx.put_state(UNSENT, "ns", b""))
        await asyncio.sleep(2 * LIMIT_S)
        assert running.keys() == ["k"], "some of what was lost unsent is not said again yet"
        await running.store.submit(lambda tx: tx.put_state(UNSENT, "ns", None))
        await asyncio.sleep(LIMIT_S)
        assert running.keys() == []
        assert running.failures == []

    run(main)


def test_what_the_disk_refuses_is_tried_again():
    async def main() -> None:
        running = Running(parent=False)
        await running.delete("k")
        running.sim.disk.read_only = True
        await asyncio.sleep(2 * LIMIT_S)
        assert "the file system does not take writes" in running.warnings[0]
        running.sim.disk.read_only = False
        await asyncio.sleep(LIMIT_S)
        assert running.keys() == []
        assert running.failures == []

    run(main)


# What a child does with a snapshot


NOTHING = array_of([])
PARENT = name("cloud/kv/ns")


def snapshots_of(store: Store, parent: str = "cloud") -> FoldSnapshots:
    return FoldSnapshots(store, KvFold(store.node, parent), DesiredFold(store.node, parent), PurgeFold(parent))


async def written(store: Store, *entries: KvEntry) -> None:
    await store.submit(lambda tx: tx.kv_merge_from_above("ns", entries))


def letters_of(store: Store) -> list[dict[str, str]]:
    return [msgspec.json.decode(record) for record in records_of(store, name(f"{store.node}/dead-letters"))]


def living(store: Store) -> list[str]:
    return store.kv_page("ns", "", None, 1000).keys


def test_a_snapshot_comes_with_the_horizon_and_the_child_takes_it_over_once_all_parts_are_here():
    async def main() -> None:
        root, region, site = (SimStore(node).open() for node in ("cloud", "eu", "plant-a"))
        now = hlc_at(SimStore().clock.wall_ms())
        old = [KvEntry(f"k{n}", b"v", now + n, "cloud") for n in range(4)]
        await written(root, *old)
        for below in (region, site):
            await written(below, *old)
        await written(root, KvEntry("k1", None, now + 10, "cloud"), KvEntry("k2", b"w", now + 20, "cloud"))
        await root.submit(lambda tx: tx.kv_forget("ns", now + 15, 10))
        await region.submit(lambda tx: tx.open_stream(PARENT))
        theirs, ours = snapshots_of(root, ""), snapshots_of(region)
        cursor: str | None = None
        while True:
            part = theirs.part(PARENT, cursor, 1)
            assert part.horizon == now + 10
            await region.submit(partial(ours.take, name=PARENT, part=part, after=cursor))
            if (cursor := part.cursor) is None:
                break
            assert region.kv_horizon("ns") == 0
        await region.submit(lambda tx: ours.finish(tx, PARENT, 0, part.horizon))
        assert living(region) == ["k0", "k2", "k3"]
        assert ours.dropped_entries == 1
        assert region.stream(name("eu/dead-letters")) is None, "nothing of that was written here"
        # Who is below hears of it, from the stream or by the region's own snapshot.
        await region.submit(lambda tx: tx.kv_forget("ns", now + 15, 10))
        assert region.kv_horizon("ns") == now + 10
        await site.submit(lambda tx: tx.open_stream(name("eu/kv/ns")))
        part = snapshots_of(region).part(name("eu/kv/ns"), None, 1 << 20)
        await site.submit(lambda tx: snapshots_of(site, "eu").take(tx, name("eu/kv/ns"), part, None))
        assert living(site) == ["k0", "k2", "k3"]

    run(main)


def test_a_parent_that_knows_of_no_horizon_takes_nothing_away():
    async def main() -> None:
        site = SimStore("plant-a").open()
        await written(site, KvEntry("k", b"v", 5, "cloud"))
        await site.submit(lambda tx: snapshots_of(site).take(tx, PARENT, SnapshotPart(NOTHING, None), None))
        assert living(site) == ["k"]

    run(main)


def test_an_item_that_cannot_be_read_is_not_taken_for_a_key_that_is_missing():
    async def main() -> None:
        site = SimStore("plant-a").open()
        await written(site, KvEntry("k", b"v", 5, "cloud"))
        part = SnapshotPart(array_of([b"\xc0"]), None, 9)
        await site.submit(lambda tx: snapshots_of(site).take(tx, PARENT, part, None))
        assert living(site) == ["k"]

    run(main)


def test_what_may_never_have_been_sent_is_not_dropped_without_a_word():
    async def main() -> None:
        site = SimStore("plant-a").open()
        own, below, above = (KvEntry(node, b"v", 5, node) for node in ("plant-a", "cell-1", "cloud"))

        def before(tx: Transaction) -> None:
            tx.put_state(SUBTREE, "cell-1", b"cell-1")
            tx.kv_merge_from_below("ns", [own, below])
            tx.kv_merge_from_above("ns", [above])

        await site.submit(before)
        part = SnapshotPart(NOTHING, None, 9)
        await site.submit(lambda tx: snapshots_of(site).take(tx, PARENT, part, None))
        assert living(site) == []
        letters = letters_of(site)
        assert [letter["source"] for letter in letters] == ["snapshot of cloud/kv/ns"] * 2
        assert ["key 'cell-1' in namespace ns" in letter["reason"] for letter in letters] == [True, False]
        assert "Write it again if it is still wanted" in letters[1]["reason"]
        # The same again, once the parent has all of it: it has refused it, or has deleted it since.
        again = msgspec.structs.replace(own, hlc=7)
        await written(site, again)

        def sent(tx: Transaction) -> None:
            info = tx.stream(kv_stream("plant-a", "ns"))
            assert info is not None
            tx.set_fold(UPLINK_FOLD, info.name, info.next)

        await site.submit(sent)
        await site.submit(lambda tx: snapshots_of(site).take(tx, PARENT, part, None))
        assert site.kv_get("ns", "plant-a") == stand_in(again)
        assert len(letters_of(site)) == 2

    run(main)


def test_however_much_lives_here_that_the_parent_lacks_a_transaction_drops_a_piece_of_it():
    async def main() -> None:
        site = SimStore("plant-a").open()
        count = KEYS_AT_ONCE * 5 // 2
        held = [KvEntry(f"k{n:04}", b"v", 5, "cloud") for n in range(count)]
        await site.submit(lambda tx: tx.kv_merge_from_above("ns", held))
        ours, part = snapshots_of(site), SnapshotPart(NOTHING, None, 9)
        left = [count]
        at: str | None = None
        while at is not None or len(left) == 1:
            at = await site.submit(partial(ours.take, name=PARENT, part=part, after=None, at=at))
            left.append(len(living(site)))
        assert left == [count, count - KEYS_AT_ONCE, count - 2 * KEYS_AT_ONCE, 0]
        assert ours.dropped_entries == count

    run(main)


def test_what_is_put_aside_of_it_is_no_more_than_a_chunk_at_a_time():
    async def main() -> None:
        site = SimStore("plant-a").open()
        size = CHUNK_BYTES // 2
        held = [KvEntry(f"k{n}", bytes(size), 5, "plant-a") for n in range(5)]
        await site.submit(lambda tx: tx.kv_merge_from_below("ns", held))
        ours, part = snapshots_of(site), SnapshotPart(NOTHING, None, 9)
        assert await site.submit(lambda tx: ours.take(tx, PARENT, part, None)) == "k1"
        assert await site.submit(lambda tx: ours.take(tx, PARENT, part, None, "k1")) == "k3"
        assert await site.submit(lambda tx: ours.take(tx, PARENT, part, None, "k3")) is None
        assert living(site) == []
        assert len(letters_of(site)) == 5

    run(main)


@pytest.mark.parametrize("between", [False, True])
def test_what_the_parts_of_a_snapshot_append_themselves_is_nobodys_write(between: bool):
    async def main() -> None:
        site = SimStore("plant-a").open()
        await site.submit(lambda tx: tx.kv_merge_from_below("ns", [KvEntry(key, b"v", 5, "plant-a") for key in "ab"]))
        await site.submit(lambda tx: tx.set_fold(UPLINK_FOLD, kv_stream("plant-a", "ns"), 2))
        ours = snapshots_of(site)
        await site.submit(lambda tx: ours.begin(tx, PARENT))
        await site.submit(lambda tx: ours.take(tx, PARENT, SnapshotPart(NOTHING, "a", 9), None))
        if between:
            await site.submit(lambda tx: tx.kv_merge_from_below("ns", [KvEntry("c", b"v", 5, "plant-a")]))
        await site.submit(lambda tx: ours.take(tx, PARENT, SnapshotPart(NOTHING, None, 9), "a"))
        assert living(site) == []
        # One of them is not sent yet; which, nobody looks up.
        assert len(letters_of(site)) == (2 if between else 0)

    run(main)


def test_a_chunk_with_what_is_doubtful_is_looked_at_entry_by_entry():
    async def main() -> None:
        site = SimStore("plant-a").open()
        await site.submit(lambda tx: tx.kv_raise_horizon("ns", 9))
        ours = snapshots_of(site)
        doubtful, certain = KvEntry("a", b"v", 9, "cloud"), KvEntry("b", b"v", 10, "cloud")
        part = SnapshotPart(msgspec.msgpack.encode([doubtful, certain]), None, 9)
        await site.submit(lambda tx: ours.take(tx, PARENT, part, None))
        assert living(site) == ["a", "b"]
        # The parent is told, and says its tombstone again if it has one.
        assert [
            msgspec.msgpack.decode(each, type=KvEntry) for each in records_of(site, kv_stream("plant-a", "ns"))
        ] == [doubtful]
        assert site.state(UNSAID) == {}

    run(main)
