"""Appends acknowledged after they are synced to disk: by one producer that waits for each, and by 64 at once.

In the store itself, with its writer thread on the file system of the working directory; and through a node's HTTP API.
Each append is one record of 200 bytes. Beside: what the disk alone does (a write of 4 KB and fdatasync), and nats-server
with JetStream on files, told to sync each message before it acknowledges it, and as it comes, when it does not.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benches.harness import Row
from benches.nats import Publisher, publishers, running_nats
from benches.node import NAME, BenchNode, running_node
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.store.opening import open_store
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter

RECORD = b'"' + b"x" * 198 + b'"'
PRODUCERS = (1, 64)
SECONDS = 3.0
BUILD = Path("build")
"""On the file system of the repository: that of /tmp may be memory, where a sync is nothing."""
STREAM = StreamName(NAME, "appends")


async def _rate(append: Callable[[], Awaitable[object]], producers: int) -> float:
    """Appends a second that `producers` get answered, each waiting for its answer."""
    done = 0
    end_s = time.monotonic() + SECONDS

    async def produce() -> None:
        nonlocal done
        while time.monotonic() < end_s:
            await append()
            done += 1

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(producers):
            group.create_task(produce())
    return done / (time.monotonic() - began_s)


def _syncs(directory: Path) -> float:
    """What the disk can do: 4 KB written over and over and synced, a second."""
    with open(directory / "syncs", "wb", buffering=0) as file:
        done = 0
        began_s = time.monotonic()
        while time.monotonic() < began_s + 1.0:
            file.seek(0)
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            done += 1
        return done / (time.monotonic() - began_s)


async def _store_rates(directory: Path) -> list[float]:
    limits = Limits()
    store = open_store(NAME, LocalDisk(directory), SystemClock(), SystemRandom(), limits, ThreadWriter(limits))

    def job(tx: Transaction) -> object:
        tx.open_stream(STREAM)
        return tx.append(STREAM, [RECORD])

    try:
        return [await _rate(lambda: store.submit(job), producers) for producers in PRODUCERS]
    finally:
        await store.close()


async def _http_rates(node: BenchNode) -> list[float]:
    path = f"/v1/streams/{STREAM}"
    node.call("PUT", path, content_type="application/json")
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {node.token}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(RECORD)}\r\n\r\n"
    idle = [await asyncio.open_connection("127.0.0.1", node.port("api")) for _ in range(max(PRODUCERS))]

    async def append() -> None:
        reader, writer = connection = idle.pop()
        writer.write(head.encode() + RECORD)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")):
            raise RuntimeError(f"POST {path}: {answer!r}")
        idle.append(connection)

    try:
        return [await _rate(append, producers) for producers in PRODUCERS]
    finally:
        for _, writer in idle:
            writer.close()


async def _nats_rates(directory: Path, *, sync_always: bool) -> list[float]:
    rates = []
    for producers in PRODUCERS:
        with running_nats(directory, sync_always=sync_always) as port:
            async with publishers(port, producers) as connections:
                idle = list(connections)

                async def append(idle: list[Publisher] = idle) -> None:
                    connection = idle.pop()
                    await connection.append(RECORD)
                    idle.append(connection)

                rates.append(await _rate(append, producers))
    return rates


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name).absolute()
        (directory / "store").mkdir()
        syncs = _syncs(directory)
        of_store = uvloop.run(_store_rates(directory / "store"))
        with running_node(directory) as node:
            of_http = uvloop.run(_http_rates(node))
        of_nats = {
            "nats, synced": uvloop.run(_nats_rates(directory, sync_always=True)),
            "nats, not synced": uvloop.run(_nats_rates(directory, sync_always=False)),
        }
    rows = []
    for where, rates in (("store", of_store), ("HTTP", of_http)):
        for place, producers in enumerate(PRODUCERS):
            what = f"appends synced, {where}, {producers} producer{'s' if producers > 1 else ''}"
            rows.append(Row(what, rates[place], "appends/s", syncs, "fdatasync"))
            for peer, of_peer in of_nats.items():
                rows.append(Row(what, rates[place], "appends/s", of_peer[place], peer))
    return rows
