"""What a gateway counts. Plain integers: they are bumped on every request and read once a second."""

from bisect import bisect_left

from msgspec import Struct

from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.origins.meters import PoolMeter

BUCKETS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
"""Upper bounds of the latency histogram; one more bucket holds what is slower."""


class RouteMeter(Struct):
    """The requests that led to one app or route; to none for those that no route matched."""

    statuses: dict[int, int] = {}
    """Responses by status."""
    latency: list[int] = []
    """Responses by bucket; not cumulative."""
    latency_sum_ms: float = 0.0


class Meters(Struct):
    """The requests of one gateway process since it started."""

    routes: dict[str, RouteMeter] = {}
    inflight: int = 0
    held_bytes: int = 0
    """Request bodies held now."""
    limits_reached: dict[str, int] = {}
    caches: dict[str, CacheMeter] = {}
    """By route."""
    cache_bytes: int = 0
    """Held now."""
    cache_objects: int = 0
    cache_evicted: int = 0
    cache_purged: int = 0
    """Responses that purges were meant for."""
    pools: dict[str, PoolMeter] = {}
    """By origin."""

    def add(self, other: "Meters") -> None:
        """Count what another process counted, too."""
        for to, meter in other.routes.items():
            mine = self.routes.setdefault(to, RouteMeter(latency=[0] * len(meter.latency)))
            for status, count in meter.statuses.items():
                mine.statuses[status] = mine.statuses.get(status, 0) + count
            mine.latency = [a + b for a, b in zip(mine.latency, meter.latency, strict=True)]
            mine.latency_sum_ms += meter.latency_sum_ms
        for route, cache in other.caches.items():
            self.caches.setdefault(route, CacheMeter()).add(cache)
        self.cache_evicted += other.cache_evicted
        self.cache_purged += other.cache_purged

    def observe(self, to: str, status: int, seconds: float) -> None:
        """Count one response."""
        meter = self.routes.get(to)
        if meter is None:
            meter = self.routes[to] = RouteMeter(latency=[0] * (len(BUCKETS_MS) + 1))
        meter.statuses[status] = meter.statuses.get(status, 0) + 1
        elapsed_ms = seconds * 1000
        meter.latency[bisect_left(BUCKETS_MS, elapsed_ms)] += 1
        meter.latency_sum_ms += elapsed_ms
