"""Join tokens: how an operator lets one node into the tree, once.

Printed form: `lt1.` and, base64url without padding, msgpack [node, parent, join_url, ca_fingerprint, secret]. Who
holds it can verify the parent (by the CA's fingerprint) and be verified by it (by the secret). The parent keeps a
SHA-256 of the secret only, so its store and backups let nobody in.

A token is used once: with the first key that shows it. The same key may show it again until it expires, because the
answer to the first time may have been lost on the way.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from littoral.core.errors import Conflict, Forbidden, InvalidInput, Unauthenticated
from littoral.core.names import check_node_name
from littoral.core.random import Random
from littoral.core.undecodable import UNDECODABLE
from littoral.security.ca import fingerprint_of

PREFIX = "lt1."
TOKEN_CHARACTERS_MOST = 4096
"""Far beyond any real token, far below what a terminal or an environment variable holds."""
SECRET_BYTES = 32
DEFAULT_TTL_MS = 3_600_000

_OPERATION = "accept join token"
_COPY = "Copy the whole line that `littoral token create` printed"


class JoinToken(Struct, frozen=True, array_like=True):
    """What a printed token says."""

    node: Annotated[str, Meta(max_length=63)]
    """The node it lets in."""
    parent: Annotated[str, Meta(max_length=63)]
    """The node that made it, and to which it must be shown."""
    join_url: Annotated[str, Meta(pattern="^https://[^/]+$", max_length=512)]
    ca_fingerprint: Annotated[bytes, Meta(min_length=32, max_length=32)]
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]


class JoinTokenRecord(Struct, frozen=True, kw_only=True):
    """What the parent keeps of a token, under `secret_hash`."""

    secret_hash: bytes
    node: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    used_by: bytes | None = None
    """The public key (DER) that used it."""


def hash_secret(secret: bytes) -> bytes:
    """What a secret is stored and looked up by. It has 256 bits of chance, so one round of SHA-256 is enough."""
    return hashlib.sha256(secret).digest()


def create_token(
    *, node: str, parent: str, join_url: str, ca_fingerprint: bytes, ttl_ms: int, now_ms: int, random: Random
) -> tuple[str, JoinTokenRecord]:
    """A printable token and what the parent is to store of it. Raises InvalidInput for a wrong name, URL or time."""
    check_node_name(node)
    if node == parent:
        raise InvalidInput("create join token for", node, "a node does not join itself")
    if ttl_ms <= 0:
        raise InvalidInput("create join token for", node, "it would have expired already", "Give it some time to live")
    secret = random.token_bytes(SECRET_BYTES)
    token = JoinToken(node, parent, join_url, ca_fingerprint, secret)
    packed = msgspec.msgpack.encode(token)
    try:
        msgspec.msgpack.decode(packed, type=JoinToken)
    except msgspec.ValidationError as error:
        raise InvalidInput("create join token for", node, str(error), "The join URL is https://HOST:PORT") from error
    text = PREFIX + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    record = JoinTokenRecord(secret_hash=hash_secret(secret), node=node, created_ms=now_ms, expires_ms=now_ms + ttl_ms)
    return text, record


def parse_token(text: str) -> JoinToken:
    """Read a printed token; blanks and line breaks around it do not matter. Raises InvalidInput."""
    text = text.strip()
    if not text.startswith(PREFIX):
        raise InvalidInput("read join token", "", f'it does not begin with "{PREFIX}"', _COPY)
    if len(text) > TOKEN_CHARACTERS_MOST:
        raise InvalidInput("read join token", "", f"it has {len(text)} characters, too many for one token", _COPY)
    body = text.removeprefix(PREFIX)
    try:
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(
            "read join token", "", "it holds characters no token has, or lacks its end", _COPY
        ) from error
    try:
        token = msgspec.msgpack.decode(packed, type=JoinToken)
    except msgspec.ValidationError as error:
        raise InvalidInput("read join token", "", f"its content is not that of a token: {error}", _COPY) from error
    except UNDECODABLE as error:
        raise InvalidInput("read join token", "", "it is cut short or damaged", _COPY) from error
    check_node_name(token.node)
    check_node_name(token.parent)
    return token


def check_ca(ca_pem: bytes, token: JoinToken) -> bytes:
    """Return the CA certificate that a listener showed if it is the token's; only then may the secret be sent.

    Raises: Unauthenticated if it is another, InvalidInput if it is none.
    """
    if not hmac.compare_digest(fingerprint_of(ca_pem), token.ca_fingerprint):
        raise Unauthenticated(
            "trust",
            token.join_url,
            "its CA is not the one that the join token names: this is another tree, or somebody is in between",
            f"Create a token at the node you mean, with `littoral token create {token.node}`",
        )
    return ca_pem


def _create_another(node: str) -> str:
    return f"Create a new one with `littoral token create {node[:63]}` at the parent"


def known_token(record: JoinTokenRecord | None, *, secret: bytes, node: str) -> JoinTokenRecord:
    """The first of the checks, before anything else is looked at that a stranger sent: the token was made here, and
    for this node. Arguments and errors are those of `check_token`."""
    if record is None or not hmac.compare_digest(record.secret_hash, hash_secret(secret)):
        cause = "it is unknown here: never made, deleted, or long expired"
        raise Unauthenticated(_OPERATION, f"of {node[:63]}", cause, _create_another(node))
    if record.node != node:
        cause = f"it was made for the node {record.node}"
        raise Forbidden(_OPERATION, f"of {node[:63]}", cause, _create_another(node))
    return record


def check_token(
    record: JoinTokenRecord | None, *, secret: bytes, node: str, public_key: bytes, now_ms: int
) -> JoinTokenRecord:
    """The record, used now by `public_key`, to be stored in the transaction that registers the child.

    `record` is what the store holds under `hash_secret(secret)`. Raises: Unauthenticated for an unknown or expired
    token, Forbidden for another node's, Conflict for one that another key has used.
    """
    record = known_token(record, secret=secret, node=node)
    remedy = _create_another(node)
    if record.used_by is not None and not hmac.compare_digest(record.used_by, public_key):
        raise Conflict(_OPERATION, f"of {node}", "it was used already; a token lets one node in once", remedy)
    if now_ms >= record.expires_ms:
        ago_s = (now_ms - record.expires_ms) // 1000
        raise Unauthenticated(_OPERATION, f"of {node}", f"it expired {ago_s} s ago", remedy)
    if record.used_by is not None:
        return record
    return msgspec.structs.replace(record, used_ms=now_ms, used_by=public_key)
