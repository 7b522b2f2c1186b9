"""Key-value: last writer wins by (hlc, node), deletes are tombstones, and any order of delivery ends the same."""

from collections.abc import Sequence
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput, StorageError
from littoral.core.hlc import COUNTER_BITS, FUTURE_SKEW_MS, hlc_at, hlc_ms
from littoral.core.kv import KvDetails, KvEntry, KvPage
from littoral.core.names import StreamName
from littoral.store.kv import PAGE_BYTES, KvRow, encode_entry, kv_down_stream, kv_namespace, kv_stream, stand_in
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.clock import EPOCH_MS
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of

NOW = EPOCH_MS << COUNTER_BITS


def entry(key: str, value: bytes | None, hlc: int = 0, node: str = "n") -> KvEntry:
    return KvEntry(key, value, NOW + hlc, node)


async def merge(store: Store, *entries: KvEntry) -> list[KvEntry]:
    return (await store.submit(lambda tx: tx.kv_merge_from_below("ns", entries))).won


def published(store: Store, stream: StreamName) -> list[KvEntry]:
    return [msgspec.msgpack.decode(record, type=KvEntry) for record in records_of(store, stream)]


def table(store: Store) -> list[KvEntry]:
    return store.kv_entries("ns", "", 1000)


def test_a_local_write_is_newer_than_all_before_it_and_is_published():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, entry("k", b"ahead", hlc=30_000 << COUNTER_BITS))
        written = await store.submit(lambda tx: tx.kv_put("ns", "k", b"mine"))
        assert written.node == "plant-a"
        assert written.hlc > NOW + (30_000 << COUNTER_BITS)
        assert store.kv_get("ns", "k") == written
        assert published(store, kv_stream("plant-a", "ns"))[1:] == [written]
        info = store.stream(kv_stream("plant-a", "ns"))
        assert info is not None
        assert (info.reach, info.lane) == ("link", "state")

    run(main)


def test_the_last_writer_wins_and_only_what_won_goes_on():
    async def main() -> None:
        store = SimStore().open()
        old, new = entry("k", b"old", 1), entry("k", b"new", 2)
        assert (await store.submit(lambda tx: tx.kv_merge_from_above("ns", [new, old, new]))).won == [new]
        assert (await store.submit(lambda tx: tx.kv_merge_from_above("ns", [new, old]))).won == []
        assert store.kv_get("ns", "k") == new
        assert published(store, kv_down_stream("plant-a", "ns")) == [new]
        assert store.stream(kv_stream("plant-a", "ns")) is None

    run(main)


def test_the_nodes_name_breaks_ties():
    async def main() -> None:
        for order in ((0, 1), (1, 0)):
            store = SimStore().open()
            both = entry("k", b"a", 1, "plant-a"), entry("k", b"b", 1, "plant-b")
            for place in order:
                await merge(store, both[place])
            assert store.kv_get("ns", "k") == both[1]

    run(main)


def test_a_delete_is_a_tombstone_that_keeps_older_writes_out():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, entry("k", b"v", 1))
        await merge(store, entry("k", None, 3))
        await merge(store, entry("k", b"late", 2))
        assert store.kv_get("ns", "k") == entry("k", None, 3)
        assert store.kv_page("ns", "", None, 10) == KvPage([], None)
        await merge(store, entry("k", b"again", 4))
        assert store.kv_page("ns", "", None, 10) == KvPage(["k"], None)

    run(main)


def test_a_write_from_too_far_in_the_future_is_refused_and_undone():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        edge, beyond = FUTURE_SKEW_MS << COUNTER_BITS, (FUTURE_SKEW_MS + 1000) << COUNTER_BITS
        with pytest.raises(InvalidInput, match=r"ahead of this node's clock; .*Set the clocks of both nodes"):
            await merge(store, entry("a", b"1", 1), entry("k", b"bad", beyond))
        assert table(store) == []
        await merge(store, entry("k", b"just", edge))
        # One clock that is wrong does not drag ours along: what it was refused left no trace.
        assert (await store.submit(lambda tx: tx.kv_put("ns", "x", b""))).hlc < NOW + beyond

    run(main)


