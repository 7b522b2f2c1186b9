"""What a node's status says of its gateways: little, for it goes up the tree every few seconds."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest

from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.meters import Meters
from littoral.gateway.origins.meters import TargetMeter
from littoral.node.status import CacheCounts, GatewayStatus, OriginStatus, TierStatus

ROUTES_MOST = 8
"""With counts of their own: about a hundred bytes each."""
ORIGINS_MOST = 32


def gateway_status(total: Meters, running: Sequence[Meters]) -> GatewayStatus:
    """total: counted since the node started. running: what each process that runs says of itself."""
    return GatewayStatus(
        len(running),
        _counts(total.caches.values()),
        TierStatus(
            sum(meters.cache_objects for meters in running),
            sum(meters.cache_bytes for meters in running),
            total.cache_evicted,
        ),
        _disk(total, running),
        routes={
            name: _counts([meter]) for name, meter in nlargest(ROUTES_MOST, total.caches.items(), key=_requests_of)
        },
        origins=_origins(running),
    )


def _disk(total: Meters, running: Sequence[Meters]) -> TierStatus | None:
    """Gateways share it, and each says how much it holds."""
    objects = max((meters.disk.objects for meters in running), default=0)
    if not objects and not total.disk.stored:
        return None
    return TierStatus(objects, max((meters.disk.bytes for meters in running), default=0), total.disk.evicted)


def _requests_of(route: tuple[str, CacheMeter]) -> int:
    meter = route[1]
    return meter.hits + meter.collapsed + meter.misses


def _counts(meters: Iterable[CacheMeter]) -> CacheCounts:
    total = CacheMeter()
    for meter in meters:
        total.add(meter)
    return CacheCounts(
        hits=total.hits - total.stale_hits,
        stale=total.stale_hits,
        collapsed=total.collapsed,
        validated=total.validated,
        misses=max(0, total.misses - total.validated),
        saved_bytes=total.hit_bytes,
    )


def _origins(running: Sequence[Meters]) -> dict[str, OriginStatus]:
    names = sorted({name for meters in running for name in meters.pools})[:ORIGINS_MOST]
    return {name: _origin([meters.pools[name].targets for meters in running if name in meters.pools]) for name in names}


def _origin(seen: Sequence[Mapping[str, TargetMeter]]) -> OriginStatus:
    """A target is healthy if all gateways use it."""
    targets = {target for each in seen for target in each}
    ill = {target for each in seen for target, meter in each.items() if not meter.is_healthy}
    return OriginStatus(len(targets), len(targets - ill))
