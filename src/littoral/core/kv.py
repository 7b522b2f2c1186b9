"""The key-value interface that bindings, rules, the CLI and the node API share."""

from typing import Protocol

import msgspec


class KvEntry(msgspec.Struct, frozen=True, array_like=True):
    """One key as last written. `value` None is a tombstone."""

    key: str
    value: bytes | None
    hlc: int
    """Hybrid logical timestamp of the write (littoral.core.hlc)."""
    node: str
    """The node that wrote; breaks ties of `hlc`."""


class KvPage(msgspec.Struct, frozen=True, array_like=True):
    """A part of a listing, in order of the keys."""

    keys: list[str]
    cursor: str | None
    """Give it to the next call; None where the listing is complete."""


class KeyValue(Protocol):
    """Namespaces of keys. Writes are local, acknowledged once synced, and converge by last writer wins.

    Raises everywhere: NotFound for a namespace that is not placed on this node, InvalidInput and TooLarge for keys
    and values over the limits, Unavailable where a read-through value cannot be fetched.
    """

    async def get(self, namespace: str, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def put(self, namespace: str, key: str, value: bytes) -> KvEntry:
        """Write; returns when it is synced to disk here."""
        ...

    async def delete(self, namespace: str, key: str) -> KvEntry:
        """Write a tombstone; deleting what is not there is no error."""
        ...

    async def list(self, namespace: str, prefix: str = "", cursor: str | None = None, limit: int = 1000) -> KvPage:
        """Keys that begin with `prefix`."""
        ...
