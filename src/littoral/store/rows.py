"""The rows of a query, in parts."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Row = TypeVar("Row")


def take_rows(
    rows: Iterable[Row],
    size_of: Callable[[Row], int],
    most_bytes: int,
    most_rows: int | None = None,
    *,
    at_least_one: bool = True,
) -> tuple[list[Row], bool]:
    """The next rows, as long as all of them are within the bounds, but one at least; and whether they are the last.

    Of a cursor, nobody else may hold on to it: a statement that is not read to its end ends with its cursor. Not by
    close(): apsw 3.54 then keeps the cursor for ever.
    """
    taken: list[Row] = []
    size = 0
    for row in rows:
        size += size_of(row)
        if len(taken) == most_rows or (size > most_bytes and (taken or not at_least_one)):
            return taken, False
        taken.append(row)
    return taken, True
