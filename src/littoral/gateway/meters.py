"""What a gateway counts. Plain integers: they are bumped on every request and read once a second."""

from bisect import bisect_left

from msgspec import Struct

BUCKETS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
"""Upper bounds of the latency histogram; one more bucket holds what is slower."""


class AppMeter(Struct):
    """The requests of one app; of none for those that no route matched."""

    statuses: dict[int, int] = {}
    """Responses by status."""
    latency: list[int] = []
    """Responses by bucket; not cumulative."""
    latency_sum_ms: float = 0.0


class Meters(Struct):
    """The requests of one gateway process since it started."""

    apps: dict[str, AppMeter] = {}
    inflight: int = 0
    held_bytes: int = 0
    """Request bodies held now."""
    limits_reached: dict[str, int] = {}

    def add(self, other: "Meters") -> None:
        """Count what another process counted, too."""
        for app, meter in other.apps.items():
            mine = self.apps.setdefault(app, AppMeter(latency=[0] * len(meter.latency)))
            for status, count in meter.statuses.items():
                mine.statuses[status] = mine.statuses.get(status, 0) + count
            mine.latency = [a + b for a, b in zip(mine.latency, meter.latency, strict=True)]
            mine.latency_sum_ms += meter.latency_sum_ms

    def observe(self, app: str, status: int, seconds: float) -> None:
        """Count one response."""
        meter = self.apps.get(app)
        if meter is None:
            meter = self.apps[app] = AppMeter(latency=[0] * (len(BUCKETS_MS) + 1))
        meter.statuses[status] = meter.statuses.get(status, 0) + 1
        elapsed_ms = seconds * 1000
        meter.latency[bisect_left(BUCKETS_MS, elapsed_ms)] += 1
        meter.latency_sum_ms += elapsed_ms
