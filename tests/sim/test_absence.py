"""Back after a long absence: a site that was alone for months, with a clock that went wrong and a certificate that has ended,
is in step again without an operator."""

import asyncio
from functools import partial

import pytest

from littoral.core.names import StreamName
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.stores import append
from tests.support.vertical import LINES

DAY_S = 86_400
DAYS = 100
"""A certificate lasts for 90."""
LOG = StreamName("plant-a", "log")


async def note(node: SimNode, record: bytes) -> None:
    await node.running.store.submit(append(LOG, record))


def value(node: SimNode, key: str) -> bytes | None:
    entry = node.running.store.kv_get("lines", key)
    return None if entry is None else entry.value


def has(node: SimNode, expected: bytes) -> bool:
    return value(node, "k") == expected


@pytest.mark.parametrize(
    "wrong_ms", [0, -1_200_000, 1_200_000, -110 * DAY_S * 1000], ids=["right", "slow", "fast", "months behind"]
)
def test_it_renews_by_its_key_and_syncs(seed: int, wrong_ms: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await tree.apply(root, LINES)
        await tree.until(lambda: site.running.desired.namespace("lines") is not None)
        await site.running.keyvalue.put("lines", "before", b"1")
        links = [tree.network.link("plant-a", url) for url in (root.peer_url, root.join_url)]
        for link in links:
            link.cut()
        site.clock.step(wrong_ms)
        for day in range(DAYS):
            # Days pass by the clocks; what runs every few seconds does not have to do so all the time.
            for node in (root, site):
                node.clock.step(DAY_S * 1000)
            await asyncio.sleep(10)
            await note(site, b"day %d" % day)
            await root.running.keyvalue.put("lines", "of the root", b"%d" % day)
        assert site.running.identity.expired(root.clock.wall_ms()), "by the clock that is right"
        for link in links:
            link.restore()
        await tree.until(lambda: site.renewals == 1)
        await tree.until(lambda: root.records("plant-a/log") == [b"day %d" % day for day in range(DAYS)])
        await tree.until(lambda: value(site, "of the root") == b"%d" % (DAYS - 1))
        await site.running.keyvalue.put("lines", "after", b"2")
        await tree.until(lambda: value(root, "after") == b"2")
        assert root.records("cloud/dead-letters") == site.records("plant-a/dead-letters") == []
        await tree.stop()

    run(main, seed=seed)


def test_a_clock_that_is_set_right_again_is_followed(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await tree.apply(root, LINES)
        await tree.until(lambda: site.running.desired.namespace("lines") is not None)
        for step_ms in (-3_600_000, 3_600_000):
            site.clock.step(step_ms)
            # The first write may be made before the node hears what time it is; the next is not.
            await note(site, b"x")
            await asyncio.sleep(60)
            assert abs(site.running.seams.clock.wall_ms() - root.clock.wall_ms()) < 1000
            await root.running.keyvalue.put("lines", "k", b"%d" % step_ms)
            await tree.until(partial(has, site, b"%d" % step_ms))
        await tree.stop()

    run(main, seed=seed)
