"""The tokens of public clients of streams.

A token is 32 random bytes in base64url. The node's document holds its SHA-256 only: nothing that could be tried out is
worth a slow hash here, and every request is checked.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

from littoral.core.errors import Unauthenticated
from littoral.core.random import Random
from littoral.core.resources.model import StreamClient
from littoral.security.bearer import bearer

TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class StreamToken(NamedTuple):
    """A new token, and what the node's document holds of it."""

    token: str
    hash: str


def make_stream_token(random: Random) -> StreamToken:
    """For `littoral stream token`."""
    token = _text(random.token_bytes(TOKEN_BYTES))
    return StreamToken(token, token_hash(token))


def token_hash(token: str) -> str:
    """sha256$ and the hash in base64url."""
    return f"sha256${_text(hashlib.sha256(token.encode()).digest())}"


class StreamClients:
    """The clients that a node knows."""

    def __init__(self, clients: Sequence[StreamClient]) -> None:
        self._clients = clients

    def client_of(self, authorization: str | None) -> str | None:
        """The name of the client whose token an `Authorization` header carries (RFC 6750), None without the header; in
        a time that depends on neither. Raises Unauthenticated for a token that is nobody's."""
        if authorization is None:
            return None
        token = bearer(authorization)
        shown = token_hash(token) if _TOKEN.fullmatch(token) else ""
        found: str | None = None
        for client in self._clients:
            if hmac.compare_digest(client.token_hash.encode(), shown.encode()):
                found = client.name
        if found is None:
            raise Unauthenticated(
                "call", "", "the bearer token is no client's of this node", "Ask its operator for one"
            )
        return found


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
