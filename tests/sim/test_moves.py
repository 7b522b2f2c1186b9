"""A child is moved to another parent, with work under way: nothing is lost, nothing twice, and it follows the new one."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.streams.blocked import Blocked
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.peer import Member
from tests.support.vertical import LINES, RULE, payload

RECORDS = 40


LOG = StreamName("plant-a", "log")


def append_to(stream: StreamName, record: bytes, tx: Transaction) -> None:
    tx.open_stream(stream)
    tx.append(stream, [record])


def let_go(tx: Transaction) -> None:
    tx.set_retention(LOG, 1)
    tx.retain(LOG, 0, RECORDS // 2)


class Regions:
    """cloud <- eu <- plant-a, and cloud <- us."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)
        self.appended: list[bytes] = []

    async def start(self, **limits: int) -> None:
        self.root = await self.tree.start_root("cloud")
        self.eu = await self.tree.start_child("eu", "region", self.root)
        self.us = await self.tree.start_child("us", "region", self.root)
        self.site = await self.tree.start_child("plant-a", "site", self.eu, **limits)
        await self.tree.apply(self.root, RULE, LINES)
        await self.tree.until(lambda: "temperature" in self.site.running.rules.runners)

    @property
    def nodes(self) -> list[SimNode]:
        return list(self.tree.nodes.values())

    async def append(self) -> None:
        """What is acknowledged is in `appended`."""
        for n in range(RECORDS):
            if (hub := self.site.hub) is not None:
                record = b"%d" % n
                await hub.store.submit(partial(append_to, LOG, record))
                self.appended.append(record)
            await asyncio.sleep(0.3)

    async def move(self, parent: SimNode, node: SimNode | None = None) -> None:
        """As an operator does: stop, another parent in the document, a token of that parent's."""
        node = node or self.site
        await node.switch_off()
        node.move_to(parent)
        await node.start(await self.tree.token(parent, node.name))

    def agree(self) -> bool:
        tables = [
            {entry.key: entry.value for entry in node.running.store.kv_entries("lines", "", 100)} for node in self.nodes
        ]
        return all(table == tables[0] for table in tables) and bool(tables[0])


def simulate(seed: int, story: Callable[[Regions], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        regions = Regions(seed)
        await regions.start(**limits)
        await story(regions)
        await regions.tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("at_s", [0.5, 3.0, 7.0])
def test_nothing_is_lost_or_twice_whenever_it_moves(seed: int, at_s: float):
    async def story(regions: Regions) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(regions.append())
            await asyncio.sleep(at_s)
            await regions.move(regions.us)
        assert len(regions.appended) > RECORDS // 2
        await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended)
        await asyncio.sleep(10)
        assert regions.root.records("plant-a/log") == regions.appended
        assert regions.us.records("plant-a/log") == regions.appended
        link = regions.site.running.report.now().link
        assert link is not None
        assert (link.parent, link.blocked) == ("us", {})

    simulate(seed, story)


def test_what_waits_while_it_moves_goes_to_the_new_parent(seed: int):
    async def story(regions: Regions) -> None:
        regions.tree.network.link("plant-a", regions.eu.peer_url).cut()
        await regions.append()
        await regions.move(regions.us)
        await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended)
        assert regions.eu.records("plant-a/log") == []

    simulate(seed, story)


def test_what_the_old_parent_could_not_pass_on_yet_still_comes(seed: int):
    async def story(regions: Regions) -> None:
        link = regions.tree.network.link("eu", regions.root.peer_url)
        link.cut()
        await regions.append()
        await regions.tree.until(lambda: regions.eu.records("plant-a/log") == regions.appended)
        # The node has let go of what it had brought there.
        await regions.site.running.store.submit(let_go)
        await regions.move(regions.us)
        await regions.append()
        link.restore()
        await regions.tree.until(lambda: len(regions.root.records("plant-a/log")) >= RECORDS)
        await asyncio.sleep(60)
        link_of_eu = regions.eu.running.report.now().link
        assert link_of_eu is not None
        assert link_of_eu.connected
        assert sum(lane.records for lane in regions.eu.running.report.now().lanes.values()) == 0
        held = regions.root.records("plant-a/log")
        assert held == regions.appended[-len(held) :]

    simulate(seed, story)


def test_rules_and_key_value_go_on_under_the_new_parent(seed: int):
    async def story(regions: Regions) -> None:
        device = regions.site.device("press")
        device.connect()
        for n in range(30):
            device.publish("factory/press/temperature", payload(n))
        await regions.tree.until(lambda: device.unacknowledged == 0)
        await regions.site.running.keyvalue.put("lines", "before", b"1")
        await regions.move(regions.us)
        device.connect()
        for n in range(30, 46):
            device.publish("factory/press/temperature", payload(n))
        await regions.eu.running.keyvalue.put("lines", "of eu", b"2")
        await regions.site.running.keyvalue.put("lines", "after", b"3")
        await regions.tree.until(regions.agree)
        await asyncio.sleep(20)
        assert regions.agree()
        table = {entry.key for entry in regions.root.running.store.kv_entries("lines", "", 100)}
        assert {"before", "of eu", "after"} <= table
        windows = [msgspec.json.decode(record) for record in regions.root.records("plant-a/windows")]
        assert [(each["start"], each["count"]) for each in windows] == [
            (each["start"], each["count"])
            for each in (msgspec.json.decode(record) for record in regions.site.records("plant-a/windows"))
        ]
        assert len(windows) == 4

    simulate(seed, story)


def test_it_may_move_back(seed: int):
    async def story(regions: Regions) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(regions.append())
            await asyncio.sleep(3)
            await regions.move(regions.us)
            await asyncio.sleep(3)
            await regions.move(regions.eu)
        await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended)
        await asyncio.sleep(10)
        assert regions.root.records("plant-a/log") == regions.appended

    simulate(seed, story)


