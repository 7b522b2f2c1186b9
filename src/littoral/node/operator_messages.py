"""What operators and a node say to each other over the node's API (`operator_api`), apart from what is said in the parts of it that
have their own. It stands apart from what answers: a command does not load a node."""

from typing import Annotated

import msgspec
from msgspec import Meta

TOKEN_TTL_S = 3600
TOKEN_TTL_MOST_S = 30 * 86_400
"""A token is a secret that lies about until it is used."""


class TokenOrder(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of POST /v1/tokens."""

    node: str
    ttl_s: Annotated[int, Meta(ge=1, le=TOKEN_TTL_MOST_S)] = TOKEN_TTL_S


class Applied(msgspec.Struct, frozen=True):
    """Answer of POST /v1/resources."""

    changed: int


class ResourceEntry(msgspec.Struct, frozen=True):
    """One line of GET /v1/resources."""

    kind: str
    name: str
    revision: str
