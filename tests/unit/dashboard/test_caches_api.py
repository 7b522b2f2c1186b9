"""The caches of this node and of one below, through the operator API of this one."""

from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import Forbidden, InvalidInput
from littoral.dashboard.caches_api import CachesApi
from littoral.dashboard.hub_api import HubApi
from littoral.node.cache_api import PurgeOrder
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.direct import Direct


def play(story: Callable[[SimTree, SimNode, SimNode, CachesApi], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        hub = HubApi(Direct(root), "http://cloud", lambda: root.running.operator_token)
        await story(tree, root, site, CachesApi(hub, "cloud"))
        await tree.stop()

    run(main, seed=seed)


def test_what_is_purged_here_goes_down_and_one_below_is_asked_itself(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode, caches: CachesApi) -> None:
        assert (await caches.purge("cloud", PurgeOrder(tag="page", soft=True))).number == 0
        await tree.until(lambda: len(site.records("plant-a/purges")) == 1)
        for node in ("cloud", "plant-a"):
            assert (await caches.top(node, 5)).objects == []
        # Unless its document says so, one below lets itself be read and not changed.
        with pytest.raises(Forbidden, match=r"spec\.parent\.requests"):
            await caches.purge("plant-a", PurgeOrder(all=True))
        with pytest.raises(InvalidInput, match="no spaces"):
            await caches.purge("cloud", PurgeOrder(tag="a b"))

    play(story, seed)
