"""JSON Web Tokens that clients of the MQTT broker show in place of passwords (RFC 7519), signed by whoever the node's document
names. (Tokens between nodes are `littoral.security.tokens`.)
"""

import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, Unauthenticated
from littoral.core.resources.mqtt import MqttTokens

LEEWAY_S = 30
"""How far the clocks of whoever signs and of the node may differ."""
TOKEN_BYTES_MOST = 8 << 10
SECRET_BYTES_LEAST = 32
"""Of a key for HS256 (RFC 7518, section 3.2): whoever has one token can try keys at leisure."""

_OPERATION = "read token keys"
_Keys = ECKey | RSAKey | OKPKey | KeySet


class LoginTokens:
    """Says whose a token is."""

    def __init__(self, config: MqttTokens, keys: bytes, clock: Clock) -> None:
        """keys: what is in the file of them. Raises InvalidInput."""
        self._config = config
        self._clock = clock
        self._keys = _read_keys(keys, config.keys)
        self._rules = jwt.JWTClaimsRegistry(now=lambda: clock.wall_ms() // 1000, leeway=LEEWAY_S, **_claims(config))

    def replace_keys(self, keys: bytes) -> None:
        """Go by other keys from now on. Raises InvalidInput, and then changes nothing."""
        self._keys = _read_keys(keys, self._config.keys)

    def user_of(self, token: bytes) -> tuple[str, float]:
        """Whose it is, and for how long it is good from now on, in s. Raises Unauthenticated for one that is not good."""
        if len(token) > TOKEN_BYTES_MOST:
            raise Unauthenticated("accept token", "", f"it has {len(token)} bytes; {TOKEN_BYTES_MOST} are allowed")
        try:
            with warnings.catch_warnings():
                # That EdDSA is called Ed25519 now (RFC 9864): the document says which of both is taken.
                warnings.simplefilter("ignore", SecurityWarning)
                claims = jwt.decode(token, self._keys, algorithms=self._config.algorithms).claims
            self._rules.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            # What strangers send: the library lets some errors of what it decodes with through.
            raise Unauthenticated("accept token", "", str(error) or type(error).__name__) from error
        user = claims.get(self._config.user_claim)
        if not isinstance(user, str) or not user:
            raise Unauthenticated("accept token", "", f"its claim {self._config.user_claim} names no user")
        return user, float(claims["exp"]) + LEEWAY_S - self._clock.wall_ms() / 1000


def _claims(config: MqttTokens) -> dict[str, Any]:
    claims: dict[str, Any] = {"exp": {"essential": True}}
    if config.issuer is not None:
        claims["iss"] = {"essential": True, "value": config.issuer}
    if config.audience is not None:
        claims["aud"] = {"essential": True, "value": config.audience}
    return claims


def _read_keys(data: bytes, path: str) -> _Keys:
    try:
        with warnings.catch_warnings():
            # Of keys that are too short to keep anybody out.
            warnings.simplefilter("error", SecurityWarning)
            return _read_any(data)
    except (JoseError, SecurityWarning, ValueError, TypeError, KeyError) as error:
        remedy = "It is a JSON Web Key Set, or one public key in PEM"
        raise InvalidInput(_OPERATION, path, str(error) or type(error).__name__, remedy) from error


def _read_any(data: bytes) -> _Keys:
    if data.lstrip().startswith(b"-----"):
        return _read_pem(data)
    document = msgspec.json.decode(data, type=dict[str, Any])
    return _read_set(document if "keys" in document else {"keys": [document]})


def _read_pem(data: bytes) -> ECKey | RSAKey | OKPKey:
    key = load_pem_public_key(data)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return ECKey.import_key(data)
    if isinstance(key, rsa.RSAPublicKey):
        return RSAKey.import_key(data)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return OKPKey.import_key(data)
    raise ValueError(f"{type(key).__name__} signs no tokens")


def _read_set(document: Mapping[str, Any]) -> KeySet:
    found = KeySet.import_key_set({"keys": document["keys"]})
    for key in found.keys:
        if isinstance(key, OctKey) and len(key.raw_value) < SECRET_BYTES_LEAST:
            raise ValueError(f"a secret has {len(key.raw_value)} bytes; {SECRET_BYTES_LEAST} are the least")
    return found
