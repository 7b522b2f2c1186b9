"""The table `blobs`: which blobs a node holds, as its store knows them."""

import re
from typing import Any

import apsw
import msgspec

from littoral.core.errors import InvalidInput

BLOB_COLUMNS = "digest, size, created_ms, used_ms, complete, send, above, refused"
"""In the order of the fields of BlobRow."""
ALGORITHM = "sha256:"
_DIGEST = re.compile("[0-9a-f]{64}")


class BlobRow(msgspec.Struct, frozen=True):
    """One blob, or what has come of it."""

    digest: str
    """SHA-256 of its bytes, as 64 hexadecimal digits in lower case."""
    size: int
    created_ms: int
    """When it, or its beginning, came to this node, ms since the epoch."""
    used_ms: int
    """When it was last read, sent or added to."""
    complete: bool
    """Whether it is here as a whole, its digest is right, and it is durable."""
    send: bool
    """Whether it is to go up to the root."""
    above: str
    """The parent that has it; empty where none is known to."""
    refused: str
    """Why the parent does not take it; empty where it does, or was not asked."""


def blob_name(digest: str) -> str:
    """A digest as it is written: with its algorithm."""
    return f"{ALGORITHM}{digest}"


def blob_digest(text: str) -> str:
    """The digest in "sha256:<64 hexadecimal digits>". Raises InvalidInput."""
    digest = text.removeprefix(ALGORITHM)
    if not text.startswith(ALGORITHM) or _DIGEST.fullmatch(digest) is None:
        raise InvalidInput(
            "find blob",
            repr(text[:90]),
            "it is no digest",
            f"Write {ALGORITHM} and 64 hexadecimal digits in lower case",
        )
    return digest


def read_blobs(connection: apsw.Connection) -> list[BlobRow]:
    """All rows, by digest."""
    return [_row(row) for row in connection.execute(f"SELECT {BLOB_COLUMNS} FROM blobs ORDER BY digest")]


def read_blob(connection: apsw.Connection, digest: str) -> BlobRow | None:
    """One row, or None."""
    row = connection.execute(f"SELECT {BLOB_COLUMNS} FROM blobs WHERE digest=?", (digest,)).fetchone()
    return None if row is None else _row(row)


def _row(row: Any) -> BlobRow:
    # Any: SQLite's values, whose types the table's schema holds to.
    digest, size, created_ms, used_ms, complete, send, above, refused = row
    return BlobRow(digest, size, created_ms, used_ms, bool(complete), bool(send), above, refused)
