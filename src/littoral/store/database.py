"""Opening `store.db`, and saying in words what SQLite says in codes."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import apsw

from littoral.core.disk import Disk
from littoral.core.errors import (
    IncompatibleStore,
    LittoralError,
    NotFound,
    StartupError,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from littoral.security.store_key import StoreKey
from littoral.store.atomic import atomic
from littoral.store.migrations import migrate
from littoral.store.schema import FORMAT_VERSION, SCHEMA

DATABASE = "store.db"
BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 8 * 1024
"""SQLite's page cache of each connection."""
CHECKPOINT_PAGES = 4_000
"""Where nobody else does it (`littoral.store.checkpointer`), the WAL is checkpointed each time it holds this many pages
(16 MB)."""
INCREMENTAL = 2
"""PRAGMA auto_vacuum: free pages can be given back to the file system, a few at a time."""

CIPHER = "chacha20"
"""ChaCha20 with Poly1305: each page is encrypted and carries a tag, by which one that was changed is recognised."""

_ABSENT = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI

STORAGE_ERRORS = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CorruptError, apsw.NoMemError)
"""Errors of the storage, not of what is written: SQLite may have rolled back the whole transaction with them."""


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


def open_database(disk: Disk, key: StoreKey | None = None, name: str = DATABASE) -> apsw.Connection:
    """The writer's connection: created if absent, WAL, every commit synced, an older format brought up
    to this one.

    Raises: IncompatibleStore, StartupError for a key that is not the store's, StorageError.
    """
    path = disk.database_path(name)
    with translated("open", path):
        connection = apsw.Connection(path, flags=_ABSENT, vfs=disk.vfs)
        with unlocked(connection, path, key):
            _prepare(connection, path, exclusive=not disk.shared_memory)
    return connection


def _prepare(connection: apsw.Connection, path: str, *, exclusive: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    if exclusive:
        # SQLite can then keep the WAL index on its heap, but only for a single connection, and it must know before it
        # first reads a database that has a WAL.
        connection.pragma("locking_mode", "exclusive")
    version = _check_format(connection, path)
    if version == 0:
        # Only an empty file takes it. A store of before goes on without, until it is restored from a backup.
        connection.pragma("auto_vacuum", INCREMENTAL)
    _configure(connection, path)
    if version == 0:
        with atomic(connection):
            connection.execute(SCHEMA)
            connection.pragma("user_version", FORMAT_VERSION)
    else:
        migrate(connection, version)


def _check_format(connection: apsw.Connection, path: str, oldest: int = 0) -> int:
    """The store's format; 0 for an empty file. Raises IncompatibleStore."""
    version = int(connection.pragma("user_version"))
    if version > FORMAT_VERSION:
        raise IncompatibleStore(
            "open",
            path,
            f"its format is version {version}, this Littoral knows up to {FORMAT_VERSION}",
            "Run the version of Littoral that wrote it, or a newer one",
        )
    if version < oldest:
        raise IncompatibleStore(
            "open",
            path,
            f"its format is version {version}, this Littoral's is {FORMAT_VERSION}",
            "Start the node with this version once: that brings the store up to date",
        )
    return version


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


@contextmanager
def unlocked(connection: apsw.Connection, path: str, key: StoreKey | None) -> Iterator[None]:
    """Give a fresh connection the key. Within the block it is read for the first time; where that fails, the connection is
    closed. Raises StartupError if the store is not encrypted with the key."""
    try:
        if key is not None:
            connection.pragma("cipher", CIPHER)
            # "raw:": it is the key itself. From a passphrase every process would have to derive one, slowly.
            connection.pragma("key", f"raw:{key.reveal()}")
        yield
    except BaseException as error:
        with contextlib.suppress(apsw.Error):
            connection.close()
        if isinstance(error, apsw.NotADBError):
            raise _not_readable(path, key) from None
        raise


def _not_readable(path: str, key: StoreKey | None) -> StartupError:
    """Why a file that is there is no database to us."""
    if key is None:
        return StartupError(
            "open",
            path,
            "it is encrypted and no key is given, or its beginning is damaged",
            "Say in the node's document where the key is (spec.encryption), or restore a backup",
        )
    if is_encrypted(path):
        return StartupError(
            "open",
            path,
            "it is encrypted with another key, or its beginning is damaged",
            "Give the key that it was encrypted with last, or restore a backup",
        )
    return StartupError(
        "open",
        path,
        "it is not encrypted, though a key is given",
        "Encrypt it with `littoral store encrypt`, or leave spec.encryption out of the node's document",
    )


def is_encrypted(path: str) -> bool:
    """Whether a file is no database without a key. Raises apsw.Error for one that cannot be read at all."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.pragma("user_version")
    except apsw.NotADBError:
        return True
    finally:
        connection.close()
    return False


def copy_database(source: apsw.Connection, target: str, key: StoreKey | None, *, new_key: bool) -> None:
    """Write all of a database, as of one commit, to `target`, an empty file; new_key: with another key than its own.
    Whoever writes to it meanwhile is not kept waiting. Raises StorageError."""
    with translated("copy store to", target):
        if source.pragma("auto_vacuum") != INCREMENTAL:
            # What the copy is to have; the store itself stays as it is. One that has it would be written to by this.
            source.pragma("auto_vacuum", INCREMENTAL)
    if not new_key:
        with translated("copy store to", target):
            source.execute("VACUUM INTO ?", (target,))
        return
    given = f"cipher={CIPHER}&key=raw:{key.reveal()}" if key is not None else "key="
    failure: LittoralError | None = None
    try:
        source.execute("VACUUM INTO ?", (f"file:{quote(target)}?{given}",))
    except apsw.Error as error:
        failure = storage_error(error, "copy store to", target)
    if failure is not None:
        # Without SQLite's own words: they repeat the name of the file, and with it the key.
        raise StorageError(failure.operation, target, failure.title.lower(), failure.remedy)


def open_untouched(path: str, key: StoreKey | None = None) -> apsw.Connection:
    """A connection that changes nothing, not even by bringing the format up to date: for whoever looks at a store, also
    while its node runs. What its log holds is read, and stays there.

    Raises: NotFound, IncompatibleStore for a format that is not this Littoral's, StorageError.
    """
    with translated("open", path):
        try:
            connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        except apsw.CantOpenError as error:
            raise NotFound(
                "open",
                path,
                "there is no store, or it may not be read",
                "Give the data directory of a node, and run this as the user that runs the node",
            ) from error
        with unlocked(connection, path, key):
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.pragma("cache_size", -CACHE_KIB)
            _check_format(connection, path, oldest=FORMAT_VERSION)
    return connection


def open_reader(disk: Disk, key: StoreKey | None = None) -> apsw.Connection:
    """A read-only connection to an existing store; needs a disk with shared memory."""
    assert disk.shared_memory
    path = disk.database_path(DATABASE)
    with translated("open", path):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs)
        with unlocked(connection, path, key):
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.pragma("query_only", True)
            connection.pragma("cache_size", -CACHE_KIB)
    return connection
