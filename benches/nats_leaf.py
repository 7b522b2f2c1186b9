"""How soon a message stored at a leaf node of nats-server is stored at the server above and with a reader there.

The stream of the leaf is sourced by one of the root, in JetStream domains of their own; both sync each message. A push
consumer of the root's stream stands for the reader. Without TLS, which costs nats no thread and no wake-up either.
"""

import asyncio
import contextlib
import time
from pathlib import Path

from benches.nats import SUBJECT, Publisher, connect, running_leaf

READER = "reader"
DEADLINE_S = 20.0


async def _ready(publisher: Publisher, api: str) -> None:
    """Return when the server answers for JetStream there."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(1):
                await publisher.order(api, {})
                return
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{api} does not answer")
        await asyncio.sleep(0.1)


async def leaf_latencies(directory: Path, appends: int, pause_s: float) -> list[float]:
    """Milliseconds from before each append at the leaf until the root's reader has it, in order of size."""
    with running_leaf(directory) as (root_port, leaf_port):
        leaf = await connect(leaf_port, "_INBOX.leaf")
        root = await connect(root_port, "_INBOX.root")
        await _ready(leaf, "$JS.site.API.INFO")
        await _ready(root, "$JS.root.API.INFO")
        await leaf.order("$JS.site.API.STREAM.CREATE.site", {"name": "site", "subjects": [SUBJECT], "storage": "file"})
        source = {"name": "site", "external": {"api": "$JS.site.API", "deliver": ""}}
        await root.order("$JS.root.API.STREAM.CREATE.copy", {"name": "copy", "storage": "file", "sources": [source]})
        reader = await connect(root_port, READER)
        config = {"deliver_subject": READER, "ack_policy": "none", "deliver_policy": "all"}
        await root.order("$JS.root.API.CONSUMER.CREATE.copy", {"stream_name": "copy", "config": config})
        began_s: list[float] = []
        took_ms: list[float] = []

        async def listen() -> None:
            while len(took_ms) < appends:
                number = int((await reader.message()).split(b" ")[0])
                took_ms.append((time.monotonic() - began_s[number]) * 1000)

        listening = asyncio.ensure_future(listen())
        for number in range(appends):
            began_s.append(time.monotonic())
            await leaf.append(b"%d " % number + b"x" * 190)
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(DEADLINE_S):
            await listening
        for connection in (leaf, root, reader):
            connection.close()
    return sorted(took_ms)
