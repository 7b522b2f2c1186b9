"""Forks: streams that begin with another one's records, without a copy of them.

A fork's own rows begin at `inherited`; what comes before is read from the rows of its source, which may be a fork
itself. Where the point of the fork lies within a batch, the fork has a row with the part before it.

A deleted stream keeps the rows that a fork reads for as long as it lives, and is known by name (`deleted`) until they are
gone. Rows go in small pieces (`Transaction.purge`), those of a fork before those of its source.
"""

from typing import Any, NamedTuple

import apsw
import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.names import StreamName
from littoral.store.batch import BATCH_COLUMNS, CHAIN_START, PIECE_BYTES, Batch
from littoral.store.spill import SpillReader
from littoral.store.stream import StreamInfo

_BELOW = "WITH RECURSIVE below(id) AS (SELECT stream FROM forks WHERE source {} UNION SELECT forks.stream FROM forks"
_BELOW += " JOIN below ON forks.source=below.id) "


class Segment(NamedTuple):
    """Rows of one stream."""

    stream: int
    """The row's number."""
    end: int
    """The rows end at or before this offset."""


class Beginning(NamedTuple):
    """How a fork begins."""

    inherited: int
    """Up to here the rows are the source's."""
    chain: bytes
    """Chain hash there."""
    part: Batch | None
    """The batch within which the fork's point lies; `records` are what is before it."""
    records: list[bytes]


def segments(connection: apsw.Connection, info: StreamInfo, offset: int) -> list[Segment]:
    """Where the rows from `offset` on lie, the oldest first. A stream in between that has none is there as well."""
    found = [Segment(info.id, info.next)]
    row: Any = (info.fork.source, info.fork.inherited) if info.fork is not None else None
    while row is not None and offset < row[1]:
        found.append(Segment(row[0], min(found[-1].end, row[1])))
        row = connection.execute("SELECT source, inherited FROM forks WHERE stream=?", (row[0],)).fetchone()
    return found[::-1]


def begin(
    connection: apsw.Connection, spilled: SpillReader, source: StreamInfo, at: int, part_of_next: bytes | None
) -> Beginning:
    """How a fork of `source` begins that has all records before `at`, and `part_of_next` as the one there, if given."""
    offset = at if part_of_next is not None else at - 1
    if offset < source.first:
        return Beginning(at, _chain_at(connection, spilled, source, at), None, [])
    batch = _batch_at(connection, spilled, source, offset)
    records = batch.records()[: at - batch.first]
    if part_of_next is not None:
        records.append(part_of_next)
    elif at == batch.next:
        return Beginning(at, batch.chain, None, [])
    return Beginning(batch.first, batch.chain_before, batch, records)


def record_at(connection: apsw.Connection, spilled: SpillReader, source: StreamInfo, offset: int) -> bytes:
    """One record. Raises InvalidInput if the stream has none there."""
    if not source.first <= offset < source.next:
        raise InvalidInput("fork stream", str(source.name), f"it has no record at offset {offset}")
    batch = _batch_at(connection, spilled, source, offset)
    return batch.records()[offset - batch.first]


def _batch_at(connection: apsw.Connection, spilled: SpillReader, source: StreamInfo, offset: int) -> Batch:
    stream = segments(connection, source, offset)[0].stream
    row = connection.execute(
        f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND first<=? ORDER BY first DESC LIMIT 1", (stream, offset)
    ).fetchone()
    if row is None:
        return spilled.read(stream, source.name, offset, offset + 1, 0)[0]
    return msgspec.convert((*source.name, *row), Batch)


def _chain_at(connection: apsw.Connection, spilled: SpillReader, source: StreamInfo, at: int) -> bytes:
    if at == source.next:
        return source.chain
    return CHAIN_START if at == 0 else _batch_at(connection, spilled, source, at).chain_before


