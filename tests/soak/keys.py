"""Key-value clients: one at each node, with keys of its own, and keys that all of them write."""

import asyncio
import random

from littoral.core.errors import NotFound
from littoral.node.local_tree import LocalTree
from tests.soak.workload import Client

NAMESPACE = "soak"
KEYS = 12
SHARED_KEYS = 4
PAUSE_S = 0.05


class Keys(Client):
    """Writes, deletes and reads, one after the other, each until it is answered.

    A write that got no answer may take effect after the one that did, for it may lie in a socket of a process that is
    stopped. So its key is left alone from then on: whichever attempt comes last, the value is the one acknowledged.
    """

    def __init__(self, node: str, tree: LocalTree, seed: int) -> None:
        super().__init__(f"keys of {node}")
        self.node = node
        self.held: dict[str, bytes | None] = {}
        """Own keys: what was acknowledged last; None for a deletion."""
        self.said: dict[str, bytes | None] = {}
        """Shared keys: likewise."""
        self.acknowledged = 0
        self.read = 0
        self._tree = tree
        self._random = random.Random(f"{seed} {node}")
        self._count = 0
        self._own = [f"{node}/{index}" for index in range(KEYS)]
        self._shared = [f"shared/{index}" for index in range(SHARED_KEYS)]

    async def step(self) -> None:
        draw = self._random.random()
        if draw < 0.3:
            await self._get(self._random.choice(self._own))
        elif draw < 0.85 or not self._shared:
            await self._change(self._own, self.held)
        else:
            await self._change(self._shared, self.said)
        await asyncio.sleep(PAUSE_S)

    async def _change(self, keys: list[str], noted: dict[str, bytes | None]) -> None:
        index = self._random.randrange(len(keys))
        key = keys[index]
        self._count += 1
        value = None if self._random.random() < 0.2 else f"{self.node} {self._count}".encode()
        _, at_once = await self.insist(lambda: self._write(key, value))
        noted[key] = value
        self.acknowledged += 1
        if not at_once:
            if noted is self.held:
                keys[index] = f"{self.node}/again-{self._count}"
            else:
                keys.pop(index)

    async def _write(self, key: str, value: bytes | None) -> None:
        client = self._tree.clients[self.node]
        if value is None:
            await client.call("DELETE", f"/v1/kv/{NAMESPACE}/{key}")
        else:
            await client.call("PUT", f"/v1/kv/{NAMESPACE}/{key}", value)

    async def _get(self, key: str) -> None:
        found, _ = await self.insist(lambda: self._value(key))
        self.read += 1
        if found != self.held.get(key):
            self.violations.append(f"{self.node} read {found!r} from {key}, had acknowledged {self.held.get(key)!r}")

    async def _value(self, key: str) -> bytes | None:
        try:
            return (await self._tree.clients[self.node].call("GET", f"/v1/kv/{NAMESPACE}/{key}")).body
        except NotFound:
            return None
