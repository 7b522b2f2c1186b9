"""What a request waits for, and for whom: who has left needs no answer.

A handler that only waits says so with `while_client_waits`, and is ended there once its client is gone. Anywhere else it
goes on to its end: what it changes in memory and in the store must not come apart.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Client:
    """Whoever is to get the answers on one connection."""

    __slots__ = ("_gone", "_waiting")

    def __init__(self) -> None:
        self._gone = False
        self._waiting: dict[asyncio.Task[object], None] = {}

    def answered_here(self) -> None:
        """What the running task does from now on, it does for this client."""
        _client.set(self)

    def leave(self) -> None:
        """It is gone: end what only waits."""
        self._gone = True
        for task in tuple(self._waiting):
            task.cancel()

    @contextmanager
    def waits(self) -> Iterator[None]:
        """See `while_client_waits`."""
        if self._gone:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = None
        try:
            yield
        finally:
            del self._waiting[task]


_client: ContextVar[Client | None] = ContextVar("client", default=None)


@contextmanager
def while_client_waits() -> Iterator[None]:
    """Cancel the task within once the client of its request has left; a task enters it once at a time.

    Nothing that changes anything may be within. Where nobody can tell whether the client is there it does nothing.
    """
    client = _client.get()
    if client is None:
        yield
        return
    with client.waits():
        yield