def test_a_node_that_started_a_day_fast_is_heard_again_once_its_clock_is_right():
    async def main() -> None:
        sim = SimStore()
        day = 86_400_000
        sim.clock.step(day)
        store = sim.open()
        early = await store.submit(lambda tx: tx.kv_put("ns", "early", b""))
        sim.clock.step(-day)
        other = await store.submit(lambda tx: tx.kv_put("ns", "other", b""))
        assert hlc_ms(other.hlc) - sim.clock.wall_ms() < FUTURE_SKEW_MS
        again = await store.submit(lambda tx: tx.kv_put("ns", "early", b"again"))
        assert again.hlc == early.hlc + 1
        assert store.kv_get("ns", "early") == again
        sim.cut_power()
        other = await sim.open().submit(lambda tx: tx.kv_put("ns", "other", b""))
        assert hlc_ms(other.hlc) - sim.clock.wall_ms() < FUTURE_SKEW_MS

    run(main)


async def forget(store: Store, hlc: int, most: int = 100) -> int:
    return await store.submit(lambda tx: tx.kv_forget("ns", NOW + hlc, most))


OWN, DOWN = kv_stream("plant-a", "ns"), kv_down_stream("plant-a", "ns")


def test_tombstones_are_forgotten_the_oldest_first_and_the_horizon_is_the_greatest_of_them():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, entry("alive", b"v", 1), *(entry(f"k{n}", None, n) for n in (5, 2, 9, 3)))
        await store.submit(lambda tx: tx.kv_put("other", "k", None))
        assert store.kv_horizon("ns") == 0
        assert await forget(store, 9, most=2) == 2
        assert [each.key for each in table(store)] == ["alive", "k5", "k9"]
        assert store.kv_horizon("ns") == NOW + 3
        assert await forget(store, 9, most=2) == 1
        assert await forget(store, 9, most=2) == 0
        assert [each.key for each in table(store)] == ["alive", "k9"]
        assert (store.kv_horizon("ns"), store.kv_horizon("other")) == (NOW + 5, 0)
        assert store.kv_with_tombstones(NOW + 9) == []
        assert store.kv_with_tombstones(NOW + 10) == ["ns"]
        assert store.kv_with_tombstones(NOW + (1 << 40)) == ["ns", "other"]

    run(main)


def test_a_late_write_from_below_to_a_key_that_may_have_been_deleted_is_refused_everywhere():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, entry("k", None, 5), entry("alive", b"old", 1))
        await forget(store, 6)
        late = entry("k", b"late", 4, "plant-b")
        merged = await store.submit(lambda tx: tx.kv_merge_from_below("ns", [late]))
        assert merged.doubtful == [late]
        # It wins over the write that is refused, and not over one made after it; and whoever refuses says the same.
        tombstone = KvEntry("k", None, late.hlc + 1, "")
        assert merged.won == [tombstone] == [stand_in(late)]
        assert store.kv_get("ns", "k") == tombstone
        assert published(store, OWN)[-1] == tombstone
        # The writer wrote once more before the key was deleted.
        again = entry("k", b"later", 5, "plant-b")
        assert (await store.submit(lambda tx: tx.kv_merge_from_below("ns", [again]))).doubtful == [again]
        # What lives here was not deleted; what is later than all that was forgotten, neither.
        for sure in (entry("alive", b"new", 3), entry("k", b"new", 7), entry("new", b"v", 6)):
            assert await merge(store, sure) == [sure]
        assert store.kv_page("ns", "", None, 10).keys == ["alive", "k", "new"]

    run(main)


