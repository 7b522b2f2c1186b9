"""The key that a node's store is encrypted with."""

import base64
import binascii
import re

from littoral.core.errors import InvalidInput

KEY_BYTES = 32
_HEX = re.compile(rb"[0-9a-fA-F]{64}")
_FORMS = (
    f"The key is {KEY_BYTES} bytes, as 64 hexadecimal digits or in base64: `openssl rand -hex {KEY_BYTES}` makes one"
)


class StoreKey:
    """32 bytes that nobody prints by mistake."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == KEY_BYTES
        self._secret = secret

    def __repr__(self) -> str:
        return "StoreKey(...)"

    def reveal(self) -> str:
        """As hexadecimal digits: for SQLite, and for nothing else."""
        return self._secret.hex()


def parse_key(text: bytes, source: str) -> StoreKey:
    """The key in what a file, a variable or a command holds, with or without blanks around it; source: which that is.

    Raises InvalidInput, which does not repeat what was there.
    """
    stripped = text.strip()
    if _HEX.fullmatch(stripped):
        return StoreKey(bytes.fromhex(stripped.decode("ascii")))
    try:
        secret = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise InvalidInput("read the store's key from", source, "what is there is no key", _FORMS)
    return StoreKey(secret)
