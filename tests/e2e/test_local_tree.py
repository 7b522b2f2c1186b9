"""A whole tree of real processes: each of them killed in turn, links cut in between, and the root has everything once."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import uvloop

from littoral.cli.local import runtime
from littoral.cli.local.devices import Devices
from littoral.cli.local.example import Example
from littoral.cli.local.held import pairs, tails
from littoral.cli.local.verdict import dead_letters, verify
from littoral.core.errors import LittoralError
from littoral.core.http import Request
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.local_tree import LocalTree
from tests.support.ports import free_base_port

FACTORY = Path(__file__).parents[2] / "examples" / "factory"
SITES = ("plant-a", "plant-b")
ROWS = 3000
REPLAY_S = 18.0
DEADLINE_S = 120.0
"""Of everything that is waited for."""


class Trial:
    """A tree under test."""

    def __init__(self, tree, transport, devices):
        self.tree = tree
        self.transport = transport
        self.devices = devices
        self.root = tree.clients["cloud"]

    async def until(self, what, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not await condition():
            assert time.monotonic() < deadline, f"{what} did not happen in time"
            await asyncio.sleep(0.05)

    async def kill(self, node, kind):
        """kill -9, and wait until the process is back and does its work."""
        if kind == "supervisor":
            self.tree._processes[node].kill()
            await self.tree.restart(node)
        else:
            old = self.tree.pids(node)[kind]
            os.kill(old, signal.SIGKILL)

            async def is_replaced():
                return self.tree.pids(node)[kind] != old

            await self.until(f"{kind} of {node} is started again", is_replaced)
        await self.until(f"{node} works again after {kind} was killed", lambda: self.works(node))

    async def works(self, node):
        """Its hub answers, and its gateway with a function's page."""
        try:
            await self.tree.clients[node].status()
            gateway = self.tree.file.nodes[node].gateway
            answer = await self.transport.request(gateway, Request("GET", "/api/lines"), 5)
        except LittoralError:
            return False
        return answer.status == 200

    async def is_at_root(self, site):
        status = await self.tree.clients[site].status()
        if any(rule.behind for rule in status.rules.values()):
            return False
        own, above = await tails(self.tree.clients[site], site), await tails(self.root, site)
        own.pop(f"{site}/status")
        return all(above.get(name, 0) == end for name, end in own.items())

    async def is_kv_same(self):
        found = [await pairs(client, "factory") for client in self.tree.clients.values()]
        return all(each == found[0] for each in found)


async def disturb(trial):
    links = trial.tree.links
    for kind in ("hub", "gateway-0", "functions"):
        await trial.kill("plant-a", kind)
    await links["plant-a"].cut("blackhole")
    for kind in ("hub", "gateway-0", "functions"):
        await trial.kill("eu", kind)
    await trial.kill("plant-a", "supervisor")
    await links["plant-a"].restore()
    await links["eu"].cut("refuse")
    await trial.kill("eu", "supervisor")
    await links["eu"].restore()
    await trial.kill("cloud", "hub")


async def run(folder):
    example = Example(FACTORY)
    async with contextlib.AsyncExitStack() as stack:
        transport = HttpTransport()
        stack.push_async_callback(transport.aclose)
        tree = LocalTree(
            folder,
            transport,
            SystemClock(),
            SystemRandom(),
            round_trip_ms=20,
            base_port=free_base_port(runtime.PORTS),
        )
        await stack.enter_async_context(tree)
        await runtime.deploy(tree, example)
        devices = Devices(example, folder, tree.log("devices"), SystemClock())
        stack.push_async_callback(devices.stop)
        recordings = example.recordings(ROWS)
        speeds = {line: recording.span_s / REPLAY_S for line, recording in recordings.items()}
        assert tree.file is not None
        brokers = {site: tree.file.nodes[site].mqtt or "" for site in SITES}
        await devices.start(brokers, recordings, speeds, tree.file.mqtt)
        trial = Trial(tree, transport, devices)

        await disturb(trial)
        disturbed_until = devices.fraction

        async def is_replayed():
            devices.check()
            return devices.done

        await trial.until("the replay ends", is_replayed)
        for site in SITES:
            await trial.until(f"all of {site} reaches the root", lambda site=site: trial.is_at_root(site))
        await trial.until("all nodes have the same keys and values", trial.is_kv_same)
        verdicts = await verify(trial.root, example, SITES, folder / "held", ROWS)
        return verdicts, await dead_letters(tree.clients.values()), disturbed_until, list(devices)


def test_killing_any_process_while_links_are_cut_loses_and_repeats_nothing(tmp_path):
    verdicts, letters, disturbed_until, devices = uvloop.run(run(tmp_path / "t"))
    assert disturbed_until > 0.2, "devices were publishing while processes were killed"
    assert sum(device.report.acknowledged for device in devices) == 4 * ROWS
    assert sorted(verdicts) == ["plant-a.alerts", "plant-a.windows", "plant-b.alerts", "plant-b.windows"]
    for verdict in verdicts.values():
        assert verdict.found == verdict.expected > 0
        assert (verdict.lost, verdict.duplicated, verdict.wrong, verdict.examples) == (0, 0, 0, [])
    assert letters == 0
