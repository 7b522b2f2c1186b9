"""What happened at an app between two looks at its figures."""

import msgspec

from littoral.functions.meters import quantile_us
from littoral.node.app_messages import AppFigures

SHARES = (0.5, 0.95, 0.99)


class Quantiles(msgspec.Struct, frozen=True):
    """Until answers began, in milliseconds, by the buckets they are in."""

    p50: float
    p95: float
    p99: float


class AppRates(msgspec.Struct, frozen=True):
    """One app, for a while."""

    calls_s: float
    """Requests and events, per second."""
    errors_s: float
    wall_ms: Quantiles | None
    """None where there were no calls."""
    cpu_share: float
    """Of one processor."""


def between(before: AppFigures, after: AppFigures) -> AppRates | None:
    """What happened in between; None where that cannot be said: no time has passed, or somebody has begun to count anew."""
    span_s = (after.at_ms - before.at_ms) / 1000
    earlier, later = before.total(), after.total()
    if span_s <= 0 or later.calls < earlier.calls:
        return None
    wall = [max(0, b - a) for a, b in zip(earlier.wall, later.wall, strict=True)]
    errors = sum(later.errors.values()) - sum(earlier.errors.values())
    return AppRates(
        calls_s=(later.calls - earlier.calls) / span_s,
        errors_s=max(0, errors) / span_s,
        wall_ms=quantiles_ms(wall),
        cpu_share=max(0, later.cpu_us - earlier.cpu_us) / 1e6 / span_s,
    )


def quantiles_ms(buckets: list[int]) -> Quantiles | None:
    """Of a histogram; None where there is nothing in it."""
    found = [us / 1000 for share in SHARES if (us := quantile_us(buckets, share)) is not None]
    return Quantiles(*found) if found else None
