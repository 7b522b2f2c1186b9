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
    # Files beside the database: blobs, and batches that were spilled. And key-value as rows with a number: in a table without
    # one, a value of a kilobyte takes a page of its own. The newest timestamp stands in `meta`: an index of them all was
    # as dear to write as the values.
    3: """
INSERT OR REPLACE INTO meta(key, value) SELECT 'hlc', max(hlc) FROM kv HAVING max(hlc) IS NOT NULL;
DROP INDEX kv_by_hlc;
DROP INDEX kv_tombstones;
ALTER TABLE kv RENAME TO kv_3;

CREATE TABLE kv(
    namespace TEXT NOT NULL,
    key       TEXT NOT NULL,
    hlc       INTEGER NOT NULL,
    node      TEXT NOT NULL,
    value     BLOB,
    PRIMARY KEY(namespace, key)
) STRICT;

INSERT INTO kv SELECT namespace, key, hlc, node, value FROM kv_3 ORDER BY namespace, key;
DROP TABLE kv_3;
CREATE INDEX kv_tombstones ON kv(namespace, hlc) WHERE value IS NULL;

DROP INDEX deleted_by_name;
ALTER TABLE deleted RENAME TO deleted_3;

CREATE TABLE deleted(
    stream INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    path   TEXT NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;

INSERT INTO deleted SELECT stream, origin, path,
    coalesce((SELECT sum(length(payload)) FROM batches WHERE batches.stream=deleted_3.stream), 0) FROM deleted_3;
DROP TABLE deleted_3;
CREATE INDEX deleted_by_name ON deleted(origin, path);

ALTER TABLE streams ADD COLUMN policy TEXT NOT NULL DEFAULT 'drop-oldest';

CREATE TABLE spilled(
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    stream    INTEGER,
    first     INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    lineage   TEXT NOT NULL,
    newest_ms INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    file      TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX spilled_by_stream ON spilled(stream, first) WHERE stream IS NOT NULL;
CREATE INDEX spilled_held ON spilled(bytes) WHERE stream IS NOT NULL;
CREATE INDEX spilled_dropped ON spilled(number) WHERE stream IS NULL;

CREATE TABLE blobs(
    digest     TEXT PRIMARY KEY,
    size       INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms    INTEGER NOT NULL,
    complete   INTEGER NOT NULL,
    send       INTEGER NOT NULL,
    above      TEXT NOT NULL,
    refused    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
""",
    # Keys expire, and have metadata.
    4: """
ALTER TABLE kv ADD COLUMN expires_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE kv ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
CREATE INDEX kv_expiring ON kv(expires_s) WHERE expires_s>0;
""",
    # What the MQTT broker keeps of its clients.
    5: """
CREATE TABLE mqtt_sessions(
    number    INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    level     INTEGER NOT NULL,
    expiry_s  INTEGER NOT NULL,
    away_ms   INTEGER,
    next      INTEGER NOT NULL
) STRICT;

CREATE TABLE mqtt_wills(
    session INTEGER PRIMARY KEY,
    delay_s INTEGER NOT NULL,
    due_ms  INTEGER,
    body    BLOB NOT NULL
) STRICT;

CREATE TABLE mqtt_subscriptions(
    session    INTEGER NOT NULL,
    filter     TEXT NOT NULL,
    options    INTEGER NOT NULL,
    identifier INTEGER,
    PRIMARY KEY(session, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_messages(
    number     INTEGER PRIMARY KEY,
    recipients BLOB NOT NULL,
    body       BLOB NOT NULL
) STRICT;

CREATE TABLE mqtt_sent(
    session   INTEGER NOT NULL,
    message   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    PRIMARY KEY(session, message)
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_received(
    session   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY(session, packet_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_retained(
    topic TEXT PRIMARY KEY,
    body  BLOB NOT NULL
) STRICT;
""",
    # Which messages of QoS 1 a client may have been sent. What waits for it now may have been.
    6: """
ALTER TABLE mqtt_sessions ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
UPDATE mqtt_sessions SET sent=(SELECT coalesce(max(number)+1, 0) FROM mqtt_messages);
""",
}
"""From which version -> what leads to the next."""


def migrate(connection: apsw.Connection, version: int) -> None:
    """Take the steps from `version` to FORMAT_VERSION. Raises apsw.Error; the step that fails did nothing."""
    for each in range(version, FORMAT_VERSION):
        with atomic(connection):
            connection.execute(STEPS[each])
            connection.pragma("user_version", each + 1)
