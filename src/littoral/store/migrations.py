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
    # Forks share the rows of what they were forked from, and what is deleted goes in small pieces.
    2: """
CREATE TABLE forks(
    stream    INTEGER PRIMARY KEY,
    source    INTEGER NOT NULL,
    inherited INTEGER NOT NULL,
    asked     TEXT NOT NULL
) STRICT;

CREATE INDEX forks_by_source ON forks(source);

CREATE TABLE deleted(
    stream INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    path   TEXT NOT NULL
) STRICT;

CREATE INDEX deleted_by_name ON deleted(origin, path);
""",
}
"""From which version -> what leads to the next."""


def migrate(connection: apsw.Connection, version: int) -> None:
    """Take the steps from `version` to FORMAT_VERSION. Raises apsw.Error; the step that fails did nothing."""
    for each in range(version, FORMAT_VERSION):
        with atomic(connection):
            connection.execute(STEPS[each])
            connection.pragma("user_version", each + 1)
