"""What a job may do to the store. All of one job happens, or nothing of it."""

import msgspec

from littoral.core.names import StreamName
from littoral.store.mqtt_writes import MqttWrites


class Transaction(MqttWrites):
    """The writer's hands, for the time of one job. Must not be kept beyond it.

    stream_writes   streams and forks, what folds keep, and what the committer needs
    history_writes  copies of others' streams
    kv_writes       key-value
    blob_writes     the table of blobs
    mqtt_writes     what the MQTT broker keeps
    here            where a copy comes from; folds, and all that one keeps
    """

    # Copies

    def follow_from(self, name: StreamName, via: str) -> None:
        """The copy of another node's stream goes on from the neighbour `via`, though nothing came of it yet. Raises NotFound."""
        self._heads.set(msgspec.structs.replace(self._existing("follow stream", name), via=via))

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

    def state(self, scope: str) -> dict[str, bytes]:
        """All values under `scope`."""
        return dict(self._connection.execute("SELECT key, value FROM state WHERE scope=?", (scope,)))

    def count_state(self, scope: str, prefix: str = "") -> int:
        """How many values are under `scope` whose keys begin with `prefix`."""
        if not prefix:
            row = self._connection.execute("SELECT count(*) FROM state WHERE scope=?", (scope,)).fetchone()
            return row[0] if row else 0
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        row = self._connection.execute(
            "SELECT count(*) FROM state WHERE scope=? AND key>=? AND key<?", (scope, prefix, end)
        ).fetchone()
        return row[0] if row else 0

    def clear_state(self, scope: str) -> None:
        """Remove all values under `scope`."""
        self._connection.execute("DELETE FROM state WHERE scope=?", (scope,))
