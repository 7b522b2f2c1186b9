import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources.rule import Aggregate
from littoral.iot.rules.window import KeyWindows, Window, open_windows_most

SIZE_MS = 10
NAMES: tuple[Aggregate, ...] = ("count", "min", "max", "mean", "stddev", "first", "last")

readings = st.lists(
    st.tuples(st.integers(0, 200), st.floats(-1e6, 1e6).map(lambda value: round(value, 3))), min_size=1, max_size=80
)


def naive(arrived, size_ms, lateness_ms):
    """Windows that close, and how many readings are late, from the definitions and in two passes."""
    kept, late, watermark = [], 0, -1
    for ts, value in arrived:
        watermark = max(watermark, ts)
        if ts // size_ms * size_ms + size_ms + lateness_ms <= watermark:
            late += 1
        else:
            kept.append((ts, value))
    closed = {}
    for start in sorted({ts // size_ms * size_ms for ts, _ in kept}):
        if start + size_ms + lateness_ms > watermark:
            continue
        inside = [(ts, value) for ts, value in kept if start <= ts < start + size_ms]
        values = [value for _, value in inside]
        closed[start] = {
            "count": len(values),
            "min": min(values),
            "max": max(values),
            "mean": statistics.fmean(values),
            "stddev": statistics.stdev(values) if len(values) > 1 else 0.0,
            "first": next(value for ts, value in inside if ts == min(ts for ts, _ in inside)),
            "last": next(value for ts, value in reversed(inside) if ts == max(ts for ts, _ in inside)),
        }
    return closed, late


@given(readings, st.sampled_from([0, 3, 10, 25, 100]))
def test_windows_are_what_a_naive_recomputation_says(arrived, lateness_ms):
    windows = KeyWindows(SIZE_MS, lateness_ms)
    found, late = {}, 0
    for ts, value in arrived:
        closed = windows.add(ts, value)
        late += closed is None
        for window in closed or ():
            assert window.start not in found, "a window was emitted twice"
            found[window.start] = window.aggregates(NAMES)
        assert len(windows) <= open_windows_most(SIZE_MS, lateness_ms)
    expected, expected_late = naive(arrived, SIZE_MS, lateness_ms)
    assert late == expected_late
    assert found.keys() == expected.keys()
    for start, aggregates in expected.items():
        exact = {name: found[start][name] for name in ("count", "min", "max", "first", "last")}
        assert exact == {name: aggregates[name] for name in exact}
        assert found[start]["mean"] == pytest.approx(aggregates["mean"], rel=1e-9, abs=1e-6)
        assert found[start]["stddev"] == pytest.approx(aggregates["stddev"], rel=1e-9, abs=1e-6)


def test_a_window_closes_exactly_at_its_end_plus_the_lateness():
    windows = KeyWindows(10, 5)
    assert windows.add(3, 1.0) == ()
    assert windows.add(14, 2.0) == ()
    assert [window.start for window in windows.add(15, 3.0) or ()] == [0]


def test_a_reading_of_a_closed_window_is_late_even_if_the_window_was_empty():
    windows = KeyWindows(10, 0)
    windows.add(35, 1.0)
    assert windows.add(12, 2.0) is None


def test_an_hour_back_is_no_matter_within_the_lateness_and_equal_times_all_count():
    windows = KeyWindows(10, 20)
    for ts in (9, 12, 12, 3, 3):
        assert windows.add(ts, 1.0) == ()
    assert [window.count for window in windows.add(40, 1.0) or ()] == [3, 2]


def test_first_is_the_earliest_to_arrive_and_last_the_latest_where_times_are_equal():
    window = Window(0, 10)
    for ts, value in [(5, 1.0), (2, 2.0), (2, 3.0), (8, 4.0), (8, 5.0), (7, 6.0)]:
        window.add(ts, value)
    assert window.aggregates(["first", "last"]) == {"first": 2.0, "last": 5.0}


def test_the_spread_of_values_far_from_zero_is_not_lost():
    window = Window(0, 10)
    for value in (1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16):
        window.add(0, value)
    assert window.stddev() == pytest.approx(math.sqrt(30), rel=1e-9)


def test_windows_of_another_size_close_in_their_own_time_after_a_change_of_the_rule():
    before = KeyWindows(10, 0)
    before.add(3, 1.0)
    after = KeyWindows(100, 0)
    after.load(before.save())
    assert after.add(5, 2.0) == ()
    assert [(window.end, window.count) for window in after.add(120, 3.0) or ()] == [(10, 1), (100, 1)]