def expiring(key: str, value: bytes, hlc: int, in_s: int) -> KvEntry:
    return KvEntry(key, value, NOW + hlc, "n", EPOCH_MS // 1000 + in_s, '{"a":1}')


def test_what_stands_beside_a_value_is_kept_and_said_to_the_neighbours():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        expires_s = EPOCH_MS // 1000 + 60
        written = await store.submit(lambda tx: tx.kv_put("ns", "k", b"v", expires_s, '"m"'))
        assert published(store, OWN) == [written] == [KvEntry("k", b"v", written.hlc, "plant-a", expires_s, '"m"')]
        assert store.kv_page("ns", "", None, 10).details == {"k": KvDetails(expires_s, '"m"')}
        assert store.kv_snapshot("ns", "", 10, 1000)[0] == [msgspec.structs.astuple(written)]
        sim.cut_power()
        store = sim.open()
        assert store.kv_get("ns", "k") == written
        # A later write has what it was given, and not what the key had.
        again = await store.submit(lambda tx: tx.kv_put("ns", "k", b"v"))
        assert store.kv_get("ns", "k") == again == KvEntry("k", b"v", again.hlc, "plant-a")
        assert store.kv_page("ns", "", None, 10) == KvPage(["k"], None)

    run(main)


def test_an_entry_without_anything_beside_it_is_said_as_nodes_said_it_that_knew_of_no_more():
    plain = entry("k", b"v", 1)
    assert encode_entry(plain) == msgspec.msgpack.encode(("k", b"v", NOW + 1, "n"))
    assert len(msgspec.msgpack.decode(encode_entry(expiring("k", b"v", 1, 60)))) == 6


def test_a_key_that_has_expired_is_in_no_listing_and_becomes_a_tombstone_that_says_nothing():
    async def main() -> None:
        store = SimStore().open()
        gone, stays = expiring("gone", b"v", 1, 0), expiring("stays", b"v", 1, 60)
        await merge(store, gone, stays, entry("plain", b"v", 1))
        said = published(store, OWN)
        assert store.kv_page("ns", "", None, 10, EPOCH_MS).keys == ["plain", "stays"]
        assert store.kv_page("ns", "g", None, 10, EPOCH_MS) == KvPage([], None)
        assert store.kv_has_expired(EPOCH_MS)
        assert await store.submit(lambda tx: tx.kv_expire(10)) == 1
        assert not store.kv_has_expired(EPOCH_MS)
        assert store.kv_get("ns", "gone") == KvEntry("gone", None, gone.hlc, "n")
        assert store.kv_get("ns", "stays") == stays
        assert published(store, OWN) == said
        # The same write does not win again, nor does one before it; a later one does.
        assert await merge(store, gone, entry("gone", b"older", 0)) == []
        later = entry("gone", b"later", 2)
        assert await merge(store, later) == [later]

    run(main)


def test_a_page_is_bounded_in_bytes_too():
    async def main() -> None:
        store = SimStore().open()
        metadata = f'"{"é" * 511}"'

        def put(tx: Transaction) -> None:
            for n in range(1000):
                tx.kv_put("ns", f"{n:04}", b"", 0, metadata)

        await store.submit(put)
        found: list[str] = []
        cursor = None
        pages = 0
        while pages == 0 or cursor is not None:
            page = store.kv_page("ns", "", cursor, 1000)
            assert len(msgspec.msgpack.encode(page)) < 2 * PAGE_BYTES
            found += page.keys
            cursor, pages = page.cursor, pages + 1
        assert found == [f"{n:04}" for n in range(1000)]
        assert pages == 2

    run(main)


def test_a_late_write_that_has_expired_is_put_aside_nowhere():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, entry("k", None, 5), entry("j", None, 5))
        await forget(store, 6)
        late, living = expiring("k", b"late", 4, 0), expiring("j", b"late", 4, 60)
        merged = await store.submit(lambda tx: tx.kv_merge_from_below("ns", [late, living]))
        assert merged.doubtful == [living]
        assert merged.won == [late, stand_in(living)]
        assert store.kv_page("ns", "", None, 10, EPOCH_MS).keys == []

    run(main)


def test_a_late_write_is_applied_where_nothing_was_forgotten():
    async def main() -> None:
        store = SimStore().open()
        await store.submit(lambda tx: tx.kv_merge_from_below("other", [entry("k", None, 9)]))
        await store.submit(lambda tx: tx.kv_forget("other", NOW + 10, 10))
        await merge(store, entry("gone", None, 8))
        late = entry("k", b"late", -(90 * 86_400_000) << COUNTER_BITS)
        assert await merge(store, late) == [late]
        assert store.kv_get("ns", "k") == late

    run(main)


def test_a_late_write_from_above_is_applied_and_said_to_the_parent_which_may_know_of_its_deletion():
    async def main() -> None:
        child, parent = SimStore("plant-a").open(), SimStore("cloud").open()
        written, deleted = entry("k", b"v", 4), entry("k", None, 5)
        await parent.submit(lambda tx: tx.kv_merge_from_below("ns", [written, deleted]))
        # Of the parent's two streams, the child read the one with the deletion first, and forgot it.
        await child.submit(lambda tx: tx.kv_merge_from_above("ns", [deleted]))
        await forget(child, 6)
        fresh = entry("fresh", b"v", 6)
        await child.submit(lambda tx: tx.kv_merge_from_above("ns", [written, fresh]))
        assert child.kv_get("ns", "k") == written
        assert published(child, OWN) == [written]
        assert published(child, DOWN) == [deleted, fresh]
        await parent.submit(lambda tx: tx.kv_merge_from_below("ns", published(child, OWN)))
        answer = published(parent, kv_down_stream("cloud", "ns"))
        assert answer == [deleted]
        await child.submit(lambda tx: tx.kv_merge_from_above("ns", answer))
        assert child.kv_get("ns", "k") == deleted

    run(main)


