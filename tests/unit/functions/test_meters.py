import msgspec
import pytest

from littoral.functions.meters import (
    BOUNDS_US,
    REVISIONS_MOST,
    UNKNOWN,
    FunctionMeter,
    Revisions,
    meter_of,
    quantile_us,
)


def test_calls_are_counted_with_how_long_they_took_and_why_they_failed() -> None:
    meter = FunctionMeter()
    for wall_us, cpu_us in ((120_000, 900), (200, 100)):
        meter.answered(wall_us)
        meter.computed(cpu_us)
    meter.ended(40_000_000, "no-worker")
    meter.failed("exception")
    assert (meter.calls, meter.errors) == (3, {"no-worker": 1, "exception": 1})
    assert (sum(meter.wall), sum(meter.cpu), meter.wall[-1]) == (3, 2, 1), "who had no worker took no CPU time"
    assert (meter.wall_us, meter.cpu_us) == (40_120_200, 1000)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(meter), type=FunctionMeter) == meter


def test_the_oldest_revisions_are_counted_together() -> None:
    revisions: Revisions = {}
    meter_of(revisions, UNKNOWN).failed("no-worker")
    for number in range(REVISIONS_MOST + 3):
        meter_of(revisions, f"r{number}").answered(10)
    assert list(revisions) == [UNKNOWN, *(f"r{number}" for number in range(3, REVISIONS_MOST + 3))]
    assert (revisions[UNKNOWN].calls, revisions[UNKNOWN].errors) == (3, {"no-worker": 1})


@pytest.mark.parametrize("took_us", [130, 300, 1000, 7300, 121_000, 9_999_999])
def test_a_quantile_is_known_to_an_eighth(took_us: int) -> None:
    meter = FunctionMeter()
    for _ in range(1000):
        meter.answered(took_us)
    for share in (0.01, 0.5, 0.99):
        found = quantile_us(meter.wall, share)
        assert found is not None
        assert abs(found / took_us - 1) < 0.27, "the width of a bucket"
    assert quantile_us(FunctionMeter().wall, 0.5) is None


def test_quantiles_part_the_values() -> None:
    meter = FunctionMeter()
    for took_us in [1000] * 90 + [50_000] * 9 + [60_000_000]:
        meter.answered(took_us)
    half, most, all_but_one = (quantile_us(meter.wall, share) or 0.0 for share in (0.5, 0.95, 0.999))
    assert 800 < half <= 1000
    assert 40_000 < most <= 50_000
    assert all_but_one == BOUNDS_US[-1]
