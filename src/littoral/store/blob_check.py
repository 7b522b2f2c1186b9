"""Checking all blobs of a store: that each is there as a whole, and that every byte is what its digest says. Reads only,
also while the node runs, and holds no more than a piece at a time."""

import hashlib
from collections.abc import Callable

import apsw

from littoral.core.disk import Disk
from littoral.core.errors import LittoralError
from littoral.store.blob_file import SYNC_BYTES, finished_path, open_blob_file
from littoral.store.blob_rows import BlobRow, blob_name, read_blob, read_blobs
from littoral.store.check import CheckReport
from littoral.store.history import Problem

BLOB_STATE, BLOB_KEY = "blobs", "key"
"""Where in the store's state the key is that encrypts the blobs."""
REMEDY = "Drop it with `littoral blob drop`, and put it again, or let the node fetch it again from its parent"


def check_blobs(
    connection: apsw.Connection,
    disk: Disk,
    report: CheckReport,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Check the blobs beside the store that `connection` reads, and add to `report`. progress: told how many bytes of how
    many are done."""
    blob_key = read_blob_key(connection)
    rows = [row for row in read_blobs(connection) if row.complete]
    done, total = 0, sum(row.size for row in rows)
    for row in rows:
        problem = _problem(disk, row, blob_key)
        # A node that runs may have dropped it meanwhile.
        if problem is not None and read_blob(connection, row.digest) is not None:
            report.add(Problem(subject=f"blob {blob_name(row.digest)}", cause=problem, remedy=REMEDY))
        report.blobs += 1
        report.blob_bytes += row.size
        done += row.size
        progress(done, total)


def read_blob_key(connection: apsw.Connection) -> bytes | None:
    """The key of the blobs of an encrypted store; None of one that has none yet, and of any other."""
    row = connection.execute("SELECT value FROM state WHERE scope=? AND key=?", (BLOB_STATE, BLOB_KEY)).fetchone()
    return None if row is None else row[0]


def _problem(disk: Disk, row: BlobRow, blob_key: bytes | None) -> str | None:
    """What is wrong with a blob; None if nothing is."""
    path, found = finished_path(row.digest), hashlib.sha256()
    try:
        file = open_blob_file(disk, path, row.digest, blob_key)
        for offset in range(0, row.size, SYNC_BYTES):
            found.update(file.read(offset, SYNC_BYTES, row.size))
    except LittoralError as error:
        return error.cause
    return None if found.hexdigest() == row.digest else f"the digest of {path} is {blob_name(found.hexdigest())}"
