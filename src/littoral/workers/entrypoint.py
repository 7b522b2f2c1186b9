"""What an app's main module defines."""

from collections.abc import Awaitable, Callable
from typing import Any


class Context:
    """What one invocation may ask of its worker."""

    __slots__ = ("_background",)

    def __init__(self, background: Callable[[Awaitable[object]], None]) -> None:
        self._background = background

    def waitUntil(self, work: Awaitable[object]) -> None:  # noqa: N802 - the name Workers gives it
        """Let `work` go on after the response was sent. Raises RuntimeError at the limit of such work."""
        self._background(work)


class WorkerEntrypoint:
    """Base of the class `Default` in an app's main module.

    A subclass defines `async def fetch(self, request)`, or `fetch(self)` where it does not look at the request.
    Each request is handled by a new instance.
    """

    env: Any
    """The app's bindings and variables (`littoral.workers.Env`)."""
    ctx: Context

    def __init__(self, ctx: Context, env: Any) -> None:
        self.ctx = ctx
        self.env = env
