"""One reading's way from a device to the root, in virtual time, with kills and power cuts on the way."""

import msgspec
import pytest

from littoral.core.resources import Rule
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree

RULE = msgspec.convert(
    {
        "kind": "Rule",
        "apiVersion": "littoral/v1",
        "metadata": {"name": "temperature"},
        "spec": {
            "placement": {"tiers": ["site"]},
            "source": {"mqtt": {"topic": "factory/+/temperature"}},
            "value": {"path": "value"},
            "timestamp": {"path": "ts", "unit": "s"},
            "sequence": {"path": "n"},
            "window": {"tumbling": "10s", "allowedLateness": "5s"},
            "windows": [{"stream": {"name": "windows"}}],
        },
    },
    Rule,
)
READINGS = 60
WINDOWS = 5
"""Readings are a second apart from 0 to 59: the windows that end at 10, 20, ... 50 are followed by a reading 5 s later."""


async def small_tree(seed: int) -> tuple[SimTree, SimNode, SimNode]:
    tree = SimTree(seed)
    root = await tree.start_root("cloud")
    region = await tree.start_child("eu", "region", root)
    site = await tree.start_child("plant-a", "site", region)
    await tree.apply(root, RULE)
    await tree.until(lambda: "temperature" in site.running.rules.runners)
    return tree, root, site


def publish(device, first: int, last: int) -> None:
    for n in range(first, last):
        payload = msgspec.json.encode({"n": n, "ts": n, "value": float(n)})
        device.publish("factory/press/temperature", payload)


def windows_at(root: SimNode) -> list[tuple[int, int]]:
    rows = [msgspec.json.decode(record) for record in root.records("plant-a/windows")]
    return [(row["start"] // 1000, row["count"]) for row in rows]


EXPECTED = [(start, 10) for start in range(0, 50, 10)]


def test_a_reading_reaches_the_root(seed: int) -> None:
    async def main() -> None:
        tree, root, site = await small_tree(seed)
        device = site.device("press")
        device.connect()
        publish(device, 0, READINGS)
        await tree.until(lambda: len(windows_at(root)) >= WINDOWS)
        assert windows_at(root) == EXPECTED
        assert device.unacknowledged == 0
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("end", ["kill", "cut_power"])
@pytest.mark.parametrize("victim", ["plant-a", "eu", "cloud"])
def test_killing_any_node_loses_and_repeats_nothing(victim: str, end: str, seed: int) -> None:
    async def main() -> None:
        tree, root, site = await small_tree(seed)
        device = site.device("press")
        for first in range(0, READINGS, 6):
            device.connect()
            publish(device, first, first + 6)
            node = tree.nodes[victim]
            getattr(node, end)()
            await node.start()
            device.connect()
            await tree.until(lambda: device.unacknowledged == 0)
        await tree.until(lambda: len(windows_at(root)) >= WINDOWS)
        assert windows_at(root) == EXPECTED
        await tree.stop()

    run(main, seed=seed)
