"""Asking the parent for key-value data, and answering a child that asks."""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from littoral.core.errors import Forbidden, Unavailable
from littoral.core.http import Request, Response
from littoral.core.kv import ExpiresS, KeyValue, KvEntry, KvPage, KvValue, Metadata
from littoral.wire import peer

KV_CALL = "/v1/peer/kv"


class KvCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question to the parent."""

    operation: Literal["get", "list", "put", "delete"]
    namespace: str
    key: str = ""
    """For list: the prefix."""
    value: bytes | None = None
    cursor: str | None = None
    limit: int = 1000
    expires_s: ExpiresS = 0
    metadata: Metadata = ""


class KvAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parent's answer; which field is set follows from the question."""

    value: bytes | None = None
    page: KvPage | None = None
    entry: KvEntry | None = None
    expires_s: ExpiresS = 0
    """Of `value`. A parent that does not say knows of none."""
    metadata: Metadata = ""


class ParentCall(Protocol):
    """Sends an authenticated request to the parent. Raises PeerUnreachable, or the error the parent answered."""

    async def __call__(self, method: str, path: str, body: bytes) -> Response: ...


class KvCalls:
    """The child's side."""

    def __init__(self, call: ParentCall) -> None:
        self._call = call

    async def read(self, namespace: str, key: str) -> KvValue | None:
        """What the root has, or None."""
        answer = await self._ask(KvCall("get", namespace, key))
        return None if answer.value is None else KvValue(answer.value, answer.expires_s, answer.metadata)

    async def list(self, namespace: str, prefix: str, cursor: str | None, limit: int) -> KvPage:
        """A page of the root's listing."""
        page = (await self._ask(KvCall("list", namespace, prefix, cursor=cursor, limit=limit))).page
        return page or KvPage([], None)

    async def write(
        self, namespace: str, key: str, value: bytes | None, expires_s: int = 0, metadata: str = ""
    ) -> KvEntry:
        """Write at the root. Raises Unavailable where a node above knows nothing of expirations and metadata."""
        operation: Literal["put", "delete"] = "delete" if value is None else "put"
        call = KvCall(operation, namespace, key, value, expires_s=expires_s, metadata=metadata)
        entry = (await self._ask(call)).entry
        assert entry is not None
        if (entry.expires_s, entry.metadata) != (expires_s, metadata):
            raise Unavailable(
                "put key",
                key,
                "it was written without its expiration and metadata: a node above is of a version that has none",
                "Update the parent, then write the key again",
            )
        return entry

    async def _ask(self, call: KvCall) -> KvAnswer:
        response = await self._call("POST", KV_CALL, peer.encode(call))
        return peer.decode(response.body, KvAnswer, "key-value answer")


async def answer_kv_call(keyvalue: KeyValue, request: Request, may_ask: Callable[[str], bool]) -> Response:
    """The parent's side. may_ask: whether the child that asks may use a namespace. Raises LittoralError."""
    call = peer.decode(request.body, KvCall, "key-value call")
    if not may_ask(call.namespace):
        raise Forbidden(
            "use namespace",
            call.namespace[:80],
            "it is not placed on the asking node, or replicated, and then that node reads its own copy",
            "Place the namespace on that node",
        )
    if call.operation == "get":
        found = await keyvalue.read(call.namespace, call.key)
        answer = KvAnswer() if found is None else KvAnswer(found.value, None, None, found.expires_s, found.metadata)
    elif call.operation == "list":
        answer = KvAnswer(page=await keyvalue.list(call.namespace, call.key, call.cursor, call.limit))
    elif call.operation == "delete" or call.value is None:
        answer = KvAnswer(entry=await keyvalue.delete(call.namespace, call.key))
    else:
        entry = await keyvalue.put(
            call.namespace, call.key, call.value, expires_s=call.expires_s, metadata=call.metadata
        )
        answer = KvAnswer(entry=entry)
    return peer.answer(answer)
