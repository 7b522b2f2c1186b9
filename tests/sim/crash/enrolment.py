"""A node joins below a region, and the root signs."""

import msgspec
import pytest

from littoral.core.errors import Conflict
from littoral.security.identity import load_identity
from littoral.security.join import JoinTokenRecord
from littoral.testing.crash import Crash
from littoral.testing.random import SeededRandom
from littoral.testing.tree import SimNode

_decode = msgspec.msgpack.Decoder(JoinTokenRecord).decode


async def enrolment(crash: Crash) -> None:
    """Whoever dies, the node gets in with the token it was given, is one node to everybody, and nobody else gets in."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None)
    region = tree.add("eu", "region", root)
    site = tree.add("plant-a", "site", region)
    nodes = (root, region, site)
    supervisor = crash.supervise(tree)
    await supervisor.until(supervisor.connected)
    # The parents knew the node before it knew them: all of it is on their disks.
    for node in nodes:
        identity = load_identity(node.disk)
        assert identity is not None
        assert identity.certificate_pem == node.running.identity.certificate_pem
        assert identity.ca_pem == root.running.identity.ca_pem, node.name
    for parent, child in ((root, region), (region, site)):
        known = parent.running.registry.child(child.name)
        assert known is not None
        assert known.public_key == child.running.identity.key.public_key
        assert parent.running.registry.may_write(child.name, child.name)
        # An operator who was not answered has made another, which nobody used.
        tokens = parent.running.store.state("join-tokens").values()
        used = [token.used_by for token in map(_decode, tokens) if token.used_by is not None]
        assert used == [known.public_key]
        with pytest.raises(Conflict, match="was used already"):
            await _thief(child, supervisor.tokens[child.name])
    await supervisor.until(lambda: root.records("plant-a/status"))


async def _thief(victim: SimNode, token: str) -> None:
    """Somebody else who has got hold of the token."""
    thief = SimNode(victim.tree, victim.config, SeededRandom(f"thief of {victim.name}"))
    await thief.start(token)
