"""`env.<BINDING>` for a key-value namespace: the interface of Workers KV."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

ValueType = Literal["text", "json", "arrayBuffer"]


class KVError(Exception):
    """A call of a key-value binding failed; the message says why and what to do."""


class KVCaller(Protocol):
    """Carries a call to the node. `functions` implements it over a socket; tests, in memory."""

    async def __call__(self, operation: str, namespace: str, arguments: list[object]) -> Any:
        """Raises KVError."""
        ...


class KVKey:
    """One key of a listing."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"KVKey({self.name!r})"


class KVList:
    """One page of a listing."""

    __slots__ = ("cursor", "keys", "list_complete")

    def __init__(self, keys: list[KVKey], cursor: str | None) -> None:
        self.keys = keys
        self.list_complete = cursor is None
        self.cursor = cursor
        """Give it to the next call of `list`; None where the listing is complete."""


_READERS: dict[str, Callable[[bytes], Any]] = {
    "text": lambda value: value.decode("utf-8", "replace"),
    "json": json.loads,
    "arrayBuffer": lambda value: value,
}


class KVNamespace:
    """A namespace placed on this node. Reads and writes are local; nodes converge by last writer wins."""

    __slots__ = ("_call", "_namespace")

    def __init__(self, namespace: str, call: KVCaller) -> None:
        self._namespace = namespace
        self._call = call

    async def get(self, key: str, type: ValueType | Mapping[str, Any] = "text") -> Any:  # noqa: A002 - Workers' name
        """The value as text, as decoded JSON or as bytes ("arrayBuffer"); None if there is none.

        `type` may also be the mapping Workers take: `{"type": "json"}`. Raises KVError.
        """
        kind = str(type.get("type", "text")) if isinstance(type, Mapping) else type
        if kind not in _READERS:
            raise KVError(f"get knows the types {', '.join(_READERS)}; not {kind!r}")
        value: bytes | None = await self._call("get", self._namespace, [key])
        return None if value is None else _READERS[kind](value)

    async def put(self, key: str, value: str | bytes) -> None:
        """Write; returns once it is synced to this node's disk. Raises KVError."""
        if not isinstance(value, str | bytes | bytearray | memoryview):
            raise KVError(
                f"put stores str or bytes, not {value.__class__.__name__}; write json.dumps(value) to store JSON"
            )
        await self._call("put", self._namespace, [key, value.encode() if isinstance(value, str) else bytes(value)])

    async def delete(self, key: str) -> None:
        """Remove; removing what is not there is no error. Raises KVError."""
        await self._call("delete", self._namespace, [key])

    async def list(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        prefix: str = "",
        limit: int = 1000,
        cursor: str | None = None,
    ) -> KVList:
        """A page of the keys that begin with `prefix`, in order. `options` is the mapping Workers take, with the same
        names. Raises KVError."""
        given = {"prefix": prefix, "cursor": cursor, "limit": limit, **(options or {})}
        names, following = await self._call(
            "list", self._namespace, [given["prefix"] or "", given["cursor"] or None, given["limit"]]
        )
        return KVList([KVKey(name) for name in names], following)
