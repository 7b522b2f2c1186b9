"""A node's identity on its disk."""

import pytest

from littoral.core.errors import InvalidInput, StartupError
from littoral.security.identity import (
    CA_PATH,
    CERTIFICATE_PATH,
    FACTS_PATH,
    KEY_PATH,
    Identity,
    NodeFacts,
    load_identity,
    load_or_create_key,
    save_identity,
)
from littoral.testing.disk import CutAt, PowerCut, SimDisk
from littoral.testing.random import SeededRandom
from tests.support.tree import Tree


def enrolled(tree: Tree, disk: SimDisk, node: str = "plant-a") -> Identity:
    identity = tree.identity(node, load_or_create_key(disk, tree.random))
    save_identity(disk, identity)
    return identity


def test_a_key_is_made_once_and_a_node_without_certificate_is_not_enrolled() -> None:
    disk = SimDisk(SeededRandom(1))
    key = load_or_create_key(disk, SeededRandom(1))
    assert load_or_create_key(disk, SeededRandom(2)).public_key == key.public_key
    assert load_identity(disk) is None


def test_what_was_saved_is_loaded() -> None:
    tree, disk = Tree(), SimDisk(SeededRandom(1))
    saved = enrolled(tree, disk)
    loaded = load_identity(disk)
    assert loaded is not None
    assert loaded.node == "plant-a"
    assert loaded.facts == saved.facts
    assert loaded.certificate_pem == saved.certificate_pem
    assert loaded.key.public_key == saved.key.public_key


def test_renewal_begins_with_the_last_third_and_an_expired_identity_still_loads() -> None:
    tree, disk = Tree(), SimDisk(SeededRandom(1))
    identity = enrolled(tree, disk)
    tree.clock.advance(days=59.9)
    assert not identity.needs_renewal(tree.clock.wall_ms())
    tree.clock.advance(days=0.2)
    assert identity.needs_renewal(tree.clock.wall_ms())
    assert not identity.expired(tree.clock.wall_ms())
    tree.clock.advance(days=60)
    assert identity.expired(tree.clock.wall_ms())
    assert load_identity(disk) is not None


def test_key_certificate_ca_and_name_must_belong_together() -> None:
    tree, other = Tree(1), Tree(2)
    identity = tree.identity("plant-a")
    certificate, ca, facts = identity.certificate_pem, identity.ca_pem, identity.facts
    with pytest.raises(InvalidInput, match="it was issued for another key"):
        Identity(tree.key(), certificate, ca, facts)
    with pytest.raises(InvalidInput, match="it was not signed by this tree's CA"):
        Identity(identity.key, certificate, other.authority.certificate_pem, facts)
    with pytest.raises(InvalidInput, match="it is of the node plant-a"):
        Identity(identity.key, certificate, ca, NodeFacts(node="plant-b"))


DAMAGE = {
    "key of another node": (KEY_PATH, Tree(9).key().pem, "it was issued for another key"),
    "key is garbage": (KEY_PATH, b"x", "it is no PEM of an unencrypted private key"),
    "certificate is garbage": (CERTIFICATE_PATH, b"x", "it is no PEM of a certificate"),
    "CA of another tree": (CA_PATH, Tree(9).authority.certificate_pem, "it was not signed by this tree's CA"),
    "facts are garbage": (FACTS_PATH, b"{", "Input data was truncated"),
    "no key": (KEY_PATH, None, "the file is missing, though identity/cert.pem is there"),
    "no CA": (CA_PATH, None, "the file is missing, though identity/cert.pem is there"),
}


@pytest.mark.parametrize(("path", "data", "cause"), DAMAGE.values(), ids=DAMAGE)
def test_damage_stops_the_node_with_a_reason(path: str, data: bytes | None, cause: str) -> None:
    tree, disk = Tree(), SimDisk(SeededRandom(1))
    enrolled(tree, disk)
    if data is None:
        disk.remove(path)
    else:
        disk.write(path, data)
    with pytest.raises(StartupError, match=cause) as raised:
        load_identity(disk)
    assert "littoral token create" in raised.value.remedy


@pytest.mark.parametrize("survival", ["lost", "kept", "seeded"])
def test_a_power_cut_while_a_node_joins_another_tree_leaves_one_identity_or_none(survival, seed) -> None:
    after = 0
    while True:
        after += 1
        disk = SimDisk(SeededRandom(seed))
        old = enrolled(Tree(1), disk)
        key = load_or_create_key(disk, SeededRandom(seed))
        new = Tree(2).identity("plant-b", key)
        disk.schedule_cut(CutAt(disk.points + after, survival=survival))
        try:
            save_identity(disk, new)
        except PowerCut:
            disk.power_on()
        else:
            break
        loaded = load_identity(disk)
        assert loaded is None or loaded.serial in (old.serial, new.serial)
        assert load_or_create_key(disk, SeededRandom(seed)).public_key == key.public_key
    assert after > 4, "the power was cut at every point"
