"""What a gateway counts. Plain integers: they are bumped on every request and read once a second."""

from bisect import bisect_left

from msgspec import Struct, field

from littoral.gateway.cache.meters import CacheMeter, DiskMeter
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
    sent_bytes: int = 0
    """Of the bodies of responses."""


class ShieldMeter(Struct):
    """Of one route: what the parent node was asked before the origin."""

    answered: int = 0
    """Requests that it has answered."""
    gone_on: dict[str, int] = {}
    """Requests that went on to the origin, by the reason (littoral.gateway.shield_parent)."""

    def add(self, other: "ShieldMeter") -> None:
        """Count what another process counted, too."""
        self.answered += other.answered
        for reason, count in other.gone_on.items():
            self.gone_on[reason] = self.gone_on.get(reason, 0) + count


class RelayMeter(Struct):
    """Requests of the gateways of child nodes."""

    requests: int = 0
    refused: int = 0
    """That were not answered by the route that they named."""

    def add(self, other: "RelayMeter") -> None:
        """Count what another process counted, too."""
        self.requests += other.requests
        self.refused += other.refused


class Meters(Struct):
    """The requests of one gateway process since it started."""

    routes: dict[str, RouteMeter] = {}
    inflight: int = 0
    held_bytes: int = 0
    """Request bodies held now."""
    app_streams: int = 0
    """Answers of apps that come in pieces, now."""
    web_sockets: int = 0
    """Of apps, open now."""
    limits_reached: dict[str, int] = {}
    caches: dict[str, CacheMeter] = {}
    """By route."""
    cache_bytes: int = 0
    """Held now."""
    cache_objects: int = 0
    cache_evicted: int = 0
    cache_purged: int = 0
    """Responses that purges were meant for."""
    disk: DiskMeter = field(default_factory=DiskMeter)
    pools: dict[str, PoolMeter] = {}
    """By origin."""
    refused: dict[str, int] = {}
    """Requests and connections that were not taken for requests of a route, by the reason."""
    shields: dict[str, ShieldMeter] = {}
    """By route."""
    relay: RelayMeter = field(default_factory=RelayMeter)
    log_lines: int = 0
    """Of the access log, written."""
    log_dropped: int = 0

    def add(self, other: "Meters") -> None:
        """Count what another process counted, too."""
        for to, meter in other.routes.items():
            mine = self.routes.setdefault(to, RouteMeter(latency=[0] * len(meter.latency)))
            for status, count in meter.statuses.items():
                mine.statuses[status] = mine.statuses.get(status, 0) + count
            mine.latency = [a + b for a, b in zip(mine.latency, meter.latency, strict=True)]
            mine.latency_sum_ms += meter.latency_sum_ms
            mine.sent_bytes += meter.sent_bytes
        for route, cache in other.caches.items():
            self.caches.setdefault(route, CacheMeter()).add(cache)
        self.cache_evicted += other.cache_evicted
        self.cache_purged += other.cache_purged
        self.disk.add(other.disk)
        for reason, count in other.refused.items():
            self.refused[reason] = self.refused.get(reason, 0) + count
        for route, shield in other.shields.items():
            self.shields.setdefault(route, ShieldMeter()).add(shield)
        self.relay.add(other.relay)
        self.log_lines += other.log_lines
        self.log_dropped += other.log_dropped

    def observe(self, to: str, status: int, seconds: float, sent_bytes: int) -> None:
        """Count one response. sent_bytes: of its body."""
        meter = self.routes.get(to)
        if meter is None:
            meter = self.routes[to] = RouteMeter(latency=[0] * (len(BUCKETS_MS) + 1))
        meter.statuses[status] = meter.statuses.get(status, 0) + 1
        elapsed_ms = seconds * 1000
        meter.sent_bytes += sent_bytes
        meter.latency[bisect_left(BUCKETS_MS, elapsed_ms)] += 1
        meter.latency_sum_ms += elapsed_ms
