"""Work that would hold up the event loop: reading, hashing and syncing large files. Real: a thread
(`asyncio.to_thread`); simulated: `littoral.testing.offload`."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs plain functions off the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What `work` returns or raises. Who stops waiting does not stop the work."""
        ...
