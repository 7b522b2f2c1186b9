"""One end of a Unix socket that carries frames. Every pair of processes of a node talks over two of these."""

import asyncio
import socket
import struct
from pathlib import Path
from typing import cast

from littoral.core.errors import StartupError
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.frames import FrameReader, FrameTooLarge, frame, frame_head

SOCKET_PATH_BYTES = 107
"""The kernel's bound of a Unix socket's path (unix(7), sun_path), less the closing zero."""

_PEER_CREDENTIALS = struct.Struct("3i")


class FrameConnection(asyncio.Protocol):
    """Reads frames and writes them. What is sent during one turn of the loop leaves in one write."""

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: the longest frame accepted; a longer one closes the connection."""
        self._reader = FrameReader(max_bytes)
        self._outgoing: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.loop = asyncio.get_running_loop()

    def opened(self) -> None:
        """Called once the connection is there."""

    def received(self, body: bytes) -> None:
        """Called with each frame. A ValueError, or one of UNDECODABLE, closes the connection."""
        raise NotImplementedError

    def lost(self) -> None:
        """Called once, when the connection is gone."""

    def send(self, body: bytes) -> None:
        """Send one frame at the end of this turn of the loop; dropped if the connection is gone."""
        if not self._outgoing:
            self.loop.call_soon(self._flush)
        self._outgoing.append(frame(body))

    def send_with(self, head: bytes, rest: bytes) -> None:
        """Send one frame of two parts, which are not copied into one before they are written."""
        if not self._outgoing:
            self.loop.call_soon(self._flush)
        self._outgoing += (frame_head(len(head) + len(rest)), head, rest)

    def accept(self, max_bytes: int) -> None:
        """Accept frames of this length from now on."""
        self._reader.max_bytes = max_bytes

    def close(self) -> None:
        """Close after what was sent is written."""
        self._flush()
        if self.transport is not None:
            self.transport.close()

    @property
    def unwritten_bytes(self) -> int:
        """What the peer has not read yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def peer_pid(self) -> int:
        """The process at the other end."""
        assert self.transport is not None
        return peer_pid(self.transport.get_extra_info("socket"))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(outgoing))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface of asyncio.Transport, but do not inherit from it.
        self.transport = cast("asyncio.Transport", transport)
        self.opened()

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                self.received(body)
        except (FrameTooLarge, ValueError, *UNDECODABLE):
            assert self.transport is not None
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._outgoing.clear()
        self.lost()


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a Unix socket, vouched for by the kernel (SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(data)[0])


def check_socket_path(path: Path) -> str:
    """`path` as text, or StartupError where the kernel would cut it."""
    text = str(path)
    if len(text.encode()) > SOCKET_PATH_BYTES:
        raise StartupError(
            "open socket",
            text,
            f"a Unix socket's path has at most {SOCKET_PATH_BYTES} bytes",
            "Use a shorter data directory",
        )
    return text
