"""Readings per second, from counters that start again when a hub does."""

import pytest

from littoral.dashboard.rates import RATE_NODES, RATE_POINTS, Rates
from tests.support.statuses import status


def test_a_rate_is_what_a_counter_gained_between_two_reports() -> None:
    rates = Rates()
    rates.add(status("plant-a", at_ms=10_000, readings=100))
    assert rates.latest("plant-a") is None, "one report has no interval"
    rates.add(status("plant-a", at_ms=15_000, readings=150))
    assert rates.latest("plant-a") == 10.0
    assert rates.interval_ms("plant-a") == 5000
    assert rates.total == 150


def test_a_restarted_hub_counts_from_zero_and_the_total_does_not() -> None:
    rates = Rates()
    rates.add(status("plant-a", at_ms=10_000, readings=100))
    rates.add(status("plant-a", at_ms=20_000, readings=30, started_ms=15_000))
    assert rates.latest("plant-a") == 3.0
    assert rates.total == 130


def test_a_report_seen_before_changes_nothing() -> None:
    rates = Rates()
    rates.add(status("plant-a", at_ms=10_000, readings=100))
    rates.add(status("plant-a", at_ms=11_000, readings=110))
    revision = rates.revision
    for at_ms in (11_000, 10_000):
        rates.add(status("plant-a", at_ms=at_ms, readings=100))
    assert (rates.revision, rates.total, rates.latest("plant-a")) == (revision, 110, 10.0)


def test_nodes_that_take_in_nothing_have_no_line() -> None:
    rates = Rates()
    for at_ms in (1000, 2000):
        rates.add(status("cloud", at_ms=at_ms))
        rates.add(status("plant-a", at_ms=at_ms, readings=at_ms))
    assert list(rates.history()) == ["plant-a"]


@pytest.mark.parametrize("reports", [RATE_POINTS + 50])
def test_a_history_is_bounded(reports: int) -> None:
    rates = Rates()
    for number in range(reports):
        rates.add(status("plant-a", at_ms=1000 * number, readings=number))
    points = rates.history()["plant-a"]
    assert len(points) == RATE_POINTS
    assert points[-1].at_ms == 1000 * (reports - 1)


def test_so_are_the_nodes() -> None:
    rates = Rates()
    for number in range(RATE_NODES + 1):
        rates.add(status(f"n{number}", readings=1))
    assert rates.total == RATE_NODES
