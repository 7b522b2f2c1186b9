import msgspec

from littoral.functions.meters import FunctionMeter
from littoral.node.app_messages import AppFigures
from littoral.node.app_rates import between


def figures(at_ms: int, calls: int, failed: int = 0) -> AppFigures:
    old, new = FunctionMeter(), FunctionMeter()
    for number in range(calls):
        meter = old if number % 2 else new
        meter.answered(2000)
        meter.computed(500)
    if failed:
        new.errors["exception"] = failed
    return AppFigures(at_ms, {"r1": old, "r2": new})


def test_rates_are_of_all_revisions_over_the_time_that_the_counts_span() -> None:
    rates = between(figures(1000, 10, failed=1), figures(3000, 50, failed=5))
    assert rates is not None
    assert (rates.calls_s, rates.errors_s, round(rates.cpu_share, 6)) == (20, 2, 0.01)
    assert rates.wall_ms is not None
    assert 1.6 <= rates.wall_ms.p50 <= rates.wall_ms.p95 <= rates.wall_ms.p99 <= 2


def test_nothing_is_said_of_counts_that_do_not_belong_together() -> None:
    assert between(figures(1000, 10), figures(1000, 12)) is None
    assert between(figures(1000, 10), figures(2000, 3)) is None, "a hub that began anew"
    idle = between(figures(1000, 10), figures(2000, 10))
    assert idle is not None
    assert (idle.calls_s, idle.wall_ms) == (0, None)


def test_figures_travel_as_json() -> None:
    found = figures(1000, 3, failed=1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=AppFigures) == found
