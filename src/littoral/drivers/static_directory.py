"""Files of one directory, and nothing outside of it: each part of a path is opened below the one before, and no symbolic link
is followed (openat with O_NOFOLLOW), so there is nothing to be raced with either."""

import asyncio
import errno
import os
import stat
from pathlib import Path

from littoral.drivers.disk import storage_error
from littoral.gateway.static_files import FileFacts

PIECE_BYTES = 256 << 10
SMALL_BYTES = 64 << 10
"""Read at once: most such files are in the system's memory, and a thread would take longer."""
_PART = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_FILES = frozenset({errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""A symbolic link; a socket, or a pipe that nobody writes; a name that no file can have."""
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class OpenFile:
    """Implements `littoral.gateway.static_files.OpenFile`."""

    def __init__(self, descriptor: int, facts: FileFacts, path: str) -> None:
        self.facts = facts
        self._descriptor = descriptor
        self._path = path

    async def read(self, start: int, end: int) -> bytes:
        """See OpenFile.read."""
        size = min(end - start, PIECE_BYTES)
        if self.facts.size <= SMALL_BYTES:
            return self.read_now(start, size)
        return await asyncio.to_thread(self.read_now, start, size)

    def read_now(self, start: int, size: int) -> bytes:
        """So many bytes from there on, or as many as there are. Raises StorageError."""
        try:
            return os.pread(self._descriptor, size, start)
        except OSError as error:
            raise storage_error("read file", self._path, error) from error

    def close(self) -> None:
        """See OpenFile.close."""
        os.close(self._descriptor)


class StaticDirectory:
    """Implements `littoral.gateway.static_files.Directory`."""

    def __init__(self, root: Path) -> None:
        """root: an absolute path; links on the way to it are followed, below it none is."""
        self._root = root

    def open(self, parts: tuple[str, ...]) -> OpenFile | None:
        """See Directory.open."""
        path = str(self._root.joinpath(*parts))
        try:
            descriptor = self._open(parts)
        except _ABSENT:
            return None
        except OSError as error:
            if error.errno in _NOT_FILES:
                return None
            raise storage_error("open file", path, error) from error
        return self._checked(descriptor, path)

    def start_of(self, name: str, size: int) -> bytes:
        """See Directory.start_of."""
        found = self.open((name,))
        if found is None:
            return b""
        try:
            return b"" if found.facts.is_directory else found.read_now(0, size)
        finally:
            found.close()

    def _open(self, parts: tuple[str, ...]) -> int:
        """Raises OSError."""
        at = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts[:-1]:
            try:
                below = os.open(part, _PART, dir_fd=at)
            finally:
                os.close(at)
            at = below
        try:
            return os.open(parts[-1] if parts else ".", _FILE, dir_fd=at)
        finally:
            os.close(at)

    @staticmethod
    def _checked(descriptor: int, path: str) -> OpenFile | None:
        """None for what is neither a file nor a directory. Raises StorageError."""
        try:
            seen = os.fstat(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise storage_error("look at file", path, error) from error
        is_directory = stat.S_ISDIR(seen.st_mode)
        if not (is_directory or stat.S_ISREG(seen.st_mode)):
            os.close(descriptor)
            return None
        facts = FileFacts(seen.st_size, seen.st_mtime_ns, seen.st_ino, is_directory=is_directory)
        return OpenFile(descriptor, facts, path)
