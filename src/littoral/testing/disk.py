"""A disk in memory that knows what was synced, and loses the rest when the power is cut.

Every change is a numbered **point**: a write, a truncation, a sync, a removal. A test can run a workload once to count
the points, and then once per point with the power cut there. What a cut leaves behind:

- What was synced survives, always.
- Each later write survives, is lost, or is torn after some of its 512-byte sectors, independently of the others: disks
  reorder what lies between two syncs. Each later truncation, replacement or removal survives or is lost as a whole.
- A file that was created but never synced may be missing altogether.

After a cut the disk is off: everything fails with `PowerCut` until `power_on`, and whatever was opened before the cut
fails for ever. SQLite sees the disk through a VFS of its own. It has no shared memory, so write-ahead logging needs
`PRAGMA locking_mode=EXCLUSIVE` before `PRAGMA journal_mode=WAL`; otherwise SQLite stays with a rollback journal without
a word, which is what `assert_wal` is for.
"""

from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from pathlib import PurePosixPath

import apsw
import msgspec

from littoral.core.errors import NotFound, StorageError, StorageFull, StorageReadOnly
from littoral.testing.clock import EPOCH_MS
from littoral.testing.disk_file import Hit, SimFile, Survival
from littoral.testing.disk_vfs import ChangeKind, SimVfs, assert_wal
from littoral.testing.random import SeededRandom

__all__ = ["ChangeKind", "CutAt", "Hit", "Point", "PowerCut", "SimDisk", "Survival", "assert_wal"]

LOG_POINTS = 100_000
"""Points that `log` remembers; older ones are forgotten, the counters are not."""
UNLIMITED_BYTES = 1 << 40

_names = count(1)


class PowerCut(apsw.IOError):
    """The power is, or was, off. To SQLite it is an I/O error."""

    extendedresult = apsw.SQLITE_IOERR


class Point(msgspec.Struct, frozen=True, gc=False):
    """One change to the disk."""

    number: int
    """Counts all points of the disk from 1."""
    kind: ChangeKind
    path: str
    offset: int = 0
    length: int = 0


class CutAt(msgspec.Struct, frozen=True):
    """When to cut the power."""

    number: int
    """The how-manieth point, counted from 1 since the disk was made."""
    kind: ChangeKind | None = None
    """Count points of this kind only; None counts all."""
    takes_effect: bool = False
    """Whether the point itself reaches the disk before the power goes. The caller sees a failure either way."""
    survival: Survival = "seeded"


