"""A child that was away for longer than its parent keeps the streams comes back to snapshots."""

import asyncio
from functools import partial

import msgspec

from littoral.core.resources import Namespace
from littoral.fleet.desired import DESIRED, DesiredRecord, submit_desired
from littoral.node.hub import Hub
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.supervision import insist
from littoral.testing.tree import SimNode, SimTree
from tests.support.stores import name

KEYS = 12
PART_BYTES = 700
"""So that a snapshot takes several parts."""


def namespace(text: str) -> Namespace:
    return msgspec.convert({"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": text}}, Namespace)


async def bootstrap(crash: Crash) -> None:
    """What the parent holds is held by the child in the end: nothing of a half-taken snapshot shows, what was withdrawn
    meanwhile is gone, and what was written since comes by the stream."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h", limits={"stream_bytes": 600})
    site = tree.add("plant-a", "site", root, status_interval="1h", limits={"read_bytes": PART_BYTES})
    supervisor = crash.supervise(tree)
    await supervisor.until(lambda: root.hub is not None)
    await insist(root, lambda hub: tree.apply(root, namespace("lines"), namespace("withdrawn")))
    await insist(root, lambda hub: hub.keyvalue.put("lines", "k00", b"old"))
    await supervisor.until(lambda: _value(site, "k00") == b"old" and _wanted(site) == {"lines", "withdrawn"})
    await _go_on_without(tree, root, site)
    before = _bootstraps(site)
    crash.count_from_here()
    tree.network.link("plant-a", root.peer_url).restore()
    for n in range(4):
        await insist(root, partial(_write, f"late{n}"))
    await supervisor.until(lambda: _same(root, site))
    await insist(root, partial(_write, "last"))
    await supervisor.until(lambda: _value(site, "last") is not None and _same(root, site))
    if crash.cut is None:
        assert _bootstraps(site) >= before + 2, "nothing was begun from a snapshot: the workload does not do its work"
    assert _wanted(site) == {"lines", *(f"n{n}" for n in range(6))}
    assert _value(site, "k00") == b"new" * 20
    assert site.running.store.state("desired-arriving") == {}
    assert site.records("plant-a/dead-letters") == []
    for stream in ("cloud/kv/lines", f"cloud/{DESIRED}"):
        theirs, ours = (node.running.store.stream(name(stream)) for node in (root, site))
        assert theirs is not None
        assert ours is not None
        assert (ours.next, ours.chain) == (theirs.next, theirs.chain), stream


async def _go_on_without(tree: SimTree, root: SimNode, site: SimNode) -> None:
    """Cut the child off, and write at the parent until the beginning of what it missed is gone."""
    tree.network.link("plant-a", root.peer_url).cut()
    had = {info.name: info.next for info in site.running.store.streams()}
    withdrawn = DesiredRecord("Namespace", "withdrawn", "", None)
    await root.running.store.submit(lambda tx: submit_desired(tx, [withdrawn]))
    for n in range(6):
        await tree.apply(root, namespace(f"n{n}"))
    for n in range(KEYS):
        await root.running.store.submit(partial(_put, n))
    await tree.until(lambda: len(root.running.desired.wanted) == 7)
    await asyncio.sleep(5)
    for stream in (name("cloud/kv/lines"), name(f"cloud/{DESIRED}")):
        info = root.running.store.stream(stream)
        assert info is not None
        assert info.first > had[stream], f"{stream} is still there from {info.first} on"


async def _write(key: str, hub: Hub) -> None:
    await hub.keyvalue.put("lines", key, b"by the stream")


def _put(n: int, tx: Transaction) -> None:
    tx.kv_put("lines", f"k{n:02}", b"new" * 20)


def _wanted(node: SimNode) -> set[str]:
    return {key.partition("/")[2] for key in node.hub.desired.wanted} if node.hub is not None else set()


def _value(node: SimNode, key: str) -> bytes | None:
    entry = node.hub.store.kv_get("lines", key) if node.hub is not None else None
    return entry.value if entry is not None else None


def _bootstraps(node: SimNode) -> int:
    uplink = node.running.uplink
    assert uplink is not None
    return uplink.state.bootstraps


def _same(root: SimNode, site: SimNode) -> bool:
    if root.hub is None or site.hub is None:
        return False
    tables = [node.running.store.kv_entries("lines", "", 100) for node in (root, site)]
    return tables[0] == tables[1] and _wanted(root) == _wanted(site)
