"""All of several statements, or nothing."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import apsw


@contextmanager
def atomic(connection: apsw.Connection) -> Iterator[None]:
    """A transaction: committed at the end, and rolled back where anything in it fails.

    The connection itself can be used like this, but not on a disk that fails: SQLite has rolled back then, and what one
    gets is the error of rolling back again, not the disk's.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: apsw.Connection) -> None:
    """Leave the transaction, if there still is one. On a disk that fails it may stay open; nothing of it is committed."""
    with contextlib.suppress(apsw.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
