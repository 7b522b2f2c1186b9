"""The last bytes of the disk are for what is urgent, and for what makes room."""

import asyncio
from collections.abc import Callable

import pytest

from littoral.core.errors import StorageFull
from littoral.core.lanes import LANES, Lane
from littoral.store.batch import StoredBatch
from littoral.store.dead_letters import DEAD_LETTERS, DeadLetter, append_dead_letters
from littoral.store.room import LOOK_EVERY_S
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, name, records_of

KEPT_BYTES = 1 << 20


def append_to(lane: Lane, *, essential: bool = False) -> Callable[[Transaction], int]:
    return append(name(f"plant-a/{lane}"), b"x", lane=lane, essential=essential)


def leave(sim: SimStore, free_bytes: int) -> None:
    sim.disk.capacity_bytes += free_bytes - sim.disk.free_bytes()


async def short_of_room() -> SimStore:
    """A store with a record in a stream of every lane, and little space on its disk."""
    sim = SimStore(free_bytes=KEPT_BYTES)
    store = sim.open()
    for lane in LANES:
        await store.submit(append_to(lane))
    leave(sim, KEPT_BYTES - 1)
    await asyncio.sleep(LOOK_EVERY_S)
    return sim


def test_below_the_mark_only_urgent_lanes_write():
    async def main() -> None:
        sim = await short_of_room()
        store = sim.running()
        refused: tuple[Lane, ...] = ("state", "telemetry", "bulk")
        for lane in refused:
            with pytest.raises(
                StorageFull, match=r"cannot append to stream plant-a/.*: 1048575 bytes are free .* Free some space"
            ):
                await store.submit(append_to(lane))
        assert sim.limits.reached["free-bytes"] == 3
        urgent: tuple[Lane, ...] = ("control", "alerts")
        for lane in urgent:
            await store.submit(append_to(lane))
        assert {info.name.path: info.next for info in store.streams()} == {
            "control": 2, "alerts": 2, "state": 1, "telemetry": 1, "bulk": 1
        }  # fmt: skip
        with pytest.raises(StorageFull):
            await store.submit(lambda tx: tx.kv_put("ns", "k", b"v"))

    run(main)


def test_what_follows_from_what_was_acknowledged_is_still_written():
    async def main() -> None:
        store = (await short_of_room()).running()
        await store.submit(append_to("telemetry", essential=True))
        await store.submit(lambda tx: append_dead_letters(tx, [DeadLetter("here", "because", "", 0)]))
        assert len(records_of(store, name("plant-a/telemetry"))) == 2
        assert len(records_of(store, name(f"plant-a/{DEAD_LETTERS}"))) == 1

    run(main)


@pytest.mark.parametrize(("lane", "taken"), [("telemetry", False), ("alerts", True)])
def test_copies_are_taken_over_by_the_same_rule(lane: Lane, taken: bool):
    async def main() -> None:
        source = SimStore("plant-a")
        store = source.open()
        await store.submit(append_to(lane))
        batches: list[StoredBatch] = store.read_stored(name(f"plant-a/{lane}"), 0, 1)
        target = SimStore("eu", free_bytes=KEPT_BYTES)
        region = target.open()
        leave(target, KEPT_BYTES - 1)
        if taken:
            await region.submit(lambda tx: tx.append_replica(batches[0], "plant-a"))
        else:
            with pytest.raises(StorageFull):
                await region.submit(lambda tx: tx.append_replica(batches[0], "plant-a"))
        assert len(records_of(region, name(f"plant-a/{lane}"))) == taken

    run(main)


def test_it_goes_on_by_itself_once_there_is_space():
    async def main() -> None:
        sim = await short_of_room()
        store = sim.running()
        with pytest.raises(StorageFull):
            await store.submit(append_to("telemetry"))
        leave(sim, KEPT_BYTES * 3)
        await asyncio.sleep(LOOK_EVERY_S)
        await store.submit(append_to("telemetry"))
        assert not store.bounds.room.low

    run(main)
