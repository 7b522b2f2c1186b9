"""Which history a store is: its lineage, and those it was before it was restored from a backup.

A restored store goes on from what it was when the backup was made. So that what it writes from then on is not taken for
what it wrote the first time, its lineage is a new one; and it remembers which streams there had been until the backup,
so that one made later can be told from one that was deleted.
"""

from typing import Any

import apsw
import msgspec

from littoral.store.atomic import atomic
from littoral.store.replica import lineage_parts
from littoral.store.spill import SET_UP

LINEAGE_BYTES = 8
_FORMER = "former-lineages"


class FormerLineage(msgspec.Struct, frozen=True):
    """What a store was before it was restored."""

    lineage: str
    last: int
    """The greatest number of a stream that it had given when the backup was made."""
    restored_ms: int
    """When it became another, ms since the epoch."""


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """What the store says of itself: `node`, `lineage`. Empty for a new one."""
    rows: Any = connection.execute("SELECT key, value FROM meta").fetchall()
    return dict(rows)


def read_former(connection: apsw.Connection) -> list[FormerLineage]:
    """What it was, the oldest first."""
    text = read_meta(connection).get(_FORMER)
    return [] if text is None else msgspec.json.decode(text, type=list[FormerLineage])


def begin_lineage(connection: apsw.Connection, lineage: str, now_ms: int) -> FormerLineage:
    """The store is `lineage` from now on; returns what it was."""
    row: Any = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='streams'").fetchone()
    was = FormerLineage(read_meta(connection)["lineage"], row[0] if row else 0, now_ms)
    former = msgspec.json.encode([*read_former(connection), was]).decode()
    with atomic(connection):
        connection.execute(
            "INSERT INTO meta(key, value) VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value", (_FORMER, former)
        )
        connection.execute("UPDATE meta SET value=? WHERE key='lineage'", (lineage,))
        # It may be on another machine, whose place of spill files is a new one.
        connection.execute("DELETE FROM meta WHERE key=?", (SET_UP,))
    return was


def is_lost(stream_lineage: str, lineage: str, former: list[FormerLineage]) -> bool:
    """Whether a stream of the node's own that a neighbour has, and this store has not, was made after the backup that
    the store was restored from: it was lost then. Any other was deleted here."""
    parts = lineage_parts(stream_lineage)
    if not former or parts is None or parts[0] == lineage:
        return False
    return all(parts[0] != each.lineage or parts[1] > each.last for each in former)
