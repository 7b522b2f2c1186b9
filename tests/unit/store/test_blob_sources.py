"""Who brings a blob: whose it is to add to, and whose goes before whose."""

import asyncio

import pytest

from littoral.core.errors import Unavailable
from littoral.store.blob_file import BLOCK_BYTES
from littoral.store.blob_upload import IDLE_S, PARENT
from littoral.store.blobs import Blobs
from littoral.testing.store import SimStore
from tests.support.blobs import MIB, content, digest_of, opened, play


def test_what_somebody_brings_is_nobody_elses_to_add_to_or_to_begin_anew():
    data = content(2 * MIB)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
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

    play(story, "cloud")


def test_what_a_node_fetches_goes_before_what_children_bring_and_what_it_is_given_before_both():
    data = content(2 * MIB)
    digest = digest_of(data)

    async def story(node: SimStore, blobs: Blobs) -> None:
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

    play(story, "cloud")
