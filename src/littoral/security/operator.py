"""The operator's token: whoever can read it in the node's data directory may operate the node."""

import base64
import hmac

from littoral.core.disk import Disk
from littoral.core.errors import StartupError
from littoral.core.random import Random
from littoral.security.bearer import bearer

TOKEN_PATH = "identity/operator.token"
TOKEN_BYTES = 32


def load_or_create_operator_token(disk: Disk, random: Random) -> str:
    """The node's token; made and written, readable by its owner only, when there is none.

    Raises: StartupError if the file holds something else.
    """
    stored = disk.read(TOKEN_PATH)
    if stored is None:
        token = base64.urlsafe_b64encode(random.token_bytes(TOKEN_BYTES)).rstrip(b"=").decode()
        disk.write(TOKEN_PATH, token.encode() + b"\n", secret=True)
        return token
    text = stored.strip()
    if len(text) < TOKEN_BYTES or not text.isascii():
        raise StartupError("load the operator's token from", TOKEN_PATH, "it is too short to be one", "Delete the file")
    return text.decode()


def is_operator(authorization: str | None, token: str) -> bool:
    """Whether a request's `Authorization` header carries the operator's token (RFC 6750); in constant time."""
    return hmac.compare_digest(bearer(authorization).encode(), token.encode())
