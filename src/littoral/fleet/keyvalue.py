"""Key-value as apps, rules, the CLI and children see it: the node's own table, or the root's through the parents.

replicated     this node is meant to hold the namespace: reads and writes are local
read-through   the root holds it: reads go up hop by hop and are cached on the way down; writes go to the root
"""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, NotFound, TooLarge, Unavailable
from littoral.core.kv import EXPIRES_MOST_S, METADATA_MOST_BYTES, KvEntry, KvPage, KvValue
from littoral.core.limit import Limit
from littoral.core.limits import KV_CACHE_BYTES, KV_CACHE_ENTRIES, KV_KEY_BYTES, KV_LIST_KEYS, KV_VALUE_BYTES, Limits
from littoral.core.resources import Namespace
from littoral.core.resources.units import parse_duration_ms
from littoral.fleet.kv_calls import KvCalls
from littoral.store.store import Store


class _Cached(msgspec.Struct):
    value: KvValue | None
    fetched_s: float


class KeyValueService:
    """Implements `littoral.core.kv.KeyValue`."""

    def __init__(
        self,
        store: Store,
        namespaces: Callable[[str], Namespace | None],
        placed: Callable[[Namespace], bool],
        calls: KvCalls | None,
        clock: Clock,
        limits: Limits,
    ) -> None:
        """namespaces: the desired namespace of a name, or None.
        placed: whether a namespace is this node's to use: it is placed here, or on a node below.
        calls: how to ask the parent; None at the root."""
        self._store = store
        self._namespaces = namespaces
        self._placed = placed
        self._calls = calls
        self._clock = clock
        self._limits = limits
        self._cache: OrderedDict[tuple[str, str], _Cached] = OrderedDict()
        self._cached_bytes = 0
        self.stale_reads = 0
        """Read-through values served beyond their time because the parent was out of reach."""

    async def get(self, namespace: str, key: str) -> bytes | None:
        """See KeyValue.get."""
        found = await self.read(namespace, key)
        return None if found is None else found.value

    async def read(self, namespace: str, key: str, cache_ttl_s: int | None = None) -> KvValue | None:
        """See KeyValue.read."""
        spec = self._namespace(namespace)
        self._check_key(key)
        if self._local(spec):
            entry = self._store.kv_get(namespace, key)
            if entry is None or entry.value is None or not entry.lives(self._clock.wall_ms()):
                return None
            return KvValue(entry.value, entry.expires_s, entry.metadata)
        found = await self._read_through(spec, key, cache_ttl_s)
        # The parent's clock may have been behind, and what is in memory may have expired since.
        return found if found is None or not self._has_passed(found.expires_s) else None

    async def put(self, namespace: str, key: str, value: bytes, *, expires_s: int = 0, metadata: str = "") -> KvEntry:
        """See KeyValue.put."""
        if (size := len(metadata.encode())) > METADATA_MOST_BYTES:
            cause = f"its metadata has {size} bytes as JSON; at most {METADATA_MOST_BYTES} are allowed"
            raise TooLarge("put key", key[:60], cause, "Put into the value what is longer")
        if not 0 <= expires_s <= EXPIRES_MOST_S or (expires_s and self._has_passed(expires_s)):
            cause = f"its expiration, {expires_s} seconds since the epoch, is not in the future"
            raise InvalidInput("put key", key[:60], cause, "Give a later one, in seconds")
        if len(value) > self._limits[KV_VALUE_BYTES]:
            self._limits.hit(KV_VALUE_BYTES)
            raise TooLarge(
                "put key",
                key[:60],
                f"its value has {len(value)} bytes; at most {self._limits[KV_VALUE_BYTES]} are allowed, the limit"
                f" {KV_VALUE_BYTES.name} of this node",
                "Split the value over several keys",
            )
        return await self._write(namespace, key, value, expires_s, metadata)

    async def delete(self, namespace: str, key: str) -> KvEntry:
        """See KeyValue.delete."""
        return await self._write(namespace, key, None)

    async def list(self, namespace: str, prefix: str = "", cursor: str | None = None, limit: int = 1000) -> KvPage:
        """See KeyValue.list."""
        spec = self._namespace(namespace)
        limit = max(1, min(limit, self._limits[KV_LIST_KEYS]))
        if self._local(spec):
            return self._store.kv_page(namespace, prefix, cursor, limit, self._clock.wall_ms())
        return await self._parent(namespace).list(namespace, prefix, cursor, limit)

    async def _write(
        self, namespace: str, key: str, value: bytes | None, expires_s: int = 0, metadata: str = ""
    ) -> KvEntry:
        spec = self._namespace(namespace)
        self._check_key(key)
        if self._local(spec):
            return await self._store.submit(lambda tx: tx.kv_put(namespace, key, value, expires_s, metadata))
        entry = await self._parent(namespace).write(namespace, key, value, expires_s, metadata)
        self._remember(spec, key, None if value is None else KvValue(value, expires_s, metadata))
        return entry

    def _local(self, spec: Namespace) -> bool:
        if not self._placed(spec):
            raise NotFound(
                "use namespace",
                spec.metadata.name,
                f"it is not placed on node {self._store.node}",
                "Add the node, its tier or its labels to spec.placement of the Namespace",
            )
        return spec.spec.mode == "replicated" or self._calls is None

    def _has_passed(self, expires_s: int) -> bool:
        return 0 < expires_s * 1000 <= self._clock.wall_ms()

    async def _read_through(self, spec: Namespace, key: str, cache_ttl_s: int | None) -> KvValue | None:
        name = spec.metadata.name
        cached = self._cache.get((name, key))
        most_s = parse_duration_ms(spec.spec.cache_ttl) / 1000 if cache_ttl_s is None else cache_ttl_s
        if cached is not None and self._clock.monotonic_s() < cached.fetched_s + most_s:
            return cached.value
        try:
            value = await self._parent(name).read(name, key)
        except Unavailable:
            if cached is None:
                raise
            # Local first: an old value is better than none while the WAN is down.
            self.stale_reads += 1
            return cached.value
        self._remember(spec, key, value)
        return value

    def _remember(self, spec: Namespace, key: str, value: KvValue | None) -> None:
        self._forget(self._cache.pop((spec.metadata.name, key), None))
        self._cache[(spec.metadata.name, key)] = _Cached(value, self._clock.monotonic_s())
        self._cached_bytes += _size(value)
        while (reached := self._cache_limit()) is not None:
            self._limits.hit(reached)
            self._forget(self._cache.popitem(last=False)[1])

    def _cache_limit(self) -> Limit | None:
        if len(self._cache) > self._limits[KV_CACHE_ENTRIES]:
            return KV_CACHE_ENTRIES
        return KV_CACHE_BYTES if self._cached_bytes > self._limits[KV_CACHE_BYTES] else None

    def _forget(self, cached: _Cached | None) -> None:
        if cached is not None:
            self._cached_bytes -= _size(cached.value)

    def _namespace(self, name: str) -> Namespace:
        spec = self._namespaces(name)
        if spec is None:
            raise NotFound(
                "use namespace", name, "there is no such Namespace", "Apply one with `littoral apply -f` at the root"
            )
        return spec

    def _parent(self, namespace: str) -> KvCalls:
        if self._calls is None:
            raise Unavailable("use namespace", namespace, "this node has no parent to ask")
        return self._calls

    def _check_key(self, key: str) -> None:
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput("use key", repr(key[:60]), "it is no Unicode text", "Encode it") from error
        if not 0 < size <= self._limits[KV_KEY_BYTES]:
            self._limits.hit(KV_KEY_BYTES)
            raise InvalidInput(
                "use key",
                repr(key[:60]),
                f"it has {size} bytes; 1 to {self._limits[KV_KEY_BYTES]} are allowed, the limit {KV_KEY_BYTES.name}",
                "Shorten it" if size else "Give it a name",
            )
        if key in {".", ".."}:
            raise InvalidInput("use key", repr(key), "URLs cannot name it", "Use another")


def _size(value: KvValue | None) -> int:
    return 0 if value is None else len(value.value) + len(value.metadata)
