"""Keys of nodes and of the CA: ECDSA on P-256, with SHA-256 (FIPS 186-5)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from littoral.core.errors import InvalidInput
from littoral.core.random import Random

_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
"""Of P-256's base point: a private key is a number from 1 to one less."""


def new_key(random: Random) -> ec.EllipticCurvePrivateKey:
    """A private key. Drawn with 128 bits to spare, so that the remainder is not biased (FIPS 186-5, A.2.1)."""
    return ec.derive_private_key(int.from_bytes(random.token_bytes(48)) % (_ORDER - 1) + 1, ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: the file that holds it is its owner's only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises InvalidInput for what is no private key on P-256."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise InvalidInput("read private key", "", "it is no PEM of an unencrypted private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("read private key", "", "it is not a key on P-256")
    return key


def public_der(key: object) -> bytes:
    """A public key as SubjectPublicKeyInfo, DER: how registries hold keys. Raises InvalidInput if not on P-256."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("use public key", "", "it is not a key on P-256")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """An ECDSA signature, DER. Deterministic (RFC 6979): no randomness to get wrong, and a simulation repeats exactly."""
    return key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


def signature_fits(public_key: bytes, data: bytes, signature: bytes) -> bool:
    """Whether the owner of `public_key` (DER, from our registry) signed `data`."""
    key = load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
