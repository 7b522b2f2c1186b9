from littoral.gateway.cache.meters import CacheMeter, DiskMeter
from littoral.gateway.meters import Meters
from littoral.gateway.origins.meters import PoolMeter, TargetMeter
from littoral.node.gateway_status import ROUTES_MOST, gateway_status
from littoral.node.status import CacheCounts, OriginStatus, TierStatus


def pool(**healthy: bool) -> PoolMeter:
    return PoolMeter(targets={name: TargetMeter(is_healthy=is_healthy) for name, is_healthy in healthy.items()})


def test_what_became_of_requests_is_told_apart() -> None:
    total = Meters(cache_evicted=7)
    total.caches["a"] = CacheMeter(hits=10, stale_hits=3, validated=2, collapsed=4, misses=6, hit_bytes=50)
    total.caches["b"] = CacheMeter(hits=1)
    running = [Meters(cache_objects=2, cache_bytes=20), Meters(cache_objects=1, cache_bytes=10)]
    status = gateway_status(total, running)
    assert status.routes == {
        "a": CacheCounts(hits=7, stale=3, collapsed=4, validated=2, misses=4, saved_bytes=50),
        "b": CacheCounts(hits=1),
    }
    assert status.cache == CacheCounts(hits=8, stale=3, collapsed=4, validated=2, misses=4, saved_bytes=50)
    assert (status.gateways, status.memory) == (2, TierStatus(3, 30, 7))


def test_what_is_on_the_disk_is_shared_and_counted_once() -> None:
    running = [Meters(disk=DiskMeter(bytes=500, objects=5)), Meters(disk=DiskMeter(bytes=510, objects=6))]
    assert gateway_status(Meters(disk=DiskMeter(evicted=3)), running).disk == TierStatus(6, 510, 3)
    assert gateway_status(Meters(disk=DiskMeter(stored=1)), [Meters()]).disk == TierStatus(0, 0, 0)
    assert gateway_status(Meters(), [Meters()]).disk is None


def test_however_many_routes_there_are_the_busiest_are_told_of() -> None:
    total = Meters(caches={f"r{number}": CacheMeter(misses=number) for number in range(100)})
    status = gateway_status(total, [])
    assert list(status.routes) == [f"r{number}" for number in range(99, 99 - ROUTES_MOST, -1)]
    assert status.cache.misses == sum(range(100))


def test_a_target_is_healthy_if_all_gateways_use_it() -> None:
    one, other = Meters(pools={"shop": pool(a=True, b=True, c=False)}), Meters(pools={"shop": pool(a=True, b=False)})
    assert gateway_status(Meters(), [one, other]).origins == {"shop": OriginStatus(3, 1)}
