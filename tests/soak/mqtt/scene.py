"""A node whose hub is killed again and again, its clients, and now and then a pause in which all that was promised has to come."""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Self

from msgspec import structs

from littoral.core.resources import Tier
from tests.soak.mqtt.clients import Client, Link, Reader
from tests.soak.mqtt.killer import Killer
from tests.soak.mqtt.tally import Tally
from tests.soak.mqtt.voices import Voice
from tests.soak.workload import seconds
from tests.support.real_node import RealNode

ROUND_KILLS = (10, 50)
"""So many at least and at most, then what was promised has to come."""
HEAL_S = 120.0
"""A node that has sent nothing for so long sends nothing any more."""
ROUND_MESSAGES = 4000
"""That a voice says in a round: they wait in queues while the hub is busy with dying."""
LOOK_S = 0.05
TEND_S = 0.03
READ_S = 0.3
PUBLISH_S = 0.03
BURST_MOST = 6
ENOUGH_WAITING = 40
"""Publishes that wait for their acknowledgement: a publisher makes no more until there are fewer."""
LARGE_SHARE, LARGE_BYTES = 0.01, 30_000
LEAVE_SHARE = 0.01
"""How often a restless client leaves, of the times that it is looked after."""
AWAY_MOST_S = 3.0
SHOWN_MOST = 300
"""Characters of a packet."""
RESTART_MS, RETRY_MS = 1, 500
"""After which a hub that died is begun anew at most, and a link that broke is tried."""
QUEUED_MESSAGES, QUEUED_BYTES = 1_000_000, 1 << 30
"""Bounds of what waits for a client: here, nothing may be dropped."""


def real_node(name: str, tier: Tier) -> RealNode:
    """A node that begins anew at once, and drops nothing."""
    return RealNode(
        name,
        tier,
        restart_delay_ms=RESTART_MS,
        retry_delay_ms=RETRY_MS,
        mqtt_queue_messages=QUEUED_MESSAGES,
        mqtt_queue_bytes=QUEUED_BYTES,
    )


def lean_node(name: str) -> RealNode:
    """One for MQTT only."""
    node = real_node(name, "site")
    listen = structs.replace(node.config.spec.listen, peer=None, join=None)
    node.config = structs.replace(node.config, spec=structs.replace(node.config.spec, listen=listen))
    return node


def _shown(what: object) -> str:
    """A packet, or what else happened to a client, without what was not said."""
    return re.sub(r",? ?(\w+=None|properties=Properties\(\))", "", re.sub(r"\w+=None(, )?", "", str(what)))[:SHOWN_MOST]


