"""A node with a bandwidth budget: what its link really carries, over any ten seconds, and by the day."""

import asyncio
from collections.abc import Iterable
from functools import partial

import pytest

from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.core.resources.model import Bandwidth
from littoral.core.resources.namespace import Namespace, NamespaceSpec
from littoral.core.resources.part import Metadata, Placement
from littoral.store.transaction import Transaction
from littoral.streams.bandwidth import CONNECTION_BYTES, DAY_MS, EVENT_BYTES, REQUEST_BYTES
from littoral.testing.loop import run
from littoral.testing.net import Traffic
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support.neighbours import uplink_of

KIB, MIB = 1 << 10, 1 << 20
WINDOW_S = 10.0
RATE = 64 * KIB
HEARTBEAT_BYTES = EVENT_BYTES + len(b"data: []\n\n")
NAMESPACE = Namespace(
    api_version="littoral/v1",
    metadata=Metadata(name="lines"),
    spec=NamespaceSpec(placement=Placement(tiers=["site"])),
)


class Meter:
    """What one node's link to its parent carries, with what HTTP and TLS would add."""

    def __init__(self, tree: SimTree, node: str) -> None:
        self._node = node
        self.carried: list[tuple[float, int]] = []
        """(when, bytes)"""
        self.answered: list[tuple[float, str]] = []
        """(when, path)"""
        tree.network.observe = self._observe

    def _observe(self, traffic: Traffic) -> None:
        if traffic.source != self._node or not traffic.target.endswith(".peer"):
            return
        if traffic.event == "requests":
            opens = traffic.path in (peer.HELLO, peer.NOTIFY)
            self.carried.append((traffic.at_s, traffic.size_bytes + REQUEST_BYTES + opens * CONNECTION_BYTES))
        elif traffic.event == "answered":
            self.carried.append((traffic.at_s, traffic.size_bytes))
            self.answered.append((traffic.at_s, traffic.path))

    def total(self, after_s: float = 0.0) -> int:
        return sum(size for at_s, size in self.carried if at_s >= after_s)

    def most_in_a_window(self, window_s: float = WINDOW_S) -> int:
        """The most that was carried in any ten seconds, or so many."""
        most = size = begin = 0
        for at_s, each in self.carried:
            size += each
            while self.carried[begin][0] <= at_s - window_s:
                size -= self.carried[begin][1]
                begin += 1
            most = max(most, size)
        return most


async def pair(seed: int, bandwidth: Bandwidth) -> tuple[SimTree, SimNode, SimNode]:
    """A root and a site, a tenth of a second apart, and every record a batch."""
    tree = SimTree(seed)
    root = await tree.start_root("cloud")
    tree.network.link("plant-a", root.peer_url).delay_s = 0.05
    return tree, root, await tree.start_child("plant-a", "site", root, bandwidth, batch_records=1)


async def append(node: SimNode, path: str, sizes: Iterable[int], lane: Lane = "telemetry") -> None:
    name = StreamName(node.name, path)

    def work(tx: Transaction) -> None:
        tx.open_stream(name, lane=lane)
        tx.append(name, [node.random.token_bytes(size) for size in sizes])

    await node.running.store.submit(work)


async def put(node: SimNode, keys: Iterable[str], size: int) -> None:
    def work(key: str, tx: Transaction) -> None:
        tx.kv_put("lines", key, node.random.token_bytes(size))

    for key in keys:
        await node.running.store.submit(partial(work, key))


def step(tree: SimTree, milliseconds: int) -> None:
    """Set all wall clocks: nodes that disagree about the day would not talk to each other."""
    for node in tree.nodes.values():
        node.clock.step(milliseconds)


def arrived(node: SimNode, stream: str, count: int) -> bool:
    return len(node.records(stream)) == count


