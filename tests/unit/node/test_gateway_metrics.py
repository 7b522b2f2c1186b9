from littoral.gateway.cache.meters import CacheMeter, DiskMeter
from littoral.gateway.meters import Meters, RelayMeter, ShieldMeter
from littoral.gateway.origins.meters import PoolMeter, TargetMeter
from littoral.node.control_messages import GatewayReport
from littoral.node.gateway_metrics import GatewayMetrics
from littoral.telemetry.metrics import Family, Histogram


def report(index: int, pid: int, requests: int, inflight: int = 0) -> GatewayReport:
    meters = Meters(inflight=inflight)
    for _ in range(requests):
        meters.observe("shop", 200, 0.002, 5)
    return GatewayReport(index, pid, meters)


def shown(metrics: GatewayMetrics) -> tuple[float, float, int]:
    """Requests, requests under way, and values in the histogram."""
    requests, inflight, histogram, *_ = metrics.families()
    assert isinstance(requests, Family)
    assert isinstance(inflight, Family)
    assert isinstance(histogram, Histogram)
    return requests.samples[0].value, inflight.samples[0].value, sum(histogram.counts)


def test_a_gateway_that_ended_keeps_its_share_and_takes_no_room():
    metrics = GatewayMetrics()
    metrics.take(report(0, 100, 3, inflight=2))
    metrics.take(report(0, 100, 5, inflight=2))
    metrics.take(report(1, 101, 1, inflight=1))
    assert shown(metrics) == (6, 3, 6)
    for pid in range(200, 250):
        metrics.take(report(0, pid, 1))
    assert shown(metrics) == (6 + 50, 1, 6 + 50), "what the dead had under way is not under way any more"
    assert len(metrics._reports) == 2


def test_one_that_was_replaced_counts_on_while_it_finishes_what_it_has_begun():
    metrics = GatewayMetrics()
    metrics.take(report(0, 100, 3))
    metrics.take(report(0, 200, 1))
    metrics.take(report(0, 100, 5))
    metrics.take(report(0, 200, 2, inflight=1))
    assert shown(metrics) == (5 + 2, 1, 5 + 2)


def values(metrics: GatewayMetrics) -> dict[str, dict[str, float]]:
    """By metric and labels."""
    return {
        family.name: {",".join(sample.labels.values()): sample.value for sample in family.samples}
        for family in metrics.families()
        if isinstance(family, Family)
    }


def test_caches_and_targets_are_summed_over_gateways():
    def of(index: int, pid: int, *, healthy: bool) -> GatewayReport:
        target = TargetMeter(requests=3, failures=1, is_healthy=healthy)
        meters = Meters(cache_bytes=100, cache_objects=2, cache_evicted=1)
        meters.caches["all"] = CacheMeter(hits=5, hit_bytes=50)
        meters.disk = DiskMeter(bytes=1000 + index, objects=7, hits=2, refused=1)
        meters.pools["shop"] = PoolMeter(targets={"http://a:80": target})
        return GatewayReport(index, pid, meters)

    metrics = GatewayMetrics()
    metrics.take(of(0, 100, healthy=True))
    metrics.take(of(1, 101, healthy=False))
    metrics.take(of(1, 102, healthy=False))  # Another process in its place.
    seen = values(metrics)
    assert seen["littoral_http_cache_hits"] == {"all": 15}
    assert seen["littoral_http_cache_hit_bytes"] == {"all": 150}
    assert seen["littoral_http_cache_bytes"] == {"": 200}
    assert seen["littoral_http_cache_evicted"] == {"": 3}
    # They share one disk.
    assert (seen["littoral_http_cache_disk_bytes"], seen["littoral_http_cache_disk_objects"]) == ({"": 1001}, {"": 7})
    assert (seen["littoral_http_cache_disk_hits"], seen["littoral_http_cache_disk_refused"]) == ({"": 6}, {"": 3})
    assert seen["littoral_origin_requests"] == {"shop,http://a:80": 6}
    assert seen["littoral_origin_healthy"] == {"shop,http://a:80": 0}


def test_what_is_asked_above_and_below_is_summed_also_of_gateways_that_ended():
    def of(index: int, pid: int) -> GatewayReport:
        meters = Meters(relay=RelayMeter(requests=4, refused=1))
        meters.shields["all"] = ShieldMeter(answered=5, gone_on={"purged": 2})
        return GatewayReport(index, pid, meters)

    metrics = GatewayMetrics()
    for index, pid in ((0, 100), (1, 101), (1, 102)):
        metrics.take(of(index, pid))
    seen = values(metrics)
    assert seen["littoral_http_shield_answered"] == {"all": 15}
    assert seen["littoral_http_shield_gone_on"] == {"all,purged": 6}
    assert seen["littoral_http_relay_requests"] == {"": 12}
    assert seen["littoral_http_relay_refused"] == {"": 3}
