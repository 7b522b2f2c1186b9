import pytest

from littoral.security.blob_seal import Unsealable
from littoral.security.keys import new_key, public_der
from littoral.security.secret_seal import KEY_BYTES, own_key, seal, seal_to, unseal, unseal_with
from littoral.testing.random import SeededRandom

RANDOM = SeededRandom(1)
KEY = RANDOM.token_bytes(KEY_BYTES)


def test_what_is_sealed_is_opened_by_its_key_for_what_it_is_about():
    sealed = seal(KEY, b"value", b"secret shop TOKEN", RANDOM)
    assert b"value" not in sealed
    assert unseal(KEY, sealed, b"secret shop TOKEN") == b"value"
    assert seal(KEY, b"value", b"secret shop TOKEN", RANDOM) != sealed, "the same secret looks different each time"


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_what_is_cut_off_is_not_opened(length: int):
    with pytest.raises(Unsealable):
        unseal(KEY, seal(KEY, b"value", b"", RANDOM)[:length], b"")


def test_nothing_else_is_opened():
    sealed = seal(KEY, b"value", b"secret shop TOKEN", RANDOM)
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, data, about in (
        (RANDOM.token_bytes(KEY_BYTES), sealed, b"secret shop TOKEN"),
        (KEY, sealed, b"secret bank TOKEN"),
        (KEY, changed, b"secret shop TOKEN"),
    ):
        with pytest.raises(Unsealable):
            unseal(key, data, about)


def test_what_is_sealed_to_a_node_is_opened_by_that_node():
    mine, other = new_key(RANDOM), new_key(RANDOM)
    sealed = seal_to(public_der(mine.public_key()), b"value", b"about", RANDOM)
    assert b"value" not in sealed
    assert unseal_with(mine, sealed, b"about") == b"value"
    for key, data, about in ((other, sealed, b"about"), (mine, sealed, b"else"), (mine, b"\x04" + sealed, b"about")):
        with pytest.raises(Unsealable):
            unseal_with(key, data, about)
    with pytest.raises(Unsealable):
        unseal_with(mine, b"", b"about")


def test_a_nodes_own_key_follows_from_its_identity():
    mine = new_key(RANDOM)
    assert own_key(mine) == own_key(mine) != own_key(new_key(RANDOM))
    assert len(own_key(mine)) == KEY_BYTES
