"""Taking over another node's history: the verdicts, and that any delivery converges."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import Conflict
from littoral.core.names import StreamName
from littoral.store.batch import CHAIN_START, UNLINKED, Batch, StoredBatch, make_batch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.store import Store
from littoral.testing.loop import run
from tests.support.stores import SimStore, records_of

NAME = StreamName("plant-a", "windows")


def history(*cuts: int, lineage: str = "l1", chain: bytes = CHAIN_START, first: int = 0, mark: str = "") -> list[Batch]:
    """Batches of `cuts` records each; record n is its number, with `mark`."""
    batches = []
    for count in cuts:
        records = [f"{n}{mark}".encode() for n in range(first, first + count)]
        batches.append(make_batch(NAME, lineage, first, records, 1000, chain))
        first, chain = batches[-1].next, batches[-1].chain
    return batches


def stored(batch: Batch, earliest: int = 0) -> StoredBatch:
    return StoredBatch(batch, "application/json", "telemetry", "root", earliest)


async def take(store: Store, *arriving: StoredBatch) -> list[ReplicaOutcome]:
    return await store.submit(lambda tx: [tx.append_replica(each, "plant-a") for each in arriving])


def transcript(*lines: tuple[StoredBatch, Verdict, int]) -> list[bytes]:
    """Deliver one after the other to an empty store; each must get this verdict and leave this tail."""

    async def main() -> list[bytes]:
        store = SimStore("eu").open()
        for number, (arriving, verdict, tail) in enumerate(lines):
            (outcome,) = await take(store, arriving)
            assert (outcome.verdict, outcome.next) == (verdict, tail), f"line {number}"
        return records_of(store, NAME)

    return run(main)


def test_a_history_is_taken_over_in_order():
    a, b = history(2, 3)
    assert transcript((stored(a), Verdict.APPEND, 2), (stored(b), Verdict.APPEND, 5)) == [b"0", b"1", b"2", b"3", b"4"]


def test_what_is_there_is_a_duplicate():
    a, b = history(2, 3)
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(b), Verdict.APPEND, 5),
        (stored(a), Verdict.DUPLICATE, 5),
        (stored(b), Verdict.DUPLICATE, 5),
    ]
    assert len(transcript(*lines)) == 5


def test_a_gap_asks_for_what_is_missing():
    a, b, c = history(2, 3, 1)
    lines = [
        (stored(b), Verdict.GAP, 0),
        (stored(a), Verdict.APPEND, 2),
        (stored(c), Verdict.GAP, 2),
        (stored(b), Verdict.APPEND, 5),
    ]
    assert len(transcript(*lines)) == 5


def test_what_overlaps_is_trimmed():
    a, whole = history(2)[0], history(5)[0]
    assert transcript((stored(a), Verdict.APPEND, 2), (stored(whole), Verdict.TRIM, 5)) == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
    ]


def test_what_overlaps_and_is_another_history_diverges():
    """A node that was set back to an old image and went on has the same lineage and other records."""
    a, other = history(2)[0], history(1, 4, mark="x")
    whole = history(5, mark="x")[0]
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(whole), Verdict.DIVERGED, 2),
        (stored(other[1]), Verdict.DIVERGED, 2),
    ]
    assert transcript(*lines) == [b"0", b"1"]


def test_a_trimmed_batch_travels_on():
    a, whole = history(2)[0], history(5)[0]
    (after,) = history(1, first=5, chain=whole.chain)

    async def main() -> None:
        relay, root = SimStore("eu").open(), SimStore("cloud").open()
        await take(relay, stored(a), stored(whole), stored(after))
        outcomes = await take(root, *relay.read_stored(NAME, 0, 1 << 20))
        assert [outcome.verdict for outcome in outcomes] == [Verdict.APPEND] * 3
        assert records_of(root, NAME) == [f"{n}".encode() for n in range(6)]

    run(main)


def test_what_the_sender_no_longer_has_is_skipped_and_counted():
    a, _, c, d = history(2, 3, 1, 1)

    async def main() -> None:
        store = SimStore("eu").open()
        await take(store, stored(a))
        (outcome,) = await take(store, stored(c, earliest=5))
        assert outcome == ReplicaOutcome("plant-a", "windows", Verdict.SKIP, 6, 3)
        await take(store, stored(d, earliest=5))
        assert records_of(store, NAME) == [b"0", b"1", b"5", b"6"]
        # A new copy begins where the sender does.
        fresh = SimStore("cloud").open()
        (outcome,) = await take(fresh, stored(c, earliest=5))
        assert (outcome.verdict, outcome.lost) == (Verdict.SKIP, 5)
        info = fresh.stream(NAME)
        assert info is not None
        assert (info.first, info.next) == (5, 6)

    run(main)


def test_what_the_sender_still_has_is_not_skipped():
    _, b, c = history(2, 3, 1)
    assert transcript((stored(c, earliest=2), Verdict.GAP, 0), (stored(b, earliest=2), Verdict.SKIP, 5)) == [
        b"2",
        b"3",
        b"4",
    ]


def test_another_history_diverges_and_changes_nothing():
    a, b = history(2, 3)
    other_a, other_b = history(2, 3, mark="x")
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(other_b), Verdict.DIVERGED, 2),
        (stored(b), Verdict.APPEND, 5),
    ]
    assert transcript(*lines) == [b"0", b"1", b"2", b"3", b"4"]
    assert other_a.chain != a.chain


def test_a_new_lineage_goes_on_only_where_the_histories_agree():
    a, b = history(2, 3)
    (renamed,) = history(1, lineage="l2", chain=b.chain, first=5)
    (elsewhere,) = history(1, lineage="l2", chain=a.chain, first=2)
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(b), Verdict.APPEND, 5),
        (stored(elsewhere), Verdict.DIVERGED, 5),
        (stored(renamed), Verdict.APPEND, 6),
    ]
    assert len(transcript(*lines)) == 6


def test_what_a_restored_stream_held_before_may_come_once_more_by_another_way():
    a, b = history(2, 3, lineage="l.3")
    (restored,) = history(1, lineage="m.1", chain=b.chain, first=5)
    (other,) = history(3, lineage="l.3", chain=a.chain, first=2, mark="otherwise")
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(b), Verdict.APPEND, 5),
        (stored(restored), Verdict.APPEND, 6),
        (stored(a), Verdict.DUPLICATE, 6),
        (stored(other), Verdict.DIVERGED, 6),
        (stored(b), Verdict.DUPLICATE, 6),
    ]
    assert len(transcript(*lines)) == 6


def test_a_restored_stream_goes_on_beyond_what_is_lost_and_no_other_does():
    a, b, _ = history(2, 3, 1, lineage="l.3")
    (first,) = history(1, lineage="m.1", chain=b.chain, first=5)
    (after,) = history(1, lineage="m.1", chain=first.chain, first=6)
    (before,) = history(1, lineage="m.1", chain=a.chain, first=2)
    (another,) = history(1, lineage="l.2", chain=first.chain, first=6)
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(b), Verdict.APPEND, 5),
        (stored(another, earliest=6), Verdict.DIVERGED, 5),
        (stored(before, earliest=2), Verdict.DIVERGED, 5),
        (stored(after), Verdict.GAP, 5),
        (stored(after, earliest=6), Verdict.SKIP, 7),
    ]
    assert transcript(*lines) == [b"0", b"1", b"2", b"3", b"4", b"6"]


@pytest.mark.parametrize("change", [{"crc": 0}, {"chain": b"x" * 16}, {"first": 1, "next": 3}])
def test_what_was_damaged_on_the_way_is_refused(change: dict[str, object]):
    a, b = history(2, 3)
    damaged = msgspec.structs.replace(b, **change)
    lines = [
        (stored(a), Verdict.APPEND, 2),
        (stored(damaged), Verdict.CORRUPT, 2),
        (stored(b), Verdict.APPEND, 5),
    ]
    assert len(transcript(*lines)) == 5


def test_nobody_writes_our_own_streams_for_us():
    async def main() -> None:
        store = SimStore("plant-a").open()
        with pytest.raises(Conflict, match="it is this node's own"):
            await take(store, stored(history(1)[0]))

    run(main)


def test_a_copy_is_appended_to_by_its_origin_only():
    async def main() -> None:
        store = SimStore("eu").open()
        await take(store, stored(history(1)[0]))
        with pytest.raises(Conflict, match="it is a copy; only plant-a appends to it"):
            await store.submit(lambda tx: tx.append(NAME, [b"x"]))

    run(main)


def copy_of(store: Store) -> list[StoredBatch]:
    """What a relay sends on."""
    info = store.stream(NAME)
    return [] if info is None or not info.count else store.read_stored(NAME, info.first, 1 << 30)


def is_prefix(part: Sequence[bytes], whole: Sequence[bytes]) -> bool:
    return list(part) == list(whole[: len(part)])


@settings(max_examples=150)
@given(st.data())
def test_any_delivery_converges_to_the_source_through_a_relay(data: st.DataObject):
    """Batches repeated, in any order, cut anew and trimmed anywhere, in frames of any size: never a gap, a duplicate or
    another order, and once all was sent in order, all of it."""
    batches = history(*data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=8)))
    source = [record for batch in batches for record in batch.records()]

    def piece(number: int) -> StoredBatch:
        """One of the batches as it is, or from any offset before its end on, as one batch."""
        batch = batches[number]
        if data.draw(st.booleans()):
            return stored(batch)
        start = data.draw(st.integers(0, batch.next - 1))
        again = make_batch(NAME, "l1", start, source[start : batch.next], 1000, UNLINKED)
        return stored(msgspec.structs.replace(again, chain=batch.chain))

    order = data.draw(st.lists(st.integers(0, len(batches) - 1), max_size=25))
    arriving = [piece(number) for number in order] + [stored(batch) for batch in batches]

    async def main() -> None:
        relay, root = SimStore("eu").open(), SimStore("cloud").open()
        while arriving:
            count = data.draw(st.integers(1, 4))
            frame = arriving[:count]
            del arriving[:count]
            await take(relay, *frame)
            assert is_prefix(records_of(relay, NAME), source)
            if data.draw(st.booleans()):
                await take(root, *data.draw(st.permutations(copy_of(relay))))
                assert is_prefix(records_of(root, NAME), records_of(relay, NAME))
        await take(root, *copy_of(relay))
        assert records_of(relay, NAME) == records_of(root, NAME) == source

    run(main)


class TestAStreamMadeAnew:
    def test_replaces_the_copy_which_is_set_aside(self):
        (old,) = history(3, lineage="l.1")
        first, second = history(1, 1, lineage="l.2", mark="x")

        async def main() -> None:
            store = SimStore("eu").open()
            verdicts = []
            for batch in (old, second, first, second):
                (outcome,) = await take(store, stored(batch))
                verdicts.append((outcome.verdict, outcome.next))
            assert verdicts == [(Verdict.APPEND, 3), (Verdict.GAP, 0), (Verdict.APPEND, 1), (Verdict.APPEND, 2)]
            assert records_of(store, NAME) == [b"0x", b"1x"]
            aside = StreamName("plant-a", "former/windows")
            assert records_of(store, aside) == [b"0", b"1", b"2"]
            info = store.stream(aside)
            assert info is not None
            assert info.reach == "node", "it goes no further"
            (third,) = history(1, lineage="l.3", mark="y")
            await take(store, stored(third))
            assert (records_of(store, NAME), records_of(store, aside)) == ([b"0y"], [b"0x", b"1x"])
            assert store.counters.replicated_records == 6

        run(main)

    def test_what_is_of_an_earlier_one_or_of_another_store_does_not(self):
        (held,) = history(2, lineage="l.5")
        lines = [(stored(held), Verdict.APPEND, 2)]
        for lineage in ("l.4", "m.6", "l", "l." + "9" * 30):
            (other,) = history(3, lineage=lineage, mark="x")
            lines.append((stored(other), Verdict.DIVERGED, 2))
        assert transcript(*lines) == [b"0", b"1"]

    def test_has_another_lineage_also_after_a_restart(self):
        async def main() -> None:
            sim = SimStore("plant-a")
            lineages = []
            for _ in range(3):
                store = sim.open()
                info = await store.submit(lambda tx: tx.open_stream(NAME))
                lineages.append(info.lineage)
                await store.submit(lambda tx: tx.delete_stream(NAME))
                await store.close()
            assert lineages == [f"{store.lineage}.{number}" for number in (1, 2, 3)]

        run(main)
