"""How blocks of a blob lie on the disk: each with a tag of 16 bytes, by which a block that is not what was written, or is
not where it was written, is recognised; and, where the node's store is encrypted, as ciphertext.

    plain      the block, then BLAKE2b-128 over it, keyed with digest and salt, for the place of the block
    encrypted  AES-256-GCM under a key of the file's own: HKDF-SHA256 of the node's blob key, with the file's salt and the
               blob's digest; the nonce is the number of the block

No block is written twice under one key with different content: a file holds one blob, and begins with a salt that was
drawn for it. So blocks can be read, and a file that was interrupted be gone on with, anywhere.
"""

import hashlib
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BLOB_KEY_BYTES = 32
SALT_BYTES = 16
TAG_BYTES = 16
_NONCE_BYTES = 12
_PLACE_BYTES = 16


class Unsealable(Exception):
    """A block is not what was written there, or was written under another key."""


class Seal(Protocol):
    """Of one file."""

    def seal(self, number: int, block: bytes) -> bytes:
        """What is written of the block with this number: TAG_BYTES more."""
        ...

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """The block. Raises Unsealable."""
        ...


class PlainSeal:
    """Of a blob that is not encrypted."""

    def __init__(self, salt: bytes, digest: bytes) -> None:
        self._key = digest + salt

    def seal(self, number: int, block: bytes) -> bytes:
        return block + self._tag(number, block)

    def unseal(self, number: int, sealed: bytes) -> bytes:
        block = sealed[:-TAG_BYTES]
        if self._tag(number, block) != sealed[-TAG_BYTES:]:
            raise Unsealable
        return block

    def _tag(self, number: int, block: bytes) -> bytes:
        place = number.to_bytes(_PLACE_BYTES, "big")
        return hashlib.blake2b(block, digest_size=TAG_BYTES, key=self._key, person=place).digest()


class EncryptedSeal:
    """Of a blob of a node whose store is encrypted."""

    def __init__(self, blob_key: bytes, salt: bytes, digest: bytes) -> None:
        key = HKDF(SHA256(), 32, salt=salt, info=b"littoral blob " + digest).derive(blob_key)
        self._cipher = AESGCM(key)

    def seal(self, number: int, block: bytes) -> bytes:
        return self._cipher.encrypt(_nonce(number), block, None)

    def unseal(self, number: int, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(number), sealed, None)
        except InvalidTag:
            raise Unsealable from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")
