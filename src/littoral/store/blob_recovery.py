"""What a crash leaves of blobs, and what becomes of it; and rewriting files with another key. Plain functions, off the
event loop.

    file              row          then
    finished          whole        as it should be
    finished          partial, or  the power went between the rename and the row, or the store was restored from an older
                      none         backup: it is a whole blob, for nothing else is given that name. One that cannot be
                                   read (its key is not in that backup) is left alone
    partial           partial      how much of it is there is asked of the file
    partial           whole, none  it was being dropped, or it was begun and nobody was told: removed
    none              any          what came of it was being dropped, or it was removed by hand: forgotten
"""

from collections.abc import Mapping

import msgspec

from littoral.core.disk import Disk
from littoral.core.errors import LittoralError
from littoral.core.random import Random
from littoral.store.blob_file import (
    ENCRYPTED,
    FINISHED,
    PARTIAL,
    PLAIN,
    SYNC_BYTES,
    BlobFile,
    blob_bytes,
    create_blob_file,
    digests_of,
    finished_path,
    open_blob_file,
    partial_path,
)
from littoral.store.blob_rows import BlobRow


class Found(msgspec.Struct):
    """What there is."""

    rows: dict[str, BlobRow] = msgspec.field(default_factory=dict)
    """As they are to be."""
    partials: dict[str, tuple[BlobFile, int]] = msgspec.field(default_factory=dict)
    """Files that are gone on with, and how much is in each."""
    garbage: list[str] = msgspec.field(default_factory=list)
    """Paths of what is to be removed, once the rows are as they are to be."""
    unreadable: list[str] = msgspec.field(default_factory=list)
    """Paths of files that have the name of a whole blob, and are none that this store can read."""
    lost: list[str] = msgspec.field(default_factory=list)
    """Rows without a file."""
    dropped: set[str] = msgspec.field(default_factory=set)
    """Of those, the ones that somebody was dropping."""
    plain: list[str] = msgspec.field(default_factory=list)
    """Whole blobs that are not encrypted where they should be."""


def find_blobs(disk: Disk, rows: Mapping[str, BlobRow], now_ms: int, blob_key: bytes | None) -> Found:
    """Look at all files. Raises StorageError."""
    found = Found()
    paths = disk.files(FINISHED) + disk.files(PARTIAL)
    digests = digests_of(paths)
    for path in paths:
        digest = digests.get(path, "")
        row = rows.get(digest)
        if path == finished_path(digest):
            whole = row if row is not None and row.complete else _adopted(disk, path, digest, row, now_ms, blob_key)
            if whole is None:
                found.unreadable.append(path)
                continue
            found.rows[digest] = whole
            if blob_key is not None and _kind(disk, path, digest, blob_key) == PLAIN:
                found.plain.append(digest)
        elif path.startswith(f"{PARTIAL}/") and not _goes_on(disk, path, row, digest in found.rows, blob_key, found):
            found.garbage.append(path)
    found.lost = [digest for digest in rows if digest not in found.rows]
    return found


def _goes_on(disk: Disk, path: str, row: BlobRow | None, is_whole: bool, blob_key: bytes | None, found: Found) -> bool:
    """Whether a partial file is one to go on with."""
    if row is None or is_whole:
        return False
    if row.complete:
        found.dropped.add(row.digest)
        return False
    try:
        file = open_blob_file(disk, path, row.digest, blob_key)
        if file.kind != (PLAIN if blob_key is None else ENCRYPTED):
            return False  # of before the store was encrypted
        have = file.held(row.size)
    except LittoralError:
        return False  # not even its header was synced
    found.rows[row.digest] = row
    found.partials[row.digest] = (file, have)
    return True


def _adopted(
    disk: Disk, path: str, digest: str, row: BlobRow | None, now_ms: int, blob_key: bytes | None
) -> BlobRow | None:
    """The row of a whole blob whose row does not say so; None for what cannot be read."""
    size = blob_bytes(disk.size(path) or 0)
    try:
        open_blob_file(disk, path, digest, blob_key).read(0, 1, size)
    except LittoralError:
        return None
    if row is not None:
        return msgspec.structs.replace(row, complete=True, size=size)
    return BlobRow(digest, size, now_ms, now_ms, complete=True, send=False, above="", refused="")


def _kind(disk: Disk, path: str, digest: str, blob_key: bytes) -> int | None:
    try:
        return open_blob_file(disk, path, digest, blob_key).kind
    except LittoralError:
        return None  # damaged: whoever reads it is told


def reseal(disk: Disk, digest: str, size: int, random: Random, old_key: bytes | None, new_key: bytes | None) -> None:
    """Write the file of a whole blob anew, with another key or none, and let it take the place of the old one in one
    rename: while no node has the store open. Raises StorageCorrupt, NotFound, StorageError."""
    disk.move(sealed_aside(disk, digest, size, random, old_key, new_key), finished_path(digest))


def sealed_aside(
    disk: Disk, digest: str, size: int, random: Random, old_key: bytes | None, new_key: bytes | None
) -> str:
    """Write the file of a whole blob anew, with another key or none, beside the old one, whose place it may take by one
    rename; returns its path. Raises StorageCorrupt, NotFound, StorageError."""
    path, aside = finished_path(digest), f"{partial_path(digest)}.sealing"
    old = open_blob_file(disk, path, digest, old_key)
    new = create_blob_file(disk, aside, digest, random, new_key)
    try:
        for offset in range(0, size, SYNC_BYTES):
            new.write(offset, old.read(offset, SYNC_BYTES, size))
    except LittoralError:
        disk.remove(aside)
        raise
    return aside
