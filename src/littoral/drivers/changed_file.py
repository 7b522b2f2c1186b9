"""A file that others write, read again when it has changed."""

import os

from littoral.core.errors import StartupError


class ChangedFile:
    """Small enough to be looked at between two turns of the event loop."""

    def __init__(self, path: str, most_bytes: int, seen: str = "") -> None:
        """most_bytes: a longer file is refused. seen: what `file_state` said of the file that is known already, if one is."""
        self.path = path
        self._most_bytes = most_bytes
        self._seen = seen

    def read(self) -> bytes:
        """All of it. Raises StartupError."""
        try:
            with open(self.path, "rb") as file:
                stat = os.fstat(file.fileno())
                data = file.read(self._most_bytes + 1)
        except OSError as error:
            remedy = "Check that it is there and can be read by this user"
            raise StartupError("read", self.path, error.strerror or str(error), remedy) from error
        self._seen = _state(stat)
        if len(data) > self._most_bytes:
            raise StartupError("read", self.path, f"it has more than {self._most_bytes} bytes")
        return data

    def has_changed(self) -> bool:
        """Whether it is another one than `read` saw; not while there is none: it is being replaced."""
        try:
            return _state(os.stat(self.path)) != self._seen
        except OSError:
            return False


def file_state(path: str) -> str:
    """What changes when a file does; empty where there is none."""
    try:
        return _state(os.stat(path))
    except OSError:
        return ""


def _state(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns},{stat.st_size},{stat.st_ino}"
