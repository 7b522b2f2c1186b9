"""What the machine and its disk do to anybody meanwhile: a process that sleeps, appends a page to a file and syncs it, by
a schedule, and nothing else. What it waited for is not the fault of what is measured beside it.
"""

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = 4096
PAGES = 4096
"""Of the file: it is written again from its beginning, so that its blocks are there already."""


class Control(NamedTuple):
    """How late it was, in order."""

    late_ms: list[float]
    """At waking up."""
    synced_ms: list[float]
    """At having a page on disk, from when that was due."""


class ControlProcess:
    """`read` says what was so since it was asked last."""

    def __init__(self, directory: Path, every_s: float) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_work, args=(theirs, directory / "control", every_s), daemon=True)
        self._process.start()
        self.read()

    def read(self) -> Control:
        """Since the last call."""
        self._pipe.send(None)
        late_ms, synced_ms = self._pipe.recv()
        return Control(sorted(late_ms), sorted(synced_ms))

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def _work(pipe: Connection, path: Path, every_s: float) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, bytes(PAGE_BYTES * PAGES), 0)
    os.fsync(file)
    late_ms: list[float] = []
    synced_ms: list[float] = []
    due_s, turn = time.monotonic(), 0
    while True:
        if pipe.poll():
            pipe.recv()
            pipe.send((late_ms, synced_ms))
            late_ms, synced_ms = [], []
            due_s = time.monotonic()
        due_s += every_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_ms.append((time.monotonic() - due_s) * 1000)
        os.pwrite(file, b"x" * PAGE_BYTES, turn % PAGES * PAGE_BYTES)
        os.fdatasync(file)
        synced_ms.append((time.monotonic() - due_s) * 1000)
        turn += 1
