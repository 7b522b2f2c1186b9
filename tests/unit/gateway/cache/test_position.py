import pytest

from littoral.gateway.cache.position import Position, outstanding
from littoral.gateway.cache.purge import EVERYTHING, Purge

PURGES = [Purge("tag", each) for each in "abc"]
"""Numbers 7, 8 and 9 of the log."""
UNTIL = Position("log", 10)


@pytest.mark.parametrize(
    ("reached", "known", "todo"),
    [
        (Position("log", 7), Position("log", 7), PURGES),
        (Position("log", 9), Position("log", 7), PURGES[2:]),
        (Position("log", 10), Position("log", 7), []),
        (Position("log", 12), Position("log", 7), []),
        (Position("log", 6), Position("log", 7), [EVERYTHING]),
        (Position("", 0), Position("log", 7), [EVERYTHING]),
        (Position("other", 9), Position("log", 7), [EVERYTHING]),
        (None, Position("log", 7), [EVERYTHING]),
        (Position("log", 12), Position("log", 11), [EVERYTHING]),
        (Position("log", 9), None, PURGES[2:]),
    ],
    ids=[
        "as far as who was told",
        "further",
        "all done",
        "told more by another process",
        "not so far",
        "before there was a log",
        "another log",
        "unknown",
        "the log was put back",
        "told by one who knew nothing",
    ],
)
def test_what_is_still_to_be_done(reached: Position | None, known: Position | None, todo: list[Purge]) -> None:
    assert outstanding(reached, PURGES, UNTIL, known) == todo


def test_everything_in_place_of_many_is_done_by_whoever_has_not_come_so_far() -> None:
    assert outstanding(Position("log", 3), [EVERYTHING], UNTIL, None) == [EVERYTHING]
    assert outstanding(Position("log", 10), [EVERYTHING], UNTIL, None) == []


def test_where_nothing_was_ever_purged_there_is_nothing_to_do() -> None:
    nowhere = Position("", 0)
    assert outstanding(nowhere, [], nowhere, None) == []
    assert outstanding(nowhere, PURGES, Position("log", 3), nowhere) == PURGES
