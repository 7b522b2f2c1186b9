"""The directory of what a node's gateways have on disk of HTTP answers: which processes use it, and the files in it.

    lock            held by every process that uses the directory, shared; exclusively, by one that begins anew
    damaged         says that it is to be begun anew
    index.db        littoral.drivers.cache_index
    summary         littoral.drivers.cache_summary
    objects/ab/…    bodies, under the names that the index has for them
    spool/I/…       what process I is writing; its directory is locked while the process runs

A body is written in the spool, synced, and moved to its place within the transaction that names it; it is removed after the one
that forgets it. So what a crash leaves is a file without a name in the index, never a name with the wrong file.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from littoral.drivers.disk import DIRECTORY_MODE, storage_error, sync_directory

INDEX, SUMMARY, OBJECTS, SPOOL = "index.db", "summary", "objects", "spool"
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_content(root: Path) -> None:
    """Remove what is kept there, and nothing else that may be in the directory. Raises OSError."""
    for directory in (root / OBJECTS, root / SPOOL):
        shutil.rmtree(directory, ignore_errors=True)
    for file in (f"{INDEX}-wal", f"{INDEX}-shm", INDEX, SUMMARY):
        (root / file).unlink(missing_ok=True)


class CachePlace:
    """One process's use of it."""

    def __init__(self, root: Path, instance: str) -> None:
        """instance: a name that no other process has, nor had."""
        self.instance = instance
        self.index = str(root / INDEX)
        self.summary = root / SUMMARY
        self._root = root
        self._objects = root / OBJECTS
        self._spools = root / SPOOL
        self._spool = self._spools / instance
        self._damaged = root / "damaged"
        self._lock = -1
        self._own = -1

    # Use

    def enter(self) -> bool:
        """Use it, together with others, or alone until `share`. Whether it is alone. Raises StorageError."""
        try:
            self._root.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
            if self._lock < 0:
                self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self.share()
        except OSError as error:
            raise storage_error("use", str(self._root), error) from error
        return False

    def share(self) -> None:
        """Let others use it, too. Raises OSError."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def settle(self) -> None:
        """Make what is not there yet. Raises StorageError."""
        try:
            for each in (self._objects, self._spools, self._spool):
                each.mkdir(DIRECTORY_MODE, exist_ok=True)
            # SQLite gives the files beside it the same mode.
            os.close(os.open(self.index, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if self._own < 0:
                self._own = os.open(self._spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self._own, fcntl.LOCK_EX)
        except OSError as error:
            raise storage_error("use", str(self._root), error) from error

    def let_go(self) -> None:
        """Use it no more for now: somebody else may want to be alone with it."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Use it no more."""
        shutil.rmtree(self._spool, ignore_errors=True)
        for descriptor in (self._own, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._own = self._lock = -1

    @property
    def is_damaged(self) -> bool:
        """Whether it is to be begun anew."""
        return self._damaged.exists()

    def mark_damaged(self) -> None:
        """It is to be begun anew, by whoever is alone with it."""
        with contextlib.suppress(OSError):
            self._damaged.touch(0o600)

    def begin_anew(self) -> None:
        """Remove everything; nobody else uses it. Raises StorageError."""
        try:
            remove_content(self._root)
            if self._own >= 0:
                os.close(self._own)
                self._own = -1
            sync_directory(self._root)
            self._damaged.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error("remove", str(self._root), error) from error

    def free_bytes(self) -> int:
        """Of the file system. Raises OSError."""
        found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    # Files. All raise OSError

    def spool(self, file: str) -> int:
        """A new file that is written; its descriptor."""
        return os.open(self._spool / file, _NEW, 0o600)

    def write(self, file: str, body: bytes) -> None:
        """A new file in the spool, synced."""
        descriptor = self.spool(file)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def put_in_place(self, file: str) -> None:
        """Move it out of the spool."""
        target = self._path(file)
        try:
            os.rename(self._spool / file, target)
        except FileNotFoundError:
            target.parent.mkdir(DIRECTORY_MODE, exist_ok=True)
            os.rename(self._spool / file, target)

    def remove_spooled(self, file: str) -> None:
        """It is not wanted any more, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spool / file)

    def open(self, file: str) -> int:
        """The descriptor of a body."""
        return os.open(self._path(file), _FILE)

    def remove(self, file: str) -> None:
        """A body, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(file))

    def _path(self, file: str) -> Path:
        return self._objects / file[:2] / file

    # What was left behind

    def folders(self) -> list[str]:
        """Of bodies."""
        return sorted(os.listdir(self._objects))

    def files(self, folder: str) -> list[str]:
        """Bodies in one of these."""
        try:
            return os.listdir(self._objects / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove_ended(self) -> list[str]:
        """Remove what processes were writing that have ended; which those were."""
        return [name for name in os.listdir(self._spools) if name != self.instance and self._remove_if_ended(name)]

    def _remove_if_ended(self, instance: str) -> bool:
        directory = self._spools / instance
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True
