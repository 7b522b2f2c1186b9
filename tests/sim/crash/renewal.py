"""Certificates come into the last third of their lives, and are renewed."""

import asyncio

from littoral.security.ca import CertificateAuthority
from littoral.security.identity import load_identity
from littoral.testing.crash import Crash
from littoral.testing.tree import SimNode

DAYS_MS = 24 * 3_600_000
TWO_THIRDS_MS = 61 * DAYS_MS
"""Of a certificate's 90 days, and a little more."""


async def renewal(crash: Crash) -> None:
    """A node always has one identity that works, the old or the new: it starts with it, and its neighbours know it."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h")
    region = tree.add("eu", "region", root, status_interval="1h")
    site = tree.add("plant-a", "site", region, status_interval="1h")
    nodes = (root, region, site)
    supervisor = crash.supervise(tree)
    await supervisor.until(supervisor.connected)
    first = {node.name: node.running.identity for node in nodes}
    authority = CertificateAuthority.load(root.disk)
    assert authority is not None
    crash.count_from_here()
    serials: dict[str, set[str]] = {node.name: set() for node in nodes}
    for _ in range(2):
        for node in nodes:
            serials[node.name].add(node.running.identity.serial)
            node.clock.step(TWO_THIRDS_MS)
        await supervisor.until(lambda: supervisor.connected() and all(map(_renewed, nodes)))
        await asyncio.sleep(1)
        await supervisor.until(lambda: supervisor.connected() and all(map(_renewed, nodes)))
    for node in nodes:
        identity, before = load_identity(node.disk), first[node.name]
        assert identity is not None
        assert identity.certificate_pem == node.running.identity.certificate_pem
        assert (identity.key.public_key, identity.facts) == (before.key.public_key, before.facts), "renewal keeps them"
        assert identity.ca_pem == authority.certificate_pem
        assert identity.serial not in serials[node.name]
    for parent, child in ((root, region), (region, site)):
        known = parent.running.registry.child(child.name)
        assert known is not None
        assert known.public_key == child.running.identity.key.public_key


def _renewed(node: SimNode) -> bool:
    hub = node.hub
    return hub is not None and not hub.identity.needs_renewal(node.clock.wall_ms())
