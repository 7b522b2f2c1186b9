import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources import parse_bytes, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("0s", 0), ("250ms", 250), ("5s", 5000), ("5m", 300_000), ("1h", 3_600_000), ("3650d", 315_360_000_000)],
)
def test_durations(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize("text", ["", "5", "m", "-1s", "1.5s", "5 s", "5s\n", "٣s", "3651d", "9" * 5000 + "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput, match="read duration"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("10B", 10), ("64KiB", 65_536), ("64MiB", 1 << 26), ("1GiB", 1 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1MB", "1.5GiB", "-1", "1 KiB", "2000000000GiB", "9" * 5000])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput, match="read size"):
        parse_bytes(text)
