"""The index of what a node's gateways have on disk of HTTP answers: one SQLite database, which all of them read and write.

What changes it runs within a transaction of the writer's (littoral.drivers.cache_writer). A body is in a table of its own, or in
a file whose name is here; the names of files that nothing refers to any more are in `garbage` until they are removed.

state.last      the number of the newest object; an index that is begun anew goes on with others than before
state.horizon   objects up to this number are forgotten: so everything is forgotten at once, and what it took is given back bit
                by bit
aims            the last purges, by their offsets: what was asked for before one of them is not taken in after it
rules           all ways in which keys were made of what is here: URLs are purged by all of them
spools          what each process that runs may write of bodies that are still coming
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, NamedTuple

import apsw
import msgspec

from littoral.core.errors import StorageError
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.position import Position
from littoral.wire.caching.storing import Stored

FORMAT = 1
"""What has another one is begun anew."""
OBJECT_BYTES = 1024
"""Of an object, besides its body and its fields: its places in tables."""
LISTED_MOST = 1000
"""Objects of one URL that people are shown."""
PAGES_KIB = 4096
"""SQLite's memory for each connection."""
BUSY_MS = 30_000
"""How long another process may be writing."""


class UnknownFormat(Exception):
    """Another version wrote it."""


DAMAGED = (apsw.CorruptError, apsw.NotADBError)
UNUSABLE = (*DAMAGED, apsw.SQLError, UnknownFormat)
"""What says of one that is opened that it is not what we have written."""
AFTER_SEPARATOR = chr(ord(SEPARATOR) + 1)

_SCHEMA = f"""
CREATE TABLE state (
    log TEXT, next INTEGER,
    last INTEGER NOT NULL, horizon INTEGER NOT NULL DEFAULT 0, rules INTEGER NOT NULL DEFAULT 0,
    objects INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
);
INSERT INTO state (last) VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000);
CREATE TABLE objects (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, vary TEXT NOT NULL, variant TEXT NOT NULL, stored BLOB NOT NULL,
    expired INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL, cost INTEGER NOT NULL, file TEXT NOT NULL, digest BLOB,
    used INTEGER NOT NULL, UNIQUE (key, vary, variant)
);
CREATE INDEX objects_used ON objects (used);
CREATE INDEX objects_file ON objects (file) WHERE file <> '';
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE tags (tag TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tag, id)) WITHOUT ROWID;
CREATE INDEX tags_id ON tags (id);
CREATE TABLE aims (number INTEGER PRIMARY KEY, purge BLOB NOT NULL);
CREATE TABLE rules (spec BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE spools (instance TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE garbage (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER objects_came AFTER INSERT ON objects BEGIN
    UPDATE state SET objects = objects + 1, bytes = bytes + new.cost;
END;
CREATE TRIGGER objects_went AFTER DELETE ON objects BEGIN
    UPDATE state SET objects = objects - 1, bytes = bytes - old.cost;
    DELETE FROM bodies WHERE id = old.id;
    DELETE FROM tags WHERE id = old.id;
    INSERT OR IGNORE INTO garbage SELECT old.file WHERE old.file <> '';
END;
PRAGMA user_version = {FORMAT};
"""
THERE = "id > (SELECT horizon FROM state)"
_COLUMNS = "id, key, variant, stored, expired, size, file, used"
_FIND = f"SELECT {_COLUMNS} FROM objects WHERE key = ? AND {THERE}"
BY_PLACE = "key = ? AND vary = ? AND variant = ?"
BY_URL = "(key = ?1 OR (key > ?2 AND key < ?3))"

encode_stored = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stored).decode


class Row(NamedTuple):
    """An object."""

    id: int
    key: str
    variant: str
    stored: Stored
    is_expired: bool
    size: int
    file: str
    """Empty where the body is in the index."""
    used_s: int
    """When it was used, more or less."""


class Put(Enum):
    """What became of an object that was to be put in."""

    REFUSED = auto()
    """A purge was meant for it."""
    UPDATED = auto()
    """Its body was there already."""
    INSERTED = auto()


