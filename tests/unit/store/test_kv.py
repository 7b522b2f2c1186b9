"""Key-value: last writer wins by (hlc, node), deletes are tombstones, and any order of delivery ends the same."""

from collections.abc import Sequence
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.core.hlc import COUNTER_BITS, FUTURE_SKEW_MS, hlc_ms
from littoral.core.kv import KvEntry, KvPage
from littoral.store.kv import kv_down_stream, kv_namespace, kv_stream
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.clock import EPOCH_MS
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of

NOW = EPOCH_MS << COUNTER_BITS


def entry(key: str, value: bytes | None, hlc: int = 0, node: str = "n") -> KvEntry:
    return KvEntry(key, value, NOW + hlc, node)


async def merge(store: Store, *entries: KvEntry) -> list[KvEntry]:
    return await store.submit(lambda tx: tx.kv_merge("ns", entries, None))


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
        published = records_of(store, kv_stream("plant-a", "ns"))
        assert [msgspec.msgpack.decode(record, type=KvEntry) for record in published] == [written]
        info = store.stream(kv_stream("plant-a", "ns"))
        assert info is not None
        assert (info.reach, info.lane) == ("link", "state")

    run(main)


def test_the_last_writer_wins_and_only_what_won_goes_on():
    async def main() -> None:
        store = SimStore().open()
        down = kv_down_stream("plant-a", "ns")
        old, new = entry("k", b"old", 1), entry("k", b"new", 2)
        assert await store.submit(lambda tx: tx.kv_merge("ns", [new, old, new], down)) == [new]
        assert await store.submit(lambda tx: tx.kv_merge("ns", [new, old], down)) == []
        assert store.kv_get("ns", "k") == new
        assert len(records_of(store, down)) == 1

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


def test_listing_is_by_prefix_in_pages():
    async def main() -> None:
        store = SimStore().open()
        for key in ("b/2", "a", "b/1", "c", "b/3", "b"):
            await store.submit(partial(Transaction.kv_put, namespace="ns", key=key, value=b""))
        await store.submit(lambda tx: tx.kv_put("other", "b/4", b""))
        assert store.kv_page("ns", "b/", None, 2) == KvPage(["b/1", "b/2"], "b/2")
        assert store.kv_page("ns", "b/", "b/2", 2) == KvPage(["b/3"], None)
        assert store.kv_page("ns", "", None, 10).keys == ["a", "b", "b/1", "b/2", "b/3", "c"]
        assert [each.key for each in store.kv_entries("ns", "b/1", 2)] == ["b/2", "b/3"]

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
