"""Files as a dependency. Real: `littoral.drivers.disk`; simulated, with power cuts: `littoral.testing.disk`."""

from typing import Protocol


class Disk(Protocol):
    """One node's data directory. Paths are relative to it and use "/"."""

    vfs: str | None
    """Name of the SQLite VFS that opens databases here; None for SQLite's own."""
    shared_memory: bool
    """Whether that VFS can share a WAL index between connections. If not, the store uses one connection."""

    def database_path(self, name: str) -> str:
        """The path to give to SQLite (with `vfs`) for the database `name`."""
        ...

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None if there is none."""
        ...

    def write(self, path: str, data: bytes, *, secret: bool = False) -> None:
        """Replace the file atomically and durably (write aside, sync, rename, sync the directory).

        `secret` files are readable by their owner only, from before the first byte is written.
        Raises: StorageFull, StorageReadOnly.
        """
        ...

    def remove(self, path: str) -> None:
        """Delete the file if it exists, durably."""
        ...

    def free_bytes(self) -> int:
        """Bytes still free for this node."""
        ...

    # Files that are too large to be held in memory

    def size(self, path: str) -> int | None:
        """The file's bytes, counted, or None if there is none."""
        ...

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, or as many as there are. Raises NotFound."""
        ...

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset of a file, which is created if there is none. A power cut may leave any part of it until
        `sync` has returned. Only the owner reads such files.

        Raises: StorageFull, StorageReadOnly.
        """
        ...

    def sync(self, path: str) -> None:
        """Make durable what was written to a file, and its name. Raises NotFound."""
        ...

    def move(self, path: str, target: str) -> None:
        """Give a file that was synced another name, atomically and durably; a file of that name is replaced. Raises
        NotFound."""
        ...

    def files(self, folder: str) -> list[str]:
        """The paths of all files in a folder and below it, in order; empty where there is no such folder."""
        ...
