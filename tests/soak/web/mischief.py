"""What is done to the gateways, and to what they hold."""

import asyncio
import os
import random
import signal

import msgspec

from tests.soak.web.connection import Broken, Connection
from tests.soak.web.site import BY_NAME, Page, Versions, version_of
from tests.soak.web.tally import Death, Tally
from tests.soak.web.watch import lives
from tests.soak.workload import seconds
from tests.support.real_node import RealNode

KEPT = "gateway-0"
"""The one that is not killed: its memory is watched."""
EVERY_S = 1.5
PURGE_EVERY_S = 0.5
START_S = 20.0


class Mischief:
    """Kills gateways, and changes pages and purges them."""

    def __init__(self, node: RealNode, seed: int, versions: Versions, tally: Tally) -> None:
        self.is_done = False
        self._node = node
        self._random = random.Random(seed)
        self._versions = versions
        self._tally = tally

    async def kill(self) -> None:
        """kill -9 a gateway now and then; the supervisor starts another."""
        while not self.is_done:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * EVERY_S)
            names = [name for name in self._node.pids() if name.startswith("gateway-") and name != KEPT]
            name = self._random.choice(names)
            pid = self._node.pids()[name]
            death = Death()
            self._tally.deaths.append(death)
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(START_S):
                while lives(pid):
                    await asyncio.sleep(0.002)
                death.dead_s = seconds()
                while self._node.pids().get(name, pid) == pid:
                    await asyncio.sleep(0.01)
            self._tally.happened("gateways killed")

    async def purge(self) -> None:
        """Change a page and purge it, by its URL or its tag: from then on nobody may be given an older one."""
        while not self.is_done:
            await asyncio.sleep(PURGE_EVERY_S)
            page = Page(BY_NAME["tagged"], self._random.randrange(20))
            version = self._versions.change(page.path)
            order = self._random.choice(({"url": f"http://edge.test{page.path}"}, {"tag": "all"}))
            reply = await asyncio.to_thread(self._node.api, "POST", "/v1/cache/purge", msgspec.json.encode(order))
            if reply.status != 200 or reply.json()["unconfirmed"]:
                # A gateway that was killed meanwhile confirms nothing, and holds nothing.
                self._tally.happened("purges that not all gateways confirmed")
            self._tally.happened("purges")
            for _ in range(8):
                await self._is_new(page, version)

    async def _is_new(self, page: Page, version: int) -> None:
        connection = await Connection.open(self._node.port("gateway"))
        try:
            answer = await connection.ask(page.path)
        except Broken as broken:
            self._tally.broke(page.path, broken)
            return
        finally:
            connection.close()
        given = version_of(page, answer.body)
        if given is None or given < version:
            self._tally.violated(f"{page.path}: version {given} after version {version} was purged for")
