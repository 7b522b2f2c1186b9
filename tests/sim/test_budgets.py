"""Trees whose nodes have budgets: what is spilled arrives after a long cut, a parent that is full is waited for, and what is
too old is not sent."""

import asyncio

import msgspec

from littoral.core.resources.model import SpillPlace, Storage, StreamBudget, Ttl
from littoral.testing.loop import run
from littoral.testing.store import check_histories
from littoral.testing.tree import SimNode, SimTree
from tests.support.neighbours import uplink_of
from tests.support.stores import name

RAW, ALERTS = name("plant-a/raw/x"), name("plant-a/hot")
SPILLING = Storage(
    streams=[StreamBudget(streams=["*/raw/*"], bytes="20000", policy="spill")],
    spill=SpillPlace(directory="/mnt/slow", bytes="64MiB"),
)


async def join(tree: SimTree, parent: SimNode, **settings) -> SimNode:
    node = tree.add("plant-a", "site", parent, **settings)
    await node.start(await tree.token(parent, "plant-a"))
    return node


async def put(node: SimNode, stream, *records: bytes, lane="telemetry") -> None:
    def job(tx):
        tx.open_stream(stream, lane=lane)
        tx.append(stream, records)

    await node.running.store.submit(job)


def held(node: SimNode) -> int:
    info = node.running.store.stream(RAW)
    assert info is not None
    return info.bytes


def test_what_was_spilled_while_the_link_was_cut_arrives_whole(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await join(tree, root, storage=SPILLING)
        link = tree.network.link("plant-a", root.peer_url)
        records = []
        for n in range(150):
            if n in (5, 60, 90):
                link.cut()
            if n in (50, 80):
                link.restore()
                await asyncio.sleep(20)
            if n in (40, 70, 110):
                site.cut_power()
                await asyncio.sleep(1)
                await site.start()
            records.append(site.random.token_bytes(1000))
            await put(site, RAW, records[-1])
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        assert held(site) <= 20_000
        assert site.records(str(RAW)) == records
        link.restore()
        await tree.until(lambda: len(root.records(str(RAW))) == 150)
        assert root.records(str(RAW)) == records
        check_histories(root.running.store)
        check_histories(site.running.store)
        status = site.running.report.now()
        assert status.spill is not None
        assert (status.spill.files > 0, status.spill.refused) == (True, "")
        await tree.stop()

    run(main, seed)


def test_a_place_that_is_lost_keeps_what_it_has_from_being_sent_and_nothing_else(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await join(tree, root, storage=SPILLING)
        link = tree.network.link("plant-a", root.peer_url)
        link.cut()
        for n in range(60):
            await put(site, RAW, b"%d" % n + site.random.token_bytes(1000))
        await asyncio.sleep(10)
        disk = site.spill_disk
        assert disk is not None
        disk.failing = True
        site.cut_power()
        await site.start()
        link.restore()
        for n in range(60):
            await put(site, ALERTS, b"%d" % n, lane="alerts")
        await tree.until(lambda: len(root.records(str(ALERTS))) == 60)
        uplink = uplink_of(site)
        await tree.until(lambda: "Mount what" in uplink.holds.reasons.get(RAW, ""))
        sessions = uplink.state.sessions
        await asyncio.sleep(300)
        assert (uplink.state.sessions, uplink.outbox.blocked) == (sessions, {})
        link_status = site.running.report.now().link
        assert link_status is not None
        assert "Mount what" in link_status.held[str(RAW)]
        disk.failing = False
        await tree.until(lambda: len(root.records(str(RAW))) == 60)
        await tree.stop()

    run(main, seed)


def test_a_parent_that_rejects_is_waited_for_and_what_is_urgent_goes(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        entry = StreamBudget(streams=["*/raw/*"], bytes="10000", policy="reject")
        root = tree.add("cloud", "cloud", None, storage=Storage(streams=[entry]))
        await root.start()
        site = await join(tree, root)
        records = [b"%02d" % n + site.random.token_bytes(1000) for n in range(40)]
        for n, record in enumerate(records):
            await put(site, RAW, record)
            await put(site, ALERTS, b"%d" % n, lane="alerts")
            if n == 20:
                tree.network.link("plant-a", root.peer_url).cut(reset=True)
                await asyncio.sleep(30)
                tree.network.link("plant-a", root.peer_url).restore()
        await tree.until(lambda: len(root.records(str(ALERTS))) == 40)
        assert held(root) <= 10_000
        uplink = uplink_of(site)
        await asyncio.sleep(120)
        assert uplink.outbox.blocked == {}
        assert list(uplink.holds.reasons) == [RAW]
        assert site.records(str(RAW)) == records, "the child keeps what was refused"
        there = root.records(str(RAW))
        assert there == records[: len(there)]
        root.kill()
        root.config = msgspec.structs.replace(
            root.config, spec=msgspec.structs.replace(root.config.spec, storage=Storage())
        )
        await root.start()
        await tree.until(lambda: root.records(str(RAW)) == records)
        await tree.stop()

    run(main, seed)


def test_what_became_too_old_behind_a_cut_is_not_sent(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await join(tree, root, ttl=Ttl(telemetry="10m"), storage=SPILLING)
        link = tree.network.link("plant-a", root.peer_url)
        link.cut()
        for minute in range(30):
            await put(site, RAW, b"%02d" % minute + site.random.token_bytes(1000))
            await put(site, ALERTS, b"%d" % minute, lane="alerts")
            await asyncio.sleep(60)
        link.restore()
        await tree.until(lambda: len(root.records(str(ALERTS))) == 30)
        await tree.until(lambda: root.records(str(RAW))[-1:] == site.records(str(RAW))[-1:])
        minutes = [int(record[:2]) for record in root.records(str(RAW))]
        assert minutes == list(range(minutes[0], 30))
        # Of a spill file all counts as its newest.
        assert 5 <= minutes[0] <= 21
        assert len(site.records(str(RAW))) == 30
        lane = site.running.report.now().lanes["telemetry"]
        assert lane.expired == minutes[0]
        await tree.until(lambda: root.running.peers.lost_records == minutes[0])
        await tree.stop()

    run(main, seed)
