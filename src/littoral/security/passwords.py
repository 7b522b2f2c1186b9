"""Passwords of devices and people, hashed with scrypt (RFC 7914).

Form: `scrypt$N$r$p$salt$hash`, salt and hash base64url without padding. The parameters stand in it, so that they can
be raised without locking anybody out, and are bounded, so that a configuration cannot stop a node.
"""

import base64
import binascii
import hashlib
import hmac

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.core.random import Random

DEFAULT_N, DEFAULT_R, DEFAULT_P = 1 << 14, 8, 1
"""16 MiB and some 50 ms: what a node can afford for each login of a device."""
MOST_N, MOST_R, MOST_P = 1 << 17, 16, 4
PASSWORD_BYTES_MOST = 1024
SALT_BYTES = 16
HASH_BYTES = 32


class _Parsed(Struct, frozen=True):
    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes


def hash_password(password: str, random: Random) -> str:
    """The line to put into a configuration. Raises InvalidInput for an empty or huge password."""
    if not password or len(password.encode()) > PASSWORD_BYTES_MOST:
        raise InvalidInput("hash password", "", f"it has 1 to {PASSWORD_BYTES_MOST} bytes in UTF-8")
    salt = random.token_bytes(SALT_BYTES)
    digest = _derive(password, _Parsed(DEFAULT_N, DEFAULT_R, DEFAULT_P, salt, bytes(HASH_BYTES)))
    return f"scrypt${DEFAULT_N}${DEFAULT_R}${DEFAULT_P}${_text(salt)}${_text(digest)}"


def verify_password(password: str, password_hash: str) -> bool:
    """Whether `password` is the one; takes some 50 ms, and as long for a wrong one. Raises InvalidInput if
    `password_hash` is none.
    """
    parsed = _parse(password_hash)
    if len(password.encode()) > PASSWORD_BYTES_MOST:
        return False
    return hmac.compare_digest(_derive(password, parsed), parsed.digest)


def check_password_hash(password_hash: str) -> None:
    """Raise InvalidInput if this is no hash, or asks for more work than is allowed: for use when a node starts."""
    _parse(password_hash)


def _derive(password: str, parsed: _Parsed) -> bytes:
    # OpenSSL needs a little more than the 128 * N * r bytes of the algorithm itself.
    memory = 128 * parsed.r * (parsed.n + parsed.p + 2) + (1 << 16)
    return hashlib.scrypt(
        password.encode(),
        salt=parsed.salt,
        n=parsed.n,
        r=parsed.r,
        p=parsed.p,
        maxmem=memory,
        dklen=len(parsed.digest),
    )


def _parse(password_hash: str) -> _Parsed:
    parts = password_hash.split("$")
    try:
        name, n_text, r_text, p_text, salt_text, digest_text = parts
        if name != "scrypt" or max(len(n_text), len(r_text), len(p_text)) > 9:
            raise ValueError(name)
        parsed = _Parsed(int(n_text), int(r_text), int(p_text), _bytes(salt_text), _bytes(digest_text))
    except ValueError as error:
        raise InvalidInput(
            "read password hash", "", "it is not of the form scrypt$N$r$p$salt$hash", "`littoral mqtt hash` prints one"
        ) from error
    if not (
        2 <= parsed.n <= MOST_N and parsed.n.bit_count() == 1 and 1 <= parsed.r <= MOST_R and 1 <= parsed.p <= MOST_P
    ):
        bounds = f"N a power of 2 up to {MOST_N}, r up to {MOST_R}, p up to {MOST_P}"
        raise InvalidInput("read password hash", "", f"its parameters are out of bounds: {bounds} are allowed")
    if not (8 <= len(parsed.salt) <= 64 and 16 <= len(parsed.digest) <= 64):
        raise InvalidInput("read password hash", "", "its salt has 8 to 64 bytes, its hash 16 to 64")
    return parsed


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
