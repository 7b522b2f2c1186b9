"""Blobs beside a store in virtual time, and what is put into them."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from littoral.core.offload import Offload
from littoral.store.blob_upload import OPERATOR
from littoral.store.blobs import Blobs, open_blobs
from littoral.testing.loop import run
from littoral.testing.offload import at_once
from littoral.testing.random import SeededRandom
from littoral.testing.store import SimStore

KIB, MIB = 1 << 10, 1 << 20
T = TypeVar("T")


def content(size: int, seed: int = 1) -> bytes:
    """So many bytes that cannot be compressed."""
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


def play(
    story: Callable[[SimStore, Blobs], Awaitable[None]],
    parent: str = "",
    *,
    encrypted: bool = False,
    offload: Offload = at_once,
    **limits: int,
) -> None:
    """Run `story` with the blobs of a node. They are gone on with by `upkeep`, where the story wants that."""

    async def main() -> None:
        node = SimStore(**limits)
        await story(node, await opened(node, parent, encrypted=encrypted, offload=offload))
        await node.close()

    run(main, 1)


@contextlib.asynccontextmanager
async def upkeep(blobs: Blobs) -> AsyncIterator[None]:
    """While what the node does for its blobs by itself is done."""
    running = asyncio.ensure_future(blobs.run())
    try:
        yield
        assert not running.done(), "it goes on whatever happens"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


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
