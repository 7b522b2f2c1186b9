"""Looking at a stream from its end."""

import asyncio
from collections.abc import Awaitable, Callable

from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.tail import Recent
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, name

NOTES, BRANCH = name("plant-a/notes"), name("plant-a/branch")


def play(story: Callable[[SimStore, Store], Awaitable[None]]) -> None:
    """With nine records in three batches of NOTES, a minute apart."""

    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        for first in (0, 3, 6):
            await store.submit(append(NOTES, *(b"%d" % n for n in range(first, first + 3))))
            await asyncio.sleep(60)
        await story(sim, store)
        await sim.close()

    run(main)


def latest(store: Store, stream: StreamName, before: int, max_bytes: int = 1000, most: int = 100) -> list[bytes]:
    """Records of the batches, in order."""
    batches = store.latest(stream, before, max_bytes, most)
    return [record for batch in reversed(batches) for record in batch.records()]


def numbers(*of: int) -> list[bytes]:
    return [b"%d" % n for n in of]


def test_the_latest_batches_are_read_as_far_back_as_is_asked_for() -> None:
    async def story(sim: SimStore, store: Store) -> None:
        assert latest(store, NOTES, 9) == numbers(*range(9))
        assert latest(store, NOTES, 9, most=1) == numbers(6, 7, 8)
        assert latest(store, NOTES, 9, most=4) == numbers(3, 4, 5, 6, 7, 8)
        assert latest(store, NOTES, 9, max_bytes=1) == numbers(6, 7, 8), "one at least"
        assert latest(store, NOTES, 4, most=1) == numbers(3, 4, 5), "the batch that holds what is before"
        assert latest(store, NOTES, 0) == []

    play(story)


def test_what_retention_took_is_not_read_back() -> None:
    async def story(sim: SimStore, store: Store) -> None:
        await store.submit(lambda tx: tx.retain(NOTES, sim.clock.wall_ms(), 1, most_bytes=1))
        assert latest(store, NOTES, 9) == numbers(*range(3, 9))
        info = store.stream(NOTES)
        assert info is not None
        assert store.recent(info, 0, 100).records == 6

    play(story)


def test_a_fork_is_read_back_into_its_source() -> None:
    async def story(sim: SimStore, store: Store) -> None:
        await store.submit(lambda tx: tx.fork_stream(BRANCH, NOTES, 4, asked="once"))
        await store.submit(append(BRANCH, b"own"))
        assert latest(store, BRANCH, 5) == [*numbers(0, 1, 2, 3), b"own"]
        assert latest(store, BRANCH, 4, most=1) == numbers(3)

    play(story)


def test_what_came_since_is_counted_and_how_far_the_count_reaches_is_said() -> None:
    async def story(sim: SimStore, store: Store) -> None:
        info = store.stream(NOTES)
        assert info is not None
        now_ms = sim.clock.wall_ms()
        lately = store.recent(info, now_ms - 130_000, 100)
        assert (lately.records, lately.since_ms) == (6, now_ms - 130_000)
        assert lately.bytes == sum(len(batch.payload) for batch in store.latest(NOTES, 9, 1000, 4))
        cut_short = store.recent(info, 0, 1)
        assert (cut_short.records, cut_short.since_ms) == (3, now_ms - 60_000)
        assert store.recent(info, now_ms, 100) == Recent(0, 0, now_ms)

    play(story)
