"""Writes that were refused because of clocks, or came too late, are retried where they lie and converge everywhere."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from littoral.core.errors import Conflict, InvalidInput
from littoral.core.resources import Namespace
from littoral.fleet.kv_fold import ANEW, OUTDONE
from littoral.node.letter_desk import Filter
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree

LIMIT_S = 20
"""How long tombstones are kept."""
AHEAD_MS = 90_000
SETTLED_S = 45.0
"""Until what was `AHEAD_MS` ahead is accepted."""
LINES = msgspec.convert(
    {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "lines"}},
    Namespace,
)


class Tree:
    """cloud <- eu <- plant-a, plant-b"""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)

    async def start(self) -> None:
        self.root = await self.tree.start_root("cloud", kv_tombstone_seconds=LIMIT_S)
        self.region = await self.tree.start_child("eu", "region", self.root, kv_tombstone_seconds=LIMIT_S)
        self.site = await self.tree.start_child("plant-a", "site", self.region, kv_tombstone_seconds=LIMIT_S)
        self.other = await self.tree.start_child("plant-b", "site", self.region, kv_tombstone_seconds=LIMIT_S)
        self.nodes = [self.root, self.region, self.site, self.other]
        await self.tree.apply(self.root, LINES)
        await self.tree.until(lambda: all(node.running.desired.namespace("lines") for node in self.nodes))

    async def put(self, node: SimNode, key: str, value: bytes | None) -> None:
        keyvalue = node.running.keyvalue
        await (keyvalue.delete("lines", key) if value is None else keyvalue.put("lines", key, value))

    async def put_ahead(self, node: SimNode, *keys: str) -> None:
        """Write at a node that is alone and whose clock is ahead, and set both right again."""
        links = [
            self.tree.network.link(child.name, parent.peer_url)
            for child, parent in ((self.region, self.root), (self.site, self.region), (self.other, self.region))
            if node in (child, parent)
        ]
        for link in links:
            link.cut()
        node.clock.step(AHEAD_MS)
        for key in keys:
            await self.put(node, key, None if key == "gone" else b"ahead")
        node.clock.step(-AHEAD_MS)
        for link in links:
            link.restore()

    def holders(self) -> list[SimNode]:
        """The nodes that have open letters."""
        return [node for node in self.nodes if node.running.dead_letters.open_count()]

    async def letters(self, node: SimNode, count: int) -> list[int]:
        """Wait for so many open letters at a node; returns their offsets. No other node has any."""
        await self.tree.until(lambda: node.running.dead_letters.open_count() == count)
        await asyncio.sleep(2)
        assert [each.running.dead_letters.open_count() for each in self.nodes] == [
            count if each is node else 0 for each in self.nodes
        ]
        return [letter.offset for letter in node.running.dead_letters.page(0, 100, Filter()).letters]

    async def agree(self, **expected: bytes) -> None:
        """Wait until all nodes hold the same, and then for what would come late."""
        for _ in range(2):
            await self.tree.until(lambda: all(living(node) == expected for node in self.nodes))
            await asyncio.sleep(LIMIT_S)
        assert all(living(node) == expected for node in self.nodes)


def living(node: SimNode) -> dict[str, bytes]:
    entries = node.running.store.kv_entries("lines", "", 1000)
    return {entry.key: entry.value for entry in entries if entry.value is not None}


def simulate(seed: int, story: Callable[[Tree], Awaitable[None]]) -> None:
    async def main() -> None:
        tree = Tree(seed)
        await tree.start()
        await story(tree)
        await tree.tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("writer", ["plant-a", "eu", "cloud"])
def test_a_write_of_a_clock_that_was_ahead_converges_once_the_clocks_agree(writer: str, seed: int):
    async def story(tree: Tree) -> None:
        await tree.put_ahead(tree.tree.nodes[writer], "k", "gone")
        await tree.tree.until(lambda: tree.holders())
        await asyncio.sleep(5)
        holders = tree.holders()
        assert tree.tree.nodes[writer] not in holders
        for node in holders:
            desk = node.running.dead_letters
            with pytest.raises(InvalidInput, match=r"ms ahead of this node's clock.*Set the clocks"):
                await desk.retry(0)
            step = await desk.step("retry", Filter(), 0, None)
            assert (step.done, [each.offset for each in step.failed]) == (0, [0, 1])
            assert "ms ahead of" in step.failed[1].reason
            assert desk.open_count() == 2, "they stay open"
        await asyncio.sleep(SETTLED_S)
        assert all("k" not in living(node) for node in holders)
        for node in holders:
            desk = node.running.dead_letters
            assert await desk.retry(0) in ("applied", OUTDONE)
            assert await desk.retry(1) in ("applied", OUTDONE)
            with pytest.raises(Conflict, match="it was retried with success, at 20"):
                await desk.retry(0)
        await tree.agree(k=b"ahead")
        assert tree.holders() == []

    simulate(seed, story)


def test_a_later_write_of_the_key_wins_over_one_that_is_retried(seed: int):
    async def story(tree: Tree) -> None:
        await tree.put_ahead(tree.site, "k")
        (letter,) = await tree.letters(tree.region, 1)
        await asyncio.sleep(SETTLED_S)
        await tree.put(tree.site, "k", b"later")
        await tree.agree(k=b"later")
        assert await tree.region.running.dead_letters.retry(letter) == OUTDONE
        await tree.agree(k=b"later")

    simulate(seed, story)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
@pytest.mark.parametrize("waits_s", [0, 4 * LIMIT_S])
def test_writes_that_came_too_late_are_there_everywhere_once_they_are_retried(
    waits_s: int, order: tuple[int, ...], seed: int
):
    """Also after what stood in for the deletions that were forgotten has been forgotten."""

    async def story(tree: Tree) -> None:
        await tree.put(tree.root, "stays", b"v")
        await tree.tree.until(lambda: living(tree.site) == {"stays": b"v"})
        link = tree.tree.network.link("plant-a", tree.region.peer_url)
        link.cut()
        for key, value in (("k", b"late"), ("k", b"later"), ("new", b"late")):
            await tree.put(tree.site, key, value)
        await asyncio.sleep(1)
        await tree.put(tree.root, "k", b"v")
        await tree.put(tree.root, "k", None)
        await tree.tree.until(lambda: all(node.running.store.kv_horizon("lines") for node in (tree.root, tree.region)))
        await asyncio.sleep(LIMIT_S)
        link.restore()
        await tree.agree(stays=b"v")
        offsets = await tree.letters(tree.region, 3)
        await asyncio.sleep(waits_s)
        desk = tree.region.running.dead_letters
        outcomes = [await desk.retry(offsets[which]) for which in order]
        assert sorted(set(outcomes)) in ([OUTDONE, "written anew by eu"], ["written anew by eu"])
        await tree.agree(stays=b"v", k=b"later", new=b"late")
        await tree.letters(tree.region, 0)
        assert tree.region.running.store.state(ANEW) == {}

    simulate(seed, story)


def test_a_write_that_a_snapshot_took_away_is_there_everywhere_once_it_is_retried(seed: int):
    async def story(tree: Tree) -> None:
        link = tree.tree.network.link("plant-a", tree.region.peer_url)
        link.cut()
        await tree.put(tree.site, "k", b"late")
        await asyncio.sleep(1)
        await tree.put(tree.root, "k", b"v")
        await tree.put(tree.root, "k", None)
        await tree.tree.until(lambda: all(node.running.store.kv_horizon("lines") for node in (tree.root, tree.region)))
        link.restore()
        await tree.agree()
        assert tree.holders()
        for node in tree.holders():
            step = await node.running.dead_letters.step("retry", Filter(), 0, None)
            assert step.failed == []
        await tree.agree(k=b"late")

    simulate(seed, story)


def test_a_write_to_a_namespace_that_was_placed_later_is_applied_by_a_retry(seed: int):
    async def story(tree: Tree) -> None:
        sites: dict[str, Any] = {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "sites"}}
        here = {"spec": {"placement": {"nodes": ["plant-a"]}}}
        # The site's own belief: what its parent wants is another thing.
        await tree.tree.apply(
            tree.root, msgspec.convert(sites | {"spec": {"placement": {"nodes": ["plant-b"]}}}, Namespace)
        )
        await tree.tree.until(lambda: tree.site.running.desired.namespace("sites"))
        await tree.site.running.store.submit(lambda tx: tx.kv_put("sites", "k", b"v"))
        (letter,) = await tree.letters(tree.region, 1)
        desk = tree.region.running.dead_letters
        with pytest.raises(InvalidInput, match="plant-a may not write the namespace sites"):
            await desk.retry(letter)
        await tree.tree.apply(tree.root, msgspec.convert(sites | here, Namespace))
        await asyncio.sleep(5)
        assert await desk.retry(letter) == "applied"
        await tree.tree.until(lambda: tree.root.running.store.kv_get("sites", "k") is not None)

    simulate(seed, story)


def test_status_counts_what_is_open_and_the_metric_what_ever_was(seed: int):
    async def story(tree: Tree) -> None:
        await tree.put_ahead(tree.site, "a", "b", "c")
        first, *_ = await tree.letters(tree.region, 3)
        await tree.region.running.dead_letters.drop(first)
        assert tree.region.running.report.now().dead_letters == 2
        text = tree.region.running.metrics.text().decode()
        assert "littoral_dead_letters_total 3.0" in text
        assert "littoral_dead_letters_open 2.0" in text
        await tree.tree.until(lambda: reported(tree.root, "eu") == 2)
        tree.region.cut_power()
        await tree.region.start()
        assert tree.region.running.report.now().dead_letters == 2

    simulate(seed, story)


def reported(node: SimNode, name: str) -> int | None:
    records = node.records(f"{name}/status")
    return json.loads(records[-1])["dead_letters"] if records else None
