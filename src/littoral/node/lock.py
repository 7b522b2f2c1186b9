"""The lock of a data directory: one process at a time works on what is in it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from littoral.core.errors import StartupError
from littoral.drivers.disk import storage_error
from littoral.node.layout import LOCK_FILE


@contextlib.contextmanager
def locked(data_dir: Path, operation: str, subject: str) -> Iterator[None]:
    """Hold the lock of `data_dir`, which exists. operation, subject: what it is held for.

    Raises: StartupError if another process holds it, StorageError.
    """
    path = data_dir / LOCK_FILE
    try:
        opened = open(path, "a+", encoding="ascii")  # noqa: SIM115 -- closed by the `with` below
    except OSError as error:
        raise storage_error("open", str(path), error) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise StartupError(
                operation,
                subject,
                f"its data directory {data_dir} is in use by process {holder}",
                "Stop that process, or give this node a directory of its own",
            ) from error
        with contextlib.suppress(OSError):
            # Who holds the lock is for the error above; a full disk must not keep the node from starting.
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield
