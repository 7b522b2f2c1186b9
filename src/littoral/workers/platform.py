"""What the process that runs a function gives it, where no argument of the function brings it.

A worker installs this once, before it answers its first request: `workers.env`, `workers.wait_until`, `workers.fetch`
and the lifespan of ASGI applications rest on it. Outside a worker (tests, editors) nothing is installed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from littoral.workers.environment import Env
from littoral.workers.missing import NotSupported
from littoral.workers.request import Request
from littoral.workers.response import Response

env = Env({})
"""The app's bindings and variables, for code outside a handler. While the app is imported, it has the variables only."""


@dataclass
class Platform:
    """What there is in a process."""

    background: Callable[[Awaitable[object]], None] | None = None
    """Lets work go on after the response."""
    subrequest: Callable[[Request], Awaitable[Response]] | None = None
    """Makes a request of the function's own."""
    at_end: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is to be called before the process ends."""


_installed = Platform()


def install(platform: Platform, bindings: Env) -> None:
    """Called by the process that runs the function: with its variables before the app is imported, and with all before
    the first request."""
    global _installed  # noqa: PLW0603 - there is one per process, as the function's code sees it
    _installed = platform
    env.__dict__.clear()
    env.__dict__.update(bindings.__dict__)


def wait_until(work: Awaitable[object]) -> None:
    """Let `work` go on after the response was sent. Raises RuntimeError at the limit of such work."""
    if _installed.background is None:
        raise RuntimeError("workers.wait_until works within a worker, once the app is imported")
    _installed.background(work)


def has_background() -> bool:
    """Whether `wait_until` works in this process."""
    return _installed.background is not None


def at_end(act: Callable[[], Awaitable[None]]) -> None:
    """Have `act` called before the process ends; twice is once."""
    if act not in _installed.at_end:
        _installed.at_end.append(act)


async def subrequest(request: Request) -> Response:
    """Make a request of the function's own. Raises NotSupported."""
    if _installed.subrequest is None:
        raise NotSupported(
            f"fetch({request.url!r})",
            "Requests of a function's own come with a later version; until then have the client, or a Route with an "
            "Origin, ask there",
        )
    return await _installed.subrequest(request)
