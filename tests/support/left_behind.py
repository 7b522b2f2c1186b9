"""The socket of a process that was killed, while the kernel still takes it apart: it lets in, and nobody is there."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

ATTEMPTS = 3
DEADLINE_S = 30.0


@contextlib.contextmanager
def left_behind(path: Path) -> Iterator[Callable[[], Awaitable[None]]]:
    """Gives what waits until somebody has connected ATTEMPTS times, and was let go each time. Then the socket is gone."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)

    async def ended() -> None:
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(ATTEMPTS):
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                connection.close()

    try:
        yield ended
    finally:
        listener.close()
