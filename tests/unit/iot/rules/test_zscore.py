import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from littoral.core.resources.rule import ZScore
from littoral.iot.rules.zscore import RollingZScore

SETTINGS = ZScore(window=8, threshold=2.0, minimum=3)


def fed(settings, values):
    detector = RollingZScore(settings)
    return [detector.score(value) for value in values]


@given(st.lists(st.one_of(st.integers(-5, 5), st.sampled_from([1000, 123_456_789])), max_size=120))
def test_scores_are_what_a_naive_recomputation_says(values):
    for index, anomaly in enumerate(fed(SETTINGS, [float(value) for value in values])):
        preceding = values[max(0, index - SETTINGS.window) : index]
        if len(preceding) < SETTINGS.minimum:
            assert anomaly is None
            continue
        mean, stddev = statistics.mean(preceding), statistics.stdev(preceding)
        if stddev == 0:
            assert (anomaly is not None) == (values[index] != mean)
            assert anomaly is None or (anomaly.zscore is None and anomaly.stddev == 0.0)
            continue
        z = (values[index] - mean) / stddev
        assume(abs(abs(z) - SETTINGS.threshold) > 1e-6)
        assert (anomaly is not None) == (abs(z) > SETTINGS.threshold)
        if anomaly is not None:
            assert anomaly.zscore == pytest.approx(z, rel=1e-6)


def test_too_few_readings_are_not_judged():
    assert fed(SETTINGS, [1.0, 1.0, 500.0]) == [None, None, None]


def test_a_reading_is_not_among_those_it_is_scored_against():
    anomaly = fed(SETTINGS, [1.0, 2.0, 3.0, 10.0])[-1]
    assert anomaly is not None
    assert (anomaly.mean, anomaly.stddev, anomaly.zscore) == (2.0, 1.0, 8.0)


def test_without_spread_what_differs_is_an_anomaly_and_has_no_z():
    anomaly = fed(SETTINGS, [0.1] * 30 + [0.11])[-1]
    assert anomaly is not None
    assert anomaly.zscore is None
    assert fed(SETTINGS, [0.1] * 30 + [0.1 + 1e-12])[-1] is None


def test_an_outlier_that_left_the_ring_leaves_no_rounding_error_behind():
    detector = RollingZScore(SETTINGS)
    for value in [1e9] + [0.5, 1.5] * 4:
        detector.score(value)
    anomaly = detector.score(5.0)
    assert anomaly is not None
    assert anomaly.mean == 1.0
    assert anomaly.stddev == pytest.approx(statistics.stdev([0.5, 1.5] * 4), rel=1e-12)


def test_a_changed_window_keeps_the_latest_readings():
    detector = RollingZScore(SETTINGS)
    for value in range(20):
        detector.score(float(value))
    smaller = RollingZScore(ZScore(window=4, threshold=2.0, minimum=3))
    smaller.load(detector.save())
    anomaly = smaller.score(100.0)
    assert anomaly is not None
    assert anomaly.mean == statistics.mean([16, 17, 18, 19])
    larger = RollingZScore(ZScore(window=40, threshold=2.0, minimum=3))
    larger.load(detector.save())
    anomaly = larger.score(100.0)
    assert anomaly is not None
    assert anomaly.mean == statistics.mean(range(12, 20))


def test_a_spread_that_is_only_rounding_is_none():
    assert fed(SETTINGS, [1e9, 1e9 + 0.001] * 4 + [1e9 + 0.01])[-1] is None
    anomaly = fed(SETTINGS, [1e9, 1e9 + 0.001] * 4 + [1e9 + 10])[-1]
    assert anomaly is not None
    assert anomaly.zscore is None


def test_rounding_errors_do_not_add_up_over_a_long_time():
    values = [1e6 + (index * 7919 % 101) / 100 for index in range(50_000)]
    detector = RollingZScore(SETTINGS)
    for value in values:
        detector.score(value)
    anomaly = detector.score(2e6)
    assert anomaly is not None
    assert anomaly.mean == pytest.approx(statistics.fmean(values[-8:]), rel=1e-15)
    assert anomaly.stddev == pytest.approx(statistics.stdev(values[-8:]), rel=1e-9)
