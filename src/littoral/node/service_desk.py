"""Calls of one app of a node by another, for which it has a binding.

They go from the caller's worker to the hub and from there to a worker of the other app, which is started if none runs, and
are bounded by that app's limits. The hub passes arguments and results on unread.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from littoral.core.errors import Forbidden, InvalidInput, LimitReached, NotFound, TooLarge
from littoral.core.event_limits import SERVICE_DEPTH
from littoral.core.limits import KV_VALUE_BYTES, Limits
from littoral.core.random import Random
from littoral.core.resources.app_events import ServiceBinding
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.apps import PlacedApp
from littoral.functions.calls.client import FunctionRequest
from littoral.functions.event_messages import Asked, Returned, Rpc, rpc_body
from littoral.functions.messages import BindingCall
from littoral.node.app_events import ID_BYTES, AppEvents

_encode = msgspec.msgpack.Encoder().encode
_decode_returned = msgspec.msgpack.Decoder(Returned).decode
_Fetch = tuple[Asked, int]
_Call = tuple[str, bytes, int]


class ServiceDesk:
    """Answers the calls of kind "service"."""

    def __init__(self, calls: AppEvents, random: Random, limits: Limits) -> None:
        self._calls = calls
        self._random = random
        self._limits = limits
        self._bindings: dict[str, dict[str, ServiceBinding]] = {}
        self._wall_ms: dict[str, int] = {}

    def apply(self, apps: Sequence[PlacedApp], parting: Sequence[PlacedApp] = ()) -> None:
        """Exactly these apps are there. parting: those that were taken away, and call others until they have ended."""
        self._bindings = {app.name: {each.binding: each for each in app.services} for app in (*apps, *parting)}
        self._wall_ms = {app.name: app.wall_ms for app in apps}

    def called(self) -> Iterable[str]:
        """The apps that others have bindings for."""
        return {each.service for bindings in self._bindings.values() for each in bindings.values()}

    async def answer(self, app: str, call: BindingCall) -> Any:
        """See BindingHandler: the type of what the other app raised, its text, and the result."""
        return await self.perform(*self.read(app, call), app)

    def read(self, app: str, call: BindingCall) -> tuple[str, Rpc]:
        """Which app it calls, and how. Raises Forbidden, InvalidInput, LimitReached."""
        binding = self._bindings.get(app, {}).get(call.namespace)
        if binding is None:
            raise Forbidden(
                "call service",
                call.namespace,
                f"app {app} has no binding for it",
                "Add it under spec.services of the app",
            )
        return binding.service, self._read(call, binding)

    def check(self, service: str, app: str) -> int:
        """How long the app may take, in ms. Raises NotFound where it is not here; app: who asks for it."""
        wall_ms = self._wall_ms.get(service)
        if wall_ms is None:
            cause = f"app {service} is not placed at this node"
            raise NotFound("call service", service, cause, f"Place it wherever app {app} is")
        return wall_ms

    async def perform(self, service: str, rpc: Rpc, app: str) -> list[Any]:
        """Call an app for one who may; the result is that of `answer`. Raises LittoralError."""
        wall_ms = self.check(service, app)
        subject = f"{rpc.method or 'fetch'} for app {app}"
        identifier = self._random.token_bytes(ID_BYTES).hex()
        request = FunctionRequest("rpc", subject, [], rpc_body(rpc), identifier, "rpc", wall_ms)
        answer = await self._calls.ask(service, request)
        try:
            returned = _decode_returned(answer.body)
        except UNDECODABLE as error:
            # Written by the worker's process, which is the app's: it may say anything.
            cause = f"app {service} answered what cannot be read"
            raise InvalidInput("call service", service, cause) from error
        if len(answer.body) > self._limits[KV_VALUE_BYTES]:
            cause = f"the answer has {len(answer.body)} bytes; at most {self._limits[KV_VALUE_BYTES]} are passed on"
            raise TooLarge("call service", service, cause, "Answer in parts, or raise limit kv-value-bytes")
        return [returned.error, returned.text, returned.value]

    def _read(self, call: BindingCall, binding: ServiceBinding) -> Rpc:
        """Raises InvalidInput, LimitReached."""
        try:
            if call.operation == "fetch":
                asked, depth = msgspec.convert(call.arguments, _Fetch)
                method, arguments = "", _encode(asked)
            else:
                method, arguments, depth = msgspec.convert(call.arguments, _Call)
        except UNDECODABLE as error:
            raise InvalidInput("call service", call.namespace, f"this is no call ({error})") from error
        if depth >= self._limits[SERVICE_DEPTH]:
            self._limits.hit(SERVICE_DEPTH)
            raise LimitReached(
                "call service",
                call.namespace,
                f"{depth} apps have called each other for this",
                "See whether they go round in circles, or raise limit service-depth",
            )
        if call.operation != "fetch" and not method:
            raise InvalidInput("call service", call.namespace, "the call names no method")
        return Rpc(binding.entrypoint or "", method, arguments, binding.props, depth + 1)