def test_of_late_writes_of_one_key_from_above_all_are_said_to_the_parent_where_its_deletion_is_forgotten_too():
    async def main() -> None:
        child, parent = SimStore("plant-a").open(), SimStore("cloud").open()
        first, second, deleted = entry("k", b"v", 3), entry("k", b"w", 4), entry("k", None, 5)
        for store in (parent, child):
            await merge(store, deleted)
            await forget(store, 6)
        # What was left of the other stream. The second finds a key that lives by nothing but the first.
        await child.submit(lambda tx: tx.kv_merge_from_above("ns", [first, second]))
        said = [each for each in published(child, OWN) if each != deleted]
        assert said == [first, second]
        assert (await parent.submit(lambda tx: tx.kv_merge_from_below("ns", said))).doubtful == [first, second]
        answers = published(parent, kv_stream("cloud", "ns"))[1:]
        assert answers == [stand_in(first), stand_in(second)]
        await child.submit(lambda tx: tx.kv_merge_from_above("ns", answers))
        assert child.kv_get("ns", "k") == stand_in(second)

    run(main)


def test_what_is_missing_at_the_parent_is_deleted_as_far_as_its_horizon_and_no_further():
    async def main() -> None:
        store = SimStore().open()
        held = [entry(key, key.encode(), n) for n, key in enumerate("abcdef", 1)]
        await merge(store, *held, entry("ca", None, 1))
        bury = partial(bury_absent, present=frozenset("b"), horizon=NOW + 4)
        assert await store.submit(lambda tx: bury(tx, "a", "e")) == ["c", "d"]
        assert store.kv_page("ns", "", None, 10).keys == ["a", "b", "e", "f"]
        assert published(store, OWN)[-2:] == [stand_in(held[2]), stand_in(held[3])]
        bury = partial(bury_absent, present=frozenset(), horizon=NOW + 6)
        assert await store.submit(lambda tx: bury(tx, "e", None)) == ["f"]

    run(main)


def bury_absent(tx: Transaction, after: str, last: str | None, present: frozenset[str], horizon: int) -> list[str]:
    """In pieces; returns the keys that lived."""
    buried: list[str] = []
    at: str | None = after
    while at is not None:
        absent, at = tx.kv_absent("ns", at, last, present, horizon, 2)
        tx.kv_bury("ns", absent)
        buried += [held.key for held in absent]
    return buried


def test_of_what_is_missing_at_the_parent_a_piece_is_looked_for_at_a_time():
    async def main() -> None:
        store = SimStore().open()
        await merge(store, *(entry(f"k{n}", b"v", n + 1) for n in range(9)))

        def look(tx: Transaction) -> list[tuple[list[str], str | None]]:
            found: list[tuple[list[str], str | None]] = []
            at: str | None = ""
            while at is not None:
                absent, at = tx.kv_absent("ns", at, "k7", frozenset(("k1",)), NOW + 6, 3)
                found.append(([held.key for held in absent], at))
            return found

        assert await store.submit(look) == [(["k0", "k2"], "k2"), (["k3", "k4", "k5"], "k5"), ([], None)]

    run(main)


def test_what_a_chunk_costs_does_not_depend_on_how_many_keys_lie_between_its_own():
    async def main() -> None:
        store = SimStore().open()

        def steps(tx: Transaction) -> int:
            count = 0

            def step() -> bool:
                nonlocal count
                count += 1
                return False

            tx._connection.set_progress_handler(step, 1)
            late: KvRow = ("z", b"v", NOW + 9, "n", 0, "")
            assert tx.kv_newer("ns", [("a", b"v", 1, "n", 0, ""), late]) == [late]
            absent, at = tx.kv_absent("ns", "", None, frozenset(), NOW + 9, 4)
            assert (len(absent), at is not None) == (4, True)
            tx._connection.set_progress_handler(None)
            return count

        await merge(
            store, *(entry(f"{text}{n:04}", b"v", 1) for n in range(3) for text in ("a", "z")), entry("a", b"v", 2)
        )
        few = await store.submit(steps)
        await merge(store, *(entry(f"k{n:04}", b"v", 1) for n in range(3000)))
        assert await store.submit(steps) == few > 0

    run(main)


