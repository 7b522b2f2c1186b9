"""Looking at a stream without reading all of it: the latest batches, how much came lately, and how old it is.

All go along the primary key, and stop at a bound: what they cost does not depend on a stream's length.
"""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import apsw
import msgspec

from littoral.store import forks
from littoral.store.batch import BATCH_COLUMNS, Batch
from littoral.store.stream import StreamInfo

_SIZE_COLUMNS = "first, next, appended_ms, length(payload)"
"""SQLite knows the length of a payload without reading it."""


_PLACES = (
    # A file may reach beyond the end of a segment, a row does not.
    ("spilled", "newest_ms", "first<?"),
    ("batches", "appended_ms", "next<=?"),
)
"""Where batches lie, the oldest first: the table, its column with their age, and what is before a segment's end."""
_FROM = "stream=? AND first>=coalesce((SELECT max(first) FROM {} WHERE stream=? AND first<=?), 0) AND next>?"
"""From the batch on that holds an offset."""


class Aged(msgspec.Struct, frozen=True):
    """How far a stream is older than some moment."""

    next: int
    """Before here all is; the tail if all of it is."""
    found: bool
    """Whether the batch there is younger. If not, it was not looked at, or there is none."""
    looked: int
    """How many batches were looked at."""


class Recent(msgspec.Struct, frozen=True):
    """What came to a stream since a moment."""

    records: int
    bytes: int
    """Of their payloads, as they are stored."""
    since_ms: int
    """The moment, by the clock of the stream's origin: later than was asked for where more came than was looked at."""


def latest_batches(reader: apsw.Connection, info: StreamInfo, before: int, max_bytes: int, most: int) -> list[Batch]:
    """The batches with records before offset `before`, the latest first, until they hold `most` records before it, or
    `max_bytes` of payload. What was spilled is not looked at. So there is at least one, unless all before it is spilled."""
    batches: list[Batch] = []
    size = records = 0
    with closing(_backwards(reader, info, before, BATCH_COLUMNS)) as rows:
        for row in rows:
            batch = Batch(*info.name, *row)
            size += len(batch.payload)
            if batches and size > max_bytes:
                break
            batches.append(batch)
            records += min(batch.next, before) - batch.first
            if records >= most:
                break
    return batches


def recent(reader: apsw.Connection, info: StreamInfo, since_ms: int, most: int) -> Recent:
    """What was appended since `since_ms`, by a look at up to `most` batches."""
    records = size = seen = 0
    oldest_ms = since_ms
    with closing(_backwards(reader, info, info.next, _SIZE_COLUMNS)) as rows:
        for first, following, appended_ms, payload_bytes in rows:
            if appended_ms < since_ms:
                return Recent(records, size, since_ms)
            records += following - max(first, info.first)
            size += payload_bytes
            oldest_ms = appended_ms
            seen += 1
            if seen == most:
                return Recent(records, size, oldest_ms)
    return Recent(records, size, since_ms)


def appended_ms(reader: apsw.Connection, info: StreamInfo, offset: int) -> int | None:
    """When the batch that holds `offset`, or the first one after it, was appended; None if there is none."""
    row: Any = reader.execute(
        "SELECT appended_ms, next FROM batches WHERE stream=? AND first<=? ORDER BY first DESC LIMIT 1",
        (info.id, offset),
    ).fetchone()
    if row is not None and row[1] > offset:
        return int(row[0])  # nearly always
    for segment in forks.segments(reader, info, offset):
        for table, age, bound in _PLACES:
            row = reader.execute(
                f"SELECT {age} FROM {table} WHERE {_FROM.format(table)} AND {bound} ORDER BY first LIMIT 1",
                (segment.stream, segment.stream, offset, offset, segment.end),
            ).fetchone()
            if row is not None:
                return int(str(row[0]))
    return None


def first_since(reader: apsw.Connection, info: StreamInfo, offset: int, since_ms: int, most: int) -> Aged:
    """Where the first batch from `offset` on begins that was appended at `since_ms` or later."""
    looked = 0
    for segment in forks.segments(reader, info, offset):
        for table, age, bound in _PLACES:
            row: Any = reader.execute(
                "SELECT min(first) FILTER (WHERE at_ms>=?), max(next), count(*) FROM"
                f" (SELECT first, next, {age} AS at_ms FROM {table} WHERE {_FROM.format(table)} AND {bound}"
                " ORDER BY first LIMIT ?)",
                (since_ms, segment.stream, segment.stream, offset, offset, segment.end, most - looked),
            ).fetchone()
            first, following, count = row
            looked += count
            if first is not None:
                return Aged(max(first, offset), found=True, looked=looked)
            if looked == most:
                return Aged(min(following, segment.end), found=False, looked=looked)
    return Aged(info.next, found=False, looked=looked)


def _backwards(reader: apsw.Connection, info: StreamInfo, before: int, columns: str) -> Generator[Any, None, None]:
    """Rows of what the stream still holds before `before`, those of its sources included, the latest first."""
    for segment in reversed(forks.segments(reader, info, info.first)):
        rows = reader.execute(
            f"SELECT {columns} FROM batches WHERE stream=? AND first<? AND next<=? AND first>=coalesce((SELECT max(first)"
            " FROM batches WHERE stream=? AND first<=?), 0) ORDER BY first DESC",
            (segment.stream, min(before, segment.end), segment.end, segment.stream, info.first),
        )
        # Not `yield from`: it would close the cursor, and apsw 3.54 then keeps it for ever.
        for row in rows:  # noqa: UP028
            yield row
        del rows
