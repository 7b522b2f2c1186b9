"""While much comes down, what steers the node comes first."""

import asyncio
from functools import partial

import msgspec
import pytest

from littoral.core.resources import Namespace
from littoral.core.resources.model import Bandwidth
from littoral.store.transaction import Transaction
from littoral.streams.follower import SILENCE_S
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.asking import call
from tests.support.neighbours import uplink_of

KEYS = 64
VALUE_BYTES = 60_000
RATE = Bandwidth(rate="64KiB")
"""So that all values take about a minute."""


def namespace(text: str) -> Namespace:
    return msgspec.convert({"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": text}}, Namespace)


async def write(root: SimNode, tree: SimTree) -> None:
    def put(key: str, tx: Transaction) -> None:
        tx.kv_put("lines", key, tree.random.token_bytes(VALUE_BYTES))

    for n in range(KEYS):
        await root.running.store.submit(partial(put, f"k{n:02}"))


def held(site: SimNode) -> int:
    return len(site.running.store.kv_entries("lines", "", 1000))


def allow(site: SimNode) -> None:
    spec = site.config.spec
    assert spec.parent is not None
    parent = msgspec.structs.replace(spec.parent, requests="all")
    site.config = msgspec.structs.replace(site.config, spec=msgspec.structs.replace(spec, parent=parent))


@pytest.mark.parametrize("way", ["snapshot", "frames"])
def test_what_is_desired_and_asked_does_not_wait_until_all_else_has_come(way: str, seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud", batch_records=1)
        await tree.apply(root, namespace("lines"))
        await tree.until(lambda: root.running.desired.namespace("lines"))
        site = tree.add("plant-a", "site", root, bandwidth=RATE)
        allow(site)
        if way == "snapshot":
            await write(root, tree)
        await root.running.keyvalue.put("lines", "first", b"")
        await site.start(await tree.token(root, "plant-a"))
        if way == "frames":
            await tree.until(lambda: held(site) == 1)
            await write(root, tree)
        await tree.until(lambda: held(site) > 4)
        began_s = asyncio.get_running_loop().time()
        await tree.apply(root, namespace("wanted"))
        await tree.until(lambda: site.running.desired.namespace("wanted"))
        assert held(site) < KEYS // 2
        answer = await call(root, "GET", "/v1/nodes/plant-a/api/v1/status")
        assert answer.status == 200
        assert held(site) < KEYS // 2
        await tree.until(lambda: held(site) == KEYS + 1)
        assert asyncio.get_running_loop().time() - began_s > 2 * SILENCE_S, "it was too little"
        state = uplink_of(site).state
        assert state.sessions == 1
        assert (state.snapshot_chunks > KEYS // 2) == (way == "snapshot")
        await tree.stop()

    run(main, seed=seed)
