"""What is encrypted shows nothing, and what a store held before it was encrypted is encrypted too."""

import asyncio

import pytest

from littoral.core.errors import StorageCorrupt
from littoral.store.blob_file import HEADER_BYTES, finished_path
from littoral.store.blobs import UPKEEP_S, Blobs
from littoral.testing.store import SimStore
from tests.support.blobs import KIB, MIB, content, digest_of, opened, play, put, upkeep


def test_what_is_encrypted_shows_nothing_and_another_key_opens_nothing():
    async def story(node: SimStore, blobs: Blobs) -> None:
        text = b"a reading that nobody else is to read. "
        data = text * 100_000
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

    play(story, encrypted=True)


def test_blobs_of_a_store_that_was_encrypted_later_are_encrypted_too():
    async def story(node: SimStore, blobs: Blobs) -> None:
        text = b"a reading that nobody else is to read. "
        data = text * 50_000
        digest = await put(blobs, data)
        part = digest_of(data + text)
        await blobs.begin(part, len(data + text))
        await blobs.append(part, 0, data[:MIB])
        assert all(text in (node.disk.read(path) or b"") for path in node.disk.files("blobs"))
        await node.close()
        blobs = await opened(node, encrypted=True)
        assert await blobs.read(digest, 0, len(data)) == data
        async with upkeep(blobs):
            await asyncio.sleep(1.0)
        assert node.disk.files("blobs") == [finished_path(digest)]
        assert text not in (node.disk.read(finished_path(digest)) or b"")
        assert await blobs.read(digest, 0, len(data)) == data

    play(story)


def test_one_damaged_blob_does_not_keep_the_others_from_being_kept():
    async def story(node: SimStore, blobs: Blobs) -> None:
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
        async with upkeep(blobs):
            await asyncio.sleep(3 * UPKEEP_S)
            assert blobs.row(part) is None
            assert content(2 * MIB, whole.index(good))[:1000] not in (node.disk.read(finished_path(good)) or b"")
            assert len(warnings) == 2
            assert all(damaged in text or "its bytes from" in text for text in warnings)
            # Nothing is left of the tries.
            assert node.disk.files("blobs") == sorted(finished_path(digest) for digest in whole)

    play(story, blob_partial_seconds=3600)
