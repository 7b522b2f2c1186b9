"""What a restart, a power cut or damage left of blobs is gone on with, sent again, or put right."""

import asyncio

from littoral.store.blob_file import BLOCK_BYTES, HEADER_BYTES, finished_path, partial_path
from littoral.store.blobs import Blobs
from littoral.testing.store import SimStore
from littoral.wire.peer import BlobMark
from tests.support.blobs import MIB, content, digest_of, opened, play, put, upkeep
from tests.support.stores import name, records_of


def test_an_upload_goes_on_where_it_was_after_a_restart():
    data = content(2 * MIB + 5)

    async def story(node: SimStore, blobs: Blobs) -> None:
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
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert await blobs.begin(digest, len(data)) == BlobMark(len(data), complete=True)
        assert await blobs.read(digest, 0, len(data)) == data

    play(story)


def test_what_a_power_cut_left_of_the_last_piece_is_sent_again_at_once():
    async def story(node: SimStore, blobs: Blobs) -> None:
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
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert (await blobs.begin(digest, len(data))).complete
        assert await blobs.read(digest, 0, len(data)) == data

    play(story)


def test_damage_of_an_upload_is_sent_again():
    async def story(node: SimStore, blobs: Blobs) -> None:
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
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        mark = await blobs.begin(digest, len(data))
        assert mark == BlobMark(BLOCK_BYTES, complete=False)
        assert (await blobs.append(digest, mark.have, data[mark.have :])).complete
        assert await blobs.read(digest, 0, len(data)) == data

    play(story)


def test_files_and_rows_are_brought_together():
    async def story(node: SimStore, blobs: Blobs) -> None:
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

    play(story, "cloud")


def test_one_upload_that_is_wrong_does_not_keep_another_from_its_end():
    first, second = sorted((content(MIB, n) for n in range(2)), key=digest_of)

    async def story(node: SimStore, blobs: Blobs) -> None:
        for data in (first, second):
            await blobs.begin(digest_of(data), MIB)
            await blobs.append(digest_of(data), 0, data[: MIB // 2])
        await node.close()
        warnings: list[str] = []
        blobs = await opened(node, warn=warnings.append)
        await blobs.append(digest_of(first), MIB // 2, second[MIB // 2 :])
        await blobs.append(digest_of(second), MIB // 2, second[MIB // 2 :])
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
            assert [row.digest for row in blobs.rows() if row.complete] == [digest_of(second)]
            assert [digest_of(first) in text for text in warnings] == [True]

    play(story)
