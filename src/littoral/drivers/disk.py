"""A node's data directory on a real file system."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from littoral.core.errors import InvalidInput, NotFound, StorageError, StorageFull, StorageReadOnly

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}

DIRECTORY_MODE = 0o700
"""The data directory holds keys and customers' data: nobody but the node's user looks in."""


def storage_error(operation: str, subject: str, error: OSError) -> StorageError:
    """The error an operator should see for what the operating system said."""
    cause = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageFull(
            operation,
            subject,
            cause,
            "Free space on this file system, or lower the retention of the largest streams (`littoral stream list`)",
        )
    if error.errno in _READ_ONLY:
        return StorageReadOnly(
            operation,
            subject,
            cause,
            "Check how the file system is mounted, and that the data directory belongs to the user that runs Littoral",
        )
    return StorageError(operation, subject, cause, "Check the system log for errors of the disk")


def _missing(operation: str, path: str) -> NotFound:
    return NotFound(operation, path, "there is no such file")


class LocalDisk:
    """Implements `littoral.core.disk.Disk` over a directory, which is created if it does not exist.

    One process owns a file at a time: two writers of the same path would share the file that is written aside.
    Raises everywhere: StorageFull, StorageReadOnly, StorageError; InvalidInput for a path that leaves the directory.
    """

    vfs: str | None = None
    shared_memory: bool = True

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        """create: now, and not with the first file: for one whose place may not be there yet."""
        self.root = Path(root).absolute()
        if create:
            self._make_directory(self.root)

    def database_path(self, name: str) -> str:
        """The path to give to SQLite for the database `name`; its directory exists."""
        path = self._resolve(name)
        self._make_directory(path.parent)
        return str(path)

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None if there is none."""
        try:
            return self._resolve(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("read file", path, error) from error

    def write(self, path: str, data: bytes, *, secret: bool = False) -> None:
        """Replace the file: after a power cut there is either the old content or `data`, never a mixture."""
        target = self._resolve(path)
        aside = target.with_name(f".{target.name}.tmp")
        self._make_directory(target.parent)
        try:
            # What a crash left behind may have been created with another mode.
            aside.unlink(missing_ok=True)
            try:
                _write_synced(aside, data, 0o600 if secret else 0o644)
                aside.rename(target)
            except OSError:
                aside.unlink(missing_ok=True)
                raise
            sync_directory(target.parent)
        except OSError as error:
            raise storage_error("write file", str(target), error) from error

    def remove(self, path: str) -> None:
        """Delete the file if it exists, durably."""
        target = self._resolve(path)
        try:
            target.unlink()
            sync_directory(target.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error("remove file", str(target), error) from error

    def free_bytes(self) -> int:
        """Bytes that the node's user may still write to this file system."""
        try:
            return shutil.disk_usage(self.root).free
        except OSError as error:
            raise storage_error("measure free space of", str(self.root), error) from error

    def size(self, path: str) -> int | None:
        """The file's bytes, counted, or None if there is none."""
        try:
            return self._resolve(path).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("measure file", path, error) from error

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, or as many as there are. Raises NotFound."""
        with self._opened("read file", path, os.O_RDONLY) as descriptor:
            pieces: list[bytes] = []
            while length and (piece := os.pread(descriptor, length, offset)):
                pieces.append(piece)
                offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset of a file; see `core.disk.Disk`."""
        self._make_directory(self._resolve(path).parent)
        with self._opened("write file", path, os.O_WRONLY | os.O_CREAT) as descriptor:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                offset, view = offset + written, view[written:]

    def sync(self, path: str) -> None:
        """Make durable what was written to a file, and its name. Raises NotFound."""
        with self._opened("sync file", path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)
            sync_directory(self._resolve(path).parent)

    def move(self, path: str, target: str) -> None:
        """Give a file another name, durably. Raises NotFound."""
        source, named = self._resolve(path), self._resolve(target)
        self._make_directory(named.parent)
        try:
            source.rename(named)
            # The new name first: a power cut in between then leaves both, and not none.
            sync_directory(named.parent)
            sync_directory(source.parent)
        except FileNotFoundError as error:
            raise _missing("rename file", path) from error
        except OSError as error:
            raise storage_error("rename file", str(source), error) from error

    def files(self, folder: str) -> list[str]:
        """The paths of all files in a folder and below it, in order."""

        def failed(error: OSError) -> None:
            raise storage_error("list folder", folder, error) from error

        found: list[str] = []
        top = self._resolve(folder)
        if top.is_dir():
            for directory, _, names in os.walk(top, onerror=failed):
                inside = Path(directory).relative_to(self.root)
                found += [str(inside / name) for name in names]
        return sorted(found)

    @contextmanager
    def _opened(self, operation: str, path: str, flags: int) -> Iterator[int]:
        """A descriptor of a file; what fails in the block is an error of `operation`."""
        try:
            descriptor = os.open(self._resolve(path), flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise _missing(operation, path) from error
        except OSError as error:
            raise storage_error(operation, path, error) from error

    def _resolve(self, path: str) -> Path:
        parts = PurePosixPath(path)
        if not path or parts.is_absolute() or ".." in parts.parts:
            raise InvalidInput("use path", repr(path), "it does not stay inside the data directory")
        return self.root / parts

    def _make_directory(self, directory: Path) -> None:
        """Create the directory and its parents; each new entry is synced, or a power cut could lose what is in it."""
        missing: list[Path] = []
        try:
            while not directory.is_dir():
                missing.append(directory)
                directory = directory.parent
        except OSError as error:
            raise storage_error("open directory", str(directory), error) from error
        for new in reversed(missing):
            try:
                new.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
                sync_directory(new.parent)
            except FileExistsError as error:
                raise StorageError(
                    "create directory", str(new), "a file of that name is in the way", "Move the file away"
                ) from error
            except OSError as error:
                raise storage_error("create directory", str(new), error) from error


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    # The mode is given at creation: changing it afterwards would leave a moment in which anyone could open a secret.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner reads. Raises StorageError, also where there is one already."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise storage_error("create file", str(path), error) from error


def put_in_place(aside: Path, target: Path) -> None:
    """Give a file that was written aside, in the same directory, its name: after a power cut there is either what had the
    name before, or all of the new one. Raises StorageError."""
    try:
        descriptor = os.open(aside, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise storage_error("write file", str(target), error) from error