class TestRegionWithNodesBelow:
    """eu is moved below us, with plant-a and cell-1 below it."""

    async def _start(self, regions: Regions) -> SimNode:
        cell = await regions.tree.start_child("cell-1", "device", regions.site)
        await regions.tree.until(lambda: regions.root.running.registry.via("cell-1") == "eu")
        return cell

    def _are_below_us(self, regions: Regions, *names: str) -> bool:
        via = [(regions.root, "us"), (regions.us, "eu")]
        return all(node.running.registry.via(name) == child for node, child in via for name in ("eu", *names))

    def _blocked(self, regions: Regions) -> dict[StreamName, Blocked]:
        return {
            name: blocked
            for node in regions.nodes
            if node.hub is not None and node.hub.uplink is not None
            for name, blocked in node.hub.uplink.outbox.blocked.items()
        }

    def test_are_known_at_the_new_parent_by_themselves(self, seed: int):
        async def story(regions: Regions) -> None:
            cell = await self._start(regions)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(regions.append())
                await asyncio.sleep(2)
                await regions.move(regions.us, regions.eu)
            await cell.running.keyvalue.put("lines", "of the cell", b"1")
            await regions.tree.until(lambda: self._are_below_us(regions, "plant-a", "cell-1"), 60)
            await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended, 60)
            assert regions.us.records("plant-a/log") == regions.appended
            await regions.tree.until(lambda: not self._blocked(regions), 60)
            await regions.tree.until(regions.agree, 60)
            renewals = {node.name: node.renewals for node in regions.nodes}
            assert renewals == {"cloud": 0, "us": 0, "eu": 0, "plant-a": 1, "cell-1": 1}, "once each, those below only"

        simulate(seed, story)

    def test_are_known_when_they_come_back_if_they_were_off(self, seed: int):
        async def story(regions: Regions) -> None:
            cell = await self._start(regions)
            await cell.switch_off()
            await regions.site.switch_off()
            await regions.move(regions.us, regions.eu)
            await asyncio.sleep(60)
            assert not self._are_below_us(regions, "plant-a")
            await regions.site.start()
            await regions.tree.until(lambda: self._are_below_us(regions, "plant-a"), 60)
            await cell.start()
            await regions.tree.until(lambda: self._are_below_us(regions, "plant-a", "cell-1"), 60)
            await regions.append()
            await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended, 60)
            assert not self._blocked(regions)

        simulate(seed, story)

    def test_may_move_back_and_forth(self, seed: int):
        """Who lies above them knows them already, and elsewhere."""

        async def story(regions: Regions) -> None:
            cell = await self._start(regions)
            for parent in (regions.us, regions.root, regions.us):
                await regions.move(parent, regions.eu)
                await asyncio.sleep(40)
            await regions.tree.until(lambda: self._are_below_us(regions, "plant-a", "cell-1"), 60)
            await regions.append()
            await regions.tree.until(lambda: regions.root.records("plant-a/log") == regions.appended, 60)
            await regions.tree.until(lambda: cell.name in {each.node for each in regions.root.running.report.nodes()})
            assert not self._blocked(regions)
            assert max(node.renewals for node in regions.nodes) <= 4

        simulate(seed, story)

    def test_show_their_keys_again_where_those_above_could_not_be_asked(self, seed: int):
        async def story(regions: Regions) -> None:
            await self._start(regions)
            link = regions.tree.network.link("us", regions.root.peer_url)
            await regions.move(regions.us, regions.eu)
            link.cut()
            await asyncio.sleep(60)
            assert self._blocked(regions)
            link.restore()
            await regions.tree.until(
                lambda: self._are_below_us(regions, "plant-a", "cell-1") and not self._blocked(regions), 120
            )

        simulate(seed, story)

    def test_a_region_that_names_a_node_of_another_gets_nothing_of_it(self, seed: int):
        async def story(regions: Regions) -> None:
            await self._start(regions)
            subtree, true = regions.us.running.subtree, regions.us.running.subtree.members

            def forged() -> list[Member]:
                return [*true(), Member("plant-a", "site", {}), Member("cell-1", "device", {})]

            subtree.members = forged  # type: ignore[method-assign]
            regions.us.running._subtree_changed("plant-a")
            await regions.append()
            await asyncio.sleep(60)
            root = regions.root.running.registry
            assert (root.via("plant-a"), root.via("cell-1"), root.may_write("us", "plant-a")) == ("eu", "eu", False)
            known = [member.node for member in root.members(Member("cloud", "cloud", {}))]
            assert sorted(known) == ["cell-1", "cloud", "eu", "plant-a", "us"], "each once"
            assert regions.root.records("plant-a/log") == regions.appended
            assert [node.renewals for node in regions.nodes] == [0, 0, 0, 0, 0], "nor is anybody troubled by it"

        simulate(seed, story)


def test_who_joins_below_a_moved_node_gets_what_is_desired_of_it(seed: int):
    """Though nothing has changed since the move."""

    async def story(regions: Regions) -> None:
        await regions.move(regions.us, regions.eu)
        await asyncio.sleep(30)
        late = await regions.tree.start_child("plant-b", "site", regions.eu)
        await regions.tree.until(lambda: "temperature" in late.running.rules.runners, 60)
        await late.running.keyvalue.put("lines", "of the late one", b"1")
        await regions.tree.until(regions.agree, 60)
        desired = regions.eu.running.store.stream(StreamName("cloud", "desired"))
        assert desired is not None
        assert (desired.via, desired.first) == ("us", 0), "it goes on, and was not begun anew"

    simulate(seed, story)
