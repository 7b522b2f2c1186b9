"""The hub's side of `env.<BINDING>` for a key-value namespace."""

from collections.abc import Callable, Collection
from typing import Any

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, InvalidInput
from littoral.core.kv import KeyValue, expiration
from littoral.core.limits import KV_LIST_KEYS, Limits
from littoral.functions.messages import BindingCall


class KvBindings:
    """Answers the calls of kind "kv"."""

    def __init__(
        self, kv: KeyValue, namespaces: Callable[[str], Collection[str]], clock: Clock, limits: Limits
    ) -> None:
        """namespaces: those an app has bindings for, as placed now."""
        self._kv = kv
        self._namespaces = namespaces
        self._clock = clock
        self._limits = limits

    async def __call__(self, app: str, call: BindingCall) -> Any:
        """See BindingHandler."""
        if call.namespace not in self._namespaces(app):
            raise Forbidden(
                f"{call.operation} in namespace",
                call.namespace,
                f"app {app} has no binding for it",
                "Add it under spec.kv of the app",
            )
        return await self.perform(call)

    async def perform(self, call: BindingCall) -> Any:
        """Do it for one who may. Raises LittoralError."""
        match call.operation, call.arguments:
            case "get", [str(key), int() | None as cache_ttl_s]:
                return await self._kv.read(call.namespace, key, cache_ttl_s)
            case "put", [str(key), bytes(value), int() | None as expires_s, int() | None as ttl_s, str(metadata)]:
                at_s = expiration("put key", key, self._clock.wall_ms(), expires_s, ttl_s)
                await self._kv.put(call.namespace, key, value, expires_s=at_s, metadata=metadata)
                return None
            case "delete", [str(key)]:
                await self._kv.delete(call.namespace, key)
                return None
            case "list", [str(prefix), str() | None as cursor, int(limit)]:
                if limit < 1:
                    raise InvalidInput("list keys of", call.namespace, f"limit {limit} is below 1")
                page = await self._kv.list(call.namespace, prefix, cursor, min(limit, self._limits[KV_LIST_KEYS]))
                return [page.keys, page.cursor, page.details]
            case _:
                raise InvalidInput(
                    "call binding of namespace",
                    call.namespace,
                    f"{call.operation} does not take these arguments",
                    "Keys, prefixes and cursors are str, values str or bytes, limits int",
                )
