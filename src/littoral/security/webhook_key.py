"""The key with which a node signs its webhooks (Ed25519, RFC 8032), and the tokens it gives to those it wakes.

    identity/webhooks.pem    private key, PKCS #8; made at first need; secret

A token says which wake it is of, and carries a MAC over that under a key derived from the private one (RFC 5869). So no
token is stored, a wake that is sent again carries the same one, and a token that is genuine and of an earlier wake is
told from a forged one.
"""

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from littoral.core.disk import Disk
from littoral.core.errors import StartupError
from littoral.core.random import Random

KEY_PATH = "identity/webhooks.pem"
KID_CHARACTERS = 22
"""Of a thumbprint in base64url: 132 bits."""
_TOKEN_PURPOSE = b"littoral subscription tokens"


class WakeRef(NamedTuple):
    """Which wake a token is of."""

    subscription: str
    generation: int
    wake_id: str


class WebhookKey:
    """The key and what it is used for."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self._token_key = HKDF(SHA256(), 32, None, _TOKEN_PURPOSE).derive(raw)
        self._x = _text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        # RFC 7638 (JWK thumbprint) with the members of RFC 8037 section 2.
        canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{self._x}"}}'
        self.kid = f"ds_{_text(hashlib.sha256(canonical.encode()).digest())[:KID_CHARACTERS]}"
        """Names the key; stable as long as the key is."""

    @property
    def jwk(self) -> dict[str, str]:
        """The public key (RFC 7517, RFC 8037)."""
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "alg": "EdDSA", "x": self._x}

    def sign(self, data: bytes) -> str:
        """A signature, base64url without padding."""
        return _text(self._key.sign(data))

    def token(self, wake: WakeRef) -> str:
        """The bearer token of a wake. The same wake has the same token."""
        said = "\n".join((wake.subscription, str(wake.generation), wake.wake_id))
        mac = hmac.digest(self._token_key, said.encode(), "sha256")
        return f"{wake.generation}.{wake.wake_id}.{_text(mac)}"

    def wake_of(self, subscription: str, token: str) -> WakeRef | None:
        """Which wake of the subscription a token was given for; None for one that this node never gave. In a time that
        does not depend on how much of it is right."""
        generation, _, rest = token.partition(".")
        wake_id = rest.partition(".")[0]
        if not (generation.isascii() and generation.isdecimal() and len(generation) <= 18 and token.isascii()):
            return None
        wake = WakeRef(subscription, int(generation), wake_id)
        return wake if hmac.compare_digest(self.token(wake), token) else None


def load_or_create_webhook_key(disk: Disk, random: Random) -> WebhookKey:
    """The node's key; made and written, readable by its owner only, when there is none. Raises StartupError if the file
    is damaged, StorageError."""
    pem = disk.read(KEY_PATH)
    if pem is None:
        key = Ed25519PrivateKey.from_private_bytes(random.token_bytes(32))
        disk.write(KEY_PATH, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), secret=True)
        return WebhookKey(key)
    try:
        loaded = load_pem_private_key(pem, None)
    except (ValueError, TypeError, binascii.Error):
        loaded = None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise StartupError(
            "load the key of webhooks from",
            KEY_PATH,
            "it is no PEM of an Ed25519 key",
            "Restore it from a backup, or delete it: receivers then fetch the new one",
        )
    return WebhookKey(loaded)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