class SimDisk:
    """Implements `littoral.core.disk.Disk`. Faults are set as attributes, at any time."""

    vfs: str | None
    shared_memory = False

    def __init__(self, random: SeededRandom, capacity_bytes: int = UNLIMITED_BYTES) -> None:
        self.vfs = f"littoral-sim-{next(_names)}"
        self.random = random
        self.capacity_bytes = capacity_bytes
        """Writes that would need more fail as on a full disk."""
        self.read_only = False
        self.failing = False
        """Every access fails as with a defective medium. Nothing is lost by it."""
        self.failing_changes = 0
        """So many changes to come fail with an I/O error."""
        self.error_rate = 0.0
        """Probability that a change fails with an I/O error."""
        self.sync_delay_s = 0.0
        """How long a sync of the store takes, on average: from half of it to half as much again."""
        self.latency: Callable[[Point], None] | None = None
        """Called before each point takes place: where a test lets time pass."""
        self.wall_ms: Callable[[], int] = lambda: EPOCH_MS
        """The time that SQLite is told."""
        self.on_cut: Callable[[], None] | None = None
        """Called when the power goes, also when a schedule cut it: where a test kills the node."""
        self.log: deque[Point] = deque(maxlen=LOG_POINTS)
        self.counts: dict[ChangeKind, int] = {"write": 0, "truncate": 0, "sync": 0, "remove": 0}
        self.points = 0
        """Points so far."""
        self.hits: Counter[Hit] = Counter()
        """How often a fault hit something."""
        self.incarnation = 0
        """How often the power was cut."""
        self._powered = True
        self._files: dict[str, SimFile] = {}
        self._removed: dict[str, SimFile] = {}
        """Files whose removal may still be undone by a cut."""
        self._used_bytes = 0
        self._cut: CutAt | None = None
        self._vfs = SimVfs(self, self.vfs)

    @property
    def powered(self) -> bool:
        """Whether the disk answers."""
        return self._powered

    def database_path(self, name: str) -> str:
        """The path to give to SQLite with `vfs`."""
        return name

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None if there is none."""
        self._check("read file", path)
        file = self._files.get(path)
        return None if file is None else bytes(file.content)

    def write(self, path: str, data: bytes, *, secret: bool = False) -> None:
        """Replace the file atomically and durably: one write and one sync."""
        self._check_change("write file", path)
        # The old content stays on the disk until the new one has replaced it.
        if len(data) > self.free_bytes():
            self.hits["full"] += 1
            raise StorageFull("write file", path, "No space left on device", "Free space")
        file = self._files.get(path) or SimFile()

        def replace() -> None:
            self._files[path] = file
            self._used_bytes += len(data) - len(file.content)
            file.replace(data)

        self._take("write", path, replace, length=len(data))
        self._take("sync", path, lambda: self._sync_all(path, file))

    def remove(self, path: str) -> None:
        """Delete the file if it exists, durably."""
        self._check_change("remove file", path)
        if path in self._files:
            self._take("remove", path, lambda: self.unlink(path, durable=True))

    def free_bytes(self) -> int:
        """Bytes until `capacity_bytes`; below zero if that was lowered."""
        return self.capacity_bytes - self._used_bytes

    def size(self, path: str) -> int | None:
        """The file's bytes, counted, or None if there is none."""
        self._check("measure file", path)
        file = self._files.get(path)
        return None if file is None else len(file.content)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, or as many as there are."""
        self._check("read file", path)
        return bytes(self._existing("read file", path).content[offset : offset + length])

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset of a file, which is created if there is none: one write."""
        self._check_change("write file", path)
        file = self._files.get(path) or SimFile()
        growth = max(0, offset + len(data) - len(file.content))
        if growth > self.free_bytes():
            self.hits["full"] += 1
            raise StorageFull("write file", path, "No space left on device", "Free space")

        def put() -> None:
            self._files[path] = file
            self._used_bytes += growth
            file.write(offset, data)

        self._take("write", path, put, offset=offset, length=len(data))

    def sync(self, path: str) -> None:
        """Make durable what was written to a file, and its name: one sync."""
        self._check_change("sync file", path)
        file = self._existing("sync file", path)
        self._take("sync", path, lambda: self._sync_all(path, file))

    def move(self, path: str, target: str) -> None:
        """Give a file another name, atomically and durably. The point is a removal, that of the old name."""
        self._check_change("rename file", path)
        file = self._existing("rename file", path)

        def rename() -> None:
            if target in self._files:
                self.unlink(target, durable=True)
            self._files[target] = self._files.pop(path)
            file.durable_entry = True
            self._sync_directory(path)
            self._sync_directory(target)

        self._take("remove", path, rename)

    def files(self, folder: str) -> list[str]:
        """The paths of all files in a folder and below it, in order."""
        self._check("list folder", folder)
        return [path for path in self.paths() if path.startswith(f"{folder}/")]

    def paths(self) -> list[str]:
        """The files there are, in order."""
        return sorted(self._files)

    def schedule_cut(self, cut: CutAt | None) -> None:
        """Cut the power at a point to come: the operation that reaches it raises PowerCut. None calls it off."""
        self._cut = cut

    def cut_power(self, survival: Survival = "seeded") -> None:
        """Cut the power now. `survival` is the fate of what was not synced: drawn, all lost, or all kept."""
        if not self._powered:
            return
        self._powered = False
        self.incarnation += 1
        self._cut = None
        self.hits["cut"] += 1
        for path, file in [*self._files.items(), *self._removed.items()]:
            image = file.after_cut(self.random, survival, self.hits)
            if path in self._removed and self._removed[path] is file:
                # The removal itself was not synced: the file may be back, unless another took its name.
                if image is None or path in self._files or not _undone(self.random, survival):
                    continue
            elif image is None:
                del self._files[path]
                continue
            self._files[path] = SimFile(image, durable_entry=True)
        self._removed.clear()
        self._used_bytes = sum(len(file.content) for file in self._files.values())
        if self.on_cut is not None:
            self.on_cut()

    def power_on(self) -> None:
        """Let the disk answer again, with what survived."""
        self._powered = True

    def rot(self, path: str, random: SeededRandom, part: bytes | None = None) -> int:
        """Flip one bit of a file at rest, while the power is off, or of what is `part` in it; returns the offset of its
        byte."""
        assert not self._powered, "what is in use is not at rest"
        content = self._files[path].content
        first, size = (0, len(content)) if part is None else (content.index(part), len(part))
        offset = random.randrange(first, first + size)
        content[offset] ^= 1 << random.randrange(8)
        self.hits["rotten"] += 1
        return offset

    def draw_sync_delay_s(self) -> float:
        """How long the next sync of the store takes, in virtual seconds."""
        if self.sync_delay_s <= 0:
            return 0.0
        self.hits["slow"] += 1
        return self.sync_delay_s * self.random.uniform(0.5, 1.5)

    # What the VFS calls.

    def open(self, path: str, *, create: bool) -> SimFile:
        """The file for SQLite. Raises apsw errors."""
        self.check_access(self.incarnation)
        file = self._files.get(path)
        if file is None:
            if not create:
                raise apsw.CantOpenError(f"no file {path}")
            if self.read_only:
                self.hits["read_only"] += 1
                raise apsw.ReadOnlyError("the simulated disk is read-only")
            file = self._files[path] = SimFile()
        return file

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def unlink(self, path: str, *, durable: bool) -> None:
        """Remove the name; unless `durable`, a cut may bring it back."""
        file = self._files.pop(path)
        self._used_bytes -= len(file.content)
        if durable:
            self._sync_directory(path)
        elif file.durable_entry:
            self._removed[path] = file

    def check_access(self, incarnation: int) -> None:
        """Raise PowerCut for what was opened before a cut or while the disk is off, and IOError while it fails."""
        if not self._powered or incarnation != self.incarnation:
            raise PowerCut("the power was cut")
        if self.failing:
            self.hits["io_error"] += 1
            raise apsw.IOError("the simulated disk fails")

    def change(
        self, incarnation: int, kind: ChangeKind, path: str, apply: Callable[[], None], size: tuple[int, int, int]
    ) -> None:
        """Let SQLite change something: `apply` does, unless a fault prevents it. `size`: offset, length, growth."""
        self.check_access(incarnation)
        if self.read_only:
            self.hits["read_only"] += 1
            raise apsw.ReadOnlyError("the simulated disk is read-only")
        if (self.failing_changes or self.error_rate) and self._fails():
            raise apsw.IOError("the simulated disk fails")
        offset, length, growth = size
        if growth > 0 and growth > self.free_bytes():
            self.hits["full"] += 1
            raise apsw.FullError("the simulated disk is full")
        self._take(kind, path, apply, offset=offset, length=length)
        self._used_bytes += growth

    def sync_file(self, path: str, file: SimFile) -> None:
        """Make what was written to `file`, and its name, durable."""
        # SQLite syncs the directory when it first syncs a journal it has created, and that settles what was removed from
        # it before. SQLite relies on this: it does not sync the removal of the journal a WAL takes the place of.
        if not file.durable_entry:
            self._sync_directory(path)
        file.sync()

    def _sync_all(self, path: str, file: SimFile) -> None:
        file.sync()
        self._sync_directory(path)

    def _sync_directory(self, path: str) -> None:
        parent = PurePosixPath(path).parent
        for name in [name for name in self._removed if PurePosixPath(name).parent == parent]:
            del self._removed[name]

    def _existing(self, operation: str, path: str) -> SimFile:
        file = self._files.get(path)
        if file is None:
            raise NotFound(operation, path, "there is no such file")
        return file

    def _check(self, operation: str, path: str) -> None:
        if not self._powered:
            raise PowerCut("the power was cut")
        if self.failing:
            self.hits["io_error"] += 1
            raise StorageError(operation, path, "Input/output error")

    def _check_change(self, operation: str, path: str) -> None:
        self._check(operation, path)
        if self.read_only:
            self.hits["read_only"] += 1
            raise StorageReadOnly(operation, path, "Read-only file system", "Mount it writable")
        if self._fails():
            raise StorageError(operation, path, "Input/output error")

    def _fails(self) -> bool:
        """Whether the change at hand meets an I/O error."""
        if self.failing_changes > 0:
            self.failing_changes -= 1
        elif self.error_rate <= 0 or not self.random.chance(self.error_rate):
            return False
        self.hits["io_error"] += 1
        return True

    def _take(
        self, kind: ChangeKind, path: str, apply: Callable[[], None], *, offset: int = 0, length: int = 0
    ) -> None:
        """One point: count it, and cut the power before or after it if it is the one that was waited for."""
        self.counts[kind] += 1
        self.points += 1
        point = Point(self.points, kind, path, offset, length)
        self.log.append(point)
        if self.latency is not None:
            self.latency(point)
        cut = self._cut
        if cut is None or (cut.kind not in (None, kind)) or self._reached(cut) < cut.number:
            apply()
            return
        if cut.takes_effect:
            apply()
        self.cut_power(cut.survival)
        raise PowerCut(f"the power was cut at point {point.number} ({kind} of {path})")

    def _reached(self, cut: CutAt) -> int:
        return self.points if cut.kind is None else self.counts[cut.kind]


def _undone(random: SeededRandom, survival: Survival) -> bool:
    return random.chance(0.5) if survival == "seeded" else survival == "lost"
