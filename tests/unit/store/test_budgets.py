"""What happens at the end of a stream's budget and of the node's."""

import asyncio
from functools import partial

import pytest

from littoral.core.errors import StorageFull
from littoral.core.lanes import Lane
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.core.resources.model import BudgetPolicy, SpillPlace, Storage, StreamBudget
from littoral.store.budgets import Budget, Budgets, stored_bytes_most
from littoral.store.replica import Verdict
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.take_over import take_over
from littoral.testing.loop import run
from tests.support.retention import Retained, run_story
from tests.support.stores import SimStore, append, name, records_of

A, B, ALERTS = name("plant-a/a"), name("plant-a/b"), name("plant-a/alerts")


def bounded(policy: BudgetPolicy | None, size: str | None = "4KiB", *, age: str | None = None, whole="drop-oldest"):
    """Of the stream A."""
    entry = StreamBudget(streams=["plant-a/a"], bytes=size, age=age, policy=policy)
    return Storage(policy=whole, streams=[entry], spill=SpillPlace(directory="/mnt/slow", bytes="16MiB"))


def make(path: str, tx: Transaction) -> StreamInfo:
    return tx.open_stream(name(f"plant-a/{path}"), retention_bytes=7)


def head_of(store: Store, stream: StreamName) -> StreamInfo:
    info = store.stream(stream)
    assert info is not None
    return info


class Running(Retained):
    """With records of so many bytes."""

    async def put(self, stream, size: int, *, lane: Lane = "telemetry", essential: bool = False) -> None:
        await self.append(stream, self.sim.random.token_bytes(size), lane=lane, essential=essential)


def play(story, bounds: Storage, **limits: int) -> None:
    run_story(story, lambda: Running(bounds, **limits))


class TestReject:
    def test_what_goes_beyond_a_streams_budget_is_refused_and_nothing_else_is(self):
        async def story(running: Running) -> None:
            for _ in range(39):
                await running.put(A, 100)
            with pytest.raises(StorageFull, match=r"plant-a/a: it holds \d+ of the 4096 bytes.*Raise its bytes in"):
                await running.put(A, 200)
            await running.put(B, 10_000)
            assert 3900 < running.held(A) <= 4096
            await asyncio.sleep(60)
            assert len(records_of(running.store, A)) == 39, "nothing was dropped"

        play(story, bounded("reject"))

    def test_what_one_group_appends_is_counted_together(self):
        async def story(running: Running) -> None:
            results = await asyncio.gather(*(running.put(A, 1000) for _ in range(9)), return_exceptions=True)
            refused = [each for each in results if isinstance(each, StorageFull)]
            assert len(refused) == 5
            assert running.held(A) <= 4096

        play(story, bounded("reject"))

    def test_a_record_that_follows_from_acknowledged_ones_is_taken(self):
        async def story(running: Running) -> None:
            await running.put(A, 4000)
            await running.put(A, 4000, essential=True)

        play(story, bounded("reject"))

    def test_its_age_makes_room_again(self):
        async def story(running: Running) -> None:
            await running.put(A, 4000)
            await asyncio.sleep(100)
            await running.put(A, 4000)
            assert len(records_of(running.store, A)) == 1

        play(story, bounded("reject", age="30s"))

    def test_a_neighbours_batch_is_not_taken_and_said_to_be_too_much_for_now(self):
        async def main() -> None:
            child = SimStore("cell-1")
            sent = child.open()

            def job(tx):
                for stream, size in ((name("cell-1/full"), 3000), (name("cell-1/full"), 3000), (name("cell-1/b"), 9)):
                    tx.open_stream(stream)
                    tx.append(stream, [child.random.token_bytes(size)])

            await sent.submit(job)
            await sent.submit(job)
            frame = [
                stored for path in ("cell-1/full", "cell-1/b") for stored in sent.read_stored(name(path), 0, 1 << 30)
            ]
            entry = StreamBudget(streams=["*/full"], bytes="8KiB", policy="reject")
            parent = SimStore("plant-a", Storage(streams=[entry])).open()
            outcomes = await parent.submit(lambda tx: take_over(frame, "cell-1", tx))
            assert [(each.verdict, each.next) for each in outcomes] == [
                (Verdict.APPEND, 2),
                (Verdict.FULL, 2),
                (Verdict.APPEND, 1),
                (Verdict.APPEND, 2),
            ]

        run(main)

    def test_a_copy_that_does_not_fit_at_all_leaves_nothing(self):
        async def main() -> None:
            child = SimStore("cell-1")
            sent = child.open()
            full = name("cell-1/full")
            await sent.submit(append(full, child.random.token_bytes(9000)))
            entry = StreamBudget(streams=["*/full"], bytes="8KiB", policy="reject")
            parent = SimStore("plant-a", Storage(streams=[entry])).open()
            outcomes = await parent.submit(lambda tx: take_over(sent.read_stored(full, 0, 1 << 30), "cell-1", tx))
            assert [each.verdict for each in outcomes] == [Verdict.FULL]
            assert parent.stream(full) is None

        run(main)


