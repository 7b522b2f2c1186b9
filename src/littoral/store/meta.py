"""The table `meta`: what a store knows of itself as a whole, a text for each key."""

from typing import Any

import apsw


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """All of it; nothing for a new store."""
    rows: Any = connection.execute("SELECT key, value FROM meta").fetchall()
    return dict(rows)


def read_meta_value(connection: apsw.Connection, key: str) -> str | None:
    """What is under a key."""
    row: Any = connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    return row[0] if row else None


def put_meta(connection: apsw.Connection, key: str, value: str | None) -> None:
    """Keep a text under a key; None removes it."""
    if value is None:
        connection.execute("DELETE FROM meta WHERE key=?", (key,))
    else:
        connection.execute(
            "INSERT INTO meta(key, value) VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value", (key, value)
        )
