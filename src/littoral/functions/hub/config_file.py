"""What the hub tells another process of the node by a file, which that reads whenever it has changed: it needs nobody to tell it."""

import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


def replace_file(path: Path, config: msgspec.Struct) -> None:
    """Replace the file in one step. Raises OSError."""
    aside = path.with_name(path.name + "~")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(msgspec.msgpack.encode(config))
    aside.rename(path)


class ConfigFile(Generic[T]):
    """Such a file, read again when it was replaced."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._kind = kind
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> T | None:
        """What it says, if that is something new; None while it says the same, or cannot be read."""
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen == self._seen:
                return None
            config = msgspec.msgpack.decode(self._path.read_bytes(), type=self._kind)
        except (OSError, msgspec.DecodeError):
            return None
        self._seen = seen
        return config
