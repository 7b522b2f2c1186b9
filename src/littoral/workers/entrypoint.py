"""What an app's main module defines."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from littoral.workers.missing import NotSupported

if TYPE_CHECKING:
    from littoral.workers.app_cache import AppCache
    from littoral.workers.exports import Exports, Find

F = TypeVar("F", bound=Callable[..., object])
NOT_CALLABLE = frozenset({"alarm", "ctx", "env", "fetch", "queue", "scheduled", "tail", "test"})
"""Of an entry point, by other apps: what the platform calls, and what it has from it."""

_MISSING = {
    "tracing": "Print what is worth knowing: it is in the node's log with the request's id",
    "abort": "Raise an exception",
}


class Context:
    """What one invocation may ask of its worker."""

    __slots__ = ("_background", "_find", "props")

    def __init__(
        self, background: Callable[[Awaitable[object]], None], props: Any = None, find: "Find | None" = None
    ) -> None:
        """find: the entry points of the app's main module."""
        self._background = background
        self._find = find
        self.props = {} if props is None else props
        """What a service binding passes; empty for requests of clients."""

    def with_props(self, props: Any) -> "Context":
        """The same for a call that passes these."""
        return Context(self._background, props, self._find) if props else self

    def waitUntil(self, work: Awaitable[object]) -> None:
        """Let `work` go on after the response was sent. Raises RuntimeError at the limit of such work."""
        self._background(work)

    wait_until = waitUntil

    @property
    def cache(self) -> "AppCache":
        """What caches before the app hold of its answers."""
        # Loaded by functions that use it only.
        from littoral.workers.app_cache import APP_CACHE  # noqa: PLC0415

        return APP_CACHE

    @property
    def exports(self) -> "Exports":
        """The entry points of the app's own main module. Raises NotSupported outside of a worker."""
        # Loaded by functions that use it only.
        from littoral.workers.exports import Exports  # noqa: PLC0415
        from littoral.workers.platform import env  # noqa: PLC0415

        if self._find is None:
            raise NotSupported("ctx.exports", "It works within a worker; elsewhere make an instance of the class")
        return Exports(self._find, env, self)

    def passThroughOnException(self) -> None:
        """Nothing: there is no origin behind an app that could answer in its place, as there is none behind a Worker on a
        custom domain. An exception is answered with problem details and status 500."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in _MISSING:
            raise NotSupported(f"ctx.{name}", _MISSING[name])
        raise AttributeError(f"ctx has no {name!r}; it has waitUntil, passThroughOnException, cache, exports and props")


class WorkerEntrypoint:
    """Base of the class `Default` in an app's main module.

    A subclass defines what it answers to, each of them `async def` or `def`: `fetch(self, request)`, or `fetch(self)`
    where it does not look at the request; `scheduled(self, controller, env, ctx)`; `queue(self, batch, env, ctx)`; and
    methods of its own, for other apps to call. Each request is handled by a new instance.
    """

    env: Any
    """The app's bindings and variables (`littoral.workers.Env`)."""
    ctx: Context

    def __init__(self, ctx: Context, env: Any) -> None:
        self.ctx = ctx
        self.env = env


def handler(function: F) -> F:
    """Marks `on_fetch` and its like as written against this module's interface, not JavaScript's."""
    function.uses_python_types = True  # type: ignore[attr-defined]
    return function


class DurableObject:
    """Not there yet: a module that derives from it cannot be loaded, and is told why."""

    def __init_subclass__(cls) -> NoReturn:
        raise NotSupported(
            f"class {cls.__name__}(DurableObject)", "Keep what it holds in a key-value namespace or a stream until then"
        )


class WorkflowEntrypoint:
    """Not there yet: a module that derives from it cannot be loaded, and is told why."""

    def __init_subclass__(cls) -> NoReturn:
        raise NotSupported(f"class {cls.__name__}(WorkflowEntrypoint)", "Use ctx.waitUntil for work after the response")
