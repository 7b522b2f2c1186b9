"""Which history a store is: its lineage, and those it was before it was restored from a backup.

A restored store goes on from what it was when the backup was made. So that what it writes from then on is not taken for
what it wrote the first time, its lineage is a new one; and it remembers which streams there had been until the backup,
so that one made later can be told from one that was deleted.
"""

from typing import Any

import apsw
import msgspec

from littoral.store.atomic import atomic
from littoral.store.meta import put_meta, read_meta_value
from littoral.store.replica import lineage_parts
from littoral.store.spill import SET_UP

LINEAGE_BYTES = 8
WENT_ON = "went-on"
"""Scope of the state: a stream's number -> WentOn."""
LINEAGE = "lineage"
"""Row of the table `meta`."""
_FORMER = "former-lineages"


class FormerLineage(msgspec.Struct, frozen=True):
    """What a store was before it was restored."""

    lineage: str
    last: int
    """The greatest number of a stream that it had given when the backup was made."""
    restored_ms: int
    """When it became another, ms since the epoch."""


class WentOn(msgspec.Struct, frozen=True, array_like=True):
    """The head that one of the node's own streams had before its latest batches, which are of the store's present lineage.
    Noted with the first of them, for retention may take that one."""

    next: int
    chain: bytes
    lineage: str


def read_former(connection: apsw.Connection) -> list[FormerLineage]:
    """What it was, the oldest first."""
    text = read_meta_value(connection, _FORMER)
    return [] if text is None else msgspec.json.decode(text, type=list[FormerLineage])


def begin_lineage(connection: apsw.Connection, lineage: str, now_ms: int) -> FormerLineage:
    """The store is `lineage` from now on; returns what it was."""
    row: Any = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='streams'").fetchone()
    present = read_meta_value(connection, LINEAGE)
    assert present is not None
    was = FormerLineage(present, row[0] if row else 0, now_ms)
    former = msgspec.json.encode([*read_former(connection), was]).decode()
    with atomic(connection):
        put_meta(connection, _FORMER, former)
        put_meta(connection, LINEAGE, lineage)
        # It may be on another machine, whose place of spill files is a new one.
        put_meta(connection, SET_UP, None)
    return was


def is_lost(stream_lineage: str, lineage: str, former: list[FormerLineage]) -> bool:
    """Whether a stream of the node's own that a neighbour has, and this store has not, was made after the backup that
    the store was restored from: it was lost then. Any other was deleted here."""
    parts = lineage_parts(stream_lineage)
    if not former or parts is None or parts[0] == lineage:
        return False
    return all(parts[0] != each.lineage or parts[1] > each.last for each in former)
