"""What processes report of apps and limits, as metrics."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from littoral.telemetry.metrics import Family, Sample


def counted_by_app(counters: Sequence[tuple[str, str, str]], meters: Mapping[str, Struct]) -> Iterator[Family]:
    """A counter with a sample for each app. counters: metric, field of the apps' meters, what it counts."""
    for name, field, text in counters:
        yield Family(
            name, "counter", text, [Sample(getattr(meter, field), {"app": app}) for app, meter in meters.items()]
        )


def limits_met(name: str, text: str, reached: Mapping[str, int]) -> Family:
    """How often each limit was met."""
    return Family(name, "counter", text, [Sample(count, {"limit": limit}) for limit, count in reached.items()])
