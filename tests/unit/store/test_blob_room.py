"""Room for blobs: which give way to others, and what is refused."""

import asyncio

import pytest

from littoral.core.errors import LimitReached, StorageFull, TooLarge
from littoral.store.blob_file import finished_path
from littoral.store.blob_upload import PARENT
from littoral.store.blobs import UPKEEP_S, Blobs
from littoral.testing.store import SimStore
from tests.support.blobs import KIB, MIB, content, digest_of, play, put, upkeep


def test_room_is_made_by_dropping_what_the_parent_has():
    async def story(node: SimStore, blobs: Blobs) -> None:
        with pytest.raises(TooLarge, match="blob-bytes"):
            await blobs.begin("0" * 64, 2 * MIB + 1)
        kept = await put(blobs, content(MIB, 1))
        older = await put(blobs, content(MIB, 2), send=True)
        node.clock.step(5)
        newer = await put(blobs, content(MIB, 3), send=True)
        with pytest.raises(LimitReached, match="blobs-bytes"):
            await put(blobs, content(MIB, 4))
        for digest in (newer, older):
            await blobs.note_above(digest)
        node.clock.step(5)
        await blobs.read(older, 0, 1)  # now it is the one used last
        latest = await put(blobs, content(MIB, 4))
        assert {row.digest for row in blobs.rows()} == {kept, older, latest}
        assert blobs.counters.evicted == 1
        assert finished_path(newer) not in node.disk.files("blobs")
        with pytest.raises(LimitReached):
            await put(blobs, content(2 * MIB, 5))

    play(story, "cloud", blobs_bytes=3 * MIB, blob_bytes=2 * MIB)


def test_the_last_of_the_disk_is_not_for_blobs():
    async def story(node: SimStore, blobs: Blobs) -> None:
        node.disk.capacity_bytes = node.disk.capacity_bytes - node.disk.free_bytes() + 3 * MIB
        data, more = content(MIB), content(MIB, 2)
        await blobs.begin(digest_of(data), len(data))
        # What was let in and has not come has its room.
        with pytest.raises(StorageFull, match="there is no room for its 1048576 bytes"):
            await blobs.begin(digest_of(more), len(more))
        node.disk.capacity_bytes -= 3 * MIB // 2
        with pytest.raises(StorageFull, match="are free on the disk"):
            await blobs.append(digest_of(data), 0, data)

    play(story, free_bytes=MIB)


def test_what_nobody_goes_on_with_is_forgotten():
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(2 * MIB)
        await blobs.begin(digest_of(data), len(data))
        node.clock.step(3_000_000)
        await blobs.append(digest_of(data), 0, data[:MIB])
        node.clock.step(3_000_000)
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert blobs.rows()
        node.clock.step(3_000_000)
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert blobs.rows() == []
        assert node.disk.files("blobs") == []

    play(story, blob_partial_seconds=3600)


def test_uses_are_kept():
    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = await put(blobs, content(MIB))
        node.clock.step(int(UPKEEP_S * 1000))
        await blobs.read(digest, 0, 1)
        used_ms = blobs.rows()[0].used_ms
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert [row.used_ms for row in node.running().blobs()] == [used_ms]

    play(story)


def test_announcing_it_again_and_again_keeps_nothing():
    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = digest_of(content(MIB))
        for _ in range(4):
            await blobs.begin(digest, MIB, source="plant-b")
            node.clock.step(1_000_000)
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert blobs.rows() == []

    play(story, blob_partial_seconds=3600)


def test_nothing_is_dropped_for_what_there_is_no_room_for_anyhow():
    async def story(node: SimStore, blobs: Blobs) -> None:
        await put(blobs, content(2 * MIB, 1))
        cached = await put(blobs, content(MIB, 2), source=PARENT)
        with pytest.raises(LimitReached, match="blobs-bytes"):
            await blobs.begin("0" * 64, 5 * MIB)
        node.disk.capacity_bytes = node.disk.capacity_bytes - node.disk.free_bytes() + 17 * MIB
        with pytest.raises(StorageFull):
            await blobs.begin("0" * 64, 3 * MIB)
        assert blobs.row(cached) is not None
        assert blobs.counters.evicted == 0
        await blobs.begin("0" * 64, 3 * MIB // 2)
        assert blobs.row(cached) is None

    play(story, "cloud", blobs_bytes=6 * MIB)


def test_what_a_child_announces_and_does_not_bring_is_bounded():
    async def story(node: SimStore, blobs: Blobs) -> None:

        async def announce(n: int, size: int, source: str) -> None:
            await blobs.begin(f"{n:064x}", size, source=source)

        with pytest.raises(TooLarge, match="blobs-announced-percent"):
            await announce(1, 4 * MIB + 1, "plant-b")
        await announce(1, 3 * MIB, "plant-b")
        with pytest.raises(LimitReached, match="blobs-announced-percent"):
            await announce(2, 2 * MIB, "plant-b")
        await announce(2, 3 * MIB, "plant-c")  # the bound of one is not another's
        # What has come counts no more.
        await blobs.append(f"{1:064x}", 0, content(2 * MIB), source="plant-b")
        await announce(3, 16 * KIB, "plant-b")
        await announce(4, 16 * KIB, "plant-b")
        with pytest.raises(LimitReached, match="blobs-announced "):
            await announce(5, 16 * KIB, "plant-b")
        await announce(6, 16 * KIB, "plant-c")

    play(story, blobs_bytes=8 * MIB, blobs_announced=3)