Place = tuple[str, str, str]
"""Where an object stands: key, vary, variant."""


class New(NamedTuple):
    """An object that is to be put in."""

    key: str
    variant: str
    stored: Stored
    size: int
    """Of its body."""
    body: bytes | None
    """None where it is in a file."""
    file: str
    digest: bytes | None
    """Of a body that was in memory; None for one that was spooled."""


class State(NamedTuple):
    """Of the whole index."""

    position: Position | None
    horizon: int
    rules: int
    objects: int
    bytes: int


def open_index(path: str) -> apsw.Connection:
    """A connection to it; it is made where there is none. Raises apsw.Error, UnknownFormat."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    connection.pragma("cache_size", -PAGES_KIB)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", 1)  # NORMAL: a loss of power may take the last objects with it
    connection.pragma("journal_size_limit", 64 << 20)
    version = int(connection.pragma("user_version"))
    if version == 0:
        with transaction(connection):
            if not int(connection.pragma("user_version")):
                connection.execute(_SCHEMA)
    elif version != FORMAT:
        raise UnknownFormat(version)
    connection.execute(
        "SELECT count(*) FROM state, (SELECT 1 FROM objects, tags, aims, rules, garbage LIMIT 1)"
    ).fetchall()
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Nobody else writes meanwhile. Raises apsw.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def as_storage(error: apsw.Error, operation: str, path: str) -> StorageError:
    """The error of ours for one of SQLite's."""
    return StorageError(operation, path, f"SQLite reports: {error}", "See the disk's own messages (dmesg)")


def digest_of(body: bytes) -> bytes:
    """By which two bodies are taken to be the same."""
    return hashlib.blake2b(body, digest_size=16).digest()


class IndexReader:
    """Looks things up. One thread uses it."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def find(self, key: str) -> list[Row]:
        """What is stored under a key, what came last first. Raises apsw.Error."""
        # Sorted here: SQLite takes longer to get ready for it than to find that there is nothing.
        rows = [row for values in self._connection.execute(_FIND, (key,)) if (row := _row(values)) is not None]
        return sorted(rows, reverse=True) if len(rows) > 1 else rows

    def keys(self) -> Iterator[str]:
        """Of all objects. Raises apsw.Error."""
        return (key for (key,) in self._connection.execute(f"SELECT key FROM objects WHERE {THERE}"))

    def of_url(self, url: str) -> list[Row]:
        """What is stored under the keys that begin with a URL. Raises apsw.Error."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE {BY_URL} AND {THERE} LIMIT {LISTED_MOST}"
        return [row for values in self._connection.execute(query, url_range(url)) if (row := _row(values)) is not None]

    def body(self, number: int) -> bytes | None:
        """Of an object whose body is in the index. Raises apsw.Error."""
        body: bytes | None = self._connection.execute("SELECT body FROM bodies WHERE id = ?", (number,)).get
        return body

    def state(self) -> State:
        """Raises apsw.Error."""
        return read_state(self._connection)


def read_state(connection: apsw.Connection) -> State:
    """Raises apsw.Error."""
    log, following, *rest = connection.execute("SELECT log, next, horizon, rules, objects, bytes FROM state").get
    return State(None if log is None else Position(log, following), *rest)


def _row(values: Sequence[Any]) -> Row | None:
    """None for what another version wrote."""
    number, key, variant, stored, is_expired, size, file, used_s = values
    try:
        return Row(number, key, variant, _decode(stored), bool(is_expired), size, file, used_s)
    except msgspec.MsgspecError:
        return None


def url_range(url: str) -> tuple[str, str, str]:
    """For BY_URL."""
    return url, url + SEPARATOR, url + AFTER_SEPARATOR


def place_of(key: str, variant: str, stored: Stored) -> Place:
    """Where an object stands."""
    return key, SEPARATOR.join(stored.vary), variant


def cost_of(new: New) -> int:
    """What an object counts against the limit."""
    fields = sum(len(name) + len(value) for name, value in new.stored.fields)
    return OBJECT_BYTES + len(new.key) + len(new.variant) + fields + new.size
