"""The blobs of a node whose store becomes encrypted, or is so no more. The node does not run meanwhile.

    encrypt   first the store, then the blobs: their key is in the store, and is never written where it can be read
    rekey     the store alone
    decrypt   first the blobs, then their key, then the store

Whatever is interrupted, each file says itself whether it is encrypted; a node that finds blobs that should be, encrypts
them.
"""

import contextlib

from littoral.core.disk import Disk
from littoral.drivers.random import SystemRandom
from littoral.security.blob_seal import BLOB_KEY_BYTES
from littoral.security.store_key import StoreKey
from littoral.store.atomic import atomic
from littoral.store.blob_check import BLOB_KEY, BLOB_STATE, read_blob_key
from littoral.store.blob_file import ENCRYPTED, PARTIAL, PLAIN, finished_path, open_blob_file
from littoral.store.blob_recovery import reseal
from littoral.store.blob_rows import read_blobs
from littoral.store.database import open_database, translated


def encrypt_blobs(disk: Disk, key: StoreKey) -> None:
    """Encrypt what is not encrypted of the blobs beside the store with this key. Raises StorageError, StorageCorrupt."""
    with translated("encrypt", "blobs"), contextlib.closing(open_database(disk, key)) as connection:
        whole = [row for row in read_blobs(connection) if row.complete]
        blob_key = read_blob_key(connection)
        if blob_key is None:
            blob_key = SystemRandom().token_bytes(BLOB_KEY_BYTES)
            with atomic(connection):
                connection.execute(
                    "INSERT INTO state(scope, key, value) VALUES(?,?,?)", (BLOB_STATE, BLOB_KEY, blob_key)
                )
        for row in whole:
            if open_blob_file(disk, finished_path(row.digest), row.digest, blob_key).kind == PLAIN:
                reseal(disk, row.digest, row.size, SystemRandom(), None, blob_key)
    _remove_partials(disk)


def decrypt_blobs(disk: Disk, key: StoreKey) -> None:
    """Let the blobs beside the store with this key be encrypted no more. Raises StorageError, StorageCorrupt."""
    with translated("decrypt", "blobs"), contextlib.closing(open_database(disk, key)) as connection:
        blob_key = read_blob_key(connection)
        for row in read_blobs(connection):
            if row.complete and open_blob_file(disk, finished_path(row.digest), row.digest, blob_key).kind == ENCRYPTED:
                reseal(disk, row.digest, row.size, SystemRandom(), blob_key, None)
        with atomic(connection):
            connection.execute("DELETE FROM state WHERE scope=? AND key=?", (BLOB_STATE, BLOB_KEY))
    _remove_partials(disk)


def _remove_partials(disk: Disk) -> None:
    """What has not come as a whole is of the former kind, and is sent anew; the node forgets its rows."""
    for path in disk.files(PARTIAL):
        disk.remove(path)