class TestTheWholeNode:
    def test_reject_refuses_telemetry_and_lets_alerts_in(self):
        async def story(running: Running) -> None:
            await running.put(A, 9_000)
            with pytest.raises(StorageFull, match=r"the node's streams hold \d+ bytes, limit store-bytes is 10000"):
                await running.put(B, 3000)
            await running.put(ALERTS, 3000, lane="alerts")
            await asyncio.sleep(60)
            assert running.held(A) > 9_000, "nothing was dropped"

        play(story, Storage(policy="reject"), store_bytes=10_000)

    def test_a_stream_that_rejects_is_not_shortened_for_the_others(self):
        async def story(running: Running) -> None:
            for _ in range(13):
                await running.put(A, 1000)
            for _ in range(30):
                await running.put(B, 1000)
            await asyncio.sleep(5)
            assert len(records_of(running.store, A)) == 13, "though it is the largest"
            assert running.held(B) <= 7_000

        play(story, bounded("reject", "1MiB"), store_bytes=20_000)

    def test_spill_moves_the_oldest_away_before_anything_is_refused(self):
        async def story(running: Running) -> None:
            for _ in range(120):
                await running.put(A, 1000)
                await asyncio.sleep(0.2)
            await asyncio.sleep(5)
            assert running.held(A) <= 70_000
            assert len(records_of(running.store, A)) == 120

        play(story, Storage(policy="spill", spill=SpillPlace(directory="/x", bytes="16MiB")), store_bytes=80_000)


class TestWhatCounts:
    def test_the_first_entry_that_matches(self):
        entries = [
            StreamBudget(streams=["plant-a/raw/x"], bytes="1MiB", policy="reject"),
            StreamBudget(streams=["plant-a/raw/*"], bytes="2MiB", policy="drop-oldest"),
            StreamBudget(streams=["*/readings"], age="1d"),
        ]
        budgets = Budgets(Limits(), Storage(streams=entries))

        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            paths = ("raw/x", "raw/y", "readings", "other", "desired")
            for path in paths:
                await store.submit(partial(make, path))
            found = [budgets.of(head_of(store, name(f"plant-a/{path}"))) for path in paths]
            assert found == [
                Budget(1 << 20, None, "reject"),
                Budget(2 << 20, None, "drop-oldest"),
                Budget(7, 86_400_000, "drop-oldest"),
                Budget(7, None, "drop-oldest"),
                Budget(7, None, "drop-oldest"),
            ]

        run(main)

    def test_what_littoral_folds_into_its_own_state_is_not_looked_up(self):
        async def main() -> None:
            store = SimStore().open()
            budgets = Budgets(Limits(), Storage(streams=[StreamBudget(streams=["*"], policy="reject")]))
            for path, policy in (("kv/a", "drop-oldest"), ("desired", "drop-oldest"), ("readings", "reject")):
                info = await store.submit(partial(make, path))
                assert budgets.of(info).policy == policy

        run(main)

    def test_no_record_takes_more_than_was_reckoned_with(self):
        async def main() -> None:
            sim = SimStore()
            store = sim.open()
            for count, size in ((1, 1), (1, 300), (50, 0), (300, 70), (2, 70_000)):
                stream = name(f"plant-a/s{count}")
                await store.submit(append(stream, *(sim.random.token_bytes(size) for _ in range(count))))
                assert head_of(store, stream).bytes <= stored_bytes_most(count * size, count)

        run(main)
