"""Doing the faults: each method disturbs, yields what it did in words while that lasts, and heals."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial

from littoral.cli.local.observer import streams_of
from littoral.core.errors import LittoralError
from littoral.core.transport import Transport
from littoral.drivers.link import CutMode, WanLink
from littoral.node.local_tree import LocalTree
from littoral.node.status import STATUS
from tests.soak import network, processes
from tests.soak.clocks import JUMPS_S, WallClock
from tests.soak.disks import SmallDisk
from tests.soak.disturbances import Disturbances
from tests.soak.init import Init
from tests.soak.pages import has_page
from tests.soak.report import Report
from tests.soak.schedule import BY_NAME, PARENTS, Fault
from tests.soak.workload import seconds

WELL_S = 120.0
"""A node that does not work again by then is wedged, and a link that does not connect. Far above what either takes."""
POLL_S = 0.1
FILL_AGAIN_S = 0.3
RELAY_LATENCY_MS = 400.0
RELAY_BYTES_PER_S = 20_000
AGAIN_AFTER_S = (0.0, 0.2, 1.0)
"""A process that is killed in a loop gets so long."""
Disturbing = Callable[[Fault], AbstractAsyncContextManager[str]]


class Faults:
    """All kinds, on one tree."""

    def __init__(
        self,
        tree: LocalTree,
        transport: Transport,
        init: Init,
        disks: dict[str, SmallDisk],
        clocks: dict[str, WallClock],
        report: Report,
    ) -> None:
        self._tree = tree
        self._transport = transport
        self._init = init
        self._disks = disks
        self._clocks = clocks
        self._report = report
        self.disturbances = Disturbances()
        self._busy: dict[str, asyncio.Lock] = {}
        self._kinds: dict[str, Disturbing] = {
            "kill-hub": self._kill,
            "kill-gateway": self._kill,
            "kill-functions": self._kill,
            "kill-supervisor": self._kill_supervisor,
            "stop-hub": self._stop,
            "stop-node": self._stop,
            "disk-full": self._disk_full,
            "disk-read-only": self._disk_read_only,
            "clock": self._clock,
            "cut": self._cut,
            "latency": self._latency,
            "flap": self._flap,
            "loss": self._packets,
            "shape": self._packets,
            "netem": self._packets,
        }

    async def do(self, fault: Fault) -> None:
        """Disturb, for as long as it lasts, and wait until all is well again. One fault at a time for each target."""
        if BY_NAME[fault.kind].disturbs_node:
            async with self._lock(fault.target):
                with self.disturbances.of_node(fault.target):
                    await self._disturb(
                        fault, contextlib.nullcontext(), partial(self.works, fault.target), lambda: False
                    )
        else:
            async with self._lock(f"WAN of {fault.target}"):
                noted = self.disturbances.of_link(fault.target)
                ends = (fault.target, PARENTS[fault.target])
                await self._disturb(fault, noted, self._ships(fault.target), partial(self._is_any_disturbed, ends))

    async def _disturb(
        self,
        fault: Fault,
        noted: AbstractContextManager[None],
        is_well: Callable[[], Awaitable[bool]],
        is_excused: Callable[[], bool],
    ) -> None:
        with noted:
            async with self._kinds[fault.kind](fault) as detail:
                await asyncio.sleep(fault.hold_s)
        over_s = seconds()
        if not await self.until(is_well, is_excused):
            self._report.violated(f"{fault.target} is not well {WELL_S:g} s after {fault.kind}")
        self._report.happened(fault, detail, seconds() - over_s)

    def _lock(self, place: str) -> asyncio.Lock:
        return self._busy.setdefault(place, asyncio.Lock())

    def _is_any_disturbed(self, nodes: Sequence[str]) -> bool:
        return any(self.disturbances.was_disturbed(node, seconds()) for node in nodes)

    async def until(
        self, condition: Callable[[], Awaitable[bool]], is_excused: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether it came to hold within WELL_S, which begin anew as long as there is an excuse."""
        deadline_s = seconds() + WELL_S
        while not await condition():
            if is_excused():
                deadline_s = seconds() + WELL_S
            if seconds() > deadline_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def works(self, node: str) -> bool:
        """All its processes run, its hub answers, and its gateway with the function's page."""
        if any(processes.part(self._tree, node, name) is None for name in processes.MODULES):
            return False
        try:
            await self._tree.clients[node].status()
        except LittoralError:
            return False
        return await has_page(self._tree, self._transport, node)

    def _ships(self, link: str) -> Callable[[], Awaitable[bool]]:
        """Asks whether what the node had to say when it was asked first has arrived above. Not whether it is connected:
        it learns only later that a connection is dead."""
        wanted: int | None = None

        async def has_arrived() -> bool:
            nonlocal wanted
            try:
                if wanted is None:
                    wanted = await self._said(link, link)
                return await self._said(link, PARENTS[link]) >= wanted
            except LittoralError:
                return False

        return has_arrived

    async def _said(self, node: str, holder: str) -> int:
        """How many reports of a node another one holds."""
        name = f"{node}/{STATUS}"
        return next((each.next for each in await streams_of(self._tree.clients[holder]) if each.name == name), 0)

    # Processes

    @asynccontextmanager
    async def _kill(self, fault: Fault) -> AsyncIterator[str]:
        name = fault.kind.removeprefix("kill-")
        times = 1 + 2 * (fault.variant % 3 == 0)
        for _ in range(times):
            victim = await self._part(fault.target, name)
            os.kill(victim, signal.SIGKILL)
            await asyncio.sleep(AGAIN_AFTER_S[fault.variant % len(AGAIN_AFTER_S)])
        yield f"{times} times" if times > 1 else ""

    @asynccontextmanager
    async def _kill_supervisor(self, fault: Fault) -> AsyncIterator[str]:
        await self._init.kill(fault.target)
        yield ""

    @asynccontextmanager
    async def _stop(self, fault: Fault) -> AsyncIterator[str]:
        if fault.kind == "stop-hub":
            stopped = [await self._part(fault.target, "hub")]
        else:
            stopped = processes.family(processes.supervisor(self._tree, fault.target))
        processes.signal_all(stopped, signal.SIGSTOP)
        try:
            yield f"{len(stopped)} processes" if len(stopped) > 1 else ""
        finally:
            processes.signal_all(stopped, signal.SIGCONT)

    async def _part(self, node: str, name: str) -> int:
        """A process of a node, as soon as there is one."""
        while (pid := processes.part(self._tree, node, name)) is None:
            await asyncio.sleep(POLL_S)
        return pid

    # Disks and clocks

    @asynccontextmanager
    async def _disk_full(self, fault: Fault) -> AsyncIterator[str]:
        disk = self._disks[fault.target]
        filling = asyncio.get_running_loop().create_task(self._keep_full(disk))
        killed = ("", "hub", "supervisor")[fault.variant % 3]
        try:
            await asyncio.sleep(FILL_AGAIN_S)
            if killed == "hub":
                os.kill(await self._part(fault.target, "hub"), signal.SIGKILL)
            elif killed == "supervisor":
                await self._init.kill(fault.target)
            yield f"its {killed} killed meanwhile" if killed else ""
        finally:
            filling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await filling
            disk.free()

    async def _keep_full(self, disk: SmallDisk) -> None:
        while True:
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(FILL_AGAIN_S)

    @asynccontextmanager
    async def _disk_read_only(self, fault: Fault) -> AsyncIterator[str]:
        disk = self._disks[fault.target]
        kills = fault.variant % 2 == 0
        await asyncio.to_thread(disk.refuse_writes)
        try:
            if kills:
                os.kill(await self._part(fault.target, "hub"), signal.SIGKILL)
            yield "its hub killed meanwhile" if kills else ""
        finally:
            # As an operator would: end the node, check the disk, mount it, start the node.
            async with self._init.ended(fault.target):
                while disk.unmount() is not None:
                    await asyncio.sleep(POLL_S)
                await asyncio.to_thread(disk.mend)
                await asyncio.to_thread(disk.mount)

    @asynccontextmanager
    async def _clock(self, fault: Fault) -> AsyncIterator[str]:
        ahead_s = JUMPS_S[fault.variant % len(JUMPS_S)]
        clock = self._clocks[fault.target]
        clock.set(ahead_s)
        try:
            yield f"{ahead_s:+d} s"
        finally:
            clock.set(0)

    # Links

    @asynccontextmanager
    async def _cut(self, fault: Fault) -> AsyncIterator[str]:
        mode: CutMode = "blackhole" if fault.variant % 2 else "refuse"
        link = self._tree.links[fault.target]
        await link.cut(mode)
        try:
            yield mode
        finally:
            await link.restore()

    @asynccontextmanager
    async def _latency(self, fault: Fault) -> AsyncIterator[str]:
        link = self._tree.links[fault.target]
        before_ms = link.statistics().delay_ms
        link.delay(RELAY_LATENCY_MS)
        link.bandwidth(RELAY_BYTES_PER_S)
        try:
            yield f"{RELAY_LATENCY_MS:g} ms each way, {RELAY_BYTES_PER_S // 1000} kB/s"
        finally:
            link.delay(before_ms)
            link.bandwidth(None)

    @asynccontextmanager
    async def _flap(self, fault: Fault) -> AsyncIterator[str]:
        link = self._tree.links[fault.target]
        drawn = random.Random(fault.variant)
        flapping = asyncio.get_running_loop().create_task(self._keep_flapping(link, drawn))
        try:
            yield ""
        finally:
            flapping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flapping
            await link.restore()

    async def _keep_flapping(self, link: WanLink, drawn: random.Random) -> None:
        """Connections break again and again, some before they are made."""
        while True:
            await link.cut("refuse")
            await asyncio.sleep(drawn.uniform(0, 0.2))
            await link.restore()
            await asyncio.sleep(drawn.uniform(0, 0.6))

    @asynccontextmanager
    async def _packets(self, fault: Fault) -> AsyncIterator[str]:
        port = self._tree.links[fault.target].port("peer")
        async with self._lock("packets"):
            try:
                if fault.kind == "loss":
                    per_cent = network.LOSSES[fault.variant % len(network.LOSSES)]
                    detail, refused = f"{per_cent} %", network.lose(port, per_cent)
                elif fault.kind == "shape":
                    detail, refused = network.SHAPE, network.shape(port)
                else:
                    detail = network.NETEM[fault.variant % len(network.NETEM)]
                    refused = network.netem(port, detail)
                assert refused is None, refused
                yield detail
            finally:
                network.lose_nothing()
                network.restore()
