"""Who kills a node's hub with kill -9: in the midst of its start, among clients that come back, or under load."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

from tests.soak.mqtt.clients import Client
from tests.soak.workload import seconds
from tests.support.real_node import RealNode

LOOK_S = 0.004
START_S = 120.0
"""A hub that is not up by then is a fault, on a machine that is busy with other things as well."""
STARTING, RETURNING, SERVING = "while it started", "as clients came back", "under load"
MOMENTS = {STARTING: (3, 0.08), RETURNING: (3, 0.05), SERVING: (4, 0.4)}
"""How often, of ten; and how many seconds later it is at most, from when its store is open, the first client is connected, or all
get something."""
SERVED = 50
"""Packets that clients get of it before it counts as under load."""


class Killer:
    """Of one node."""

    def __init__(self, node: RealNode, seed: int, clients: list[Client]) -> None:
        self.moment = STARTING
        """Of the last kill."""
        self._node = node
        self._random = random.Random(seed)
        port = node.port("mqtt")
        self._clients = [each for each in clients if each.port == port]
        self._since_s = 0.0
        """When the hub was begun that is to be killed next."""

    async def kill(self) -> None:
        """Once the hub is where it is to be killed; and wait for the next one to be begun. Raises TimeoutError, ProcessLookupError."""
        pid = self._pid()
        self.moment = self._random.choices(list(MOMENTS), [weight for weight, _ in MOMENTS.values()])[0]
        before = self._packets()
        if self.moment == STARTING:
            await self._until(lambda: _has_store(pid))
        else:
            await self._until(lambda: any(each.open and each.opened_s > self._since_s for each in self._clients))
        if self.moment == SERVING:
            await self._until(lambda: self._packets() >= before + SERVED)
        await asyncio.sleep(self._random.uniform(0.0, MOMENTS[self.moment][1]))
        os.kill(pid, signal.SIGKILL)
        await self._until(lambda: self._pid() != pid)
        self._since_s = seconds()

    def _pid(self) -> int:
        return self._node.pids()["hub"]

    def _packets(self) -> int:
        return sum(each.packets for each in self._clients)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(START_S):
            while not condition():
                await asyncio.sleep(LOOK_S)


def _has_store(pid: int) -> bool:
    """Whether a process has opened its store."""
    try:
        return any(os.readlink(each).endswith("/store.db") for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
