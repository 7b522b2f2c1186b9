"""The demo's run: a site is cut off, its hub is killed, the WAN returns, and nothing is lost.

Every claim is checked where it is made; what cannot be is a CheckFailed. The verdict on the data is the example's own
verification, a program that knows nothing of Littoral and computes from the recordings alone.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from littoral.cli.local.devices import Devices
from littoral.cli.local.example import Example
from littoral.cli.local.held import pairs, tails
from littoral.cli.local.load import LoadResult, LoadTarget
from littoral.cli.local.load_process import LoadProcess
from littoral.cli.local.observer import streams_of
from littoral.cli.local.steps import Step, Steps
from littoral.core.clock import Clock
from littoral.core.errors import PeerUnreachable
from littoral.core.http import Request
from littoral.core.limits import Limits
from littoral.core.transport import Transport
from littoral.drivers.link import Target, WanLink
from littoral.node.local_tree import LocalTree

CUT_SITE = "plant-a"
PAGE_LINE = "machine"
EDGE_PER_S, CLOUD_PER_S = 40.0, 10.0
CLOUD_LINK = "through the cloud"
CUT_AT = 0.5
"""Of the replay."""
STEP_S = 45.0
"""No step but the replay takes so long unless something is wrong."""
IN_FLIGHT_S = 1.0
"""What had passed the link when it was cut has reached the root by then."""
ANSWERS_LEAST = 20
POLL_S = 0.1


class CheckFailed(Exception):
    """Something is not as it must be."""


@dataclass(frozen=True, slots=True)
class SiteProgress:
    """What a site has done so far."""

    windows: int
    alerts: int
    page_end_ms: int
    """End of the window that its page shows."""


class Check:
    """The run on a tree that is up and deployed."""

    def __init__(
        self,
        tree: LocalTree,
        example: Example,
        devices: Devices,
        load: LoadProcess,
        steps: Steps,
        transport: Transport,
        clock: Clock,
        replay_s: float,
    ) -> None:
        """replay_s: how long the replay of all recordings is to take."""
        self._tree = tree
        self._example = example
        self._devices = devices
        self._load = load
        self._steps = steps
        self._transport = transport
        self._clock = clock
        self._replay_s = replay_s
        self._root = tree.clients[next(iter(tree.clients))]
        self._site = tree.clients[CUT_SITE]
        self._link_faults: list[BaseException] = []
        self.hub_restart_s = 0.0
        self.catch_up_s = 0.0
        self.shipped_before = 0

    @property
    def sites(self) -> list[str]:
        """With devices."""
        assert self._tree.file is not None
        return [name for name, node in self._tree.file.nodes.items() if node.mqtt is not None]

    @property
    def bytes_shipped(self) -> int:
        """Into the sites' WANs, since the start."""
        return sum(self._tree.links[site].statistics().bytes_up for site in self.sites)

    async def run(self, rows: int | None) -> list[LoadResult]:
        """All steps up to an idle tree; what the load measured. rows: of each recording, from the first; None for all.

        Raises: CheckFailed, LittoralError.
        """
        async with self._cloud_link() as cloud_url:
            await self._begin(rows, cloud_url)
            await self._cut()
            await self._kill_hub()
            await self._finish_replay()
            await self._restore()
            return await self._load.finish()

    # Steps

    async def _begin(self, rows: int | None, cloud_url: str) -> None:
        story = (
            "Four devices, ordinary MQTT clients, publish recordings of real sensors. Each site stores a reading before "
            "it acknowledges it, folds them into windows and looks for anomalies. Meanwhile the page that a Python "
            "function makes of this is fetched at both sites, and at the root through a WAN."
        )
        with self._steps.step("replay the recordings, load the sites", story) as step:
            self.shipped_before = self.bytes_shipped
            assert self._tree.file is not None
            recordings = self._example.recordings(rows)
            speeds = {line: recording.span_s / self._replay_s for line, recording in recordings.items()}
            brokers = {name: self._tree.file.nodes[name].mqtt or "" for name in self.sites}
            await self._devices.start(brokers, recordings, speeds, self._tree.file.mqtt)
            gateways = {name: self._tree.file.nodes[name].gateway for name in self.sites}
            for url in (*gateways.values(), cloud_url):
                await self._until(step, "the first window", partial(self._has_page, url))
            targets = [LoadTarget(name, url, self._page(name), EDGE_PER_S) for name, url in gateways.items()]
            targets.append(LoadTarget(CLOUD_LINK, cloud_url, self._page(CUT_SITE), CLOUD_PER_S))
            await self._load.start(targets, "before")
            await self._replay_until(step, CUT_AT)
            step.note(f"{sum(device.report.acknowledged for device in self._devices):,} readings acknowledged so far")

    async def _cut(self) -> None:
        story = (
            f"The WAN of {CUT_SITE} goes silent, as when a cable is pulled. Its devices, its rules, its pages and its "
            "keys and values must not notice; the root must hear nothing."
        )
        with self._steps.step(f"cut the WAN of {CUT_SITE}", story) as step:
            await self._tree.links[CUT_SITE].cut("blackhole")
            self._load.phase("cut")
            await asyncio.sleep(IN_FLIGHT_S)
            self._at_root = await tails(self._root, CUT_SITE)
            await self._works_alone(step, "cut")

    async def _kill_hub(self) -> None:
        story = (
            f"kill -9 to the process that owns the store of {CUT_SITE}, without a network to ask for anything. Devices "
            "send again what was not acknowledged; what was is not folded twice."
        )
        with self._steps.step(f"kill the hub of {CUT_SITE}, still cut off", story) as step:
            pid = self._tree.pids(CUT_SITE)["hub"]
            self._load.phase("restart")
            killed_s = self._clock.monotonic_s()
            os.kill(pid, signal.SIGKILL)
            await self._until(step, "a new hub", lambda: self._has_new_hub(pid))
            self.hub_restart_s = self._clock.monotonic_s() - killed_s
            step.note(f"it answers again after {self.hub_restart_s:.2f} s")
            await asyncio.sleep(IN_FLIGHT_S)
            self._load.phase("restarted")
            await self._works_alone(step, "restarted")

    async def _finish_replay(self) -> None:
        story = f"{CUT_SITE} goes on alone until the recordings are over; everything waits in its queue."
        with self._steps.step("finish the replay, still cut off", story) as step:
            await self._replay_until(step, 1.0)
            if await tails(self._root, CUT_SITE) != self._at_root:
                raise CheckFailed(f"the root heard of {CUT_SITE} while its WAN was cut")
            status = await self._site.status()
            waiting = sum(lane.records for lane in status.lanes.values())
            step.note(f"{waiting:,} records wait at {CUT_SITE}")

    async def _restore(self) -> None:
        story = "The WAN returns. Alerts go first, then keys and values, then windows, until every queue is empty."
        with self._steps.step("restore the WAN, catch up", story) as step:
            restored_s = self._clock.monotonic_s()
            await self._tree.links[CUT_SITE].restore()
            self._load.phase("restored")
            for site in self.sites:
                await self._until(step, f"all of {site} at the root", partial(self._is_at_root, site))
            self.catch_up_s = self._clock.monotonic_s() - restored_s
            step.note(f"the root has everything after {self.catch_up_s:.2f} s")
            for node in self._tree.clients:
                await self._until(step, f"an empty queue at {node}", partial(self._is_queue_empty, node))
            await self._until(step, "the same keys and values everywhere", self._is_kv_same)

    # What is checked

    async def _works_alone(self, step: Step, phase: str) -> None:
        """The site takes in, folds, alerts, answers and stores while nobody is above it."""
        before = await self._progress()
        await self._write_and_read(phase)
        answered_before = self._load.counted(CUT_SITE, phase).answered
        now = before

        async def goes_on() -> bool:
            nonlocal now
            now = await self._progress()
            fresh = now.windows > before.windows and now.alerts > before.alerts and now.page_end_ms > before.page_end_ms
            return fresh and self._load.counted(CUT_SITE, phase).answered >= answered_before + ANSWERS_LEAST

        await self._until(step, "windows, alerts and answers", goes_on)
        if (await self._site.status()).link is None or self._tree.links[CUT_SITE].statistics().state == "up":
            raise CheckFailed(f"the WAN of {CUT_SITE} is not cut")
        counted = self._load.counted(CUT_SITE, phase)
        if counted.failed:
            raise CheckFailed(f"{counted.failed} requests failed at {CUT_SITE}: {counted.first_failure}")
        step.note(
            f"alone it made {now.windows - before.windows} windows and {now.alerts - before.alerts} alerts, and answered "
            f"{counted.answered} requests"
        )

    async def _write_and_read(self, phase: str) -> None:
        """A key written through the API is read there, and shown by the function."""
        key = f"lines/factory/{CUT_SITE}/{phase}/temperature/window"
        value = msgspec.json.encode({"start": 0, "end": self._clock.wall_ms(), "count": 1})
        await self._site.call("PUT", f"/v1/kv/factory/{key}", value)
        if (await self._site.call("GET", f"/v1/kv/factory/{key}")).body != value:
            raise CheckFailed(f"{key} was written at {CUT_SITE} and is read differently")
        shown = await self._get(self._gateway(CUT_SITE), f"/api/lines/{CUT_SITE}/{phase}")
        if msgspec.json.decode(shown)["window"] != msgspec.json.decode(value):
            raise CheckFailed(f"{key} was written at {CUT_SITE}, and its page shows something else")

    async def _progress(self) -> SiteProgress:
        own = {each.name: each.next for each in await streams_of(self._site)}
        shown = msgspec.json.decode(await self._get(self._gateway(CUT_SITE), self._page(CUT_SITE)))
        return SiteProgress(own.get(f"{CUT_SITE}/windows", 0), own.get(f"{CUT_SITE}/alerts", 0), shown["window"]["end"])

    async def _has_page(self, url: str) -> bool:
        page = self._page(CUT_SITE if url != self._gateway(self.sites[-1]) else self.sites[-1])
        response = await self._transport.request(url, Request("GET", page), STEP_S)
        return response.status == 200

    async def _has_new_hub(self, pid: int) -> bool:
        if self._tree.pids(CUT_SITE)["hub"] == pid:
            return False
        try:
            status = await self._site.status()
        except PeerUnreachable:
            return False
        assert status.link is not None
        if status.link.connected:
            raise CheckFailed(f"{CUT_SITE} claims a connection through a WAN that is cut")
        return True

    async def _is_at_root(self, site: str) -> bool:
        client = self._tree.clients[site]
        if any(rule.behind for rule in (await client.status()).rules.values()):
            return False
        own, above = await tails(client, site), await tails(self._root, site)
        # Reports on itself never end.
        own.pop(f"{site}/status", None)
        return all(above.get(name, 0) == end for name, end in own.items())

    async def _is_queue_empty(self, node: str) -> bool:
        return not any(lane.records for lane in (await self._tree.clients[node].status()).lanes.values())

    async def _is_kv_same(self) -> bool:
        found = [await pairs(client, "factory") for client in self._tree.clients.values()]
        return all(each == found[0] for each in found)

    # Means

    async def _replay_until(self, step: Step, fraction: float) -> None:
        async with self._deadline(self._replay_s + STEP_S, "the replay", self._devices.describe):
            while self._devices.fraction < fraction or (fraction == 1.0 and not self._devices.done):
                self._devices.check()
                step.advance(self._devices.fraction)
                await asyncio.sleep(POLL_S)

    async def _until(self, step: Step, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        step.doing(what)
        async with self._deadline(STEP_S, what):
            while not await condition():
                self._devices.check()
                await asyncio.sleep(POLL_S)
        step.doing("")

    @contextlib.asynccontextmanager
    async def _deadline(
        self, seconds: float, what: str, describe: Callable[[], str] = lambda: ""
    ) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise CheckFailed(f"waited {seconds:.0f} s in vain for {what}. {describe()}") from error

    async def _get(self, url: str, path: str) -> bytes:
        response = await self._transport.request(url, Request("GET", path), STEP_S)
        if response.status != 200:
            raise CheckFailed(f"{url}{path} answered {response.status}: {response.body[:200]!r}")
        return response.body

    def _gateway(self, node: str) -> str:
        assert self._tree.file is not None
        return self._tree.file.nodes[node].gateway

    def _page(self, site: str) -> str:
        return f"/api/lines/{site}/{PAGE_LINE}"

    @contextlib.asynccontextmanager
    async def _cloud_link(self) -> AsyncIterator[str]:
        """The root's gateway as it is reached from a site, through a WAN of its own: the load must not count as
        shipped."""
        assert self._tree.file is not None
        root = next(iter(self._tree.file.nodes.values()))
        host, _, port = root.gateway.removeprefix("http://").rpartition(":")
        link = WanLink(
            CLOUD_LINK, [Target("gateway", host, int(port))], self._clock, Limits(), self._link_faults.append
        )
        link.delay(self._tree.links[CUT_SITE].statistics().delay_ms)
        await link.start()
        try:
            yield f"http://127.0.0.1:{link.port('gateway')}"
        finally:
            await link.stop()
        for fault in self._link_faults:
            raise fault
