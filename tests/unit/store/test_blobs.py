"""Blobs: files beside the database, which are gone on with where they ended."""

import asyncio
from collections.abc import Awaitable

import pytest

from littoral.core.errors import InvalidInput, NotFound, StorageCorrupt
from littoral.store.blob_file import BLOCK_BYTES, HEADER_BYTES, SYNC_BYTES, blob_bytes, finished_path
from littoral.store.blobs import Blobs
from littoral.testing.store import SimStore
from tests.support.blobs import MIB, content, digest_of, in_a_second, opened, play, put, upkeep
from tests.support.stores import name, records_of


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * SYNC_BYTES, 3 * MIB + 17])
def test_a_blob_is_read_as_it_was_put_anywhere_in_it(size: int, encrypted: bool):
    data = content(size)

    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = await put(blobs, data)
        for offset, length in [(0, size), (1, 10), (BLOCK_BYTES - 1, 2), (size // 2, MIB), (size - 1, 1), (size, 5)]:
            assert await blobs.read(digest, max(0, offset), length) == data[max(0, offset) : max(0, offset) + length]
        # What a file holds follows from its length.
        path = finished_path(digest)
        assert blob_bytes(node.disk.size(path) or 0) == size
        assert node.disk.files("blobs") == [path]
        await node.close()
        again = await opened(node, encrypted=encrypted)
        assert await again.read(digest, 0, size) == data
        assert [row.size for row in again.rows()] == [size]

    play(story, encrypted=encrypted)


def test_what_is_not_what_its_digest_says_is_removed():
    data = content(MIB)

    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = digest_of(data)
        await blobs.begin(digest, len(data))
        with pytest.raises(InvalidInput, match=rf"sha256:{digest}: all of its 1048576 bytes have come"):
            await blobs.append(digest, 0, data[:-1] + b"?")
        assert blobs.rows() == []
        assert node.disk.files("blobs") == []
        assert await put(blobs, data) == digest

    play(story)


def test_pieces_that_do_not_fit_are_refused():
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(MIB)
        digest = digest_of(data)
        await blobs.begin(digest, len(data))
        for piece in (b"x", data + b"x"):
            with pytest.raises(InvalidInput, match="do not fit"):
                await blobs.append(digest, 0, piece)
        with pytest.raises(NotFound):
            await blobs.append("0" * 64, 0, data)
        with pytest.raises(NotFound):
            await blobs.read("0" * 64, 0, 1)
        await put(blobs, data)
        with pytest.raises(InvalidInput, match="it has 1048576 bytes, and not 7"):
            await blobs.begin(digest, 7)

    play(story)


def test_a_size_that_was_wrong_gives_way_to_the_right_one():
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(MIB)
        await blobs.begin(digest_of(data), 5 * MIB)
        await blobs.append(digest_of(data), 0, data)
        assert await put(blobs, data) == digest_of(data)

    play(story)


@pytest.mark.parametrize("encrypted", [False, True])
def test_damage_is_found_where_it_is_read(encrypted: bool):
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(4 * BLOCK_BYTES)
        digest = await put(blobs, data)
        path = finished_path(digest)
        node.disk._files[path].content[HEADER_BYTES + BLOCK_BYTES + 16 + 5] ^= 1
        assert await blobs.read(digest, 0, BLOCK_BYTES) == data[:BLOCK_BYTES]
        with pytest.raises(StorageCorrupt, match=f"sha256:{digest}: its bytes from {BLOCK_BYTES} on"):
            await blobs.read(digest, 0, len(data))

    play(story, encrypted=encrypted)


def test_blocks_are_bound_to_their_place_and_their_blob():
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(BLOCK_BYTES) * 2
        digest = await put(blobs, data)
        file = node.disk._files[finished_path(digest)].content
        first = slice(HEADER_BYTES, HEADER_BYTES + BLOCK_BYTES + 16)
        second = slice(HEADER_BYTES + BLOCK_BYTES + 16, None)
        # The same bytes at two places have two tags.
        assert file[first][:BLOCK_BYTES] == file[second][:BLOCK_BYTES]
        file[first], file[second] = file[second], file[first]
        with pytest.raises(StorageCorrupt):
            await blobs.read(digest, 0, len(data))

    play(story)


def test_dropped_blobs_are_gone():
    async def story(node: SimStore, blobs: Blobs) -> None:
        whole = await put(blobs, content(MIB))
        part = digest_of(b"other")
        await blobs.begin(part, 5)
        for digest in (whole, part):
            await blobs.drop(digest)
            with pytest.raises(NotFound):
                await blobs.drop(digest)
        assert node.disk.files("blobs") == []
        assert node.running().blobs() == []

    play(story)


def test_a_wish_to_send_is_kept_and_a_refusal_is_in_the_dead_letters():
    async def story(node: SimStore, blobs: Blobs) -> None:
        data = content(MIB)
        digest = await put(blobs, data)
        assert blobs.waiting() == []
        assert (await blobs.begin(digest, len(data), send=True)).complete
        assert [row.digest for row in blobs.waiting()] == [digest]
        await blobs.refuse(digest, "it is too large")
        assert blobs.waiting() == []
        (letter,) = records_of(node.running(), name("plant-a/dead-letters"))
        assert f"blob sha256:{digest}".encode() in letter
        assert b"it is too large" in letter
        await node.close()
        blobs = await opened(node, "cloud")
        assert blobs.waiting() == []
        await blobs.begin(digest, len(data), send=True)  # asked again
        assert [row.refused for row in blobs.waiting()] == [""]
        await blobs.note_above(digest)
        assert blobs.waiting() == []
        await node.close()
        # Another parent does not have it.
        assert [row.digest for row in (await opened(node, "other")).waiting()] == [digest]

    play(story, "cloud")


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5, 3.5])
def test_who_goes_away_leaves_no_piece_half_added(after_s: float):
    """While a piece is written, its file moved, or its row changed."""
    data = content(2 * MIB + 5)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
        await blobs.begin(digest, len(data))
        for at, piece in ((0, data[:MIB]), (MIB, data[MIB:])):
            adding = asyncio.ensure_future(blobs.append(digest, at, piece))
            await asyncio.sleep(after_s)
            adding.cancel()
            # At once, while the thread may be writing still.
            mark = await blobs.append(digest, at, piece)
            assert mark.have == at + len(piece)
            await asyncio.gather(adding, return_exceptions=True)
        assert mark.complete
        assert await blobs.read(digest, 0, len(data)) == data
        assert node.disk.files("blobs") == [finished_path(digest)]

    play(story, offload=in_a_second)


