"""The key-value interface that bindings, rules, the CLI and the node API share."""

from typing import Annotated, Protocol

import msgspec

from littoral.core.errors import InvalidInput

EXPIRES_MOST_S = 1 << 53
"""As far as JSON's numbers go."""
METADATA_MOST_BYTES = 1024
"""As in the Workers KV interface; what all nodes take of each other."""

ExpiresS = Annotated[int, msgspec.Meta(ge=0, le=EXPIRES_MOST_S)]
"""Seconds since the epoch; 0 for never."""
Metadata = Annotated[str, msgspec.Meta(max_length=METADATA_MOST_BYTES)]
"""JSON; empty for none."""


TTL_LEAST_S = 60
"""As in the Workers KV interface: clocks of nodes differ, and what goes at once need not be written."""


def expiration(operation: str, key: str, wall_ms: int, expires_s: int | None = None, ttl_s: int | None = None) -> int:
    """When a key expires, from what a caller gave: a time, in seconds since the epoch, or for how long from now; 0 for
    never. Raises InvalidInput where that is less than TTL_LEAST_S from now, or both are given."""
    if expires_s is None and ttl_s is None:
        return 0
    now_s = wall_ms // 1000
    at_s = expires_s if expires_s is not None else now_s + (ttl_s or 0)
    if expires_s is not None and ttl_s is not None:
        cause = "both an expiration and a time to live are given"
    elif not now_s + TTL_LEAST_S <= at_s <= EXPIRES_MOST_S:
        cause = f"it would expire in {at_s - now_s} seconds; at least {TTL_LEAST_S} are needed"
    else:
        return at_s
    raise InvalidInput(operation, key[:60], cause, "Give seconds since the epoch, or seconds from now")


class KvEntry(msgspec.Struct, frozen=True, array_like=True):
    """One key as last written. `value` None is a tombstone."""

    key: str
    value: bytes | None
    hlc: int
    """Hybrid logical timestamp of the write (littoral.core.hlc)."""
    node: str
    """The node that wrote; breaks ties of `hlc`."""
    expires_s: ExpiresS = 0
    """From then on, by the clock of whoever reads, there is no such key."""
    metadata: Metadata = ""

    def lives(self, wall_ms: int) -> bool:
        """Whether a reader at that time finds the key."""
        return self.value is not None and (not self.expires_s or wall_ms < self.expires_s * 1000)


class KvValue(msgspec.Struct, frozen=True, array_like=True):
    """What a reader finds of a key."""

    value: bytes
    expires_s: ExpiresS = 0
    metadata: Metadata = ""


class KvDetails(msgspec.Struct, frozen=True, array_like=True):
    """What a listing says of a key that has any of it."""

    expires_s: ExpiresS = 0
    metadata: Metadata = ""


class KvPage(msgspec.Struct, frozen=True, array_like=True):
    """A part of a listing, in order of the keys."""

    keys: list[str]
    cursor: str | None
    """Give it to the next call; None where the listing is complete."""
    details: dict[str, KvDetails] = {}
    """Of those keys that expire or have metadata."""


class KeyValue(Protocol):
    """Namespaces of keys. Writes are local, acknowledged once synced, and converge by last writer wins. A key that has
    expired is not there.

    Raises everywhere: NotFound for a namespace that is not placed on this node, InvalidInput and TooLarge for keys
    and values over the limits, Unavailable where a read-through value cannot be fetched.
    """

    async def get(self, namespace: str, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def read(self, namespace: str, key: str, cache_ttl_s: int | None = None) -> KvValue | None:
        """As `get`, with what was written beside the value.

        cache_ttl_s: for how long a read-through value may be taken from memory; as the Namespace says where it is None.
        """
        ...

    async def put(self, namespace: str, key: str, value: bytes, *, expires_s: int = 0, metadata: str = "") -> KvEntry:
        """Write; returns when it is synced to disk here. The expiration and the metadata are those given, not those the
        key had."""
        ...

    async def delete(self, namespace: str, key: str) -> KvEntry:
        """Write a tombstone; deleting what is not there is no error."""
        ...

    async def list(self, namespace: str, prefix: str = "", cursor: str | None = None, limit: int = 1000) -> KvPage:
        """Keys that begin with `prefix`."""
        ...
