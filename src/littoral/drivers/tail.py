"""What is added to a file that somebody else writes, line by line."""

import os
from pathlib import Path

READ_MOST_BYTES = 1 << 18
"""At once; the rest comes with the next look."""


class Tail:
    """Begins at the end of the file as it is now; one that comes later, or is begun anew, is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._at, self._inode = 0, 0
        try:
            there = path.stat()
        except OSError:
            return
        self._at, self._inode = there.st_size, there.st_ino

    def new_lines(self) -> list[bytes]:
        """Whole lines since the last call; none where the file is not there or cannot be read."""
        try:
            with self._path.open("rb") as file:
                there = os.fstat(file.fileno())
                if there.st_ino != self._inode or there.st_size < self._at:
                    self._at, self._inode, self._rest = 0, there.st_ino, b""
                file.seek(self._at)
                data = file.read(READ_MOST_BYTES)
        except OSError:
            return []
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines
