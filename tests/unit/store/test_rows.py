"""Parts of what a query finds."""

import apsw
import pytest

from littoral.store.rows import take_rows


@pytest.mark.parametrize(
    ("most_bytes", "most_rows", "at_least_one", "taken", "last"),
    [
        (6, None, True, [1, 2, 3], True),
        (5, None, True, [1, 2], False),
        (3, None, True, [1, 2], False),
        (0, None, True, [1], False),
        (0, None, False, [], False),
        (1, None, False, [1], False),
        (9, 3, True, [1, 2, 3], True),
        (9, 2, True, [1, 2], False),
    ],
)
def test_as_many_as_are_within_the_bounds_but_one_at_least(
    most_bytes: int, most_rows: int | None, at_least_one: bool, taken: list[int], last: bool
):
    found = take_rows([1, 2, 3], int, most_bytes, most_rows, at_least_one=at_least_one)
    assert found == (taken, last)


def test_of_nothing_there_is_nothing_and_that_is_the_last():
    assert take_rows([], int, 9) == ([], True)


def test_a_statement_ends_when_it_is_not_read_to_its_end():
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t(n)")
    connection.executemany("INSERT INTO t VALUES(?)", [(n,) for n in range(100)])
    rows, last = take_rows(connection.execute("SELECT n FROM t"), lambda row: 1, 10)
    assert (len(rows), last) == (10, False)
    connection.execute("DROP TABLE t")
