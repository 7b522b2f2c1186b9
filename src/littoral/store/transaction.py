"""What a job may do to the store. All of one job happens, or nothing of it."""

from littoral.core.names import StreamName
from littoral.store.blob_writes import BlobWrites


class Transaction(BlobWrites):
    """The writer's hands, for the time of one job. Must not be kept beyond it.

    stream_writes   streams and forks, and what the committer needs
    history_writes  copies of others' streams
    kv_writes       key-value
    blob_writes     the table of blobs
    here            folds, and what they keep
    """

    # Folds

    def fold_offset(self, fold: str, source: StreamName) -> int:
        """Up to where `fold` has applied `source`; 0 if never."""
        info = self._existing("read fold of", source)
        row = self._connection.execute("SELECT next FROM folds WHERE fold=? AND stream=?", (fold, info.id)).fetchone()
        return row[0] if row else 0

    def set_fold(self, fold: str, source: StreamName, offset: int) -> None:
        """`fold` has applied `source` up to `offset`, with everything else that this job does."""
        info = self._existing("write fold of", source)
        self._connection.execute(
            "INSERT INTO folds(fold, stream, next) VALUES(?,?,?) ON CONFLICT DO UPDATE SET next=excluded.next",
            (fold, info.id, offset),
        )

    def get_state(self, scope: str, key: str) -> bytes | None:
        """A value put by `put_state`."""
        row = self._connection.execute("SELECT value FROM state WHERE scope=? AND key=?", (scope, key)).fetchone()
        return row[0] if row else None

    def state(self, scope: str) -> dict[str, bytes]:
        """All values under `scope`."""
        return dict(self._connection.execute("SELECT key, value FROM state WHERE scope=?", (scope,)))

    def put_state(self, scope: str, key: str, value: bytes | None) -> None:
        """Keep a value under (scope, key); None removes it."""
        if value is None:
            self._connection.execute("DELETE FROM state WHERE scope=? AND key=?", (scope, key))
        else:
            self._connection.execute(
                "INSERT INTO state(scope, key, value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                (scope, key, value),
            )

    def clear_state(self, scope: str) -> None:
        """Remove all values under `scope`."""
        self._connection.execute("DELETE FROM state WHERE scope=?", (scope,))
