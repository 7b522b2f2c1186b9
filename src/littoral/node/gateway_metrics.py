"""The gateways' counters, as the hub shows them. Those of a process that ended are kept, in one sum for all."""

from collections.abc import Iterator

from littoral.gateway.meters import BUCKETS_MS, Meters
from littoral.node.control import GatewayReport
from littoral.telemetry.metrics import Family, Histogram, Sample, gauge


class GatewayMetrics:
    """Collects reports."""

    def __init__(self) -> None:
        self._reports: dict[int, GatewayReport] = {}
        self._ended = Meters()

    def take(self, report: GatewayReport) -> None:
        """Totals of one gateway process. Another process at the same index means that the one before has ended."""
        before = self._reports.get(report.index)
        if before is not None and before.pid != report.pid:
            self._ended.add(before.meters)
        self._reports[report.index] = report

    def families(self) -> Iterator[Family | Histogram]:
        """For the metrics endpoint."""
        total = Meters()
        for meters in (self._ended, *(report.meters for report in self._reports.values())):
            total.add(meters)
        samples = [
            Sample(count, {"app": app, "status": str(status)})
            for app, meter in total.apps.items()
            for status, count in meter.statuses.items()
        ]
        yield Family("littoral_http_requests", "counter", "HTTP responses, by app and status.", samples)
        inflight = sum(report.meters.inflight for report in self._reports.values())
        yield gauge("littoral_http_inflight", "HTTP requests under way.", inflight)
        bounds_s = [bound / 1000 for bound in BUCKETS_MS]
        for app, meter in total.apps.items():
            yield Histogram(
                "littoral_http_request_duration_seconds",
                "From the request's head to the response.",
                bounds_s,
                meter.latency,
                meter.latency_sum_ms / 1000,
                {"app": app},
            )
