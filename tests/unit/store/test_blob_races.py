"""Blobs that are changed, dropped and read at once."""

import asyncio

import pytest

from littoral.core.errors import LimitReached, NotFound
from littoral.store.blob_file import finished_path
from littoral.store.blob_recovery import sealed_aside
from littoral.store.blobs import Blobs
from littoral.testing.store import SimStore
from tests.support.blobs import MIB, content, in_a_second, opened, play, put, upkeep

DATA = content(2 * MIB)


def test_one_that_is_dropped_while_it_is_encrypted_does_not_come_back():
    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = await put(blobs, DATA)
        await node.close()
        blobs = await opened(node, encrypted=True, offload=in_a_second)
        async with upkeep(blobs):
            await asyncio.sleep(0.5)
            await blobs.drop(digest)
            await asyncio.sleep(10.0)
        assert node.disk.files("blobs") == []
        await node.close()
        assert (await opened(node, encrypted=True)).rows() == []

    play(story)


def test_one_that_is_encrypted_while_it_is_read_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch):
    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = await put(blobs, DATA)
        await node.close()
        blobs = await opened(node, encrypted=True)
        key = node.running().state_value("blobs", "key")
        aside = sealed_aside(node.disk, digest, len(DATA), node.random, None, key)
        read_at, asked = node.disk.read_at, 0

        def read_then_rename(path: str, offset: int, length: int) -> bytes:
            """Between the file's head and its first block the other one takes its place."""
            nonlocal asked
            data = read_at(path, offset, length)
            if asked == 0:
                node.disk.move(aside, finished_path(digest))
            asked += 1
            return data

        monkeypatch.setattr(node.disk, "read_at", read_then_rename)
        assert await blobs.read(digest, 0, len(DATA)) == DATA

    play(story)


def test_one_whose_row_cannot_be_deleted_stays_whole():
    async def story(node: SimStore, blobs: Blobs) -> None:
        digest = await put(blobs, DATA)
        # The writer has as much before it as it may: the file is put aside by then.
        waiting = [node.running().submit(lambda tx: None) for _ in range(4)]
        with pytest.raises(LimitReached):
            await blobs.drop(digest)
        await asyncio.gather(*waiting)
        assert await blobs.read(digest, 0, len(DATA)) == DATA
        await blobs.drop(digest)
        with pytest.raises(NotFound):
            await blobs.read(digest, 0, 1)

    play(story, commit_queue_jobs=4)
