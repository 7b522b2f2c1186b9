"""Blobs: files beside the database, which are gone on with where they ended."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from littoral.core.errors import (
    InvalidInput,
    LimitReached,
    NotFound,
    StorageCorrupt,
    StorageFull,
    TooLarge,
    Unavailable,
)
from littoral.core.offload import Offload
from littoral.store.blob_arrival import IDLE_S, OPERATOR, PARENT
from littoral.store.blob_file import BLOCK_BYTES, HEADER_BYTES, SYNC_BYTES, blob_bytes, finished_path, partial_path
from littoral.store.blobs import UPKEEP_S, Blobs, open_blobs
from littoral.testing.loop import run
from littoral.testing.offload import at_once
from littoral.testing.random import SeededRandom
from littoral.testing.store import SimStore
from littoral.wire.peer import BlobMark
from tests.support.stores import name, records_of

KIB, MIB = 1 << 10, 1 << 20
T = TypeVar("T")


def content(size: int, seed: int = 1) -> bytes:
    return SeededRandom(seed).token_bytes(size)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def opened(
    node: SimStore,
    parent: str = "",
    *,
    encrypted: bool = False,
    offload: Offload = at_once,
    warn: Callable[[str], None] = lambda text: None,
) -> Blobs:
    store = node.running()
    return await open_blobs(
        store, node.disk, node.limits, node.clock, node.random.fork("blobs"), offload, parent, warn,
        encrypted=encrypted,
    )  # fmt: skip


def in_a_second(work: Callable[[], T]) -> "asyncio.Future[T]":
    """As a thread does it: who stops waiting does not stop the work."""
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def do() -> None:
        result = work()
        if not done.done():
            done.set_result(result)

    asyncio.get_running_loop().call_later(1.0, do)
    return done


async def put(blobs: Blobs, data: bytes, *, source: str = OPERATOR, send: bool = False) -> str:
    digest = digest_of(data)
    mark = await blobs.begin(digest, len(data), source=source, send=send)
    while not mark.complete:
        mark = await blobs.append(digest, mark.have, data[mark.have : mark.have + MIB], source=source)
    return digest


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * SYNC_BYTES, 3 * MIB + 17])
def test_a_blob_is_read_as_it_was_put_anywhere_in_it(size: int, encrypted: bool):
    data = content(size)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, encrypted=encrypted)
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
        await node.close()

    run(main, 1)


def test_an_upload_goes_on_where_it_was_after_a_restart():
    data = content(2 * MIB + 5)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        digest = digest_of(data)
        assert await blobs.begin(digest, len(data)) == BlobMark(0, complete=False)
        have = 5 * BLOCK_BYTES
        assert await blobs.append(digest, 0, data[:have]) == BlobMark(have, complete=False)
        await node.close()
        blobs = await opened(node)
        assert await blobs.begin(digest, len(data)) == BlobMark(have, complete=False)
        # What is here is skipped; before a gap nothing is taken.
        assert await blobs.append(digest, 0, data[: have + BLOCK_BYTES]) == BlobMark(have + BLOCK_BYTES, complete=False)
        assert await blobs.append(digest, MIB, data[MIB:]) == BlobMark(have + BLOCK_BYTES, complete=False)
        mark = await blobs.append(digest, have + BLOCK_BYTES, data[have + BLOCK_BYTES :])
        # Its digest was lost with the process: it is made up from the file, by who keeps the blobs.
        assert mark == BlobMark(len(data), complete=False)
        await blobs._hash(digest)
        assert await blobs.begin(digest, len(data)) == BlobMark(len(data), complete=True)
        assert await blobs.read(digest, 0, len(data)) == data
        await node.close()

    run(main, 1)


def test_what_is_not_what_its_digest_says_is_removed():
    data = content(MIB)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        digest = digest_of(data)
        await blobs.begin(digest, len(data))
        with pytest.raises(InvalidInput, match=rf"sha256:{digest}: all of its 1048576 bytes have come"):
            await blobs.append(digest, 0, data[:-1] + b"?")
        assert blobs.rows() == []
        assert node.disk.files("blobs") == []
        assert await put(blobs, data) == digest
        await node.close()

    run(main, 1)


def test_pieces_that_do_not_fit_are_refused():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
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
        await node.close()

    run(main, 1)


def test_a_size_that_was_wrong_gives_way_to_the_right_one():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        data = content(MIB)
        await blobs.begin(digest_of(data), 5 * MIB)
        await blobs.append(digest_of(data), 0, data)
        assert await put(blobs, data) == digest_of(data)
        await node.close()

    run(main, 1)


@pytest.mark.parametrize("encrypted", [False, True])
def test_damage_is_found_where_it_is_read(encrypted: bool):
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, encrypted=encrypted)
        data = content(4 * BLOCK_BYTES)
        digest = await put(blobs, data)
        path = finished_path(digest)
        node.disk._files[path].content[HEADER_BYTES + BLOCK_BYTES + 16 + 5] ^= 1
        assert await blobs.read(digest, 0, BLOCK_BYTES) == data[:BLOCK_BYTES]
        with pytest.raises(StorageCorrupt, match=f"sha256:{digest}: its bytes from {BLOCK_BYTES} on"):
            await blobs.read(digest, 0, len(data))
        await node.close()

    run(main, 1)


def test_blocks_are_bound_to_their_place_and_their_blob():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
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
        await node.close()

    run(main, 1)


def test_what_a_power_cut_left_of_the_last_piece_is_sent_again_at_once():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        data = content(4 * MIB)
        digest = digest_of(data)
        await blobs.begin(digest, len(data))
        await blobs.append(digest, 0, data[: 2 * MIB])
        await node.close()
        # The length of a piece reached the disk, and of its bytes only the first blocks.
        path = partial_path(digest)
        node.disk.write_at(path, (node.disk.size(path) or 0) - 1 + 10 * BLOCK_BYTES, b"?")
        node.disk._files[path].content[HEADER_BYTES + 100 * (BLOCK_BYTES + 16)] ^= 1
        blobs = await opened(node)
        have = 100 * BLOCK_BYTES
        assert (await blobs.begin(digest, len(data))).have == have
        await blobs.append(digest, have, data[have:])
        await blobs._hash(digest)
        assert (await blobs.begin(digest, len(data))).complete
        assert await blobs.read(digest, 0, len(data)) == data
        await node.close()

    run(main, 1)


def test_damage_of_an_upload_is_sent_again():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        data = content(4 * MIB)
        digest = digest_of(data)
        await blobs.begin(digest, len(data))
        await blobs.append(digest, 0, data[: 3 * MIB])
        await node.close()
        # Long before the end of what is there: only the digest, made up at the end, comes across it.
        node.disk._files[partial_path(digest)].content[HEADER_BYTES + BLOCK_BYTES + 16 + 5] ^= 1
        blobs = await opened(node)
        mark = await blobs.begin(digest, len(data))
        assert mark.have == 3 * MIB
        assert await blobs.append(digest, mark.have, data[mark.have :]) == BlobMark(4 * MIB, complete=False)
        await blobs._hash(digest)
        mark = await blobs.begin(digest, len(data))
        assert mark == BlobMark(BLOCK_BYTES, complete=False)
        assert (await blobs.append(digest, mark.have, data[mark.have :])).complete
        assert await blobs.read(digest, 0, len(data)) == data
        await node.close()

    run(main, 1)


def test_room_is_made_by_dropping_what_the_parent_has():
    async def main() -> None:
        node = SimStore(blobs_bytes=3 * MIB, blob_bytes=2 * MIB)
        blobs = await opened(node, "cloud")
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
        await node.close()

    run(main, 1)


def test_the_last_of_the_disk_is_not_for_blobs():
    async def main() -> None:
        node = SimStore(free_bytes=MIB)
        blobs = await opened(node)
        node.disk.capacity_bytes = node.disk.capacity_bytes - node.disk.free_bytes() + 3 * MIB
        data, more = content(MIB), content(MIB, 2)
        await blobs.begin(digest_of(data), len(data))
        # What was let in and has not come has its room.
        with pytest.raises(StorageFull, match="there is no room for its 1048576 bytes"):
            await blobs.begin(digest_of(more), len(more))
        node.disk.capacity_bytes -= 3 * MIB // 2
        with pytest.raises(StorageFull, match="are free on the disk"):
            await blobs.append(digest_of(data), 0, data)
        await node.close()

    run(main, 1)


def test_what_nobody_goes_on_with_is_forgotten():
    async def main() -> None:
        node = SimStore(blob_partial_seconds=3600)
        blobs = await opened(node)
        data = content(2 * MIB)
        await blobs.begin(digest_of(data), len(data))
        node.clock.step(3_000_000)
        await blobs.append(digest_of(data), 0, data[:MIB])
        node.clock.step(3_000_000)
        await blobs._forget_abandoned()
        assert blobs.rows()
        node.clock.step(3_000_000)
        await blobs._forget_abandoned()
        assert blobs.rows() == []
        assert node.disk.files("blobs") == []
        await node.close()

    run(main, 1)


def test_dropped_blobs_are_gone():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        whole = await put(blobs, content(MIB))
        part = digest_of(b"other")
        await blobs.begin(part, 5)
        for digest in (whole, part):
            await blobs.drop(digest)
            with pytest.raises(NotFound):
                await blobs.drop(digest)
        assert node.disk.files("blobs") == []
        assert node.running().blobs() == []
        await node.close()

    run(main, 1)


def test_a_wish_to_send_is_kept_and_a_refusal_is_in_the_dead_letters():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, "cloud")
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
        await node.close()

    run(main, 1)


def test_files_and_rows_are_brought_together():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, "cloud")
        lost = await put(blobs, content(MIB, 1), send=True)
        kept = await put(blobs, content(MIB, 2))
        await node.close()
        node.disk.remove(finished_path(lost))
        # As after a restore: the row is gone, the file is not.
        store = node.running()
        await store.submit(lambda tx: tx.delete_blob(kept))
        await node.close()
        node.disk.write(partial_path("0" * 64), b"begun, and nobody was told")
        node.disk.write(finished_path("1" * 64), b"nothing that we wrote")
        blobs = await opened(node, "cloud")
        assert [(row.digest, row.complete, row.size) for row in blobs.rows()] == [(kept, True, MIB)]
        # What has the name of a blob and is none that can be read, is not removed either: it may be a restored key's.
        assert node.disk.files("blobs") == sorted([finished_path(kept), finished_path("1" * 64)])
        assert await blobs.read(kept, 0, MIB) == content(MIB, 2)
        (letter,) = records_of(node.running(), name("plant-a/dead-letters"))
        assert lost.encode() in letter
        await node.close()

    run(main, 1)


def test_what_is_encrypted_shows_nothing_and_another_key_opens_nothing():
    async def main() -> None:
        node = SimStore()
        text = b"a reading that nobody else is to read. "
        data = text * 100_000
        blobs = await opened(node, encrypted=True)
        digest = await put(blobs, data)
        await blobs.begin(digest_of(data + text), len(data + text))
        await blobs.append(digest_of(data + text), 0, data[:MIB])
        for path in node.disk.files("blobs"):
            assert text not in (node.disk.read(path) or b"")
        await node.running().submit(lambda tx: tx.put_state("blobs", "key", b"k" * 32))
        await node.close()
        blobs = await opened(node, encrypted=True)
        with pytest.raises(StorageCorrupt):
            await blobs.read(digest, 0, 1)
        await node.close()

    run(main, 1)


def test_blobs_of_a_store_that_was_encrypted_later_are_encrypted_too():
    async def main() -> None:
        node = SimStore()
        text = b"a reading that nobody else is to read. "
        data = text * 50_000
        blobs = await opened(node)
        digest = await put(blobs, data)
        part = digest_of(data + text)
        await blobs.begin(part, len(data + text))
        await blobs.append(part, 0, data[:MIB])
        assert all(text in (node.disk.read(path) or b"") for path in node.disk.files("blobs"))
        await node.close()
        blobs = await opened(node, encrypted=True)
        assert await blobs.read(digest, 0, len(data)) == data
        await blobs._encrypt_all()
        assert node.disk.files("blobs") == [finished_path(digest)]
        assert text not in (node.disk.read(finished_path(digest)) or b"")
        assert await blobs.read(digest, 0, len(data)) == data
        await node.close()

    run(main, 1)


def test_uses_are_kept():
    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        digest = await put(blobs, content(MIB))
        node.clock.step(int(UPKEEP_S * 1000))
        await blobs.read(digest, 0, 1)
        used_ms = blobs.rows()[0].used_ms
        await blobs._keep_uses()
        assert [row.used_ms for row in node.running().blobs()] == [used_ms]
        await node.close()

    run(main, 1)


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5, 3.5])
def test_who_goes_away_leaves_no_piece_half_added(after_s: float):
    """While a piece is written, its file moved, or its row changed."""
    data = content(2 * MIB + 5)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, offload=in_a_second)
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
        await node.close()

    run(main, 1)


@pytest.mark.parametrize("after_s", [0.5, 1.0, 1.5, 2.5])
@pytest.mark.parametrize("act", ["begin", "drop"])
def test_who_goes_away_leaves_nothing_half_begun_or_half_dropped(act: str, after_s: float):
    data = content(MIB)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, offload=in_a_second)
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
        await node.close()

    run(main, 1)


def test_a_blob_that_is_removed_twice_at_once_is_gone():
    data = content(MIB)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore(blob_partial_seconds=3600)
        blobs = await opened(node, offload=in_a_second)
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
        assert await both(blobs._forget_abandoned(), blobs.drop(digest)) == [type(None), NotFound]
        assert blobs.rows() == []
        assert blobs.held_bytes == 0
        assert node.disk.files("blobs") == []
        await node.close()

    run(main, 1)


def test_what_has_just_come_as_a_whole_is_not_begun_anew():
    data = content(MIB)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, offload=in_a_second)
        await blobs.begin(digest, MIB)
        ending = asyncio.ensure_future(blobs.append(digest, 0, data))
        await asyncio.sleep(1.5)  # all has come, and its file is being moved
        with pytest.raises(InvalidInput, match="it has 1048576 bytes, and not 7"):
            await blobs.begin(digest, 7)
        assert (await ending).complete
        assert await blobs.read(digest, 0, MIB) == data
        await node.close()

    run(main, 1)


def test_what_somebody_brings_is_nobody_elses_to_add_to_or_to_begin_anew():
    data = content(2 * MIB)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, "cloud")
        await blobs.begin(digest, len(data), source="plant-b")
        await blobs.append(digest, 0, data[:MIB], source="plant-b")
        for size in (len(data), len(data) + 1):
            with pytest.raises(Unavailable, match="somebody else is bringing it"):
                await blobs.begin(digest, size, source="plant-c")
        with pytest.raises(Unavailable):
            await blobs.append(digest, MIB, data[MIB:], source="plant-c")
        assert blobs.have(digest) == MIB
        # Its own it may begin anew; and what has stood still for long, anybody.
        assert (await blobs.begin(digest, MIB, source="plant-b")).have == 0
        await asyncio.sleep(IDLE_S - 1)
        with pytest.raises(Unavailable):
            await blobs.begin(digest, len(data), source="plant-c")
        await asyncio.sleep(2)
        assert (await blobs.begin(digest, len(data), source="plant-c")).have == 0
        with pytest.raises(Unavailable):
            await blobs.append(digest, 0, data[:MIB], source="plant-b")
        assert (await blobs.append(digest, 0, data, source="plant-c")).complete
        await node.close()

    run(main, 1)


def test_what_a_node_fetches_goes_before_what_children_bring_and_what_it_is_given_before_both():
    data = content(2 * MIB)
    digest = digest_of(data)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node, "cloud")
        await blobs.begin(digest, MIB, source="plant-b")
        await blobs.append(digest, 0, content(BLOCK_BYTES, 2), source="plant-b")
        assert (await blobs.begin(digest, len(data), source=PARENT)).have == 0
        await blobs.append(digest, 0, data[:MIB], source=PARENT)
        with pytest.raises(Unavailable):
            await blobs.begin(digest, MIB, source="plant-b")
        with pytest.raises(Unavailable):
            await blobs.append(digest, MIB, data[MIB:], source="plant-b")
        await node.close()
        # A restart does not change whose it is.
        blobs = await opened(node, "cloud")
        with pytest.raises(Unavailable):
            await blobs.begin(digest, len(data), source="plant-b")
        assert (await blobs.begin(digest, len(data), source=PARENT)).have == MIB
        assert (await blobs.begin(digest, len(data))).have == 0
        with pytest.raises(Unavailable):
            await blobs.begin(digest, len(data), source=PARENT)
        # What the parent had of another one is no word about this one.
        await blobs.note_above(digest)
        assert [row.above for row in blobs.rows()] == [""]
        await node.close()
        # What was brought, whoever goes on with; but nobody takes it for what was fetched.
        blobs = await opened(node, "cloud")
        assert (await blobs.append(digest, 0, data[:MIB], source="plant-b")).have == MIB
        await node.close()
        blobs = await opened(node, "cloud")
        assert (await blobs.begin(digest, len(data), source=PARENT)).have == 0
        await node.close()

    run(main, 1)


def test_announcing_it_again_and_again_keeps_nothing():
    async def main() -> None:
        node = SimStore(blob_partial_seconds=3600)
        blobs = await opened(node)
        digest = digest_of(content(MIB))
        for _ in range(4):
            await blobs.begin(digest, MIB, source="plant-b")
            node.clock.step(1_000_000)
        await blobs._forget_abandoned()
        assert blobs.rows() == []
        await node.close()

    run(main, 1)


def test_nothing_is_dropped_for_what_there_is_no_room_for_anyhow():
    async def main() -> None:
        node = SimStore(blobs_bytes=6 * MIB)
        blobs = await opened(node, "cloud")
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
        await node.close()

    run(main, 1)


def test_what_a_child_announces_and_does_not_bring_is_bounded():
    async def main() -> None:
        node = SimStore(blobs_bytes=8 * MIB, blobs_announced=3)
        blobs = await opened(node)

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
        await node.close()

    run(main, 1)


def test_one_damaged_blob_does_not_keep_the_others_from_being_kept():
    async def main() -> None:
        node = SimStore(blob_partial_seconds=3600)
        blobs = await opened(node)
        whole = [await put(blobs, content(2 * MIB, n)) for n in range(3)]
        await node.close()
        damaged = max(whole)  # any of them may be the first
        for digest in whole:
            if digest != sorted(whole)[1]:
                damaged = digest
                node.disk._files[finished_path(digest)].content[HEADER_BYTES + MIB + 5 * KIB] ^= 1
        good = sorted(whole)[1]
        warnings: list[str] = []
        blobs = await opened(node, encrypted=True, warn=warnings.append)
        part = digest_of(b"never brought")
        await blobs.begin(part, 13)
        node.clock.step(7_200_000)
        upkeep = asyncio.ensure_future(blobs.run())
        await asyncio.sleep(3 * UPKEEP_S)
        assert blobs.row(part) is None
        assert content(2 * MIB, whole.index(good))[:1000] not in (node.disk.read(finished_path(good)) or b"")
        assert len(warnings) == 2
        assert all(damaged in text or "its bytes from" in text for text in warnings)
        # Nothing is left of the tries.
        assert node.disk.files("blobs") == sorted(finished_path(digest) for digest in whole)
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        await node.close()

    run(main, 1)


def test_one_upload_that_is_wrong_does_not_keep_another_from_its_end():
    first, second = sorted((content(MIB, n) for n in range(2)), key=digest_of)

    async def main() -> None:
        node = SimStore()
        blobs = await opened(node)
        for data in (first, second):
            await blobs.begin(digest_of(data), MIB)
            await blobs.append(digest_of(data), 0, data[: MIB // 2])
        await node.close()
        warnings: list[str] = []
        blobs = await opened(node, warn=warnings.append)
        await blobs.append(digest_of(first), MIB // 2, second[MIB // 2 :])
        await blobs.append(digest_of(second), MIB // 2, second[MIB // 2 :])
        upkeep = asyncio.ensure_future(blobs.run())
        await asyncio.sleep(1.0)
        assert [row.digest for row in blobs.rows() if row.complete] == [digest_of(second)]
        assert [digest_of(first) in text for text in warnings] == [True]
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        await node.close()

    run(main, 1)
