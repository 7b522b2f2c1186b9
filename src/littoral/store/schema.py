"""The tables of `store.db`. `docs/reference/store-format.md` describes them for people; both change together."""

FORMAT_VERSION = 7
"""PRAGMA user_version. A store with a greater one was written by a newer Littoral and is not touched; one with a
lesser is brought up to it by `littoral.store.migrations`."""

# A column that an older store was given stands as ALTER TABLE leaves it: a test compares the texts.
SCHEMA = """
CREATE TABLE meta(
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streams(
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    origin          TEXT NOT NULL,
    path            TEXT NOT NULL,
    lineage         TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    lane            TEXT NOT NULL,
    first           INTEGER NOT NULL,
    next            INTEGER NOT NULL,
    chain           BLOB NOT NULL,
    bytes           INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    closed          INTEGER NOT NULL,
    retention_bytes INTEGER NOT NULL,
    retention_ms    INTEGER,
    ttl_s           INTEGER,
    expires_at      TEXT,
    reach           TEXT NOT NULL,
    via             TEXT NOT NULL, policy TEXT NOT NULL DEFAULT 'drop-oldest',
    UNIQUE(origin, path)
) STRICT;

CREATE TABLE batches(
    stream       INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    next         INTEGER NOT NULL,
    lineage      TEXT NOT NULL,
    appended_ms  INTEGER NOT NULL,
    codec        INTEGER NOT NULL,
    crc          INTEGER NOT NULL,
    chain_before BLOB NOT NULL,
    chain        BLOB NOT NULL,
    payload      BLOB NOT NULL,
    PRIMARY KEY(stream, first)
) STRICT;

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
    path   TEXT NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;

CREATE INDEX deleted_by_name ON deleted(origin, path);

CREATE TABLE folds(
    fold   TEXT NOT NULL,
    stream INTEGER NOT NULL,
    next   INTEGER NOT NULL,
    PRIMARY KEY(fold, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE state(
    scope TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE kv(
    namespace TEXT NOT NULL,
    key       TEXT NOT NULL,
    hlc       INTEGER NOT NULL,
    node      TEXT NOT NULL,
    value     BLOB, expires_s INTEGER NOT NULL DEFAULT 0, metadata TEXT NOT NULL DEFAULT '',
    PRIMARY KEY(namespace, key)
) STRICT;

CREATE INDEX kv_tombstones ON kv(namespace, hlc) WHERE value IS NULL;
CREATE INDEX kv_expiring ON kv(expires_s) WHERE expires_s>0;

CREATE TABLE horizons(
    namespace TEXT PRIMARY KEY,
    hlc       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE mqtt_sessions(
    number    INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    level     INTEGER NOT NULL,
    expiry_s  INTEGER NOT NULL,
    away_ms   INTEGER,
    next      INTEGER NOT NULL
, sent INTEGER NOT NULL DEFAULT 0) STRICT;

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
"""
