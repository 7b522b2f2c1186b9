"""Passwords of devices, hashed with Argon2id (RFC 9106).

Form: `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$salt$hash`, the PHC string that other programs read and write, too. Hashes
made with scrypt (RFC 7914), `scrypt$N$r$p$salt$hash`, stay good. The parameters stand in a hash, so that they can be raised
without locking anybody out, and are bounded, so that a configuration cannot stop a node.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.core.random import Random

DEFAULT_KIB, DEFAULT_PASSES, DEFAULT_LANES = 19 << 10, 2, 1
"""19 MiB and some 50 ms, as OWASP recommends: what a node can afford for each login of a device."""
MOST_KIB, MOST_PASSES, MOST_LANES = 256 << 10, 16, 8
MOST_N, MOST_R, MOST_P = 1 << 17, 16, 4
PASSWORD_BYTES_MOST = 1024
SALT_BYTES = 16
HASH_BYTES = 32
_FORM = "it is not of the form $argon2id$v=19$m=KIB,t=PASSES,p=LANES$salt$hash"
_REMEDY = "`littoral mqtt hash` prints one"
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,9}),p=([0-9]{1,9})\$([A-Za-z0-9+/]{1,128})\$([A-Za-z0-9+/]{1,128})"
)
_Verify = Callable[[bytes], bool]


class _Scrypt(Struct, frozen=True):
    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes


def hash_password(password: str, random: Random) -> str:
    """The line to put into a configuration. Raises InvalidInput for an empty or huge password."""
    if not password or len(password.encode()) > PASSWORD_BYTES_MOST:
        raise InvalidInput("hash password", "", f"it has 1 to {PASSWORD_BYTES_MOST} bytes in UTF-8")
    argon2 = Argon2id(
        salt=random.token_bytes(SALT_BYTES),
        length=HASH_BYTES,
        iterations=DEFAULT_PASSES,
        lanes=DEFAULT_LANES,
        memory_cost=DEFAULT_KIB,
    )
    return argon2.derive_phc_encoded(password.encode())


def verify_password(password: str, password_hash: str) -> bool:
    """Whether `password` is the one; takes some 50 ms, and as long for a wrong one. Raises InvalidInput if
    `password_hash` is none.
    """
    verify = _parse(password_hash)
    shown = password.encode()
    return len(shown) <= PASSWORD_BYTES_MOST and verify(shown)


def check_password_hash(password_hash: str) -> None:
    """Raise InvalidInput if this is no hash, or asks for more work than is allowed: for use when a node starts."""
    _parse(password_hash)


def _parse(password_hash: str) -> _Verify:
    if not password_hash.startswith("scrypt$"):
        _check_argon2(password_hash)
        return lambda shown: _is_argon2(shown, password_hash)
    parsed = _parse_scrypt(password_hash)
    return lambda shown: hmac.compare_digest(_derive(shown, parsed), parsed.digest)


def _is_argon2(shown: bytes, password_hash: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(shown, password_hash)
    except InvalidKey:
        return False
    return True


def _check_argon2(password_hash: str) -> None:
    match = _ARGON2.fullmatch(password_hash)
    if match is None:
        raise InvalidInput("read password hash", "", _FORM, _REMEDY)
    try:
        salt, digest = (base64.b64decode(part + "=" * (-len(part) % 4), validate=True) for part in match.group(4, 5))
    except binascii.Error as error:
        raise InvalidInput("read password hash", "", _FORM, _REMEDY) from error
    kib, passes, lanes = (int(part) for part in match.group(1, 2, 3))
    if not (1 <= lanes <= MOST_LANES and 8 * lanes <= kib <= MOST_KIB and 1 <= passes <= MOST_PASSES):
        bounds = f"m 8 for each lane up to {MOST_KIB}, t up to {MOST_PASSES}, p up to {MOST_LANES}"
        raise InvalidInput("read password hash", "", f"its parameters are out of bounds: {bounds} are allowed")
    _check_lengths(salt, digest)


def _check_lengths(salt: bytes, digest: bytes) -> None:
    if not (8 <= len(salt) <= 64 and 16 <= len(digest) <= 64):
        raise InvalidInput("read password hash", "", "its salt has 8 to 64 bytes, its hash 16 to 64")


def _derive(shown: bytes, parsed: _Scrypt) -> bytes:
    # OpenSSL needs a little more than the 128 * N * r bytes of the algorithm itself.
    memory = 128 * parsed.r * (parsed.n + parsed.p + 2) + (1 << 16)
    return hashlib.scrypt(
        shown,
        salt=parsed.salt,
        n=parsed.n,
        r=parsed.r,
        p=parsed.p,
        maxmem=memory,
        dklen=len(parsed.digest),
    )


def _parse_scrypt(password_hash: str) -> _Scrypt:
    parts = password_hash.split("$")
    try:
        _, n_text, r_text, p_text, salt_text, digest_text = parts
        if max(len(n_text), len(r_text), len(p_text)) > 9:
            raise ValueError(n_text)
        parsed = _Scrypt(int(n_text), int(r_text), int(p_text), _bytes(salt_text), _bytes(digest_text))
    except ValueError as error:
        raise InvalidInput("read password hash", "", "it is not of the form scrypt$N$r$p$salt$hash", _REMEDY) from error
    if not (
        2 <= parsed.n <= MOST_N and parsed.n.bit_count() == 1 and 1 <= parsed.r <= MOST_R and 1 <= parsed.p <= MOST_P
    ):
        bounds = f"N a power of 2 up to {MOST_N}, r up to {MOST_R}, p up to {MOST_P}"
        raise InvalidInput("read password hash", "", f"its parameters are out of bounds: {bounds} are allowed")
    _check_lengths(parsed.salt, parsed.digest)
    return parsed


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