def living_below(connection: apsw.Connection, stream: int) -> list[tuple[StreamName, int]]:
    """The living forks of a stream and of its forks, with the least `inherited` on the way to each."""
    rows: Any = connection.execute(
        "WITH RECURSIVE below(id, least) AS (SELECT stream, inherited FROM forks WHERE source=? UNION ALL"
        " SELECT forks.stream, min(forks.inherited, below.least) FROM forks JOIN below ON forks.source=below.id)"
        " SELECT origin, path, least FROM below JOIN streams USING(id)",
        (stream,),
    ).fetchall()
    return [(StreamName(origin, path), least) for origin, path, least in rows]


def is_held(connection: apsw.Connection, name: StreamName) -> bool:
    """Whether a stream of this name was deleted, and a fork that lives still reads its rows."""
    query = _BELOW.format("IN (SELECT stream FROM deleted WHERE origin=? AND path=?)")
    row = connection.execute(f"{query}SELECT 1 FROM below JOIN streams USING(id) LIMIT 1", tuple(name)).fetchone()
    return row is not None


class Purgeable(NamedTuple):
    """A deleted stream of which something can go."""

    stream: int
    """The row's number."""
    needed: int | None
    """Up to this offset its rows are read by forks; None if it has none."""


def purgeable(connection: apsw.Connection) -> Purgeable | None:
    """A deleted stream that no fork needs, or that has rows beyond what its forks read, if there is one."""
    row: Any = connection.execute(
        "SELECT stream, (SELECT max(inherited) FROM forks WHERE source=deleted.stream) AS needed FROM deleted"
        " WHERE needed IS NULL OR EXISTS (SELECT 1 FROM batches WHERE stream=deleted.stream AND first>=needed)"
        " OR EXISTS (SELECT 1 FROM spilled WHERE stream=deleted.stream AND first>=needed) LIMIT 1"
    ).fetchone()
    return Purgeable(*row) if row else None


def depth(connection: apsw.Connection, info: StreamInfo) -> int:
    """How many other streams a read from the beginning of a fork goes through."""
    row: Any = connection.execute(
        "WITH RECURSIVE above(id) AS (SELECT source FROM forks WHERE stream=? UNION ALL"
        " SELECT forks.source FROM forks JOIN above ON forks.stream=above.id) SELECT count(*) FROM above",
        (info.id,),
    ).fetchone()
    return int(row[0])


def deleted_bytes(connection: apsw.Connection) -> int:
    """What the deleted streams still hold."""
    row: Any = connection.execute("SELECT coalesce(sum(bytes), 0) FROM deleted").fetchone()
    return int(row[0])


def purge(connection: apsw.Connection, of: Purgeable, most_batches: int) -> int:
    """Delete up to so many of the oldest rows of a deleted stream that no fork reads, and no more than PIECE_BYTES; where
    it has no forks, what is known of it with the last. Returns how many rows were deleted. A spill file counts as one,
    and is left to be removed."""
    stream, least = of.stream, of.needed or 0
    connection.execute(
        "UPDATE spilled SET stream=NULL WHERE number IN (SELECT number FROM spilled WHERE stream=? AND first>=? LIMIT ?)",
        (stream, least, most_batches),
    )
    if dropped := connection.changes():
        return dropped
    rows: Any = connection.execute(
        "SELECT first, length(payload) FROM batches WHERE stream=? AND first>=? ORDER BY first LIMIT ?",
        (stream, least, most_batches),
    ).fetchall()
    count = size = 0
    for _, length in rows:
        if count and size + length > PIECE_BYTES:
            break
        count, size = count + 1, size + length
    if count:
        connection.execute(
            "DELETE FROM batches WHERE stream=? AND first BETWEEN ? AND ?", (stream, rows[0][0], rows[count - 1][0])
        )
        connection.execute("UPDATE deleted SET bytes=max(0, bytes-?) WHERE stream=?", (size, stream))
    if of.needed is None and count == len(rows) < most_batches:
        connection.execute("DELETE FROM forks WHERE stream=?", (stream,))
        connection.execute("DELETE FROM deleted WHERE stream=?", (stream,))
    return count
