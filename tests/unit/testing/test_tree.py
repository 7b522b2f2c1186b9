"""A tree of real nodes in virtual time."""

import asyncio

from littoral.node.hub import Hub
from littoral.testing.loop import run
from littoral.testing.tree import SimTree


def test_a_paused_node_is_silent_and_goes_on_where_it_was():
    async def main() -> None:
        tree = SimTree(3)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        device = site.device("press")
        device.connect()
        await tree.until(lambda: "plant-a" in root.running.peers.connected)
        root.pause()
        await asyncio.sleep(60)
        uplink = site.running.uplink
        assert uplink is not None
        assert not uplink.state.connected
        assert "no answer within" in uplink.state.last_error
        points = root.disk.points
        await asyncio.sleep(600)
        assert root.disk.points == points
        root.resume()
        await tree.until(lambda: uplink.state.connected)
        site.pause()
        device.publish("factory/press", b"{}")
        await asyncio.sleep(60)
        assert device.unacknowledged == 1
        site.resume()
        await tree.until(lambda: device.unacknowledged == 0)
        await tree.stop()

    run(main)


def test_a_node_that_dies_while_it_is_paused_ends_and_starts_again():
    async def main() -> None:
        tree = SimTree(3)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        died: list[Hub] = [site.running]
        site.pause()
        await asyncio.sleep(60)
        site.cut_power()
        await asyncio.sleep(1)
        assert len(died[0]._tasks) == 0
        await site.start()
        await tree.until(lambda: "plant-a" in root.running.peers.connected)
        await tree.stop()

    run(main)