def test_a_local_write_wins_over_a_deletion_that_was_forgotten_though_the_clock_was_set_back():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await store.submit(lambda tx: tx.kv_put("ns", "k", None))
        deleted = store.kv_get("ns", "k")
        assert deleted is not None
        await forget(store, 1 << 40)
        sim.clock.step(-86_400_000)
        for key in ("k", "new"):
            written = await store.submit(partial(Transaction.kv_put, namespace="ns", key=key, value=b"v"))
            assert written.hlc > deleted.hlc
        sim.cut_power()
        assert sim.open().kv_horizon("ns") == deleted.hlc

    run(main)


def test_listing_is_by_prefix_in_pages():
    async def main() -> None:
        store = SimStore().open()
        for key in ("b/2", "a", "b/1", "c", "b/3", "b"):
            await store.submit(partial(Transaction.kv_put, namespace="ns", key=key, value=b""))
        await store.submit(lambda tx: tx.kv_put("other", "b/4", b""))
        assert store.kv_page("ns", "b/", None, 2) == KvPage(["b/1", "b/2"], "b/2")
        assert store.kv_page("ns", "b/", "b/2", 2) == KvPage(["b/3"], None)
        assert store.kv_page("ns", "b/", "a", 2) == KvPage(["b/1", "b/2"], "b/2"), "a cursor of another listing"
        assert store.kv_page("ns", "", None, 10).keys == ["a", "b", "b/1", "b/2", "b/3", "c"]
        assert [each.key for each in store.kv_entries("ns", "b/1", 2)] == ["b/2", "b/3"]

    run(main)


def test_the_stream_to_the_children_begins_anew_also_where_there_are_as_many_streams_as_there_may_be():
    async def main() -> None:
        store = SimStore(streams=2).open()
        await store.submit(lambda tx: tx.kv_merge_from_above("ns", [entry("k", b"v", 1)]))
        before = store.stream(DOWN)
        await store.submit(lambda tx: tx.open_stream(name("plant-a/other")))
        await store.submit(lambda tx: tx.kv_begin_anew("ns"))
        after = store.stream(DOWN)
        assert before is not None
        assert after is not None
        assert (after.id > before.id, after.next) == (True, 0)

    run(main)


def test_streams_are_named_by_namespace():
    assert kv_namespace(kv_stream("n", "lines").path) == "lines"
    assert kv_namespace(kv_down_stream("n", "lines").path) == "lines"
    assert kv_namespace(name("n/readings").path) is None


entries = st.lists(
    st.builds(
        entry, st.sampled_from("abc"), st.none() | st.binary(max_size=2), st.integers(0, 5), st.sampled_from(["m", "n"])
    ),
    max_size=20,
    # One node draws each timestamp once.
    unique_by=lambda each: (each.hlc, each.node),
)


@settings(max_examples=100)
@given(entries, st.data())
def test_any_order_of_delivery_ends_with_the_last_writes(written: list[KvEntry], data: st.DataObject):
    expected = {each.key: each for each in sorted(written, key=lambda each: (each.hlc, each.node))}

    async def deliver(order: Sequence[KvEntry]) -> list[KvEntry]:
        store = SimStore().open()
        rest = list(order)
        while rest:
            count = data.draw(st.integers(1, len(rest)))
            await merge(store, *rest[:count])
            del rest[:count]
        return table(store)

    async def main() -> None:
        again = data.draw(st.lists(st.sampled_from(written))) if written else []
        for order in (written, data.draw(st.permutations(written + again))):
            assert await deliver(order) == [expected[key] for key in sorted(expected)]

    run(main)


@pytest.mark.parametrize("refused", [False, True])
def test_a_write_after_a_restart_is_newer_than_all_before_it_whatever_its_key(refused: bool):
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        seen = KvEntry("theirs", b"v", hlc_at(sim.clock.wall_ms() + 20_000), "plant-b")

        def merge(tx: Transaction) -> None:
            tx.kv_merge_from_below("ns", [seen])

        if refused:
            sim.disk.failing_changes = 1
            with pytest.raises(StorageError):
                await store.submit(merge)
        await store.submit(merge)
        await store.close()
        store = sim.open()
        assert (await store.submit(lambda tx: tx.kv_put("ns", "ours", b"v"))).hlc > seen.hlc

    run(main)
