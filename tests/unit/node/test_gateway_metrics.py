from littoral.gateway.meters import Meters
from littoral.node.control import GatewayReport
from littoral.node.gateway_metrics import GatewayMetrics
from littoral.telemetry.metrics import Family, Histogram


def report(index: int, pid: int, requests: int, inflight: int = 0) -> GatewayReport:
    meters = Meters(inflight=inflight)
    for _ in range(requests):
        meters.observe("shop", 200, 0.002)
    return GatewayReport(index, pid, meters)


def shown(metrics: GatewayMetrics) -> tuple[float, float, int]:
    """Requests, requests under way, and values in the histogram."""
    requests, inflight, histogram = metrics.families()
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
