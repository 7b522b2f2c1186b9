"""Blobs are put, gone on with and dropped on a disk whose power is cut."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from littoral.core.errors import LittoralError, NotFound
from littoral.store.blob_file import BLOCK_BYTES, finished_path
from littoral.store.blobs import Blobs, open_blobs
from littoral.testing.crash import Crash
from littoral.testing.disk import PowerCut
from littoral.testing.offload import at_once
from littoral.testing.store import ANSWER_S, SimStore
from littoral.wire.peer import BlobMark
from tests.support.blobs import content, digest_of

PIECE = 2 * BLOCK_BYTES


class Opened:
    """The blobs of a node that is started again whenever its power went."""

    def __init__(self, node: SimStore) -> None:
        self.node = node
        self._blobs: Blobs | None = None
        self._deaths = -1
        self._upkeep: asyncio.Task[None] | None = None

    async def insist(self, work: Callable[[Blobs], Awaitable[BlobMark | bytes | None]]):
        """Ask until it is answered. Raises what a node answers whose power did not go."""
        while True:
            deaths = self.node.deaths
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await work(await self.running())
            except (TimeoutError, LittoralError, PowerCut):
                if self.node.deaths == deaths:
                    raise

    async def running(self) -> Blobs:
        """Those beside the open store."""
        store = self.node.running()
        if self._blobs is None or self._deaths != self.node.deaths:
            await self.close()
            deaths, node = self.node.deaths, self.node
            self._blobs = await open_blobs(
                store, node.disk, node.limits, node.clock, node.random.fork(f"blobs {deaths}"), at_once, "", _fail,
                encrypted=True,
            )  # fmt: skip
            self._deaths = deaths
            self._upkeep = asyncio.ensure_future(self._blobs.run())
        return self._blobs

    async def close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        self._upkeep = self._blobs = None


def _fail(text: str) -> None:
    raise AssertionError(text)


def numbered(n: int) -> bytes:
    return content(4 * BLOCK_BYTES + 100 * n, n)


async def blobs(crash: Crash) -> None:
    """What was acknowledged is there, an upload goes on where it was acknowledged, and files and rows agree."""
    node = crash.store("plant-a")
    opened = Opened(node)
    for n in range(3):
        await _put(opened, numbered(n))
    dropped = digest_of(numbered(1))
    await _drop(opened, dropped)
    await opened.insist(lambda blobs: blobs.read(digest_of(numbered(0)), 0, 10))
    await opened.close()
    await node.close()
    opened = Opened(node)
    kept = {digest_of(numbered(n)): numbered(n) for n in (0, 2)}
    for digest, data in kept.items():
        assert await opened.insist(partial(Blobs.read, digest=digest, offset=0, length=1 << 20)) == data
    found = await opened.running()
    assert {row.digest: row.complete for row in found.rows()} == dict.fromkeys(kept, True)
    assert node.disk.files("blobs") == sorted(finished_path(digest) for digest in kept)
    assert {row.digest for row in node.running().blobs()} == kept.keys()
    await opened.close()


async def _put(opened: Opened, data: bytes) -> None:
    digest, told = digest_of(data), 0
    while True:
        deaths = opened.node.deaths
        mark = await opened.insist(lambda blobs: blobs.begin(digest, len(data)))
        assert mark.have >= told, f"{told} bytes were acknowledged, and {mark.have} are there"
        if mark.complete:
            return
        if mark.have == len(data):
            await asyncio.sleep(0.5)  # its digest is being made up
            continue
        try:
            async with asyncio.timeout(ANSWER_S):
                blobs = await opened.running()
                mark = await blobs.append(digest, mark.have, data[mark.have : mark.have + PIECE])
        except (TimeoutError, LittoralError, PowerCut):
            if opened.node.deaths == deaths:
                raise
            continue
        told = mark.have


async def _drop(opened: Opened, digest: str) -> None:
    try:
        await opened.insist(lambda blobs: blobs.drop(digest))
    except NotFound:
        assert opened.node.deaths, "nobody has dropped it before"
