"""Purges come down the tree: to every node, to one that was away when it returns, and to nobody beside or above."""

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec
import pytest

from littoral.core.names import StreamName
from littoral.core.resources import Namespace
from littoral.core.resources.model import Bandwidth
from littoral.fleet.purges import PURGES
from littoral.gateway.cache.purge import Purge, decode_purge
from littoral.node.purge_messages import CachedObject, Told
from littoral.node.replies import Replies
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.restoring import backed_up, restored

EVERYTHING = ("all", "")
KEYS = 64
VALUE_BYTES = 60_000
RATE = Bandwidth(rate="64KiB")
"""So that all values take about a minute."""


class Listener:
    """The gateways of a node that has one: what they were told. Implements `littoral.node.purge_desk.Caches`."""

    def __init__(self, node: SimNode) -> None:
        self.heard: list[tuple[str, str]] = []
        desk = node.running.purges
        self.told(desk.since(None))
        self.heard.clear()
        desk.attach(self)

    def told(self, told: Told) -> None:
        self.heard += [(purge.kind, purge.value) for purge in told.purges]
        self.known = told.until

    def purge(self, told: Told) -> Replies[list[int]]:
        replies = Replies[list[int]]([self])
        self.told(told)
        replies.say(self, [1] * len(told.purges))
        return replies

    def inspect(self, url: str) -> Replies[list[CachedObject]]:
        return Replies()

    def top(self, count: int) -> Replies[list[CachedObject]]:
        return Replies()

    def back_at(self, node: SimNode) -> None:
        """It connects to the hub that was started again."""
        desk = node.running.purges
        self.told(desk.since(self.known))
        desk.attach(self)


async def purge(node: SimNode, *tags: str) -> None:
    for tag in tags:
        await node.running.purges.purge(Purge("tag", tag))


def tags(*values: str) -> list[tuple[str, str]]:
    return [("tag", value) for value in values]


async def grow(tree: SimTree) -> Sequence[SimNode]:
    """The root, two regions, and a site of each."""
    root = await tree.start_root("cloud")
    regions = [await tree.start_child(name, "region", root) for name in ("eu", "us")]
    sites = [await tree.start_child(f"{each.name}-1", "site", each) for each in regions]
    return [root, *regions, *sites]


