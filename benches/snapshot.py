"""A new child takes over a large namespace from its parent: a snapshot, beside a plain copy of as many bytes.

A root and one child, whole nodes with mTLS over the loopback, on the same disk. The namespace is written at the root while
the child is away; from the child's session with its parent until the last key is in its table, and everything synced. The
copy: `cp` of a file of as many bytes, and fsync.
"""

import http.client
import os
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import uvloop

from benches.harness import Row
from benches.node import NAME, BenchNode, running_node, wait_for
from littoral.core.limits import Limits
from littoral.core.resources.namespace import Namespace, NamespaceSpec
from littoral.core.resources.part import Metadata
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.fleet.desired import record_of
from littoral.store.kv import KvRow
from littoral.store.opening import open_store
from littoral.store.transaction import Transaction
from littoral.store.writer import ThreadWriter

BUILD = Path("build")
CHILD = "site"
SPACE = "recipes"
LAST = "~"
"""After all other keys: it comes with the last chunk."""
TOTAL_BYTES = 1 << 30
VALUES_BYTES = (1 << 10, 16 << 10)
FILL_BYTES = 4 << 20
"""Written in one transaction."""
MB = 1_000_000
GOAL = 0.5
DEADLINE_S = 600.0


def _fill(tx: Transaction, rows: list[KvRow], after: str) -> None:
    assert tx.kv_insert(SPACE, after, None, rows)


async def _write(data_dir: Path, value_bytes: int, total_bytes: int) -> None:
    """Fill the root's table, while the root does not run."""
    limits = Limits()
    store = open_store(NAME, LocalDisk(data_dir), SystemClock(), SystemRandom(), limits, ThreadWriter(limits))
    # Hexadecimal digits, as they come in documents; no two values are the same.
    pool = os.urandom(value_bytes * 64).hex().encode()
    count, at_once = total_bytes // value_bytes, FILL_BYTES // value_bytes
    after = ""
    for first in range(0, count, at_once):
        rows: list[KvRow] = [
            (f"key/{n:09}", b"%016x" % n + pool[n % 65_536 :][: value_bytes - 16], n + 1, NAME, 0, "")
            for n in range(first, min(first + at_once, count))
        ]
        await store.submit(partial(_fill, rows=rows, after=after))
        after = rows[-1][0]
    await store.submit(lambda tx: tx.kv_put(SPACE, LAST, b"end"))
    await store.close()


def _has(node: BenchNode, key: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", node.port("api"), timeout=DEADLINE_S)
    connection.request("GET", f"/v1/kv/{SPACE}/{key}", headers={"authorization": f"Bearer {node.token}"})
    status = connection.getresponse().status
    connection.close()
    return status == 200


def _is_connected(node: BenchNode) -> bool:
    link = node.status().link
    return link is not None and link.connected


def _take_over(directory: Path, value_bytes: int, total_bytes: int) -> float:
    """Seconds until the child has it all."""
    namespace = Namespace(api_version="littoral/v1", metadata=Metadata(name=SPACE), spec=NamespaceSpec())
    with running_node(directory) as root:
        root.apply([record_of(namespace, None)])
        with running_node(directory, CHILD, root) as child:
            wait_for(lambda: _is_connected(child))
    uvloop.run(_write(directory / "node", value_bytes, total_bytes))
    with running_node(directory) as root, running_node(directory, CHILD, root) as child:
        wait_for(lambda: _is_connected(child))
        began_s = time.monotonic()
        while not _has(child, LAST):
            if time.monotonic() - began_s > DEADLINE_S:
                raise RuntimeError(f"the child has no {LAST!r} after {DEADLINE_S:g} s")
            time.sleep(0.1)
        return time.monotonic() - began_s


def _copy(directory: Path, total_bytes: int) -> float:
    """Seconds for a copy of a file, synced."""
    source, target = directory / "source", directory / "target"
    with source.open("wb") as file:
        for _ in range(total_bytes // FILL_BYTES):
            file.write(os.urandom(FILL_BYTES))
        os.fsync(file.fileno())
    began_s = time.monotonic()
    subprocess.run(["cp", str(source), str(target)], check=True)
    descriptor = os.open(target, os.O_RDWR)
    os.fsync(descriptor)
    took_s = time.monotonic() - began_s
    os.close(descriptor)
    source.unlink()
    target.unlink()
    return took_s


def measure(total_bytes: int = TOTAL_BYTES) -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    rows = []
    for value_bytes in VALUES_BYTES:
        with tempfile.TemporaryDirectory(dir=BUILD) as name:
            directory = Path(name).absolute()
            copied = total_bytes / MB / _copy(directory, total_bytes)
            taken = total_bytes / MB / _take_over(directory, value_bytes, total_bytes)
        what = f"snapshot of {total_bytes >> 20} MiB, values of {value_bytes >> 10} KiB"
        rows.append(Row(what, taken, "MB/s", copied, "cp, fsync", goal=GOAL))
    return rows
