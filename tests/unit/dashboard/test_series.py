"""Windows by rule, node and key."""

import msgspec

from littoral.dashboard.records import Window, decode_window
from littoral.dashboard.series import SERIES, SERIES_WINDOWS, SeriesName, WindowSeries


def window(start: int, key: str = "k", mean: float = 1.0) -> Window:
    return Window(rule="machine", node="plant-a", key=key, start=start, end=start + 10, count=3, mean=mean)


def test_windows_are_ordered_by_event_time_whatever_order_they_come_in() -> None:
    series = WindowSeries()
    for start in (20, 0, 10):
        series.add(window(start))
    (windows,) = series.of_rule("machine").values()
    assert [each.start for each in windows] == [0, 10, 20]


def test_a_window_that_comes_again_replaces_itself() -> None:
    series = WindowSeries()
    series.add(window(0, mean=1.0))
    series.add(window(0, mean=2.0))
    assert [each.mean for each in series.of_rule("machine")[SeriesName("machine", "plant-a", "k")]] == [2.0]


def test_series_and_their_windows_are_bounded() -> None:
    series = WindowSeries()
    for number in range(SERIES_WINDOWS + 5):
        series.add(window(number))
    (windows,) = series.of_rule("machine").values()
    assert (len(windows), windows[0].start) == (SERIES_WINDOWS, 5)
    for number in range(SERIES + 3):
        series.add(window(0, key=f"key-{number:03}"))
    assert len(series.names()) == SERIES
    assert len(series.left_out) == 4


def test_what_is_no_window_is_left_alone() -> None:
    assert decode_window(msgspec.Raw(b'{"anything": 1}')) is None
    assert decode_window(msgspec.Raw(b"17")) is None
