"""Bringing an older `store.db` up to the format of this Littoral.

Each step leads from one version to the next and is one transaction with the version it leads to: power that goes in
between leaves the one or the other. A step's text is never changed again, also where the schema goes on: stores of its
version are out there. A test makes a store of each version and compares what it becomes with a new one.
"""

import apsw

from littoral.store.atomic import atomic
from littoral.store.schema import FORMAT_VERSION

STEPS = {
    # Tombstones are forgotten: which are, and an index that finds them by namespace.
    1: """
CREATE TABLE horizons(
    namespace TEXT PRIMARY KEY,
    hlc       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

DROP INDEX kv_tombstones;
CREATE INDEX kv_tombstones ON kv(namespace, hlc) WHERE value IS NULL;
""",
}
"""From which version -> what leads to the next."""


def migrate(connection: apsw.Connection, version: int) -> None:
    """Take the steps from `version` to FORMAT_VERSION. Raises apsw.Error; the step that fails did nothing."""
    for each in range(version, FORMAT_VERSION):
        with atomic(connection):
            connection.execute(STEPS[each])
            connection.pragma("user_version", each + 1)
