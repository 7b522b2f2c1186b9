"""Simulations in interpreters of their own, side by side: nothing of this process is in them, and hashes have a fixed
order there.
"""

import contextlib
import os
import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from littoral.core.errors import Unavailable
from littoral.testing.simulation.orders import Answer, Order, answer_of_line, order_to_line

ENVIRONMENT = {"PYTHONHASHSEED": "0"}
COMMAND = [sys.executable, "-m", "littoral.testing.simulation.worker"]
END_S = 5.0


class Processes:
    """So many workers, until the block ends."""

    def __init__(self, count: int, extensions: Sequence[Path] = ()) -> None:
        """extensions: see extension.py."""
        self._workers = [_start(extensions) for _ in range(count)]
        self._free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown()
        for worker in self._workers:
            worker.wait(END_S)
            _let_go(worker)

    def do(self, order: Order) -> Answer:
        """One run, in the next worker that is free. Raises Unavailable if it dies."""
        worker = self._free.get()
        try:
            line = _ask(worker, order_to_line(order))
        finally:
            # Also a dead one: whoever waits for a worker that is free gets the same error, and does not wait for ever.
            self._free.put(worker)
        if not line:
            cause = f"its process ended with status {worker.wait()}"
            raise Unavailable("simulate", f"seed {order.plan.seed}", cause, "See what it wrote to stderr")
        return answer_of_line(line)

    def each(self, orders: Iterable[Order]) -> Iterator[Answer]:
        """All, as they are done; no more are begun than are asked for, and a few ahead."""
        waiting: list[Future[Answer]] = []
        done: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
        for order in orders:
            future = self._threads.submit(self.do, order)
            future.add_done_callback(done.put)
            waiting.append(future)
            if len(waiting) > 2 * len(self._workers):
                first = done.get()
                waiting.remove(first)
                yield first.result()
        for _ in waiting:
            yield done.get().result()


def _ask(worker: "subprocess.Popen[bytes]", line: bytes) -> bytes:
    """Its answer; empty if it is dead."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(line)
        worker.stdin.flush()
    except BrokenPipeError:
        return b""
    return worker.stdout.readline()


def _let_go(worker: "subprocess.Popen[bytes]") -> None:
    for pipe in (worker.stdin, worker.stdout):
        # What a dead worker did not take cannot be given to it now.
        with contextlib.suppress(BrokenPipeError):
            assert pipe is not None
            pipe.close()


def _start(extensions: Sequence[Path]) -> "subprocess.Popen[bytes]":
    command = [*COMMAND, *map(str, extensions)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **ENVIRONMENT})
