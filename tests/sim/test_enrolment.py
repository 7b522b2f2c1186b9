"""Enrolment between real nodes: a token lets one node in, once, whatever dies meanwhile."""

import pytest

from littoral.core.errors import Conflict
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.peer import Member


@pytest.mark.parametrize("end", [None, "kill", "cut_power"])
def test_a_token_that_was_used_lets_nobody_else_in(end: str | None, seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        token = await tree.token(root, "plant-a")
        site = tree.add("plant-a", "site", root)
        await site.start(token)
        if end is not None:
            getattr(root, end)()
            await root.start()
        thief = SimNode(tree, site.config, tree.random.fork("thief"))
        with pytest.raises(Conflict, match="it was used already; a token lets one node in once"):
            await thief.start(token)
        await tree.until(lambda: root.records("plant-a/status"))
        await tree.stop()

    run(main, seed=seed)


def test_a_node_whose_answer_was_lost_shows_its_token_again(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        token = await tree.token(root, "plant-a")
        site = tree.add("plant-a", "site", root)
        await site.start(token)
        site.cut_power()
        site.disk.power_on()
        lost = [path for path in site.disk.paths() if path.startswith("identity/") and "key" not in path]
        assert lost
        for path in lost:
            site.disk.remove(path)
        await site.start(token)
        await tree.until(lambda: root.records("plant-a/status"))
        await tree.stop()

    run(main, seed=seed)


def test_a_child_speaks_only_for_nodes_that_enrolled_below_it(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        await tree.start_child("plant-a", "site", region)
        await tree.start_child("plant-b", "site", root)
        registry = root.running.registry
        claimed = [Member(name, "site", {}) for name in ("plant-a", "plant-b", "cloud", "made-up")]
        await registry.greet("eu", claimed)
        members = {member.node for member in registry.members(Member("cloud", "cloud", {}))[1:]}
        assert "plant-a" in members
        assert not members & {"cloud", "made-up"}
        assert [registry.may_write("eu", name) for name in ("eu", "plant-a", "plant-b", "cloud")] == [
            True,
            True,
            False,
            False,
        ]
        await tree.stop()

    run(main, seed=seed)
