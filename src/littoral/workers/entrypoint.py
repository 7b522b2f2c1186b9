"""What an app's main module defines."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from littoral.workers.missing import NotSupported

F = TypeVar("F", bound=Callable[..., object])

_MISSING = {
    "cache": "Send Cache-Control, and put a cache before the app with spec.cache of its route",
    "exports": "Call the other class of the module yourself",
    "tracing": "Print what is worth knowing: it is in the node's log with the request's id",
    "abort": "Raise an exception",
}


class Context:
    """What one invocation may ask of its worker."""

    __slots__ = ("_background", "props")

    def __init__(self, background: Callable[[Awaitable[object]], None], props: Any = None) -> None:
        self._background = background
        self.props = {} if props is None else props
        """What a service binding passes; empty for requests of clients."""

    def waitUntil(self, work: Awaitable[object]) -> None:
        """Let `work` go on after the response was sent. Raises RuntimeError at the limit of such work."""
        self._background(work)

    wait_until = waitUntil

    def passThroughOnException(self) -> None:
        """Nothing: there is no origin behind an app that could answer in its place, as there is none behind a Worker on a
        custom domain. An exception is answered with problem details and status 500."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in _MISSING:
            raise NotSupported(f"ctx.{name}", _MISSING[name])
        raise AttributeError(f"ctx has no {name!r}; it has waitUntil, passThroughOnException and props")


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
