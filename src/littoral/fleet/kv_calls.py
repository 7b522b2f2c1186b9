"""Asking the parent for key-value data, and answering a child that asks."""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from littoral.core.errors import Forbidden
from littoral.core.http import Request, Response
from littoral.core.kv import KeyValue, KvEntry, KvPage
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


class KvAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parent's answer; which field is set follows from the question."""

    value: bytes | None = None
    page: KvPage | None = None
    entry: KvEntry | None = None


class ParentCall(Protocol):
    """Sends an authenticated request to the parent. Raises PeerUnreachable, or the error the parent answered."""

    async def __call__(self, method: str, path: str, body: bytes) -> Response: ...


class KvCalls:
    """The child's side."""

    def __init__(self, call: ParentCall) -> None:
        self._call = call

    async def get(self, namespace: str, key: str) -> bytes | None:
        """The value at the root, or None."""
        return (await self._ask(KvCall("get", namespace, key))).value

    async def list(self, namespace: str, prefix: str, cursor: str | None, limit: int) -> KvPage:
        """A page of the root's listing."""
        page = (await self._ask(KvCall("list", namespace, prefix, cursor=cursor, limit=limit))).page
        return page or KvPage([], None)

    async def write(self, namespace: str, key: str, value: bytes | None) -> KvEntry:
        """Write at the root."""
        entry = (await self._ask(KvCall("delete" if value is None else "put", namespace, key, value))).entry
        assert entry is not None
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
        answer = KvAnswer(value=await keyvalue.get(call.namespace, call.key))
    elif call.operation == "list":
        answer = KvAnswer(page=await keyvalue.list(call.namespace, call.key, call.cursor, call.limit))
    elif call.operation == "delete" or call.value is None:
        answer = KvAnswer(entry=await keyvalue.delete(call.namespace, call.key))
    else:
        answer = KvAnswer(entry=await keyvalue.put(call.namespace, call.key, call.value))
    return peer.answer(answer)
