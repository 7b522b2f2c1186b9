"""From a child to the root: how soon a record is there, and how fast what waited is.

A root and one child, whole nodes with mTLS over the loopback. Latency: a record of 200 bytes is appended at the child
(HTTP, synced), and a reader of the root's copy (server-sent events) takes the time from before the append. Beside: a leaf
node of nats-server, whose stream the root sources. Backlog: the child was alone and holds so many records; from its start
beside the root until the root has all of them. `drain` is the same with a day's backlog (DRAIN_RECORDS, 10 M).
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop

from benches.harness import Row, process_pss_mb
from benches.nats_leaf import leaf_latencies
from benches.node import BenchNode, running_node, wait_for
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.store.opening import open_store
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter

BUILD = Path("build")
CHILD = "site"
PATH = f"/v1/streams/{CHILD}/bench"
APPENDS = 500
PAUSE_S = 0.005
"""Between two appends: each is alone on its way."""
BACKLOG = 1_000_000
DAY = int(os.environ.get("DRAIN_RECORDS", "10000000"))
ROOM = {"stream-bytes": 8 << 30}
"""So that retention takes nothing of it, neither here nor there."""
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


async def _fill(data_dir: Path, records: int) -> None:
    """Append the backlog to the child's store, while the child does not run."""
    limits = Limits(ROOM)
    store = open_store(CHILD, LocalDisk(data_dir), SystemClock(), SystemRandom(), limits, ThreadWriter(limits))
    name = StreamName(CHILD, "backlog")

    def job(tx: Transaction) -> None:
        tx.open_stream(name)
        # Hexadecimal digits: they compress to half, as readings do.
        tx.append(name, [b'"%s"' % os.urandom(RECORD_BYTES // 2 - 1).hex().encode() for _ in range(BATCH)])

    for _ in range(records // BATCH):
        await store.submit(job)
    await store.close()


def _tail(node: BenchNode, path: str = "bench") -> int:
    streams = json.loads(node.call("GET", f"/v1/stream-list?plain=1&named={path}"))["streams"]
    return next((each["next"] for each in streams if each["name"] == f"{CHILD}/{path}"), 0)


def _drain(directory: Path, root: BenchNode, records: int, most_s: float) -> tuple[float, list[float]]:
    """Records a second, from the start of the child's processes on, and by how many MB the hubs of the child and of the
    root grew meanwhile: the most that either had, less what it had when a tenth was there."""
    began_s = time.monotonic()
    with running_node(directory, CHILD, root, ROOM) as child:
        hubs = [child.pids()["hub"], root.pids()["hub"]]
        at_first: list[float] = []
        most = [0.0, 0.0]
        while (held := _tail(root, "backlog")) < records:
            now = [process_pss_mb(hub) for hub in hubs]
            if held >= records // 10:
                at_first = at_first or now
                most = [max(pair) for pair in zip(most, now, strict=True)]
            if time.monotonic() - began_s > most_s:
                raise RuntimeError(f"{held} of {records} records after {most_s} s")
            time.sleep(0.05)
        took_s = time.monotonic() - began_s
    return records / took_s, [high - low for high, low in zip(most, at_first or most, strict=True)]


def _drained(name: str, rate: float, grown_mb: list[float]) -> list[Row]:
    return [
        Row(f"backlog of {name} records to the root", rate, "records/s", DRAIN_GOAL, "goal", goal=1.0),
        Row("child's memory while it drains, growth", grown_mb[0], "MB", most=64),
        Row("root's memory while it drains, growth", grown_mb[1], "MB", most=64),
    ]


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name).absolute()
        with running_node(directory, limits=ROOM) as root:
            with running_node(directory, CHILD, root, ROOM) as child:
                took_ms = uvloop.run(_latencies(root, child))
            uvloop.run(_fill(directory / CHILD, BACKLOG))
            rate, grown_mb = _drain(directory, root, BACKLOG, most_s=120)
        of_leaf = uvloop.run(leaf_latencies(directory, APPENDS, PAUSE_S))
    rows = []
    for what, share, most_ms in (("p50", 0.5, P50_MS), ("p99", 0.99, P99_MS)):
        ours, theirs = took_ms[int(len(took_ms) * share)], of_leaf[int(len(of_leaf) * share)]
        rows.append(Row(f"child append to root reader, {what}", ours, "ms", theirs, "nats leaf, synced", most=most_ms))
    return [*rows, *_drained("1 M", rate, grown_mb)]


def measure_drain() -> list[Row]:
    """A day's backlog."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name).absolute()
        with running_node(directory, limits=ROOM) as root:
            with running_node(directory, CHILD, root, ROOM):
                pass
            uvloop.run(_fill(directory / CHILD, DAY))
            rate, grown_mb = _drain(directory, root, DAY, most_s=900)
    return _drained(f"{DAY / 1e6:g} M", rate, grown_mb)
