"""SQLite's view of a simulated disk: a VFS written in Python, without shared memory."""

# ruff: noqa: N802 -- the names of the methods are SQLite's
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Literal, Protocol

import apsw

from littoral.testing.disk_file import SimFile
from littoral.testing.random import SeededRandom

ChangeKind = Literal["write", "truncate", "sync", "remove"]

MEMORY_NAME_BYTES = 1024
"""Longest path; SQLite asks for the bound when a VFS is registered."""
SECTOR_SIZE_BYTES = 4096
"""What SQLite's own VFS for Unix reports: with it SQLite lays out and syncs its files as it does in production."""

UNIX_EPOCH_MS = 210_866_760_000_000
"""1970-01-01 as SQLite counts time: milliseconds since noon of 24 November 4714 BC."""
DAY_MS = 86_400_000

ENCRYPTING = "multipleciphers-"
"""Before the name of a VFS: the one that SQLite3 Multiple Ciphers puts before it, without which nothing is encrypted."""

_handles = count(1)


class NoSuchFile(apsw.IOError):
    """What SQLite expects when a file to be removed is not there."""

    extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT


class Medium(Protocol):
    """What the VFS needs of a disk."""

    incarnation: int
    read_only: bool
    random: SeededRandom
    wall_ms: Callable[[], int]

    def open(self, path: str, *, create: bool) -> SimFile:
        """The file; raises apsw errors."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def unlink(self, path: str, *, durable: bool) -> None:
        """Remove a name."""
        ...

    def sync_file(self, path: str, file: SimFile) -> None:
        """Make a file and its name durable."""
        ...

    def check_access(self, incarnation: int) -> None:
        """Raise if the disk does not answer to what was opened in that incarnation."""
        ...

    def change(
        self, incarnation: int, kind: ChangeKind, path: str, apply: Callable[[], None], size: tuple[int, int, int]
    ) -> None:
        """Count a change and apply it, unless a fault prevents it. `size`: offset, length, growth in bytes
        (below zero: the file becomes shorter)."""
        ...


class SimVfs(apsw.VFS):
    """Opens the files of one disk. Registered under `name` for as long as it lives."""

    def __init__(self, disk: Medium, name: str) -> None:
        super().__init__(name, base=None, maxpathname=MEMORY_NAME_BYTES)
        self._disk = disk

    def excepthook(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool:
        """Faults that SQLite meets while it already handles one are no news; others go the usual way."""
        return isinstance(evalue, apsw.Error)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a database, its journal or WAL, or (without a name) a temporary file that no cut concerns."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        flags[1] = flags[0]
        temporary = path is None or bool(flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE)
        if temporary:
            handle = SimVfsFile(self._disk, "", SimFile(), temporary=True)
        else:
            assert path is not None
            file = self._disk.open(path, create=bool(flags[0] & apsw.SQLITE_OPEN_CREATE))
            handle = SimVfsFile(self._disk, path, file, temporary=False)
        # apsw takes any object with the methods of a file; its stubs know the class for inheriting only.
        return handle  # type: ignore[return-value]

    def xAccess(self, pathname: str, flags: int) -> bool:
        """Whether a file exists, or can be written."""
        self._disk.check_access(self._disk.incarnation)
        writable = not (self._disk.read_only and flags == apsw.SQLITE_ACCESS_READWRITE)
        return self._disk.exists(pathname) and writable

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Remove a journal or WAL."""
        disk = self._disk
        if not disk.exists(filename):
            raise NoSuchFile(filename)
        disk.change(disk.incarnation, "remove", filename, lambda: disk.unlink(filename, durable=syncdir), (0, 0, 0))

    def xFullPathname(self, name: str) -> str:
        """Paths are relative to the disk, and complete as they are."""
        return name

    def xGetLastError(self) -> tuple[int, str | None]:
        """SQLite asks after a failure; the exception already said it."""
        return 0, None

    def xRandomness(self, numbytes: int) -> bytes:
        """From the disk's seed. SQLite's own generator is seeded by `seeded_sqlite`, for all disks of a process."""
        return self._disk.random.token_bytes(numbytes)

    def xCurrentTimeInt64(self) -> int:
        """The node's wall clock."""
        return UNIX_EPOCH_MS + self._disk.wall_ms()

    def xCurrentTime(self) -> float:
        """The node's wall clock, in days."""
        return self.xCurrentTimeInt64() / DAY_MS

    def xSleep(self, microseconds: int) -> int:
        """Waiting for a lock takes no time: whoever holds it cannot run meanwhile."""
        return microseconds


