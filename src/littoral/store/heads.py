"""The ends of all streams, as the writer sees them: what has been committed, and what the running group adds."""

from collections.abc import Iterator, Mapping

import apsw
import msgspec

from littoral.core.names import StreamName
from littoral.store.stream import Fork, StreamInfo

_COLUMNS = (
    "id, origin, path, lineage, content_type, lane, first, next, chain, bytes, created_ms, closed, retention_bytes,"
    " retention_ms, ttl_s, expires_at, reach, via, policy"
)
_FIELDS = _COLUMNS.split(", ")[3:]
"""Those that are named as in StreamInfo."""


class Heads:
    """Committed `StreamInfo` by name, with the changes of the group over them.

    The writer's alone. A group ends in `publish` (its changes are now committed) or `rollback`.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._committed: dict[StreamName, StreamInfo] = {info.name: info for info in load_streams(connection)}
        self._changed: dict[StreamName, StreamInfo | None] = {}
        self._added = 0
        """How many streams more there are with the group's changes; negative where it deletes some."""
        self._undo: list[tuple[StreamName, bool, StreamInfo | None, int]] = []
        """What to go back to, the latest last: a stream, whether the group had changed it before, what it was, and `_added`."""
        self.bytes = sum(info.bytes for info in self._committed.values())
        """Payload bytes of all streams, as committed."""
        # SQLite keeps the greatest number a row of the table ever had, also when that row is gone.
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='streams'").fetchone()
        self._next_id = (int(row[0]) if row else 0) + 1

    def __len__(self) -> int:
        """How many streams there are, as this group sees it."""
        return len(self._committed) + self._added

    def __iter__(self) -> Iterator[StreamInfo]:
        return iter(list(self._committed.values()))

    def get(self, name: StreamName) -> StreamInfo | None:
        """The stream as this group sees it."""
        if name in self._changed:
            return self._changed[name]
        return self._committed.get(name)

    def take_id(self) -> int:
        """A row number that no stream of this store ever had."""
        self._next_id += 1
        return self._next_id - 1

    def set(self, info: StreamInfo) -> None:
        """The stream is now this, once the group commits."""
        self._change(info.name, info)

    def delete(self, name: StreamName) -> None:
        """The stream is gone, once the group commits."""
        self._change(name, None)

    def savepoint(self) -> int:
        """A point to go back to with `rollback_to`."""
        return len(self._undo)

    def rollback_to(self, savepoint: int) -> None:
        """Forget what changed since."""
        while len(self._undo) > savepoint:
            name, was_changed, info, self._added = self._undo.pop()
            if was_changed:
                self._changed[name] = info
            else:
                del self._changed[name]

    def release(self) -> None:
        """There is no going back behind this point: no savepoint is needed any more."""
        self._undo.clear()

    def changed(self) -> list[StreamInfo]:
        """Streams to be written with this group."""
        return [info for info in self._changed.values() if info is not None]

    def publish(self) -> dict[StreamName, StreamInfo | None]:
        """The group is committed: take its changes over, and return them (None for a deleted stream)."""
        published = self._changed
        for name, info in published.items():
            if (old := self._committed.get(name)) is not None:
                self.bytes -= old.bytes
            if info is not None:
                self._committed[name] = info
                self.bytes += info.bytes
            elif old is not None:
                del self._committed[name]
        self._changed, self._added = {}, 0
        self.release()
        return published

    def rollback(self) -> None:
        """The group failed: forget its changes."""
        self._changed, self._added = {}, 0
        self.release()

    def _change(self, name: StreamName, info: StreamInfo | None) -> None:
        was_changed = name in self._changed
        before = self._changed[name] if was_changed else self._committed.get(name)
        self._undo.append((name, was_changed, before, self._added))
        self._added += (info is not None) - (before is not None)
        self._changed[name] = info


def load_streams(connection: apsw.Connection) -> list[StreamInfo]:
    """All streams of the store."""
    forks = {number: Fork(*rest) for number, *rest in connection.execute("SELECT * FROM forks")}
    rows = connection.execute(f"SELECT {_COLUMNS} FROM streams")
    return [_info(row, forks) for row in rows]


def load_stream(connection: apsw.Connection, number: int) -> StreamInfo | None:
    """One stream, by its row's number; None if there is none."""
    forks = {key: Fork(*rest) for key, *rest in connection.execute("SELECT * FROM forks WHERE stream=?", (number,))}
    row = connection.execute(f"SELECT {_COLUMNS} FROM streams WHERE id=?", (number,)).fetchone()
    return None if row is None else _info(row, forks)


def insert_stream(connection: apsw.Connection, info: StreamInfo) -> None:
    """Write a new stream's row."""
    values = [getattr(info, field) for field in _FIELDS]
    connection.execute(
        f"INSERT INTO streams({_COLUMNS}) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (info.id, info.name.origin, info.name.path, *values),
    )
    if info.fork is not None:
        connection.execute(
            "INSERT INTO forks(stream, source, inherited, asked) VALUES(?,?,?,?)",
            (info.id, *msgspec.structs.astuple(info.fork)),
        )


def update_stream(connection: apsw.Connection, info: StreamInfo) -> None:
    """Write what may change of a stream."""
    connection.execute(
        "UPDATE streams SET path=?, lineage=?, lane=?, first=?, next=?, chain=?, bytes=?, closed=?, retention_bytes=?,"
        " retention_ms=?, reach=?, via=? WHERE id=?",
        (
            info.name.path,
            info.lineage,
            info.lane,
            info.first,
            info.next,
            info.chain,
            info.bytes,
            info.closed,
            info.retention_bytes,
            info.retention_ms,
            info.reach,
            info.via,
            info.id,
        ),
    )


def _info(row: "tuple[apsw.SQLiteValue, ...]", forks: Mapping[object, Fork]) -> StreamInfo:
    identity, origin, path, *rest = row
    values = dict(zip(_FIELDS, rest, strict=True))
    values["closed"] = bool(values["closed"])
    info = msgspec.convert({"id": identity, "name": (origin, path), **values}, StreamInfo)
    return msgspec.structs.replace(info, fork=forks.get(identity))
