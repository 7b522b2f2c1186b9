"""Commands on their way from the hub to the zygote, with what the zygote must not read: that goes as a descriptor."""

import asyncio
import os
import socket
from collections import deque

from littoral.wire.frames import frame


class CommandSender:
    """Writes to one connection, of which another reads. What the peer does not take yet waits."""

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        """descriptor: of the connection, which must not block; this has a number of its own for it. Raises OSError."""
        # The loop watches the other number for what there is to read, and knows nothing of this one.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(descriptor))
        self._socket.setblocking(False)
        self._loop = loop
        self._waiting: deque[tuple[bytes, int]] = deque()
        """What is left of a frame, and the descriptor that goes with its first byte; -1 for none."""

    def send(self, body: bytes, held: bytes = b"") -> None:
        """Send a frame. held: what its receiver is to have as a descriptor, in no file. Raises OSError."""
        descriptor = _hold(held) if held else -1
        self._waiting.append((frame(body), descriptor))
        if len(self._waiting) == 1:
            self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._loop.remove_writer(self._socket.fileno())
        for _, descriptor in self._waiting:
            _close(descriptor)
        self._waiting.clear()
        self._socket.close()

    def _flush(self) -> None:
        while self._waiting:
            data, descriptor = self._waiting[0]
            try:
                sent = socket.send_fds(self._socket, [data], [descriptor] if descriptor >= 0 else [])
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                # Whoever reads from the connection learns that it is gone.
                sent = len(data)
            _close(descriptor)
            if sent < len(data):
                self._waiting[0] = data[sent:], -1
            else:
                self._waiting.popleft()
        self._loop.remove_writer(self._socket.fileno())


def _hold(data: bytes) -> int:
    """The descriptor of a file without a name, in memory."""
    descriptor = os.memfd_create("spec")
    try:
        # What is written at once is bounded by the kernel at 2 GiB.
        os.write(descriptor, data)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
