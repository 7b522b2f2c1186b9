"""The file of a gateway's access log. Lines are gathered, and written by a thread: the event loop never waits for a disk.

    NAME.jsonl          is written; with its next line beyond the bound it becomes
    NAME.1.jsonl        the newest of those that are full; the oldest beyond their number goes

What the disk does not take, and what comes faster than it takes it, is dropped and counted, and a line of its own says how many
they were. A file that somebody else has moved away is left alone, and another one begun: so other programs may do it in our place.
Two processes may write one file, as while one takes over from the other.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from littoral.core.errors import StorageError
from littoral.drivers.disk import DIRECTORY_MODE, storage_error

GATHER_S = 0.2
"""How long the first line waits for others. So much is lost where the process is killed."""
END_S = 5.0
"""A disk that does not answer does not keep a process from ending."""
PIECE_BYTES = 256 << 10
"""Written at once, at most."""


class LogPlace(NamedTuple):
    """Where lines go, and how many of them."""

    path: Path
    """Of the file that is written; ends in ".jsonl"."""
    file_bytes: int
    files: int
    """The one that is written is one of them."""
    waiting_bytes: int
    """Of lines that are not written yet."""


class AccessLogFile:
    """Implements `littoral.gateway.access_log.Sink`. Used by one thread, and its own; ends with `close`."""

    def __init__(self, place: LogPlace, dropped_line: Callable[[int], bytes], warn: Callable[[str], None]) -> None:
        """dropped_line: what is written in place of so many lines. warn: is told, by the thread that writes, when lines cannot be
        written, and when they can again."""
        self.written = 0
        """Lines."""
        self.dropped = 0
        self._place = place
        self._dropped_line = dropped_line
        self._warn = warn
        self._lock = threading.Lock()
        """Of what waits, and of the counters."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._unsaid = 0
        """Lines that were dropped, and of which the log does not say so yet."""
        self._some = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._file: int | None = None
        self._is_failing = False

    def configure(self, place: LogPlace) -> None:
        """Lines go there from now on."""
        self._place = place

    def put(self, line: bytes) -> None:
        """See Sink."""
        with self._lock:
            if self._waiting_bytes + len(line) > self._place.waiting_bytes:
                self.dropped += 1
                self._unsaid += 1
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        if not self._some.is_set():
            self._some.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Return once all is written that was put, or a disk that hangs was waited for long enough."""
        self._ending.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join(END_S)

    # The thread

    def _run(self) -> None:
        has_ended = False
        while not has_ended:
            self._some.wait()
            self._ending.wait(GATHER_S)
            # In this order: what comes meanwhile is taken now, or in the next round.
            self._some.clear()
            has_ended = self._ending.is_set()
            self._write_all()
        self._close()

    def _write_all(self) -> None:
        with self._lock:
            lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            unsaid, self._unsaid = self._unsaid, 0
        count = len(lines)
        if unsaid:
            lines.append(self._dropped_line(unsaid))
        done = 0
        try:
            for piece in _pieces(lines, min(PIECE_BYTES, self._place.file_bytes)):
                self._write(b"".join(piece))
                done += len(piece)
        except OSError as error:
            # Whatever is torn is ended when the file is opened again.
            self._close()
            self._fail(error)
        else:
            self._recover()
        lost = count - min(done, count)
        with self._lock:
            self.written += count - lost
            self.dropped += lost
            self._unsaid += lost + (unsaid if done < len(lines) else 0)

    def _write(self, data: bytes) -> None:
        """Raises OSError."""
        place = self._place
        file = self._opened(place.path)
        size = os.fstat(file).st_size
        if size and size + len(data) > place.file_bytes:
            self._move_on(place)
            file = self._opened(place.path)
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    def _opened(self, path: Path) -> int:
        """The file of that name. Raises OSError."""
        if self._file is not None and _is_at(self._file, path):
            return self._file
        self._close()
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")
        return self._file

    def _move_on(self, place: LogPlace) -> None:
        """The file is full. Raises OSError."""
        path = place.path
        with _locked(path.parent):
            if self._file is None or not _is_at(self._file, path):
                return  # Another process has done it.
            for full in path.parent.glob(f"{path.stem}.*{path.suffix}"):
                written = full.suffixes[-2].removeprefix(".")
                if written.isdecimal() and int(written) >= place.files - 1:
                    full.unlink(missing_ok=True)
            for number in range(place.files - 2, 0, -1):
                if _numbered(path, number).exists():
                    _numbered(path, number).rename(_numbered(path, number + 1))
            if place.files > 1:
                path.rename(_numbered(path, 1))
            else:
                path.unlink()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _fail(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            said: StorageError = storage_error("write access log", str(self._place.path), error)
            self._warn(f"{said}. Until then its lines are dropped, and counted")

    def _recover(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._warn(f"the access log {self._place.path} is written again")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Nobody else moves files in it meanwhile. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _pieces(lines: Sequence[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Lines that are written together. One that is longer is a piece by itself."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > most_bytes:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece
