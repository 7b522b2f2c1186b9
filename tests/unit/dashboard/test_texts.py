"""Numbers in words."""

import pytest

from littoral.dashboard.texts import bytes_text, count_text, duration_text, event_time_text, rate_text, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_950, "10 kB"), (999_600, "1.0 MB"), (83_000_000, "83 MB")],
)
def test_bytes(value: int, text: str) -> None:
    assert bytes_text(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(-5, "0 s"), (59_999, "59 s"), (61_000, "1 min 1 s"), (3_660_000, "1 h 1 min"), (90_000_000, "1 d 1 h")],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration_text(milliseconds) == text


def test_counts_and_rates_and_values() -> None:
    assert count_text(1_234_567) == "1\u202f234\u202f567"
    assert [rate_text(rate) for rate in (None, 0.0, 0.25, 144.4)] == ["–", "0", "0.2", "144"]
    assert value_text(87.93712) == "87.937"


def test_a_time_that_no_calendar_has_is_shown_as_it_is() -> None:
    assert event_time_text(0) == "1970-01-01 00:00:00"
    assert event_time_text(10**18) == f"{10**18} ms"
