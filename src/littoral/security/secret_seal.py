"""Sealing what only its readers are to see: under a key, or to a node.

    under a key   AES-256-GCM with a nonce of 12 random bytes, which stands before the ciphertext
    to a node     a key of one use, agreed between a fresh key pair and the node's public key (ECDH on P-256, HKDF-SHA256); its
                  public half (X9.62, uncompressed) stands before what is sealed under it
    a node's own  HKDF-SHA256 of its private key: what a node keeps sealed for itself, nothing but its identity opens

What a seal is about (whose it is, and what for) goes into it, so that one is not taken for another.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from littoral.core.errors import InvalidInput
from littoral.core.random import Random
from littoral.security.blob_seal import Unsealable
from littoral.security.keys import new_key

KEY_BYTES = 32
_NONCE_BYTES = 12
_POINT_BYTES = 65


def seal(key: bytes, plain: bytes, about: bytes, random: Random) -> bytes:
    """`plain` under a key of KEY_BYTES."""
    nonce = random.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def unseal(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """What `seal` was given. Raises Unsealable for another key, another `about`, or what was changed."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
    except (InvalidTag, ValueError):
        raise Unsealable from None


def own_key(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key under which a node keeps things for itself."""
    der = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"littoral own secrets").derive(der)


def seal_to(public_key: bytes, plain: bytes, about: bytes, random: Random) -> bytes:
    """`plain` for the owner of a public key (DER, on P-256) alone. Raises InvalidInput for what is no such key."""
    theirs = load_der_public_key(public_key)
    if not isinstance(theirs, ec.EllipticCurvePublicKey) or not isinstance(theirs.curve, ec.SECP256R1):
        raise InvalidInput("seal", "secret", "the node's key is not on P-256")
    once = new_key(random)
    point = once.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point + seal(_agreed(once, theirs, point), plain, about, random)


def unseal_with(private_key: ec.EllipticCurvePrivateKey, sealed: bytes, about: bytes) -> bytes:
    """What `seal_to` was given. Raises Unsealable."""
    point = sealed[:_POINT_BYTES]
    try:
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise Unsealable from None
    return unseal(_agreed(private_key, theirs, point), sealed[_POINT_BYTES:], about)


def _agreed(private_key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, point: bytes) -> bytes:
    shared = private_key.exchange(ec.ECDH(), public_key)
    return HKDF(SHA256(), KEY_BYTES, salt=point, info=b"littoral sealed to a node").derive(shared)
