"""Key-value over the operator API.

GET     /v1/kv/NAMESPACE?prefix&cursor&limit                    a page of its keys: {keys, cursor}; details of those that have any
GET     /v1/kv/NAMESPACE/KEY                                    the value
GET     /v1/kv/NAMESPACE/KEY?details=true                       what was written beside it: {expiration, metadata}
PUT     /v1/kv/NAMESPACE/KEY?expiration|ttl&metadata            expiration: seconds since the epoch; ttl: seconds; metadata: JSON
DELETE  /v1/kv/NAMESPACE/KEY
"""

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.kv import KeyValue, KvDetails, KvValue, expiration
from littoral.core.limits import KV_LIST_KEYS
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.answers import NO_STORE, json_answer, method_not_allowed
from littoral.wire.query import whole_number

PATH = "/v1/kv/"


class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was written beside a value."""

    expiration: int | None = None
    """Seconds since the epoch."""
    metadata: msgspec.Raw | None = None

    @classmethod
    def of(cls, found: KvValue | KvDetails) -> "Details":
        """As the store has it."""
        return cls(found.expires_s or None, msgspec.Raw(found.metadata.encode()) if found.metadata else None)


class KvApi:
    """Answers requests under PATH."""

    def __init__(self, keyvalue: KeyValue, clock: Clock) -> None:
        self._keyvalue = keyvalue
        self._clock = clock

    async def handle(self, request: Request) -> Response:
        """Raises LittoralError."""
        namespace, slash, key = request.path.removeprefix(PATH).partition("/")
        if not slash:
            if request.method != "GET":
                raise method_not_allowed(request)
            return await self._list(request, namespace)
        match request.method:
            case "GET" | "HEAD":
                return await self._get(request, namespace, key)
            case "PUT":
                expires_s, metadata = self._put_options(request, key)
                await self._keyvalue.put(namespace, key, request.body, expires_s=expires_s, metadata=metadata)
                return Response(204)
            case "DELETE":
                await self._keyvalue.delete(namespace, key)
                return Response(204)
        raise method_not_allowed(request)

    async def _list(self, request: Request, namespace: str) -> Response:
        query = request.query
        limit = whole_number(query, "limit", "list keys of", namespace, KV_LIST_KEYS.default)
        page = await self._keyvalue.list(namespace, query.get("prefix", ""), query.get("cursor"), limit)
        details = {key: Details.of(each) for key, each in page.details.items()}
        told = {"keys": page.keys, "cursor": page.cursor}
        return json_answer({**told, "details": details} if details else told)

    async def _get(self, request: Request, namespace: str, key: str) -> Response:
        found = await self._keyvalue.read(namespace, key)
        if found is None:
            raise NotFound("get key", f"{namespace}/{key}", "there is no such key")
        if request.query.get("details") == "true":
            return json_answer(Details.of(found))
        return Response(200, [("content-type", "application/octet-stream"), NO_STORE], found.value)

    def _put_options(self, request: Request, key: str) -> tuple[int, str]:
        query = request.query
        at_s = whole_number(query, "expiration", "put key", key, None)
        ttl_s = whole_number(query, "ttl", "put key", key, None)
        expires_s = expiration("put key", key, self._clock.wall_ms(), at_s, ttl_s)
        text = query.get("metadata")
        if text is None:
            return expires_s, ""
        try:
            # Written anew: without spaces, and as one JSON document that everybody can read.
            return expires_s, msgspec.json.encode(msgspec.json.decode(text)).decode()
        except UNDECODABLE as error:
            raise InvalidInput("put key", key[:60], f"its metadata is no JSON ({error})", "Quote text") from error
