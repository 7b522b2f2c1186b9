"""What a machine's init does for a node: starts its supervisor again whenever it has ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from littoral.core.errors import LittoralError
from littoral.node.local_tree import LocalTree
from tests.soak import processes
from tests.soak.report import Report

POLL_S = 0.1
RETRY_S = 1.0


class Init:
    """Of all nodes of a tree."""

    def __init__(self, tree: LocalTree, report: Report) -> None:
        self._tree = tree
        self._report = report
        self._killed: set[int] = set()
        self._held: set[str] = set()
        self._starting: dict[str, asyncio.Lock] = {}

    async def run(self, node: str) -> None:
        """Keep one node running, until cancelled."""
        lock = self._starting.setdefault(node, asyncio.Lock())
        while True:
            await asyncio.sleep(POLL_S)
            if node in self._held or not processes.has_ended(self._tree, node):
                continue
            if processes.supervisor(self._tree, node) not in self._killed:
                self._report.say(f"the supervisor of {node} ended by itself, see {self._tree.log(node)}")
            async with lock:
                try:
                    await self._tree.restart(node)
                except (LittoralError, OSError) as error:
                    # Of an error with the end of a log, what the log says last.
                    said = str(error).splitlines()[-2:][0].strip()
                    self._report.say(f"{node} cannot be started now: {said}")
                    await asyncio.sleep(RETRY_S)

    async def kill(self, node: str) -> None:
        """kill -9 to its supervisor, whose processes die with it."""
        victim = self._tree._processes[node]
        self._killed.add(victim.pid)
        victim.kill()
        while victim.poll() is None:
            await asyncio.sleep(POLL_S)

    @contextlib.asynccontextmanager
    async def ended(self, node: str) -> AsyncIterator[None]:
        """The node does not run while the block does."""
        self._held.add(node)
        try:
            async with self._starting.setdefault(node, asyncio.Lock()):
                await self.kill(node)
                yield
        finally:
            self._held.discard(node)