def test_what_is_purged_at_the_root_is_purged_at_all_nodes_and_nothing_else_is(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        nodes = await grow(tree)
        listeners = [Listener(node) for node in nodes]
        await purge(nodes[0], "first", "second")
        await tree.until(lambda: all(len(each.heard) >= 2 for each in listeners))
        await purge(nodes[0], "third")
        await tree.until(lambda: all(len(each.heard) >= 3 for each in listeners))
        assert [each.heard for each in listeners] == [tags("first", "second", "third")] * len(nodes)
        eu, copy = nodes[1].running, nodes[1].running.store.stream(StreamName("cloud", PURGES))
        assert copy is not None
        assert not eu.registry.follows("eu-1", copy), "each follows its parent's own"
        await tree.stop()

    run(main, seed=seed)


def test_what_is_purged_at_another_node_is_purged_below_it(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root, eu, us, eu_1, us_1 = await grow(tree)
        listeners = {node.name: Listener(node) for node in (root, eu, us, eu_1, us_1)}
        await purge(eu, "ours")
        await tree.until(lambda: listeners["eu-1"].heard)
        await purge(root, "all")
        await tree.until(lambda: all(each.heard[-1:] == tags("all") for each in listeners.values()))
        heard = {name: [value for _, value in each.heard] for name, each in listeners.items()}
        assert heard == {
            "cloud": ["all"],
            "eu": ["ours", "all"],
            "us": ["all"],
            "eu-1": ["ours", "all"],
            "us-1": ["all"],
        }
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("away", ["cut", "off"])
def test_who_was_away_hears_of_it_when_it_returns(away: str, seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        listener = Listener(site)
        await purge(root, "before")
        await tree.until(lambda: listener.heard)
        link = tree.network.link("plant-a", root.peer_url)
        if away == "cut":
            link.cut(reset=True)
        else:
            await site.switch_off()
        await purge(root, "one", "two")
        await asyncio.sleep(60)
        assert listener.heard == tags("before")
        if away == "cut":
            link.restore()
        else:
            await site.start()
            listener.back_at(site)
        await tree.until(lambda: len(listener.heard) >= 3)
        assert listener.heard == tags("before", "one", "two")
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("more", [True, False], ids=["with what came later", "and nothing came later"])
def test_who_was_away_for_longer_than_they_are_kept_purges_everything(more: bool, seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        listener = Listener(site)
        await purge(root, "before")
        await tree.until(lambda: listener.heard)
        link = tree.network.link("plant-a", root.peer_url)
        link.cut(reset=True)
        await purge(root, "lost")
        await root.running.store.submit(lambda tx: tx.retain(StreamName("cloud", PURGES), 0, 100, most_bytes=0))
        if more:
            await purge(root, "kept")
        link.restore()
        await tree.until(lambda: EVERYTHING in listener.heard)
        await purge(root, "after")
        await tree.until(lambda: listener.heard[-1] == ("tag", "after"))
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("is_whole", [True, False], ids=["all there", "the first gone"])
def test_a_new_node_takes_all_that_was_ever_purged_if_it_is_still_there(is_whole: bool, seed: int) -> None:
    """The first purge of a tree is no reason to forget everything everywhere."""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        await purge(root, "one")
        if not is_whole:
            await root.running.store.submit(lambda tx: tx.retain(StreamName("cloud", PURGES), 0, 100, most_bytes=0))
        await purge(root, "two")
        site = await tree.start_child("plant-a", "site", root)
        await tree.until(lambda: site.records("plant-a/purges"))
        had = [decode_purge(record) for record in site.records("plant-a/purges")]
        assert [each.value or each.kind for each in had] == (["one", "two"] if is_whole else ["all"])
        await tree.stop()

    run(main, seed=seed)


def test_who_follows_another_parent_purges_everything_once(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root, eu, us, site, _ = await grow(tree)
        listener = Listener(site)
        await purge(root, "one")
        await tree.until(lambda: listener.heard)
        await site.switch_off()
        site.move_to(us)
        await site.start(await tree.token(us, site.name))
        listener.back_at(site)
        await tree.until(lambda: EVERYTHING in listener.heard)
        await purge(eu, "former")
        await purge(us, "new")
        await tree.until(lambda: listener.heard[-1] == ("tag", "new"))
        assert listener.heard == [*tags("one"), EVERYTHING, *tags("new")]
        await tree.stop()

    run(main, seed=seed)


def test_a_root_that_was_restored_may_have_lost_some_and_purges_everything(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        listener = Listener(site)
        await purge(root, "one")
        await tree.until(lambda: listener.heard)
        backup = await backed_up(root)
        tree.network.link("plant-a", root.peer_url).cut(reset=True)
        await purge(root, "lost")
        await restored(root, backup)
        await root.start()
        tree.network.link("plant-a", root.peer_url).restore()
        await tree.until(lambda: EVERYTHING in listener.heard)
        await tree.stop()

    run(main, seed=seed)


def test_it_does_not_wait_until_all_else_has_come(seed: int) -> None:
    namespace = msgspec.convert(
        {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "lines"}}, Namespace
    )

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud", batch_records=1)
        await tree.apply(root, namespace)
        await tree.until(lambda: root.running.desired.namespace("lines"))
        site = tree.add("plant-a", "site", root, bandwidth=RATE)
        await site.start(await tree.token(root, "plant-a"))
        await root.running.keyvalue.put("lines", "first", b"")
        await tree.until(lambda: held(site) == 1)
        listener = Listener(site)
        for n in range(KEYS):
            await root.running.store.submit(partial(put, f"k{n:02}", tree.random.token_bytes(VALUE_BYTES)))
        await tree.until(lambda: held(site) > 2)
        await purge(root, "urgent")
        await tree.until(lambda: listener.heard)
        assert held(site) < KEYS // 2
        await tree.stop()

    run(main, seed=seed)


def put(key: str, value: bytes, tx: Transaction) -> None:
    tx.kv_put("lines", key, value)


def held(site: SimNode) -> int:
    return len(site.running.store.kv_entries("lines", "", 1000))
