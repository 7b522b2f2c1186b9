"""Opening `store.db`, and saying in words what SQLite says in codes."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from littoral.core.disk import Disk
from littoral.core.errors import (
    IncompatibleStore,
    LittoralError,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from littoral.store.atomic import atomic
from littoral.store.migrations import migrate
from littoral.store.schema import FORMAT_VERSION, SCHEMA

DATABASE = "store.db"
BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 8 * 1024
"""SQLite's page cache of each connection."""
CHECKPOINT_PAGES = 4_000
"""The WAL is moved into the database each time it holds this many pages (16 MB)."""

_ABSENT = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def storage_error(error: apsw.Error, operation: str, subject: str) -> LittoralError:
    """The error of ours for one of SQLite's."""
    if isinstance(error, apsw.FullError):
        return StorageFull(
            operation, subject, "the disk is full", "Free some space; the node goes on by itself, nothing was lost"
        )
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return StorageReadOnly(
            operation,
            subject,
            f"the file system does not take writes ({error})",
            "Mount it read-write and check that the data directory belongs to the user that runs Littoral",
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return StorageCorrupt(
            operation, subject, f"the database is damaged ({error})", "Restore the data directory from a backup"
        )
    return StorageError(operation, subject, f"SQLite reports: {error}", "See the disk's own messages (dmesg)")


@contextmanager
def translated(operation: str, subject: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except apsw.Error as error:
        raise storage_error(error, operation, subject) from error


def open_database(disk: Disk) -> apsw.Connection:
    """The writer's connection: created if absent, WAL, every commit synced, an older format brought up
    to this one.

    Raises: IncompatibleStore, StorageError.
    """
    path = disk.database_path(DATABASE)
    with translated("open", path):
        connection = apsw.Connection(path, flags=_ABSENT, vfs=disk.vfs)
        try:
            _prepare(connection, path, exclusive=not disk.shared_memory)
        except BaseException:
            with contextlib.suppress(apsw.Error):
                connection.close()
            raise
    return connection


def _prepare(connection: apsw.Connection, path: str, *, exclusive: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    if exclusive:
        # SQLite can then keep the WAL index on its heap, but only for a single connection, and it must know before it
        # first reads a database that has a WAL.
        connection.pragma("locking_mode", "exclusive")
    version = connection.pragma("user_version")
    if version > FORMAT_VERSION:
        raise IncompatibleStore(
            "open",
            path,
            f"its format is version {version}, this Littoral knows up to {FORMAT_VERSION}",
            "Run the version of Littoral that wrote it, or a newer one",
        )
    _configure(connection, path)
    if version == 0:
        with atomic(connection):
            connection.execute(SCHEMA)
            connection.pragma("user_version", FORMAT_VERSION)
    else:
        migrate(connection, version)


def _configure(connection: apsw.Connection, path: str) -> None:
    mode = connection.pragma("journal_mode", "wal")
    if mode != "wal":
        # SQLite falls back without a word; then a commit would mean something else than we promise.
        raise StorageError(
            "open", path, f"SQLite chose journal mode {mode!r} instead of WAL", "Use a local file system"
        )
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", True)
    connection.pragma("temp_store", "memory")
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)


def open_reader(disk: Disk) -> apsw.Connection:
    """A read-only connection to an existing store; needs a disk with shared memory."""
    assert disk.shared_memory
    path = disk.database_path(DATABASE)
    with translated("open", path):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.pragma("query_only", True)
        connection.pragma("cache_size", -CACHE_KIB)
    return connection
