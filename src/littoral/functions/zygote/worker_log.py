"""What one worker writes to its output, as lines of the node's log: each with the worker's name before it, and so many a second.

What is beyond is left out, and at the end of the second one line says how much. A worker that writes far more than that is not
even read until the next second: it waits at its own pipe, and costs the others nothing.
"""

LINE_BYTES = 8192
"""A longer line is cut into pieces."""
READ_TIMES = 16
"""So many times what may be logged in a second is read in it, so that what is left out can be counted."""


class WorkerLog:
    """The lines of one worker. Bytes in, bytes out."""

    def __init__(self, worker: str, lines: int, size: int) -> None:
        """lines, size: how many lines and bytes a second are logged; 0 for all."""
        self._prefix = f"{worker}: ".encode()
        self._lines, self._size = lines, size
        self._line = b""
        self._said_lines = self._said_bytes = self._read_bytes = 0
        self._left_out = 0

    @property
    def has_enough(self) -> bool:
        """Whether nothing more is to be read in this second."""
        return bool(self._size) and self._read_bytes >= READ_TIMES * self._size

    def feed(self, data: bytes) -> bytes:
        """What to log, given what the worker wrote; empty data is its end."""
        self._read_bytes += len(data)
        *lines, self._line = (self._line + data).split(b"\n")
        if self._line and (not data or len(self._line) > LINE_BYTES):
            lines.append(self._line)
            self._line = b""
        pieces = (line[at : at + LINE_BYTES] for line in lines for at in range(0, max(len(line), 1), LINE_BYTES))
        return b"".join(self._prefix + piece + b"\n" for piece in pieces if self._take(len(piece)))

    def next_second(self) -> bytes:
        """What to log at the end of a second."""
        left_out, self._left_out = self._left_out, 0
        self._said_lines = self._said_bytes = self._read_bytes = 0
        if not left_out:
            return b""
        allowed = f"more than {self._lines} lines or {self._size} bytes in a second"
        return self._prefix + f"{left_out} lines were left out: {allowed} (limits.logLines, limits.logBytes)\n".encode()

    def _take(self, size: int) -> bool:
        """Whether one more line is logged in this second."""
        fits = not self._lines or self._said_lines < self._lines
        if not fits or (self._size and self._said_bytes + size > self._size):
            self._left_out += 1
            return False
        self._said_lines += 1
        self._said_bytes += size
        return True