class Scene:
    """One node. Use as a context manager."""

    def __init__(self, name: str, seed: int, tally: Tally) -> None:
        self.name = name
        self.node = lean_node(name)
        self.tally = tally
        self.clients: list[Client] = []
        """To be set once the node runs: there is no port before."""
        self._random = random.Random(seed)
        self._seed = seed
        self.is_calm = True
        """Whether nobody begins anything new."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop()
            node.__exit__()

    @property
    def nodes(self) -> list[RealNode]:
        """Those whose hubs are killed."""
        return [self.node]

    async def begin(self) -> None:
        """Start the node, and wait until clients may come."""
        await asyncio.to_thread(self.node.start)

    async def end(self) -> None:
        """The run is over, before the nodes end."""

    async def disturb(self) -> None:
        """What else is done, beside the kills, unless `is_calm`."""

    def cast(self) -> list[Client]:
        """Its clients; the node runs."""
        raise NotImplementedError

    async def run(self, goes_on: Callable[[], bool], keep: Path) -> None:
        """Until it shall not go on, or something is wrong: that is kept in the folder."""
        await self.begin()
        self.clients = self.cast()
        killers = [Killer(node, self._seed, self.clients) for node in self.nodes]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._tend(each)) for each in self.clients]
            tasks += [group.create_task(self._publish()), group.create_task(self.disturb())]
            try:
                while goes_on() and not self.tally.violations:
                    await self._round(killers, goes_on)
            except (TimeoutError, ProcessLookupError) as error:
                self.tally.violated(f"{self.name}: a hub did not come up ({error!r})")
            for task in tasks:
                task.cancel()
        for client in self.clients:
            client.leave()
        await self.end()
        self._look_at_log()
        if self.tally.violations:
            self._keep(keep)

    async def _round(self, killers: list[Killer], goes_on: Callable[[], bool]) -> None:
        await self._healed(lambda: all(each.subscribed for each in self._steady()))
        self.is_calm = False
        for _ in range(self._random.randint(*ROUND_KILLS)):
            if not goes_on() or self._faults():
                break
            killer, before_s = self._random.choice(killers), seconds()
            await killer.kill()
            self.tally.killed(killer.moment, seconds() - before_s)
        self.is_calm = True
        await self._healed(lambda: all(each.idle for each in self._steady()) and not self._missing())
        for fault in (*self._faults(), *self._missing()):
            self.tally.violated(f"{self.name}: {fault}")
        self.tally.rounds += 1
        self._count()

    async def _healed(self, condition: Callable[[], bool]) -> None:
        """Wait for it, as long as anything comes; who looks then sees what is missing."""
        packets, due_s = 0, seconds() + HEAL_S
        while not condition() and not self._faults():
            await asyncio.sleep(LOOK_S)
            if (now := sum(each.packets for each in self._steady())) != packets:
                packets, due_s = now, seconds() + HEAL_S
            elif seconds() > due_s:
                for each in self._steady():
                    if not each.idle:
                        self.tally.violated(f"{self.name}: {each.client_id} has waited for {HEAL_S:.0f} s")
                return

    def _steady(self) -> list[Client]:
        return [each for each in self.clients if not isinstance(each, Reader)]

    def _voices(self) -> list[Voice]:
        works = [each.work for each in self.clients]
        return [voice for work in works for voice in (work.voice, work.wills) if voice is not None]

    def _faults(self) -> list[str]:
        heard = {each.work.heard.name: each.work.heard for each in self.clients if each.work.heard is not None}
        found = [wrong for each in heard.values() for wrong in each.wrong]
        return found + [fault for each in self.clients for fault in each.faults]

    def _missing(self) -> list[str]:
        heard = {each.work.heard.name: each.work.heard for each in self.clients if each.work.heard is not None}
        missing = [one for each in heard.values() for one in each.missing()]
        return missing + [one for each in self.clients if isinstance(each, Reader) for one in each.wanted]

    def _count(self) -> None:
        """What this round has brought, and it is settled."""
        for voice in self._voices():
            new = voice.promised[voice.settled :]
            self.tally.count(
                "wills of connections that broke" if voice.is_wills else "publishes acknowledged", sum(new)
            )
            voice.settle()
        for each in self.clients:
            if each.work.heard is not None:
                self.tally.count("messages that came to subscribers", each.work.heard.count)
                each.work.heard.count = 0
            if isinstance(each, Reader):
                self.tally.count("readings of all that is retained", each.reads)
                each.reads = 0

    # What clients do

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_S)
            for client in self.clients:
                voice = client.work.voice
                if voice is None or self.is_calm or client.waiting > ENOUGH_WAITING:
                    continue
                if voice.said - voice.settled > ROUND_MESSAGES:
                    continue
                for _ in range(self._random.randint(0, BURST_MOST)):
                    size = LARGE_BYTES if self._random.random() < LARGE_SHARE else self._random.randrange(40)
                    client.say(self._random.randrange(100), b"." * size)

    async def _tend(self, client: Client) -> None:
        """Connect it whenever it is not; and if it is restless, end that."""
        loop = asyncio.get_running_loop()
        while True:
            if client.way is None:
                await loop.create_connection(lambda: Link(client), "127.0.0.1", client.port)
            elif client.work.restless and not self.is_calm and self._random.random() < LEAVE_SHARE:
                await self._stir(client)
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * (READ_S if isinstance(client, Reader) else TEND_S))

    async def _stir(self, client: Client) -> None:
        match self._random.randrange(4):
            case 0:
                await asyncio.get_running_loop().create_connection(lambda: Link(client), "127.0.0.1", client.port)
                return
            case 1:
                client.say_goodbye()
            case _:
                client.leave()
        if self._random.random() < 0.5:
            await asyncio.sleep(self._random.uniform(0.0, AWAY_MOST_S))

    # What is left

    def _look_at_log(self) -> None:
        for node in self.nodes:
            for line in node.log().splitlines():
                if "Traceback" in line or "hub ended" in line:
                    self.tally.violated(f"the log of {node.name} says: {line}")

    def _keep(self, folder: Path) -> None:
        """The nodes' directories, their logs, and what each client saw last."""
        for node in self.nodes:
            node.stop()
            node.keep(folder / self.name / node.name)
        for each in self.clients:
            lines = [f"{at_s:.4f} {_shown(what)}\n" for at_s, what in each.trail]
            (folder / self.name / f"{each.client_id}.trail").write_text("".join(lines), encoding="utf-8")
