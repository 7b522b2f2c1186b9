"""A parent of many children restarts: they come back, and not all at once."""

import asyncio
from collections import Counter

from littoral.core.names import StreamName
from littoral.node.status import STATUS
from littoral.testing.loop import run
from littoral.testing.net_connection import Traffic
from littoral.testing.tree import SimTree
from littoral.wire import peer

CHILDREN = 50
A_SECOND = 5
"""The limit hellos-a-second of the parent."""
MOST = 3 * A_SECOND
"""In any second. What is drawn by chance is not even; all at once would be 50."""
DOWN_S = 3.0
REPORTING = 12


def test_the_more_children_a_parent_has_the_less_often_each_reports_its_status(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud", hellos_a_second=1)
        for number in range(REPORTING):
            await tree.start_child(f"plant-{number:02d}", "site", root)
        await tree.until(lambda: len(root.running.peers.connected) == REPORTING)
        await asyncio.sleep(60)  # Those that came first were told of few others, and come again.
        root.kill()
        await root.start()
        await tree.until(lambda: len(root.running.peers.connected) == REPORTING)
        await asyncio.sleep(2 * REPORTING)
        status = StreamName("plant-00", STATUS)
        info = root.running.store.stream(status)
        assert info is not None
        before = info.next
        await asyncio.sleep(10 * REPORTING)
        info = root.running.store.stream(status)
        assert info is not None
        assert 9 <= info.next - before <= 11, "every 12 s, and not every 5"
        await tree.stop()

    run(main, seed=seed)


def test_children_of_a_parent_that_restarts_spread_over_as_long_as_it_asked(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud", hellos_a_second=A_SECOND)
        for number in range(CHILDREN):
            await tree.start_child(f"plant-{number:02d}", "site", root)
        names = {name for name in tree.nodes if name != "cloud"}
        await tree.until(lambda: set(root.running.peers.connected) == names)
        # Those that came first were told of few others.
        root.kill()
        await root.start()
        await tree.until(lambda: set(root.running.peers.connected) == names)

        hellos: list[float] = []

        def observe(traffic: Traffic) -> None:
            if traffic.path == peer.HELLO and traffic.event == "requests":
                hellos.append(traffic.at_s)

        tree.network.observe = observe
        root.kill()
        await asyncio.sleep(DOWN_S)
        await root.start()
        up_s = asyncio.get_running_loop().time()
        await tree.until(lambda: set(root.running.peers.connected) == names)
        a_second = Counter(int(at_s - up_s) for at_s in hellos if at_s >= up_s)
        assert sum(a_second.values()) >= CHILDREN // 2, "most come when it is up again"
        assert max(a_second.values()) <= MOST, sorted(a_second.items())
        assert asyncio.get_running_loop().time() - up_s < 4 * CHILDREN / A_SECOND
        await tree.stop()

    run(main, seed=seed)
