"""Blocks of blobs: what was changed, moved or written under another key is recognised."""

import pytest

from littoral.security.blob_seal import TAG_BYTES, EncryptedSeal, PlainSeal, Seal, Unsealable

SALT, DIGEST, KEY = b"s" * 16, b"d" * 32, b"k" * 32
OTHER = b"o"
SEALS: list[Seal] = [PlainSeal(SALT, DIGEST), EncryptedSeal(KEY, SALT, DIGEST)]


@pytest.mark.parametrize("seal", SEALS)
@pytest.mark.parametrize("block", [b"", b"x", b"block" * 1000])
def test_a_block_comes_back(seal: Seal, block: bytes):
    sealed = seal.seal(7, block)
    assert len(sealed) == len(block) + TAG_BYTES
    assert seal.unseal(7, sealed) == block


@pytest.mark.parametrize("seal", SEALS)
def test_any_bit_any_place_and_any_length_counts(seal: Seal):
    sealed = seal.seal(7, b"block")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(Unsealable):
            seal.unseal(7, bytes(changed))
    for number, wrong in ((8, sealed), (7, sealed[:-1]), (7, sealed + b"x"), (7, b"short"), (7, b"")):
        with pytest.raises(Unsealable):
            seal.unseal(number, wrong)


@pytest.mark.parametrize(
    ("seal", "others"),
    [
        (SEALS[0], [PlainSeal(OTHER * 16, DIGEST), PlainSeal(SALT, OTHER * 32)]),
        (SEALS[1], [EncryptedSeal(OTHER * 32, SALT, DIGEST), EncryptedSeal(KEY, OTHER * 16, DIGEST),
                    EncryptedSeal(KEY, SALT, OTHER * 32)]),
    ],
)  # fmt: skip
def test_another_file_or_key_does_not_do(seal: Seal, others: list[Seal]):
    for other in others:
        with pytest.raises(Unsealable):
            other.unseal(7, seal.seal(7, b"block"))


def test_what_is_encrypted_shows_nothing():
    block = b"a reading " * 100
    sealed = SEALS[1].seal(0, block)
    assert b"reading" not in sealed
    assert SEALS[1].seal(1, block)[:10] != sealed[:10]
