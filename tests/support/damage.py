"""Damage done to a store's file on purpose: what a check must find."""

from pathlib import Path
from typing import Any

import apsw

PAGE_BYTES = 4096


def change(file: Path, *statements: str) -> None:
    """Do to the tables what Littoral never does."""
    connection = apsw.Connection(str(file))
    try:
        for statement in statements:
            connection.execute(statement)
            assert not statement.startswith(("UPDATE", "DELETE")) or connection.changes(), statement
        connection.pragma("wal_checkpoint(truncate)")
    finally:
        connection.close()


def flip(file: Path, content: bytes) -> None:
    """Flip a bit in the middle of the only place of the file where `content` is."""
    data = file.read_bytes()
    assert data.count(content) == 1, f"{content[:20]!r} is there {data.count(content)} times"
    at = data.index(content) + len(content) // 2
    file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])


def tear(file: Path, table: str) -> None:
    """Overwrite the second half of the first page of a table, as a write that was interrupted would."""
    connection = apsw.Connection(str(file))
    rows: Any = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchall()
    ((page,),) = rows
    connection.pragma("wal_checkpoint(truncate)")
    connection.close()
    data = bytearray(file.read_bytes())
    end = page * PAGE_BYTES
    data[end - PAGE_BYTES : end - PAGE_BYTES // 2] = b"\xa5" * (PAGE_BYTES // 2)
    file.write_bytes(data)
