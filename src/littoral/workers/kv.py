"""`env.<BINDING>` for a key-value namespace: the interface of Workers KV.

Options are given as Workers take them, in a mapping, or by their names: `put(key, value, {"expirationTtl": 60})` is
`put(key, value, expirationTtl=60)`.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from littoral.workers.binding import BindingCaller, BindingError
from littoral.workers.buffers import Buffer
from littoral.workers.streams import ReadableStream

ValueType = Literal["text", "json", "arrayBuffer", "stream"]

KEYS_AT_ONCE = 100
"""Of one `get`; as in Workers KV."""
CACHE_TTL_LEAST_S = 30
"""As in Workers KV."""


class KVError(BindingError):
    """A call of a key-value binding failed; the message says why and what to do."""


class KVKey:
    """One key of a listing."""

    __slots__ = ("expiration", "metadata", "name")

    def __init__(self, name: str, expiration: int | None = None, metadata: Any = None) -> None:
        self.name = name
        self.expiration = expiration
        """Seconds since the epoch; None for a key that stays."""
        self.metadata = metadata
        """What was given with the value, or None."""

    def __repr__(self) -> str:
        return f"KVKey({self.name!r})"


class KVList:
    """One page of a listing."""

    __slots__ = ("cacheStatus", "cursor", "keys", "list_complete")

    def __init__(self, keys: list[KVKey], cursor: str | None) -> None:
        self.keys = keys
        self.list_complete = cursor is None
        self.cursor = cursor
        """Give it to the next call of `list`; None where the listing is complete."""
        self.cacheStatus: str | None = None
        """Always None: there is no such cache."""


class KVValue:
    """What `getWithMetadata` gives."""

    __slots__ = ("cacheStatus", "metadata", "value")

    def __init__(self, value: Any, metadata: Any) -> None:
        self.value = value
        """None where there is no such key."""
        self.metadata = metadata
        """What was given with the value, or None."""
        self.cacheStatus: str | None = None
        """Always None: there is no such cache."""

    def __repr__(self) -> str:
        return f"KVValue({self.value!r}, {self.metadata!r})"


_READERS: dict[str, Callable[[bytes], Any]] = {
    "text": lambda value: value.decode("utf-8", "replace"),
    "json": lambda value: _parsed(value),
    "arrayBuffer": Buffer,
    "stream": ReadableStream,
}
_OF_MANY = ("text", "json")
"""The types in which several keys can be read at once."""


class KVNamespace:
    """A namespace placed on this node. Reads and writes are local; nodes converge by last writer wins."""

    __slots__ = ("_call", "_namespace")

    def __init__(self, namespace: str, call: BindingCaller) -> None:
        self._namespace = namespace
        self._call = call

    async def get(
        self,
        key: str | Sequence[str],
        type: ValueType | Mapping[str, Any] | None = None,  # noqa: A002 - Workers' name
        options: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """The value as text, as decoded JSON, as bytes ("arrayBuffer") or as a stream; None if there is none. Of a list of
        keys, a dict of their values, as text or JSON.

        Options: `type`; `cacheTtl`, in seconds, for how long a read-through value may be taken from the node's memory.
        Raises KVError.
        """
        kind, cache_ttl_s = _read_options(type, options, named)
        if isinstance(key, str):
            return (await self._read(key, kind, cache_ttl_s)).value
        return {name: found.value for name, found in (await self._read_many(key, kind, cache_ttl_s)).items()}

    async def getWithMetadata(
        self,
        key: str | Sequence[str],
        type: ValueType | Mapping[str, Any] | None = None,  # noqa: A002 - Workers' name
        options: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """As `get`, but each value as a KVValue, with its metadata. Raises KVError."""
        kind, cache_ttl_s = _read_options(type, options, named)
        if isinstance(key, str):
            return await self._read(key, kind, cache_ttl_s)
        return await self._read_many(key, kind, cache_ttl_s)

    get_with_metadata = getWithMetadata

    async def put(
        self,
        key: str,
        value: str | bytes | bytearray | memoryview | ReadableStream,
        options: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> None:
        """Write; returns once it is synced to this node's disk.

        Options: `expiration`, in seconds since the epoch, or `expirationTtl`, in seconds from now, after which there is no such key;
        `metadata`, which JSON can hold. What the key had of them before is gone. Raises KVError.
        """
        given = _given(("expiration", "expirationTtl", "metadata"), options, named)
        if isinstance(value, ReadableStream):
            content = await value.whole()
        elif isinstance(value, str | bytes | bytearray | memoryview):
            content = value.encode() if isinstance(value, str) else bytes(value)
        else:
            raise KVError(
                f"put stores str, bytes or a ReadableStream, not {value.__class__.__name__}; write json.dumps(value) to "
                "store JSON"
            )
        expiration = _whole("expiration", given.get("expiration"))
        ttl_s = _whole("expirationTtl", given.get("expirationTtl"))
        metadata = _metadata(given.get("metadata"))
        await self._call("put", self._namespace, [key, content, expiration, ttl_s, metadata])

    async def delete(self, key: str) -> None:
        """Remove; removing what is not there is no error. Raises KVError."""
        await self._call("delete", self._namespace, [key])

    async def list(self, options: Mapping[str, Any] | None = None, **named: Any) -> KVList:
        """A page of the keys, in order.

        Options: `prefix` that they begin with, `limit` (1000, which is the most), `cursor` of the page before. Raises KVError.
        """
        given = _given(("prefix", "limit", "cursor"), options, named)
        limit = _whole("limit", given.get("limit"))
        names, cursor, details = await self._call(
            "list",
            self._namespace,
            [given.get("prefix") or "", given.get("cursor") or None, 1000 if limit is None else limit],
        )
        keys = [KVKey(name) for name in names]
        for key in keys:
            if key.name in details:
                expires_s, metadata = details[key.name]
                key.expiration = expires_s or None
                key.metadata = _parsed(metadata) if metadata else None
        return KVList(keys, cursor)

    async def _read(self, key: str, kind: str, cache_ttl_s: int | None) -> KVValue:
        found = await self._call("get", self._namespace, [key, cache_ttl_s])
        if found is None:
            return KVValue(None, None)
        value, _, metadata = found
        return KVValue(_READERS[kind](value), _parsed(metadata) if metadata else None)

    async def _read_many(self, keys: Sequence[str], kind: str, cache_ttl_s: int | None) -> dict[str, KVValue]:
        if kind not in _OF_MANY:
            raise KVError(f"get of several keys knows the types {', '.join(_OF_MANY)}; not {kind!r}")
        if not 0 < len(keys) <= KEYS_AT_ONCE:
            raise KVError(f"get takes 1 to {KEYS_AT_ONCE} keys at once; not {len(keys)}")
        names = list(dict.fromkeys(keys))
        return dict(zip(names, await asyncio.gather(*(self._read(n, kind, cache_ttl_s) for n in names)), strict=True))


def _given(known: Sequence[str], options: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise KVError(f"options are a mapping, not {options.__class__.__name__}")
    given = {**(options or {}), **named}
    if unknown := given.keys() - set(known):
        raise KVError(f"there is no option {', '.join(sorted(map(str, unknown)))}; there are {', '.join(known)}")
    return given


def _read_options(
    kind: ValueType | Mapping[str, Any] | None, options: Mapping[str, Any] | None, named: Mapping[str, Any]
) -> tuple[str, int | None]:
    if isinstance(kind, Mapping):
        options, kind = {**kind, **(options or {})}, None
    given = _given(("type", "cacheTtl"), options, named)
    wanted = kind or given.get("type") or "text"
    if wanted not in _READERS:
        raise KVError(f"get knows the types {', '.join(_READERS)}; not {wanted!r}")
    cache_ttl_s = _whole("cacheTtl", given.get("cacheTtl"))
    if cache_ttl_s is not None and cache_ttl_s < CACHE_TTL_LEAST_S:
        raise KVError(f"cacheTtl is at least {CACHE_TTL_LEAST_S} seconds; not {cache_ttl_s}")
    return wanted, cache_ttl_s


def _whole(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise KVError(f"{name} is a whole number; not {value!r}")
    return int(value)


def _metadata(value: object) -> str:
    if value is None:
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()  # Half a pair of surrogates is no text.
    except (TypeError, ValueError) as error:
        raise KVError(f"metadata is what JSON can hold: {error}") from error
    return text


def _parsed(text: str | bytes) -> Any:
    value = json.loads(text)
    if not isinstance(value, dict | list):
        return value
    # JavaScript's objects, whose members are attributes, are loaded by functions that read any.
    from littoral.workers.js.values import to_javascript  # noqa: PLC0415

    return to_javascript(value)