@pytest.mark.parametrize("sizes", [(4_000,) * 500, (30,) * 8_000], ids=["large records", "small records"])
def test_over_any_ten_seconds_no_more_goes_up_than_the_rate_allows_and_hardly_less(sizes: tuple[int, ...], seed: int):
    async def main() -> None:
        # Of small records nearly all of a frame is what stands around them, and the answer is as large.
        tree, root, site = await pair(seed, Bandwidth(rate=f"{RATE}"))
        meter = Meter(tree, "plant-a")
        began_s = asyncio.get_running_loop().time()
        await append(site, "log", sizes)
        await tree.until(lambda: len(root.records("plant-a/log")) == len(sizes))
        took_s = asyncio.get_running_loop().time() - began_s
        assert meter.most_in_a_window() <= 1.05 * RATE * WINDOW_S
        assert max(size for _, size in meter.carried) <= RATE / 2, "no frame is larger than the burst"
        assert meter.total() >= 0.9 * RATE * (took_s - 1)
        assert took_s > WINDOW_S
        await tree.stop()

    run(main, seed=seed)


def test_what_comes_down_is_within_the_same_rate(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(rate=f"{RATE}"))
        meter = Meter(tree, "plant-a")
        await tree.apply(root, NAMESPACE)
        keys = [f"k{n:04}" for n in range(400)]
        await put(root, keys, 3_000)
        await append(site, "log", (4_000,) * 200)
        await tree.until(lambda: len(site.running.store.kv_entries("lines", "", 1_000)) == 400)
        await tree.until(lambda: len(root.records("plant-a/log")) == 200)
        assert {peer.READ, peer.SNAPSHOT} & {path for _, path in meter.answered}
        assert meter.most_in_a_window() <= 1.05 * RATE * WINDOW_S
        assert meter.most_in_a_window(1.0) <= 1.05 * (RATE / 2 + RATE), "what an answer may take is waited for as well"
        await tree.stop()

    run(main, seed=seed)


def test_a_burst_goes_at_once_and_what_follows_at_the_rate(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(rate=f"{RATE}", burst="512KiB"))
        await asyncio.sleep(20)
        meter = Meter(tree, "plant-a")
        await append(site, "log", (4_000,) * 400)
        began_s = asyncio.get_running_loop().time()
        await tree.until(lambda: meter.total() >= 256 * KIB)
        assert asyncio.get_running_loop().time() - began_s < 2, "much more than two seconds of the rate"
        await tree.until(lambda: len(root.records("plant-a/log")) == 400)
        assert meter.most_in_a_window() <= 512 * KIB + RATE * WINDOW_S
        await tree.stop()

    run(main, seed=seed)


def test_a_record_larger_than_the_burst_is_sent_and_then_paid_for(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(rate="8KiB", burst="8KiB"))
        await append(site, "log", (200_000,))
        await append(site, "log", (100,))
        meter = Meter(tree, "plant-a")
        began_s = asyncio.get_running_loop().time()
        await tree.until(lambda: len(root.records("plant-a/log")) == 2)
        assert asyncio.get_running_loop().time() - began_s > 200_000 / (8 * KIB) - 2
        assert meter.total() > 200_000
        await tree.stop()

    run(main, seed=seed)


def test_an_alert_does_not_wait_behind_what_is_less_urgent(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(rate="16KiB"))
        await append(site, "log", (4_000,) * 200)
        await asyncio.sleep(5)
        for n in range(1, 6):
            began_s = asyncio.get_running_loop().time()
            await append(site, "alarms", (200,), lane="alerts")
            await tree.until(partial(arrived, root, "plant-a/alarms", n))
            # A frame of the others' may have just taken three quarters of the burst of half a second.
            assert asyncio.get_running_loop().time() - began_s < 1.0
        assert len(root.records("plant-a/log")) < 100
        await tree.stop()

    run(main, seed=seed)


