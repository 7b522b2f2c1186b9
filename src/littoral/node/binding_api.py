"""Bindings over the operator API, for an app that runs at its developer's machine (`littoral dev --remote`).

POST  /v1/bindings     BindingOrder -> what the binding gives

An operator may read and write whatever apps may, so there is nothing to look up: no app's document says who may ask here.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.kv import KeyValue
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.hub.kv_bindings import KvBindings
from littoral.functions.messages import BindingCall
from littoral.node.binding_messages import CONTENT_TYPE, FIND, BindingOrder
from littoral.wire.answers import NO_STORE, method_not_allowed

Performer = Callable[[str, BindingCall], Awaitable[Any]]
"""Does what an app asks, whichever it is, or finds what it names. Raises LittoralError."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BindingOrder).decode


class BindingApi:
    """Answers requests to `binding_messages.PATH`, once the operator is known."""

    def __init__(self, keyvalue: KeyValue, kv: KvBindings) -> None:
        self._keyvalue = keyvalue
        self._kv = kv
        self._performers: dict[str, Performer] = {"kv": self._namespace}

    def add(self, performers: Mapping[str, Performer]) -> None:
        """Have more kinds of bindings: a node without apps has key-value alone."""
        self._performers.update(performers)

    async def handle(self, request: Request) -> Response:
        """Raises LittoralError."""
        if request.method != "POST":
            raise method_not_allowed(request)
        try:
            order = _decode(request.body)
        except UNDECODABLE as error:
            raise InvalidInput(
                "call binding", "", f"this is no call ({error})", "Use `littoral dev --remote`"
            ) from error
        perform = self._performers.get(order.kind)
        if perform is None:
            cause = f"this node has no bindings of kind {order.kind!r}"
            raise NotFound("call binding", order.name, cause, "Give it spec.listen.gateway, or ask another node")
        result = await perform(order.app, BindingCall(0, order.operation, order.name, order.arguments, order.kind))
        return Response(200, [("content-type", CONTENT_TYPE), NO_STORE], _encode(result))

    async def _namespace(self, app: str, call: BindingCall) -> Any:
        if call.operation == FIND:
            await self._keyvalue.list(call.namespace, "", None, 1)
            return None
        return await self._kv.perform(call)