@pytest.mark.parametrize("after_s", [0.5, 1.0, 1.5, 2.5])
@pytest.mark.parametrize("act", ["begin", "drop"])
def test_who_goes_away_leaves_nothing_half_begun_or_half_dropped(act: str, after_s: float):
    data = content(MIB)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
        if act == "drop":
            await put(blobs, data)
        work = blobs.begin(digest, MIB) if act == "begin" else blobs.drop(digest)
        doing = asyncio.ensure_future(work)
        await asyncio.sleep(after_s)
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        await asyncio.sleep(10.0)  # it is done all the same
        rows = [row.digest for row in blobs.rows()]
        assert rows == ([digest] if act == "begin" else [])
        assert [row.digest for row in node.running().blobs()] == rows
        assert len(node.disk.files("blobs")) == len(rows)
        assert blobs.held_bytes == sum(row.size for row in blobs.rows())
        await put(blobs, data)
        assert await blobs.read(digest, 0, MIB) == data

    play(story, offload=in_a_second)


def test_a_blob_that_is_removed_twice_at_once_is_gone():
    data = content(MIB)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
        await put(blobs, data)

        async def both(first: Awaitable[object], second: Awaitable[object]) -> list[type]:
            return [type(end) for end in await asyncio.gather(first, second, return_exceptions=True)]

        assert await both(blobs.drop(digest), blobs.drop(digest)) == [type(None), NotFound]
        # By who drops it, by who finds that it is wrong, and by who keeps the blobs.
        await blobs.begin(digest, MIB)
        wrong = asyncio.ensure_future(blobs.append(digest, 0, content(MIB, 2)))
        await asyncio.sleep(1.5)  # all has come, and is being removed
        assert await both(wrong, blobs.drop(digest)) == [InvalidInput, NotFound]
        await blobs.begin(digest, MIB)
        node.clock.step(7_200_000)
        async with upkeep(blobs):
            await asyncio.sleep(0.5)  # its file is being removed
            assert node.disk.files("blobs") != []
            with pytest.raises(NotFound):
                await blobs.drop(digest)
        assert blobs.rows() == []
        assert blobs.held_bytes == 0
        assert node.disk.files("blobs") == []

    play(story, offload=in_a_second, blob_partial_seconds=3600)


def test_what_has_just_come_as_a_whole_is_not_begun_anew():
    data = content(MIB)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
        await blobs.begin(digest, MIB)
        ending = asyncio.ensure_future(blobs.append(digest, 0, data))
        await asyncio.sleep(1.5)  # all has come, and its file is being moved
        with pytest.raises(InvalidInput, match="it has 1048576 bytes, and not 7"):
            await blobs.begin(digest, 7)
        assert (await ending).complete
        assert await blobs.read(digest, 0, MIB) == data

    play(story, offload=in_a_second)
