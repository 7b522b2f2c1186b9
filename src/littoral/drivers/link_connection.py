"""One relayed connection: two sockets, and a pipe each way with what is on its way in between."""

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass

from littoral.core.clock import Clock
from littoral.core.limits import LINK_BUFFER_BYTES, Limits
from littoral.drivers.link_line import Line

READ_BYTES = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class End:
    """One of the two sockets."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """Close with RST: the peer learns at once, and loses what it had not read."""
        if not self.writer.transport.is_closing():
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.writer.transport.abort()


class Cut:
    """Whether the line is silent: everything sent into it is lost, and nobody is told."""

    silent = False


class Pipe:
    """One direction of one connection. Order is kept; a delay does not limit what may be on its way."""

    def __init__(self, source: End, target: End, line: Line, cut: Cut, clock: Clock, limits: Limits) -> None:
        self._source = source
        self._target = target
        self._line = line
        self._cut = cut
        self._clock = clock
        self._limits = limits
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Condition()

    async def take(self) -> None:
        """Read from the source until it ends. Raises OSError where it breaks."""
        most = self._limits[LINK_BUFFER_BYTES]
        while data := await self._read():
            if self._cut.silent:
                continue
            await self._put(data)
            if self._waiting_bytes >= most:
                self._limits.hit(LINK_BUFFER_BYTES)
                async with self._changed:
                    await self._changed.wait_for(lambda: self._waiting_bytes < most)
        # The other side of a silent line cannot learn that this one is gone.
        if not self._cut.silent:
            await self._put(b"")

    async def give(self) -> None:
        """Write to the target what is due, first what came first, until the end. Raises OSError where it breaks."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
            due_s, data = self._waiting[0]
            await asyncio.sleep(max(0.0, due_s - self._clock.monotonic_s()))
            if not self._cut.silent:
                if not data:
                    self._target.writer.write_eof()
                    return
                await self._write(data)
            self._waiting.popleft()
            self._waiting_bytes -= len(data)
            async with self._changed:
                self._changed.notify_all()

    async def _put(self, data: bytes) -> None:
        self._waiting.append((self._line.send(len(data)), data))
        self._waiting_bytes += len(data)
        async with self._changed:
            self._changed.notify_all()

    async def _read(self) -> bytes:
        try:
            return await self._source.reader.read(READ_BYTES)
        except OSError:
            if self._cut.silent:
                return b""
            raise

    async def _write(self, data: bytes) -> None:
        try:
            self._target.writer.write(data)
            await self._target.writer.drain()
        except OSError:
            if not self._cut.silent:
                raise


async def relay(up: Pipe, down: Pipe) -> None:
    """Run both directions until both have ended. Raises an ExceptionGroup of OSError where a socket breaks."""
    async with asyncio.TaskGroup() as tasks:
        for pipe in (up, down):
            tasks.create_task(pipe.take())
            tasks.create_task(pipe.give())
