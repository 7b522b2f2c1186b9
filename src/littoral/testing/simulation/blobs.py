"""A client gives a node a blob, to be sent up: it arrives at the root, whole."""

import asyncio
from collections.abc import AsyncGenerator
from hashlib import sha256

from littoral.core.errors import Unavailable
from littoral.core.http import Request, Response, StreamingResponse
from littoral.node.blob_messages import PATH
from littoral.node.hub import Hub
from littoral.store.blob_rows import blob_name
from littoral.testing.simulation.asking import operator_of
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import AGAIN_S, SetBack, Violation, World

UNIT_BYTES = 1000
"""What an event's `count` counts."""


async def send_blob(world: World, event: Event) -> None:
    """Put a blob at a node, and wait until it can be read at the root."""
    node, restores = world.node(event.target), world.restores[event.target]
    data = world.chance(event).token_bytes(event.count * UNIT_BYTES)
    digest = sha256(data).hexdigest()
    world.note(node.name, "work", f"a client sends a blob of {len(data)} bytes up", event)

    async def put(hub: Hub) -> None:
        answer = await operator_of(hub, Request("PUT", PATH, {"send": "up"}, {}, data))
        assert isinstance(answer, Response)
        if answer.status >= 500:
            raise Unavailable("put blob", digest, f"{answer.status} {answer.body[:200]!r}")
        if answer.status != 201:
            raise Violation("blobs", f"{node.name} does not take {digest}: {answer.status} {answer.body!r}")

    await world.ask(node, put, restores=restores)
    while not _is_at(world.root.hub, digest):
        if world.is_restored(node.name):
            raise SetBack  # what had come to a machine that was lost may be nowhere else
        await asyncio.sleep(AGAIN_S)

    async def get(hub: Hub) -> bytes:
        answer = await operator_of(hub, Request("GET", f"{PATH}/{blob_name(digest)}"))
        if not isinstance(answer, StreamingResponse):
            raise Unavailable("get blob", digest, f"{answer.status} {answer.body[:200]!r}")
        chunks = answer.chunks
        assert isinstance(chunks, AsyncGenerator)
        try:
            return b"".join([chunk async for chunk in chunks])
        finally:
            await chunks.aclose()

    if await world.ask(world.root, get) != data:
        raise Violation("blobs", f"{digest} of {node.name} is another at the root")
    world.recoveries["blob arrived at the root"] += 1


def _is_at(hub: Hub | None, digest: str) -> bool:
    row = hub.blobs.row(digest) if hub is not None else None
    return row is not None and row.complete
