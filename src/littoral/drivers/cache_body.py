"""Bodies of HTTP answers in files: those that are whole, and those that still come."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from littoral.drivers.cache_place import CachePlace
from littoral.drivers.disk import storage_error
from littoral.gateway.cache.disk_objects import READ_BYTES

RESERVED_BYTES = 16 << 20
"""A body that comes is given so much more room at a time."""


class Shelf:
    """What bodies share: the directory, the threads that read and write there, and who is told what becomes of them."""

    def __init__(
        self,
        place: CachePlace,
        threads: Executor,
        opened: Callable[["FileBody"], None],
        lost: Callable[["FileBody"], None],
    ) -> None:
        """opened, lost: are told of each that is given, and of each that is not there to be given."""
        self.place = place
        self.threads = threads
        self.opened = opened
        self.lost = lost

    async def read(self, descriptor: int, start: int, end: int, file: str) -> bytes:
        """Some bytes of a file: at once where the system has them in memory, by a thread where not. Raises StorageError."""
        size = min(end - start, READ_BYTES)
        buffer = bytearray(size)
        try:
            try:
                got = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
            except OSError:  # Not in memory, or the file system cannot say.
                loop = asyncio.get_running_loop()
                got = await loop.run_in_executor(self.threads, os.preadv, descriptor, [buffer], start)
        except OSError as error:
            raise storage_error("read", file, error) from error
        return bytes(memoryview(buffer)[:got])


class OpenFile:
    """Implements `littoral.gateway.cache.entry.OpenBody`."""

    def __init__(self, shelf: Shelf, descriptor: int, file: str) -> None:
        self._shelf = shelf
        self._descriptor = descriptor
        self._file = file

    async def read(self, start: int, end: int) -> bytes:
        """See OpenBody.read."""
        return await self._shelf.read(self._descriptor, start, end, self._file)

    def close(self) -> None:
        """See OpenBody.close."""
        os.close(self._descriptor)


class FileBody:
    """Implements `littoral.gateway.cache.entry.Body`."""

    def __init__(self, name: str, size: int, used_s: int, shelf: Shelf) -> None:
        """used_s: when it was used, more or less."""
        self.name = name
        self.size = size
        self.used_s = used_s
        self._shelf = shelf

    def open(self) -> OpenFile | None:
        """See Body.open."""
        descriptor = -1
        try:
            descriptor = self._shelf.place.open(self.name)
            if os.fstat(descriptor).st_size == self.size:
                self._shelf.opened(self)
                return OpenFile(self._shelf, descriptor, self.name)
        except OSError:
            pass  # As where it is not there: what cannot be read is fetched anew.
        if descriptor >= 0:
            os.close(descriptor)
        self._shelf.lost(self)
        return None

    def read_whole(self) -> bytes | None:
        """All of it; None where it is not there any more. By a thread."""
        try:
            descriptor = self._shelf.place.open(self.name)
            with open(descriptor, "rb", buffering=0) as file:
                body = file.readall()
        except OSError:
            return None
        return body if len(body) == self.size else None


class FileSpool:
    """Implements `littoral.gateway.cache.disk_objects.Spool`."""

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        reserve: Callable[[int], Awaitable[bool]],
        finish: Callable[["FileSpool"], FileBody],
        close: Callable[["FileSpool"], None],
    ) -> None:
        """reserve: asks for room for so many bytes more. finish, close: are told so. Raises OSError."""
        self.name = name
        self.written = 0
        self.reserved = 0
        self.is_kept = False
        """Whether it has become an object."""
        self._shelf = shelf
        self._reserve = reserve
        self._finish = finish
        self._close = close
        self._descriptor = shelf.place.spool(name)
        self._is_busy = False
        self._is_closed = False

    async def write(self, data: bytes) -> bool:
        """See Spool.write."""
        if self.written + len(data) > self.reserved:
            more = max(RESERVED_BYTES, len(data))
            if not await self._reserve(more):
                return False
            self.reserved += more
        if not await self._run(self._write_all, data):
            return False
        self.written += len(data)
        return True

    async def read(self, start: int, end: int) -> bytes:
        """See Spool.read."""
        return await self._shelf.read(self._descriptor, start, end, self.name)

    async def finish(self) -> FileBody | None:
        """See Spool.finish."""
        return self._finish(self) if await self._run(os.fdatasync) else None

    def close(self) -> None:
        """See Spool.close."""
        self._is_closed = True
        if not self._is_busy and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._close(self)

    async def _run(self, work: Callable[..., object], *arguments: object) -> bool:
        """By a thread. Whether the disk took it. The file stays open until the thread has done it, whoever waits."""
        if self._is_closed:
            return False
        self._is_busy = True
        running = asyncio.get_running_loop().run_in_executor(self._shelf.threads, work, self._descriptor, *arguments)
        running.add_done_callback(self._ran)
        with contextlib.suppress(OSError):
            await asyncio.shield(running)
            return True
        return False

    def _ran(self, running: "asyncio.Future[object]") -> None:
        running.exception()
        self._is_busy = False
        if self._is_closed:
            self.close()

    def _write_all(self, descriptor: int, data: bytes) -> None:
        view, at = memoryview(data), self.written
        while view:
            count = os.pwrite(descriptor, view, at)
            view, at = view[count:], at + count
