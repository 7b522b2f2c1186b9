"""What a child's gateways have to know of purges before they take an answer of the parent's: it is told by the child's hub."""

from collections.abc import Sequence

from littoral.gateway.cache.purge import Purge
from littoral.node.purge_messages import BeforeParent
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.relay import PurgesKnown


def known_at(node: SimNode) -> PurgesKnown:
    """Up to where the gateways of a node know its purges."""
    until = node.running.purges.since(None).until
    return PurgesKnown(until.log, until.next)


def before_parent(node: SimNode) -> BeforeParent:
    told = node.running.purges.since(None).before_parent
    assert told is not None
    return told


def values(purges: Sequence[Purge]) -> list[str]:
    return [purge.value or purge.kind for purge in purges]


async def purge(node: SimNode, tag: str) -> None:
    await node.running.purges.purge(Purge("tag", tag))


def test_a_child_knows_of_its_parents_purges_what_it_has_done_and_its_own_apart(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("eu-1", "site", region)
        assert root.running.purges.since(None).before_parent is None, "there is nobody to be asked"
        assert before_parent(site).known == PurgesKnown()
        await purge(root, "cloud's")
        await purge(region, "eu's")
        await purge(site, "eu-1's")
        await tree.until(lambda: known_at(site).next == 3 and known_at(region).next == 2)
        assert before_parent(region).known == known_at(root) != PurgesKnown()
        assert before_parent(site).known == known_at(region), "of the parent's own stream, whoever purged"
        assert values(before_parent(region).own) == ["eu's"]
        assert values(before_parent(site).own) == ["eu-1's"]
        assert before_parent(site).own[0].at_ms > 0
        await site.switch_off()
        await site.start()
        assert values(before_parent(site).own) == ["eu-1's"], "also after a restart"
        assert before_parent(site).known == known_at(region)
        await tree.stop()

    run(main, seed=seed)


def test_what_is_purged_in_doubt_is_the_nodes_own_and_of_now(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await purge(root, "one")
        await tree.until(lambda: known_at(site).next == 1)
        clock = site.running.seams.clock
        before_ms = clock.wall_ms()
        await site.running.store.submit(site.running._purge_fold.lost)
        (lost,) = before_parent(site).own
        assert (lost.kind, lost.node) == ("all", "plant-a")
        assert before_ms <= lost.at_ms <= clock.wall_ms() <= before_parent(site).now_ms
        await tree.stop()

    run(main, seed=seed)


def test_a_child_hears_where_the_relay_of_its_parent_is(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        root.running.peers.relay_port = 7443
        heard: list[int] = []
        site = await tree.start_child("plant-a", "site", root)
        subtree = site.running.subtree
        await tree.until(lambda: subtree.relay_port == 7443)
        subtree.relay_changed = lambda: heard.append(subtree.relay_port)
        root.running.peers.relay_port = 0
        site.running._subtree_changed("plant-a")
        await tree.until(lambda: heard)
        assert heard == [0]
        await tree.stop()

    run(main, seed=seed)