def test_at_the_end_of_a_days_budget_only_what_is_urgent_goes_until_the_next_day(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(per_day="1MiB"))
        await tree.apply(root, NAMESPACE)
        await put(root, ["before"], 10)
        await tree.until(lambda: len(site.running.store.kv_entries("lines", "", 10)) == 1)
        meter = Meter(tree, "plant-a")
        await append(site, "log", (4_000,) * 400)
        budget = uplink_of(site).budget
        assert budget is not None
        await tree.until(lambda: budget.spent)
        await asyncio.sleep(1)  # what was under way arrives
        spent_s = asyncio.get_running_loop().time()
        assert budget.state.spent_until_ms is not None
        assert budget.state.spent_until_ms % DAY_MS == 0
        there = len(root.records("plant-a/log"))
        assert 200 < there < 300

        # What is urgent goes up, and the desired state comes down; nothing else does either.
        await asyncio.sleep(60)
        await append(site, "alarms", (200,), lane="alerts")
        other = Namespace(api_version="littoral/v1", metadata=Metadata(name="other"))
        await tree.apply(root, other)
        await put(root, ["after"], 10)
        await tree.until(lambda: len(root.records("plant-a/alarms")) == 1)
        await tree.until(lambda: "Namespace/other" in site.running.desired.wanted)
        await asyncio.sleep(600)
        assert len(root.records("plant-a/log")) == there
        assert len(site.running.store.kv_entries("lines", "", 10)) == 1
        assert meter.total(spent_s) < 40 * KIB

        step(tree, budget.state.spent_until_ms - site.clock.wall_ms())
        await tree.until(lambda: len(root.records("plant-a/log")) == 400)
        await tree.until(lambda: len(site.running.store.kv_entries("lines", "", 10)) == 2)
        await tree.stop()

    run(main, seed=seed)


def test_a_budget_that_stops_the_link_sends_nothing_at_all_until_the_next_day(seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(per_day="1MiB", at_end="stop"))
        await append(site, "log", (4_000,) * 400)
        budget = uplink_of(site).budget
        assert budget is not None
        await tree.until(lambda: budget.spent and not uplink_of(site).state.connected)
        assert "bandwidth budget is spent until 2023-11-15 00:00 UTC" in uplink_of(site).state.last_error
        await append(site, "alarms", (200,), lane="alerts")
        meter = Meter(tree, "plant-a")
        await asyncio.sleep(600)
        assert meter.total() == 0
        assert root.records("plant-a/alarms") == []
        until_ms = budget.state.spent_until_ms
        assert until_ms is not None
        step(tree, until_ms - site.clock.wall_ms())
        await tree.until(lambda: len(root.records("plant-a/log")) == 400)
        assert len(root.records("plant-a/alarms")) == 1
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("end", ["kill", "power"])
def test_neither_a_restart_nor_a_clock_that_jumps_back_gives_a_second_budget_for_the_day(end: str, seed: int):
    async def main() -> None:
        tree, root, site = await pair(seed, Bandwidth(per_day="1MiB"))
        await append(site, "log", (4_000,) * 400)
        budget = uplink_of(site).budget
        assert budget is not None
        await tree.until(lambda: budget.spent)
        await asyncio.sleep(1.0)  # what was expected of the last answer is settled
        used = budget.state.used["day"]
        await asyncio.sleep(1.5)
        there = len(root.records("plant-a/log"))
        if end == "kill":
            site.kill()
        else:
            site.cut_power()
        await site.down.wait()
        await asyncio.sleep(0.1)
        await site.start()
        again = uplink_of(site).budget
        assert again is not None
        assert again.spent
        assert again.state.used["day"] >= used

        # To the next day, which has its own, and back.
        step(tree, DAY_MS)
        await tree.until(lambda: len(root.records("plant-a/log")) > there + 20)
        step(tree, -DAY_MS)
        await asyncio.sleep(10)
        there = len(root.records("plant-a/log"))
        await asyncio.sleep(300)
        assert again.spent
        assert len(root.records("plant-a/log")) == there
        await tree.stop()

    run(main, seed=seed)
