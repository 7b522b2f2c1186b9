"""Backups of a node's store, going back to one, and giving the store another key.

    back up    one commit of the store is copied to a file aside, which is synced and renamed
    restore    a copy of the backup is brought up to this format, checked and given a new lineage; only then it takes the
               place of the store there was, in one rename

A backup is the store alone: the node's identity is not in it, and neither are its blobs.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, LittoralError, NotFound, StorageCorrupt
from littoral.core.random import Random
from littoral.drivers.disk import LocalDisk, make_private, put_in_place, storage_error, sync_directory
from littoral.node.blob_encryption import decrypt_blobs, encrypt_blobs
from littoral.node.code_place import remove_plain_code
from littoral.node.lock import locked
from littoral.security.identity import load_identity
from littoral.security.store_key import StoreKey
from littoral.store.check import check_store
from littoral.store.database import DATABASE, copy_database, open_database, open_untouched, translated
from littoral.store.lineage import LINEAGE_BYTES, FormerLineage, begin_lineage
from littoral.store.meta import read_meta_value

BEFORE_RESTORE = f"{DATABASE}.before-restore"
_RESTORING = f"{DATABASE}.restoring"
_LOGS = ("-wal", "-shm")


class Restored(msgspec.Struct, frozen=True):
    """What a store is after it was restored."""

    node: str
    lineage: str
    was: FormerLineage
    kept: Path | None
    """Where the store is that there was."""


def back_up(store: Path, target: Path, key: StoreKey | None) -> None:
    """Copy the store in the file `store` to `target`, whether its node runs or not. An encrypted one stays so.

    Raises: NotFound, Conflict if there is a `target`, StartupError for a key that is not the store's, StorageError.
    """
    if target.exists():
        raise Conflict("back up to", str(target), "there is such a file already", "Give another name, or remove it")
    with contextlib.closing(open_untouched(str(store), key)) as source, aside(target) as partial:
        copy_database(source, str(partial), key, new_key=False)
        put_in_place(partial, target)


@contextlib.contextmanager
def aside(target: Path) -> Iterator[Path]:
    """An empty file beside `target` that only its owner reads; it is gone at the end, if it did not become `target`."""
    path = target.with_name(f".{target.name}.partial")
    path.unlink(missing_ok=True)  # of one that was interrupted
    make_private(path)
    try:
        yield path
    finally:
        for each in (path, *(path.with_name(path.name + log) for log in ("-journal", *_LOGS))):
            each.unlink(missing_ok=True)


def restore(
    backup: Path, data_dir: Path, key: StoreKey | None, clock: Clock, random: Random, *, force: bool
) -> Restored:
    """Let the store of the node in `data_dir`, which does not run, be what it was when `backup` was made. force: also
    where there is a store; it is kept as BEFORE_RESTORE.

    Raises: NotFound, Conflict where there is a store or the backup is another node's, StartupError where the node runs or
    for a key that is not the backup's, StorageCorrupt for a backup that is damaged, IncompatibleStore, StorageError.
    """
    if not backup.is_file():
        raise NotFound("restore", str(backup), "there is no such file")
    disk = LocalDisk(data_dir)
    store, kept = data_dir / DATABASE, data_dir / BEFORE_RESTORE
    with locked(data_dir, "restore", str(store)):
        if store.exists() and not force:
            raise Conflict(
                "restore", str(store), "there is a store already", f"--force replaces it, and keeps it as {kept.name}"
            )
        copy = data_dir / _RESTORING
        _remove(copy)
        try:
            node, lineage, was = _prepared(backup, disk, key, clock, random)
            _check_node(node, disk, store, key)
            keep = store.exists()
            if keep:
                set_aside(store, kept, key)
            put_in_place(copy, store)
        finally:
            _remove(copy)
    return Restored(node, lineage, was, kept if keep else None)


def _prepared(
    backup: Path, disk: LocalDisk, key: StoreKey | None, clock: Clock, random: Random
) -> tuple[str, str, FormerLineage]:
    """Make the copy that is to be the store; returns its node, its lineage, and what it was."""
    copy = disk.root / _RESTORING
    make_private(copy)
    try:
        shutil.copyfile(backup, copy)
    except OSError as error:
        raise storage_error("copy backup to", str(copy), error) from error
    with translated("restore", str(backup)), contextlib.closing(open_database(disk, key, _RESTORING)) as connection:
        report = check_store(connection)
        if not report.sound:
            raise StorageCorrupt(
                "restore",
                str(backup),
                f"it is damaged: {report.problems[0]}",
                f"Take another backup; `littoral store check --backup {backup}` tells all that is wrong with it",
            )
        lineage = random.token_bytes(LINEAGE_BYTES).hex()
        was = begin_lineage(connection, lineage, clock.wall_ms())
    return report.node, lineage, was


def rewrite(data_dir: Path, old_key: StoreKey | None, new_key: StoreKey | None) -> None:
    """Encrypt the store of the node in `data_dir`, which does not run, with another key, or with none any more. Until the
    new file is whole and was checked the old one stays what it is; then it is replaced in one rename.

    Raises: NotFound, StartupError where the node runs or for a key that is not the store's, StorageCorrupt, StorageError.
    """
    store = data_dir / DATABASE
    if not store.is_file():
        raise NotFound("encrypt", str(store), "there is no such file", "Give the data directory of a node")
    disk = LocalDisk(data_dir)
    with locked(data_dir, "encrypt", str(store)), translated("encrypt", str(store)), aside(store) as copy:
        if old_key is not None and new_key is None:
            decrypt_blobs(disk, old_key)
        # When it is closed its log is gone: beside the new file it would be that one's.
        with contextlib.closing(open_database(disk, old_key)) as source:
            copy_database(source, str(copy), new_key, new_key=True)
        _check(copy, new_key)
        put_in_place(copy, store)
        if new_key is not None:
            encrypt_blobs(disk, new_key)
            remove_plain_code(data_dir)


def _check(file: Path, key: StoreKey | None) -> None:
    with contextlib.closing(open_untouched(str(file), key)) as connection:
        report = check_store(connection)
    if not report.sound:
        raise StorageCorrupt(
            "copy store to",
            str(file),
            f"it is damaged: {report.problems[0]}",
            "`littoral store check` tells all that is wrong with it; restore a backup first",
        )


def _check_node(node: str, disk: LocalDisk, store: Path, key: StoreKey | None) -> None:
    """Raise Conflict if the data directory is not that of `node`."""
    identity = load_identity(disk)
    owner = identity.node if identity is not None else _owner(store, key)
    if owner not in (None, node):
        raise Conflict(
            "restore",
            str(store),
            f"the backup is of node {node}, and the data directory that of {owner}",
            "Give each node its own",
        )


def _owner(store: Path, key: StoreKey | None) -> str | None:
    """Whose store it is; None if there is none, or it does not say so any more."""
    try:
        with contextlib.closing(open_untouched(str(store), key)) as connection:
            return read_meta_value(connection, "node")
    except (LittoralError, apsw.Error):
        return None


def set_aside(store: Path, kept: Path, key: StoreKey | None) -> None:
    """Give a store that nobody has open a second name, `kept`, with everything that its log holds. Raises Conflict if
    there is another file of that name, StorageError."""
    if kept.exists() and not kept.samefile(store):
        raise Conflict("keep", str(store), f"{kept.name} is there already", "Move it away, or remove it")
    with contextlib.suppress(LittoralError, apsw.Error):
        _fold_log(store, key)
    try:
        for log in _LOGS:
            found = store.with_name(store.name + log)
            if log == "-wal" and found.exists() and found.stat().st_size:
                # It could not be folded in. Beside the store that takes the place of this one it would be its log.
                found.rename(kept.with_name(kept.name + log))
            found.unlink(missing_ok=True)
        if not kept.exists():
            os.link(store, kept)
        sync_directory(store.parent)
    except OSError as error:
        raise storage_error("keep", str(store), error) from error


def _fold_log(store: Path, key: StoreKey | None) -> None:
    """Bring what the log holds into the file; the log is gone then. Raises StartupError, StorageError, apsw.Error."""
    with contextlib.closing(open_database(LocalDisk(store.parent), key)) as connection:
        connection.execute("PRAGMA wal_checkpoint(truncate)")


def _remove(file: Path) -> None:
    for each in (file, *(file.with_name(file.name + log) for log in _LOGS)):
        each.unlink(missing_ok=True)
