"""What the process that runs a function gives it, where no argument of the function brings it.

A worker installs this once, before it answers its first request: `workers.env`, `workers.wait_until`, `workers.fetch`
and the lifespan of ASGI applications rest on it. Outside a worker (tests, editors) nothing is installed. A process that runs
several apps (isolation `inline`) seats each of them in the contexts that its code runs in.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from littoral.workers.binding import BindingCaller
from littoral.workers.environment import Env
from littoral.workers.missing import NotSupported
from littoral.workers.outgoing import Incoming, Outgoing, Way
from littoral.workers.request import Request

if TYPE_CHECKING:
    from littoral.workers.web_socket import WebSocket


@dataclass
class Platform:
    """What there is in a process."""

    background: Callable[[Awaitable[object]], None] | None = None
    """Lets work go on after the response."""
    subrequest: Callable[[Outgoing], Awaitable[Incoming]] | None = None
    """Makes a request of the function's own, without following where it leads. Raises FetchError."""
    cache: BindingCaller | None = None
    """Asks the node for what caches hold."""
    carry: "Callable[[WebSocket, Way], None] | None" = None
    """Carries messages between one end of a WebSocket and the way to a server."""
    node: str = ""
    """The name of the node that the function runs at."""
    at_end: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is to be called before the process ends."""


current: ContextVar[Request | None] = ContextVar("request", default=None)
"""The request that is being handled; what it starts inherits it."""

_installed = Platform()


@dataclass(frozen=True)
class Seat:
    """One of several apps in a process."""

    platform: Platform
    env: Env


_seat: ContextVar[Seat | None] = ContextVar("seat", default=None)
"""The app whose code runs; None where the process has one only."""


class _EnvOfApp(Env):
    """`env` of whichever app asks."""

    def __getattr__(self, name: str) -> object:
        seat = _seat.get()
        return super().__getattr__(name) if seat is None else getattr(seat.env, name)

    def __iter__(self) -> Iterator[str]:
        seat = _seat.get()
        return super().__iter__() if seat is None else iter(seat.env)

    def __repr__(self) -> str:
        seat = _seat.get()
        return super().__repr__() if seat is None else repr(seat.env)


env: Env = _EnvOfApp({})
"""The app's bindings and variables, for code outside a handler. While the app is imported, it has the variables only."""


def take_seat(platform: Platform, bindings: Env) -> None:
    """As `install`, for code that runs in this context alone."""
    _seat.set(Seat(platform, bindings))


def _platform() -> Platform:
    seat = _seat.get()
    return _installed if seat is None else seat.platform


def install(platform: Platform, bindings: Env) -> None:
    """Called by the process that runs the function: with its variables before the app is imported, and with all before
    the first request."""
    global _installed  # noqa: PLW0603 - there is one per process, as the function's code sees it
    _installed = platform
    env.__dict__.clear()
    env.__dict__.update(bindings.__dict__)


def wait_until(work: Awaitable[object]) -> None:
    """Let `work` go on after the response was sent. Raises RuntimeError at the limit of such work."""
    background = _platform().background
    if background is None:
        raise RuntimeError("workers.wait_until works within a worker, once the app is imported")
    background(work)


def cache_caller() -> BindingCaller | None:
    """Asks the node for what caches hold; None outside a worker."""
    return _platform().cache


def has_background() -> bool:
    """Whether `wait_until` works in this process."""
    return _platform().background is not None


def node() -> str:
    """The name of the node that the function runs at; empty outside a worker."""
    return _platform().node


def at_end(act: Callable[[], Awaitable[None]]) -> None:
    """Have `act` called before the process ends; twice is once."""
    at_ends = _platform().at_end
    if act not in at_ends:
        at_ends.append(act)


async def subrequest(outgoing: Outgoing) -> Incoming:
    """Make a request of the function's own, without following where it leads. Raises FetchError; NotSupported outside of a
    worker."""
    send = _platform().subrequest
    if send is None:
        raise NotSupported(
            f"fetch({outgoing.url!r}) outside of a request",
            "Call it within a handler, and not while the app is imported",
        )
    return await send(outgoing)


def carry(end: "WebSocket", way: Way) -> None:
    """Carry messages between one end of a WebSocket and the way to a server."""
    take = _platform().carry
    assert take is not None, "whoever makes requests carries WebSockets, too"
    take(end, way)
