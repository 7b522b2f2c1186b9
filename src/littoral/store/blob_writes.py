"""The writer's hands on the table of blobs."""

import msgspec

from littoral.store.blob_rows import BLOB_COLUMNS, BlobRow, read_blob
from littoral.store.kv_writes import KvWrites


class BlobWrites(KvWrites):
    """See `littoral.store.transaction`."""

    def put_blob(self, row: BlobRow) -> None:
        """The blob is now this."""
        places = ",".join("?" * len(BLOB_COLUMNS.split(",")))
        self._connection.execute(
            f"INSERT OR REPLACE INTO blobs({BLOB_COLUMNS}) VALUES({places})", msgspec.structs.astuple(row)
        )

    def change_blob(self, digest: str, **changes: object) -> BlobRow | None:
        """Set fields of a blob; returns what it is then, or None if there is none."""
        row = read_blob(self._connection, digest)
        if row is not None:
            row = msgspec.structs.replace(row, **changes)
            self.put_blob(row)
        return row

    def delete_blob(self, digest: str) -> None:
        """There is no such blob any more."""
        self._connection.execute("DELETE FROM blobs WHERE digest=?", (digest,))
