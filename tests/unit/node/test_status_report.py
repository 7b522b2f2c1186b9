"""What nodes say of themselves, and what the root makes of it."""

import asyncio

import msgspec
import pytest

from littoral.core.errors import Gone
from littoral.core.resources.model import Bandwidth
from littoral.node.status import NodeStatus
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.neighbours import uplink_of
from tests.support.stores import name


def test_the_queue_and_the_age_of_its_oldest_record_show_while_the_way_up_is_cut(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await tree.until(lambda: uplink_of(site).state.connected)
        tree.network.link("plant-a", root.peer_url).cut(reset=True)
        await asyncio.sleep(60)
        status = site.running.report.now()
        assert status.link is not None
        assert not status.link.connected
        assert status.link.last_error
        state = status.lanes["state"]
        assert state.records >= 10
        assert state.oldest_ms is not None
        assert status.at_ms - state.oldest_ms >= 50_000
        await tree.stop()

    run(main, seed=seed)


def test_the_rate_of_a_lane_and_the_budget_show_in_the_report_and_in_the_metrics(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        bandwidth = Bandwidth(rate="8KiB", per_day="1MiB")
        site = await tree.start_child("plant-a", "site", root, bandwidth, batch_records=1)

        def append(tx: Transaction) -> None:
            tx.open_stream(name("plant-a/log"))
            tx.append(name("plant-a/log"), [site.random.token_bytes(1_000) for _ in range(400)])

        await site.running.store.submit(append)
        await asyncio.sleep(20)
        status = site.running.report.now()
        lane = status.lanes["telemetry"]
        assert lane.records > 150
        assert 3 < lane.records_s < 8
        assert lane.empty_s == pytest.approx(lane.records / lane.records_s, rel=0.6)
        assert status.link is not None
        assert status.link.budget is not None
        assert status.link.budget.state == "waiting"
        assert status.link.budget.used == {"day": status.link.budget.carried_bytes}
        assert 100_000 < status.link.budget.carried_bytes < 200_000
        text = site.running.metrics.text().decode()
        assert f'littoral_uplink_budget_used_bytes{{period="day"}} {status.link.budget.carried_bytes}' in text
        assert 'littoral_uplink_budget_bytes{period="day"} 1.048576e+06' in text
        assert "littoral_uplink_budget_exhausted 0" in text
        assert 'littoral_uplink_queue_empty_seconds{lane="telemetry"}' in text
        assert 'littoral_uplink_shipped_records_per_second{lane="telemetry"}' in text
        await tree.until(lambda: len(root.records("plant-a/log")) == 400)
        assert site.running.report.now().lanes["telemetry"].empty_s == 0
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("record", [b"no JSON", b"{}", b"spoofed", b'{"node": "\xff"}', b'{"?": ' + b"[" * 100_000])
def test_a_report_that_cannot_be_read_hides_no_other_node(record: bytes, seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        bad = await tree.start_child("plant-a", "site", root)
        await tree.start_child("plant-b", "site", root)
        await tree.until(lambda: len(root.running.report.nodes()) == 3)
        said = msgspec.json.encode(root.running.report.now()) if record == b"spoofed" else record
        await bad.running.store.submit(lambda tx: tx.append(name("plant-a/status"), [said]))
        await tree.until(lambda: root.records("plant-a/status")[-1] == said)
        assert [status.node for status in root.running.report.nodes()] == ["cloud", "plant-b"]
        await tree.until(lambda: len(root.running.report.nodes()) == 3)
        await tree.stop()

    run(main, seed=seed)


def test_a_part_that_cannot_be_read_now_ends_no_reports(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        hub = root.running
        now, raised = hub.report.now, 0

        def race() -> NodeStatus:
            nonlocal raised
            raised += 1
            raise Gone("read stream", "cloud/status", "retention was here first")

        hub.report.now = race  # type: ignore[method-assign]
        await tree.until(lambda: raised)
        hub.report.now = now  # type: ignore[method-assign]
        said = len(root.records("cloud/status"))
        await tree.until(lambda: len(root.records("cloud/status")) > said)
        assert not hub.failures
        await tree.stop()

    run(main, seed=seed)


def test_a_report_survives_the_way(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        now = site.running.report.now()
        assert msgspec.json.decode(msgspec.json.encode(now), type=NodeStatus) == now
        await tree.stop()

    run(main, seed=seed)
