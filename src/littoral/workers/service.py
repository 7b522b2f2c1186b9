"""`env.<BINDING>` for another app of the node: its requests, and methods of its entry point."""

import builtins
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from littoral.workers.binding import BindingCaller, BindingError
from littoral.workers.entrypoint import NOT_CALLABLE
from littoral.workers.request import Request
from littoral.workers.response import Response
from littoral.workers.rpc_values import load_values, sent_values

DEPTH: ContextVar[int] = ContextVar("service-depth", default=0)
"""How many apps have called each other for what is being done."""


class ServiceError(BindingError):
    """A call of another app failed, or what it raised has a type that is not Python's own."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name
        """The type of the exception that the other app raised; empty where it is the call that failed."""


class Service:
    """Another app. Its methods are called as they are there, and awaited: `await env.PRICES.quote("tea", amount=2)`.

    What a method raises is raised here: an exception of Python's own with its type, any other as ServiceError.
    """

    __slots__ = ("_call", "_name")

    def __init__(self, name: str, call: BindingCaller) -> None:
        """name: of the binding."""
        self._name = name
        self._call = call

    async def fetch(self, resource: Any, init: Any = None, **options: Any) -> Response:
        """Have it answer a request, as a client's. Bodies travel whole. Raises ServiceError, and what it raises."""
        if isinstance(resource, Request) and init is None and not options:
            request = resource
        else:
            request = Request(resource, **{**(init or {}), **options})
        body = await request.bytes()
        fields = [list(pair) for pair in request.headers.items()]
        answer = await self._call("fetch", self._name, [[request.method, request.url, fields, body], DEPTH.get()])
        status, headers, content = _value(answer)
        return Response(content or None, status=status, headers=[(name, value) for name, value in headers])

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("_") or name in NOT_CALLABLE:
            raise AttributeError(f"other apps have no method {name!r} to call")

        async def call(*arguments: Any, **named: Any) -> Any:
            values = await sent_values([list(arguments), named])
            return load_values(_value(await self._call("call", self._name, [name, values, DEPTH.get()])))

        return call

    def __repr__(self) -> str:
        return f"<Service {self._name}>"


def _value(answer: Any) -> Any:
    """What was returned. Raises what the other app raised."""
    name, text, value = answer
    if not name:
        return value
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            raised = kind(text)
        except TypeError:
            # Some cannot be made of a text: UnicodeDecodeError.
            raised = ServiceError(f"{name}: {text}", name)
        raise raised
    raise ServiceError(f"{name}: {text}", name)