class SimVfsFile:
    """An open file, as SQLite uses it. Belongs to the incarnation of the disk in which it was opened."""

    def __init__(self, disk: Medium, path: str, file: SimFile, *, temporary: bool) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._temporary = temporary
        self._incarnation = disk.incarnation
        self._handle = next(_handles)

    def excepthook(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool:
        """Faults that SQLite meets while it already handles one are no news; others go the usual way."""
        return isinstance(evalue, apsw.Error)

    def xRead(self, amount: int, offset: int) -> bytes:
        """Fewer bytes at the end of the file; apsw reports that to SQLite."""
        self._disk.check_access(self._incarnation)
        with memoryview(self._file.content) as content:
            return bytes(content[offset : offset + amount])

    def xWrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """One point."""
        piece, file = bytes(data), self._file
        length = len(piece)
        growth = offset + length - len(file.content)
        self._change("write", lambda: file.write(offset, piece), (offset, length, max(0, growth)))

    def xTruncate(self, newsize: int) -> None:
        """One point."""
        growth = newsize - len(self._file.content)
        self._change("truncate", lambda: self._file.truncate(newsize), (newsize, 0, growth))

    def xSync(self, flags: int) -> None:
        """One point. As on journalling file systems, the file's name becomes durable with its content."""
        self._change("sync", lambda: self._disk.sync_file(self._path, self._file), (0, 0, 0))

    def xFileSize(self) -> int:
        """In bytes."""
        self._disk.check_access(self._incarnation)
        return len(self._file.content)

    def xLock(self, level: int) -> None:
        """As described in os.h of SQLite: readers share, one writer reserves, and waits for them to leave."""
        self._disk.check_access(self._incarnation)
        others = max((held for handle, held in self._file.locks.items() if handle != self._handle), default=0)
        allowed = {
            apsw.SQLITE_LOCK_SHARED: apsw.SQLITE_LOCK_RESERVED,
            apsw.SQLITE_LOCK_RESERVED: apsw.SQLITE_LOCK_SHARED,
            apsw.SQLITE_LOCK_PENDING: apsw.SQLITE_LOCK_SHARED,
            apsw.SQLITE_LOCK_EXCLUSIVE: apsw.SQLITE_LOCK_NONE,
        }
        if others > allowed[level]:
            raise apsw.BusyError(f"{self._path} is locked")
        self._file.locks[self._handle] = max(level, self._file.locks.get(self._handle, 0))

    def xUnlock(self, level: int) -> None:
        """Never fails: SQLite could not do anything about it."""
        if level == apsw.SQLITE_LOCK_NONE:
            self._file.locks.pop(self._handle, None)
        else:
            self._file.locks[self._handle] = level

    def xCheckReservedLock(self) -> bool:
        """Whether anybody is about to write."""
        return any(level >= apsw.SQLITE_LOCK_RESERVED for level in self._file.locks.values())

    def xFileControl(self, op: int, ptr: int) -> bool:
        """No operation is understood: SQLite then does what it does for a plain file."""
        return False

    def xSectorSize(self) -> int:
        """In bytes."""
        return SECTOR_SIZE_BYTES

    def xDeviceCharacteristics(self) -> int:
        """A torn write leaves the bytes around it alone; what SQLite's own VFS for Unix promises too."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        """Never fails: a dead node's connections are closed too."""
        self._file.locks.pop(self._handle, None)

    def _change(self, kind: ChangeKind, apply: Callable[[], None], size: tuple[int, int, int]) -> None:
        if self._temporary:
            self._disk.check_access(self._incarnation)
            apply()
        else:
            self._disk.change(self._incarnation, kind, self._path, apply, size)


def assert_wal(connection: apsw.Connection, vfs: str | None) -> None:
    """Assert that a database is really in write-ahead mode, on this VFS, and syncs every commit.

    SQLite answers a request that it cannot fulfil with another journal mode, not with an error.
    """
    mode = connection.pragma("journal_mode")
    assert mode == "wal", f"the journal mode is {mode!r}"
    synchronous = connection.pragma("synchronous")
    assert isinstance(synchronous, int), synchronous
    assert synchronous >= 2, f"PRAGMA synchronous is {synchronous}: commits are not synced"
    # Where one that encrypts stands before a VFS of ours, apsw cannot name it.
    used = getattr(connection, "open_vfs", vfs)
    assert vfs is None or used == vfs, f"the VFS is {used!r}, not {vfs!r}"
