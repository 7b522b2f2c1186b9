"""Records of the node's own that a neighbour has and the store has not."""

import msgspec

from littoral.store.batch import CHAIN_START, Batch, StoredBatch, make_batch
from littoral.store.check import check_store
from littoral.store.lineage import WENT_ON, begin_lineage
from littoral.store.replica import Verdict
from littoral.store.store import Store
from littoral.testing.loop import run
from littoral.testing.store import check_histories
from tests.support import stores
from tests.support.stores import SimStore, name, records_of

S, ASIDE, FORK = name("plant-a/s"), name("plant-a/aside"), name("plant-a/fork")


def history(*cuts: int, lineage: str = "l.1", mark: str = "") -> list[Batch]:
    batches: list[Batch] = []
    first, chain = 0, CHAIN_START
    for count in cuts:
        records = [f"{mark}{number}".encode() for number in range(first, first + count)]
        batches.append(make_batch(S, lineage, first, records, 1, chain))
        first, chain = first + count, batches[-1].chain
    return batches


async def took(store: Store, batch: Batch, earliest: int = 0) -> Verdict:
    stored = StoredBatch(batch, "text/plain", "alerts", "link", earliest)
    outcome = await store.submit(lambda tx: tx.take_back(stored))
    check_histories(store)
    return outcome.verdict


async def append(store: Store, *records: bytes) -> None:
    await store.submit(stores.append(S, *records))


async def restored(sim: SimStore) -> Store:
    """The store as it is, and another lineage from now on."""
    await sim.close()
    begin_lineage(sim.open().committer._connection, "00", 1)
    await sim.close()
    return sim.open()


def numbers(*held: int) -> list[bytes]:
    return [b"%d" % number for number in held]


def test_it_goes_on_from_what_is_held_as_long_as_the_histories_agree():
    async def main() -> None:
        store = SimStore().open()
        first, second, third = history(2, 3, 1)
        assert await took(store, second) is Verdict.GAP
        assert await took(store, first) is Verdict.APPEND
        assert await took(store, first) is Verdict.DUPLICATE
        assert await took(store, third) is Verdict.GAP
        assert await took(store, history(2, 1, 9, mark="x")[1]) is Verdict.DIVERGED
        assert await took(store, msgspec.structs.replace(second, crc=1)) is Verdict.CORRUPT
        assert await took(store, history(4)[0]) is Verdict.TRIM
        assert await took(store, history(5, mark="x")[0]) is Verdict.DIVERGED
        assert records_of(store, S) == numbers(0, 1, 2, 3)
        info = store.stream(S)
        assert info is not None
        assert (info.content_type, info.lane, info.reach, info.via, info.lineage) == (
            "text/plain", "alerts", "link", "", "l.1",
        )  # fmt: skip

    run(main)


def test_where_the_neighbour_has_lost_what_is_between_the_stream_begins_with_what_it_has():
    async def main() -> None:
        store = SimStore().open()
        first, _, third = history(2, 3, 2)
        await took(store, first)
        assert await took(store, third, earliest=5) is Verdict.SKIP
        assert records_of(store, S) == numbers(5, 6)
        assert check_store(store.committer._connection).sound, "something is left of what was there"
        await append(store, b"7")
        check_histories(store)
        assert records_of(store, S) == numbers(5, 6, 7)

    run(main)


def test_what_was_appended_since_the_restore_is_known_and_put_aside():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await append(store, *numbers(0, 1, 2))
        store = await restored(sim)
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 3
        for record in (b"a", b"b", b"c"):
            await append(store, record)
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 3
        await store.submit(lambda tx: tx.set_fold("f", S, 5))
        assert await store.submit(lambda tx: tx.cut_back(S, 3, ASIDE))
        check_histories(store)
        assert (records_of(store, S), records_of(store, ASIDE)) == (numbers(0, 1, 2), [b"a", b"b", b"c"])
        assert store.fold_offset("f", S) == 3
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 3
        await append(store, b"d")
        check_histories(store)
        assert await store.submit(lambda tx: tx.cut_back(S, 3, None))
        assert records_of(store, S) == numbers(0, 1, 2)
        assert await store.submit(lambda tx: tx.went_on_at(name("plant-a/none"))) == 0

    run(main)


def test_where_it_went_on_is_known_when_retention_has_taken_all_that_was_there():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await append(store, *numbers(0, 1, 2))
        (held,) = store.read(S, 0, 1 << 20)
        theirs = make_batch(S, held.lineage, 3, numbers(3, 4), 1, held.chain)
        store = await restored(sim)
        for record in (b"a", b"b", b"c"):
            await append(store, record)
        assert await store.submit(lambda tx: tx.retain(S, 0, 3, 1)) == 3
        assert records_of(store, S) == [b"c"]
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 3
        assert await store.submit(lambda tx: tx.cut_back(S, 3, ASIDE))
        check_histories(store)
        assert (records_of(store, S), records_of(store, ASIDE)) == ([], [b"c"])
        assert await took(store, theirs) is Verdict.APPEND
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 5
        await append(store, b"d")
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 5
        assert records_of(store, S) == [b"3", b"4", b"d"]
        await store.submit(lambda tx: tx.delete_stream(S))
        assert list(store.state(WENT_ON)) == [], "it was made since"

    run(main)


def test_a_stream_that_was_made_since_the_restore_went_on_from_nothing_whatever_is_left_of_it():
    async def main() -> None:
        sim = SimStore()
        sim.open()
        store = await restored(sim)
        await append(store, b"a")
        await append(store, b"b")
        assert await store.submit(lambda tx: tx.retain(S, 0, 1, 1)) == 1
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 0
        assert await store.submit(lambda tx: tx.cut_back(S, 0, ASIDE))
        assert await took(store, history(2)[0]) is Verdict.APPEND
        assert (records_of(store, S), records_of(store, ASIDE)) == (numbers(0, 1), [b"b"])

    run(main)


def test_where_it_went_on_before_that_was_noted_is_where_the_lineage_of_what_is_left_changes():
    async def main() -> None:
        sim = SimStore()
        await append(sim.open(), *numbers(0, 1, 2))
        store = await restored(sim)
        await append(store, b"a")
        await append(store, b"b")
        info = store.stream(S)
        assert info is not None
        await store.submit(lambda tx: tx.put_state(WENT_ON, str(info.id), None))
        assert await store.submit(lambda tx: tx.went_on_at(S)) == 3
        assert await store.submit(lambda tx: tx.cut_back(S, 3, ASIDE))
        check_histories(store)
        assert (records_of(store, S), records_of(store, ASIDE)) == (numbers(0, 1, 2), [b"a", b"b"])

    run(main)


def test_what_a_fork_needs_is_not_taken_from_it():
    async def main() -> None:
        store = SimStore().open()
        await append(store, *numbers(0, 1))
        await append(store, *numbers(2, 3))
        await store.submit(lambda tx: tx.fork_stream(FORK, S, 4, asked=""))
        assert not await store.submit(lambda tx: tx.cut_back(S, 2, ASIDE))
        assert not await store.submit(lambda tx: tx.cut_back(FORK, 2, ASIDE))
        info = store.stream(S)
        assert info is not None
        later = msgspec.structs.replace(make_batch(S, info.lineage, 9, [b"9"], 1, CHAIN_START))
        assert await took(store, later, earliest=9) is Verdict.DIVERGED
        assert records_of(store, S) == records_of(store, FORK) == numbers(0, 1, 2, 3)
        assert store.stream(ASIDE) is None

    run(main)
