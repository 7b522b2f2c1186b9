"""The header Range."""

import pytest

from littoral.wire.byte_range import Unsatisfiable, byte_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=99-99", (99, 100)),
        ("bytes=10-1000", (10, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-1000", (0, 100)),
        (" Bytes=5-6 ", (5, 7)),
    ],
)
def test_a_range_is_within_the_whole(header: str, expected: tuple[int, int]):
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=-", "bytes=6-5", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=" + "9" * 19],
)
def test_what_is_not_understood_is_ignored(header: str | None):
    assert byte_range(header, 100) is None


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_what_begins_beyond_the_end_is_refused(header: str, size: int):
    with pytest.raises(Unsatisfiable):
        byte_range(header, size)
