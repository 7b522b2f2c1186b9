"""One run: a tree, its clients, its faults, and the verdict."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt

from littoral.cli.local import runtime
from littoral.cli.local.example import Example
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.local_tree import LocalTree, Plan
from littoral.store.database import DATABASE
from tests.soak import clocks, disks, network, processes
from tests.soak.clocks import WallClock
from tests.soak.devices import Device, Login
from tests.soak.disks import SmallDisk
from tests.soak.faults import Faults
from tests.soak.init import Init
from tests.soak.journals import Journal
from tests.soak.keys import Keys
from tests.soak.pages import Page
from tests.soak.report import Report
from tests.soak.schedule import CLOCKS, DISKS, NODES, PARENTS, REGION, ROOT, SITES, Fault, Kind, Schedule
from tests.soak.verdict import Verdict, damages
from tests.soak.workload import Client, seconds
from tests.support.ports import free_base_port

DOCUMENTS = Path(__file__).parent / "documents"
PLAN = (
    Plan(ROOT, "cloud"),
    Plan(REGION, "region", PARENTS[REGION]),
    *(Plan(site, "site", PARENTS[site], mqtt=True) for site in SITES),
)
ROUND_TRIP_MS = 20.0
LINES = ("press", "oven")
JOURNALS = (REGION, *SITES)
AT_ONCE = 2
"""Faults on nodes; on links there is one at a time beside them."""
PAUSE_S = 0.5
FINISH_S = 150.0
"""Clients that are not answered by then never will be."""
GONE_S = 30.0
"""Processes of a tree that was stopped have ended by then."""


class Soak:
    """Use once."""

    def __init__(self, folder: Path, kinds: Sequence[Kind], lasts_s: float, report: Report) -> None:
        self._folder = folder
        self._kinds = kinds
        self._until_s = seconds() + lasts_s
        self._report = report
        self._run = f"{os.getpid()}-{report.seed}"
        self._disks: dict[str, SmallDisk] = {}
        self._clocks: dict[str, WallClock] = {}

    async def run(self) -> None:
        """All of it. What is wrong is in the report. Raises LittoralError where the tree does not even start."""
        os.environ[processes.RUN_VARIABLE] = self._run
        asyncio.get_running_loop().set_exception_handler(_handle)
        self._prepare()
        try:
            await self._with_tree()
            await self._check_gone()
        finally:
            for disk in self._disks.values():
                if self._report.violations:
                    disk.copy_out()
                disk.unmount()

    def _prepare(self) -> None:
        """Disks and clocks; kinds that this machine does not allow are left out, and said."""
        why_not = {kind.name: reason for kind in self._kinds if (reason := _why_not(kind.name)) is not None}
        for name, reason in why_not.items():
            self._report.say(f"{name} skipped: {reason}")
        self._report.skipped = why_not
        self._kinds = [kind for kind in self._kinds if kind.name not in why_not]
        names = {kind.name for kind in self._kinds}
        if names & {"disk-full", "disk-read-only"}:
            self._disks = {node: SmallDisk(self._folder / node) for node in DISKS}
        if "clock" in names:
            self._clocks = {node: WallClock(self._folder / f"{node}.clock") for node in CLOCKS}
        for disk in self._disks.values():
            disk.mount()

    async def _with_tree(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            transport = HttpTransport()
            stack.push_async_callback(transport.aclose)
            tree = LocalTree(
                self._folder,
                transport,
                SystemClock(),
                SystemRandom(),
                plan=PLAN,
                round_trip_ms=ROUND_TRIP_MS,
                base_port=free_base_port(runtime.PORTS),
                environments={node: clock.environment() for node, clock in self._clocks.items()},
            )
            await stack.enter_async_context(tree)
            await runtime.deploy(tree, Example(DOCUMENTS))
            self._report.say("the tree is up")
            init = Init(tree, self._report)
            faults = Faults(tree, transport, init, self._disks, self._clocks, self._report)
            await self._disturb(tree, transport, init, faults)

    async def _disturb(self, tree: LocalTree, transport: HttpTransport, init: Init, faults: Faults) -> None:
        devices = [Device(site, line, _login(tree, site), self._report.seed) for site in SITES for line in LINES]
        keys = [Keys(node, tree, self._report.seed) for node in NODES]
        journals = [Journal(node, tree, transport) for node in JOURNALS]
        pages = [Page(site, tree, transport, faults.disturbances) for site in SITES]
        verdict = Verdict(tree, devices, keys, journals, pages, self._report)
        async with _running(*(init.run(node) for node in NODES)):
            clients: list[Client] = [*devices, *keys, *journals, *pages]
            async with _running(*(client.run() for client in clients)):
                await self._do_faults(faults)
                self._report.say("the last fault is over")
                for node in NODES:
                    if not await faults.until(partial(faults.works, node)):
                        self._report.violated(f"{node} does not work at the end")
                await self._finish(clients)
            await verdict.reach(faults.until)

    async def _do_faults(self, faults: Faults) -> None:
        on_nodes = Schedule(self._report.seed, [kind for kind in self._kinds if kind.disturbs_node])
        on_links = Schedule(self._report.seed, [kind for kind in self._kinds if not kind.disturbs_node])
        async with asyncio.TaskGroup() as group:
            queue = self._due(on_nodes)
            for _ in range(AT_ONCE):
                group.create_task(self._work_off(queue, faults))
            group.create_task(self._work_off(self._due(on_links), faults))

    def _due(self, schedule: Schedule) -> Iterator[Fault]:
        """One of each kind, however long that takes; then those that are over in time."""
        yield from schedule.first
        for fault in schedule.then():
            if seconds() > self._until_s:
                return
            if seconds() + fault.hold_s <= self._until_s:
                yield fault

    async def _work_off(self, due: Iterator[Fault], faults: Faults) -> None:
        for fault in due:
            await faults.do(fault)
            await asyncio.sleep(PAUSE_S)

    async def _finish(self, clients: Sequence[Client]) -> None:
        """Let clients end what they have begun."""
        for client in clients:
            client.ending = True
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(self._await_end(client))

    async def _await_end(self, client: Client) -> None:
        try:
            async with asyncio.timeout(FINISH_S):
                await client.done.wait()
        except TimeoutError:
            self._report.violated(f"{client.name} is not answered at the end: {client.last_refusal}")

    async def _check_gone(self) -> None:
        """No process of the tree is left over, and its stores are whole."""
        deadline_s = seconds() + GONE_S
        while (left := processes.marked(self._run)) and seconds() < deadline_s:
            await asyncio.sleep(PAUSE_S)
        for pid in left:
            self._report.violated(f"process {pid} is left over: {processes.command(pid)}")
        for node in NODES:
            for problem in damages(self._folder / node / DATABASE):
                self._report.violated(f"the store of {node} is damaged: {problem}")


@contextlib.asynccontextmanager
async def _running(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these beside the block, and end them after it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As by default; but what aiomqtt leaves behind when a connection breaks is no news here: futures that nobody asks,
    and calls for a socket that is closed."""
    error = context.get("exception")
    if not isinstance(error, aiomqtt.MqttError) and getattr(error, "errno", None) != errno.EBADF:
        loop.default_exception_handler(context)


def _login(tree: LocalTree, site: str) -> Login:
    assert tree.file is not None
    host, _, port = (tree.file.nodes[site].mqtt or "").rpartition(":")
    return Login(host, int(port), tree.file.mqtt["username"], tree.file.mqtt["password"])


def _why_not(kind: str) -> str | None:
    """Why this machine does not allow it; None if it does."""
    match kind:
        case "disk-full" | "disk-read-only":
            return disks.why_not()
        case "clock":
            return clocks.why_not()
        case "loss" | "shape" | "netem":
            return network.why_not(kind)
    return None
