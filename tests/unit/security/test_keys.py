"""Keys and signatures."""

from littoral.security.keys import new_key, public_der, sign, signature_fits
from littoral.testing.random import SeededRandom


def test_key_and_signature_follow_from_the_seed():
    key, same, other = (new_key(SeededRandom(seed)) for seed in (1, 1, 2))
    assert public_der(key.public_key()) == public_der(same.public_key()) != public_der(other.public_key())
    assert sign(key, b"data") == sign(same, b"data")
    assert signature_fits(public_der(key.public_key()), b"data", sign(key, b"data"))
    assert not signature_fits(public_der(other.public_key()), b"data", sign(key, b"data"))
    assert not signature_fits(public_der(key.public_key()), b"datum", sign(key, b"data"))
