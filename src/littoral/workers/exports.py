"""`ctx.exports`: the app's own entry points, called as another app would call them, within the same worker."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from littoral.workers.entrypoint import NOT_CALLABLE, Context
from littoral.workers.environment import Env
from littoral.workers.request import Request
from littoral.workers.response import Response
from littoral.workers.rpc_values import copied

DEFAULT = ("default", "Default")


class EntryPoint(Protocol):
    """One of them; `littoral.functions.worker.loader.App`."""

    @property
    def fetch(self) -> Callable[[Request, Env, Context], Awaitable[object]]:
        """What answers its requests."""
        ...

    async def call(self, method: str, arguments: list[Any], named: dict[str, Any], env: Env, ctx: Context) -> object:
        """Call a method of its own. Raises what the method raises."""
        ...


Find = Callable[[str], EntryPoint | None]
"""By its name; "" for the app's own. None where there is none."""


class Exports:
    """Entry points by the names of their classes; `default` for the one that answers clients."""

    def __init__(self, find: Find, env: Env, ctx: Context) -> None:
        self._find = find
        self._env = env
        self._ctx = ctx

    def __getattr__(self, name: str) -> "Export":
        entry = None if name.startswith("_") else self._find("" if name in DEFAULT else name)
        if entry is None:
            raise AttributeError(f"the app's main module has no class {name!r} that is a WorkerEntrypoint")
        return Export(name, entry, self._env, self._ctx)


class Export:
    """One entry point. Each call has an instance of its own; arguments and results are copied, as between apps, and streams are
    passed on. `exports.Name(props={...})` gives the same with what it finds in `ctx.props`."""

    def __init__(self, name: str, entry: EntryPoint, env: Env, ctx: Context) -> None:
        self._name = name
        self._entry = entry
        self._env = env
        self._ctx = ctx

    def __call__(self, options: Mapping[str, Any] | None = None, **named: Any) -> "Export":
        props = {**(options or {}), **named}.get("props")
        return Export(self._name, self._entry, self._env, self._ctx.with_props(copied(props)))

    async def fetch(self, resource: Any, init: Any = None, **options: Any) -> Response:
        """Have it answer a request. Raises what it raises."""
        if isinstance(resource, Request) and init is None and not options:
            request = resource
        else:
            request = Request(resource, **{**(init or {}), **options})
        response = await self._entry.fetch(request, self._env, self._ctx)
        if not isinstance(response, Response):
            raise TypeError(f"fetch returned {type(response).__name__}; it must return a workers.Response")
        return response

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("_") or name in NOT_CALLABLE:
            raise AttributeError(f"entry points have no method {name!r} to call")

        async def call(*arguments: Any, **named: Any) -> Any:
            given, options = copied([list(arguments), named])
            return copied(await self._entry.call(name, given, options, self._env, self._ctx))

        return call

    def __repr__(self) -> str:
        return f"<Export {self._name}>"
