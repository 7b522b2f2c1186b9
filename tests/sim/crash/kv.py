"""Key-value written at both ends of a link."""

import msgspec

from littoral.core.kv import KvEntry
from littoral.core.resources import Namespace
from littoral.testing.crash import Crash
from littoral.testing.supervision import insist
from littoral.testing.tree import SimNode

LINES = msgspec.convert(
    {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "lines"}},
    Namespace,
)
ROUNDS = 5


async def kv(crash: Crash) -> None:
    """Both ends come to hold the same, and nothing that was acknowledged is lost to anything but a later write."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h")
    site = tree.add("plant-a", "site", root, status_interval="1h")
    supervisor = crash.supervise(tree)
    await supervisor.until(lambda: root.hub is not None)
    await insist(root, lambda hub: tree.apply(root, LINES))
    await supervisor.until(lambda: all(_knows(node) for node in (root, site)))
    crash.count_from_here()
    told: list[KvEntry] = []
    for n in range(ROUNDS):
        for node in (root, site):
            told.append(await _write(node, "both", b"%d at %s" % (n, node.name.encode())))
            told.append(await _write(node, f"{node.name}-{n % 2}", b"%d" % n if n != 3 else None))
    await supervisor.until(lambda: _tables_agree(root, site, {entry.key for entry in told}))
    table = _table(root)
    for entry in told:
        held = table[entry.key]
        assert (held.hlc, held.node) >= (entry.hlc, entry.node), f"{entry} was acknowledged, and {held} won"
        assert (held.hlc, held.node) != (entry.hlc, entry.node) or held == entry
    for node in (root, site):
        own = [entry.hlc for entry in told if entry.node == node.name]
        assert own == sorted(set(own)), f"the clock of {node.name} went back"
    # Each end's last writes to its own keys were answered, so they stay.
    assert {key: entry.value for key, entry in table.items() if key != "both"} == {
        f"{node.name}-{n % 2}": b"%d" % n if n != 3 else None for node in (root, site) for n in (ROUNDS - 2, ROUNDS - 1)
    }


async def _write(node: SimNode, key: str, value: bytes | None) -> KvEntry:
    if value is None:
        return await insist(node, lambda hub: hub.keyvalue.delete("lines", key))
    return await insist(node, lambda hub: hub.keyvalue.put("lines", key, value))


def _knows(node: SimNode) -> bool:
    return node.hub is not None and node.hub.desired.namespace("lines") is not None


def _table(node: SimNode) -> dict[str, KvEntry]:
    return {entry.key: entry for entry in node.running.store.kv_entries("lines", "", 100)}


def _tables_agree(root: SimNode, site: SimNode, keys: set[str]) -> bool:
    if root.hub is None or site.hub is None:
        return False
    table = _table(root)
    return table == _table(site) and keys <= table.keys() and _all_folded(root) and _all_folded(site)


def _all_folded(node: SimNode) -> bool:
    """Nothing is left that could change the table still."""
    store = node.running.store
    copies = [info for info in store.streams() if info.name.origin != node.name and info.name.path.startswith("kv")]
    return all(store.fold_offset("kv", info.name) == info.next for info in copies)
