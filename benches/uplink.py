"""From a child to the root: how soon a record is there, and how fast what waited is.

A root and one child, whole nodes with mTLS over the loopback. Latency: a record of 200 bytes is appended at the child
(HTTP, synced), and a reader of the root's copy (server-sent events) takes the time from before the append. Backlog: the
child was alone and holds so many records; from its start beside the root until the root has all of them.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from benches.harness import Row, process_pss_mb
from benches.node import BenchNode, running_node, wait_for
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.store.store import open_store
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter

BUILD = Path("build")
CHILD = "site"
PATH = f"/v1/streams/{CHILD}/bench"
APPENDS = 500
PAUSE_S = 0.005
"""Between two appends: each is alone on its way."""
BACKLOG = 1_000_000
BATCH = 1000
RECORD_BYTES = 200
P50_MS, P99_MS = 5, 20
DRAIN_GOAL = 100_000


async def _latencies(root: BenchNode, child: BenchNode) -> list[float]:
    """Milliseconds from the append to the event at the root."""
    child.call("PUT", PATH, content_type="application/json")
    child.call("POST", PATH, b"0", "application/json")
    wait_for(lambda: _tail(root) == 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", root.port("api"))
    head = f"GET {PATH}?offset=now&live=sse HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {root.token}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    began_s: dict[int, float] = {}
    took_ms: list[float] = []

    async def listen() -> None:
        while len(took_ms) < APPENDS:
            line = await reader.readline()
            if line.startswith(b"data:["):
                now_s = time.monotonic()
                took_ms.extend((now_s - began_s[each["n"]]) * 1000 for each in json.loads(line[5:]))

    listening = asyncio.ensure_future(listen())
    up, out = await asyncio.open_connection("127.0.0.1", child.port("api"))
    for n in range(APPENDS):
        body = json.dumps({"n": n, "x": "x" * 180}).encode()
        began_s[n] = time.monotonic()
        out.write(
            f"POST {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {child.token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await up.readuntil(b"\r\n\r\n")
        await asyncio.sleep(PAUSE_S)
    await asyncio.wait_for(listening, 10)
    writer.close()
    out.close()
    return sorted(took_ms)


async def _fill(data_dir: Path) -> None:
    """Append the backlog to the child's store, while the child does not run."""
    limits = Limits({"stream-bytes": 8 << 30})
    store = open_store(CHILD, LocalDisk(data_dir), SystemClock(), SystemRandom(), limits, ThreadWriter(limits))
    name = StreamName(CHILD, "backlog")

    def job(tx: Transaction) -> None:
        tx.open_stream(name)
        # Hexadecimal digits: they compress to half, as readings do.
        tx.append(name, [b'"%s"' % os.urandom(RECORD_BYTES // 2 - 1).hex().encode() for _ in range(BATCH)])

    for _ in range(BACKLOG // BATCH):
        await store.submit(job)
    await store.close()


def _tail(node: BenchNode) -> int:
    streams = json.loads(node.call("GET", "/v1/streams"))
    return next((each["next"] for each in streams if each["name"] == f"{CHILD}/bench"), 0)


def _held(node: BenchNode) -> int:
    streams = json.loads(node.call("GET", "/v1/streams"))
    return next((each["next"] for each in streams if each["name"] == f"{CHILD}/backlog"), 0)


def _drain(directory: Path, root: BenchNode) -> tuple[float, float]:
    """Records a second, from the start of the child's processes on, and by how many MB its hub grew meanwhile."""
    began_s = time.monotonic()
    with running_node(directory, CHILD, root) as child:
        hub = child.pids()["hub"]
        memory_mb = most_mb = process_pss_mb(hub)
        while (held := _held(root)) < BACKLOG:
            most_mb = max(most_mb, process_pss_mb(hub))
            if time.monotonic() - began_s > 120:
                raise RuntimeError(f"{held} of {BACKLOG} records after two minutes")
            time.sleep(0.05)
        return BACKLOG / (time.monotonic() - began_s), most_mb - memory_mb


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name).absolute()
        with running_node(directory) as root:
            with running_node(directory, CHILD, root) as child:
                took_ms = uvloop.run(_latencies(root, child))
            uvloop.run(_fill(directory / CHILD))
            rate, grown_mb = _drain(directory, root)
    p50, p99 = statistics.median(took_ms), took_ms[int(len(took_ms) * 0.99)]
    return [
        Row("child append to root reader, p50", p50, "ms", most=P50_MS),
        Row("child append to root reader, p99", p99, "ms", most=P99_MS),
        Row("backlog of 1 M records to the root", rate, "records/s", DRAIN_GOAL, "goal", goal=1.0),
        Row("child's memory while it drains, growth", grown_mb, "MB", most=64),
    ]
