"""The gateways' counters, as the hub shows them. A gateway process that ended keeps its share."""

from collections.abc import Iterator

from littoral.gateway.meters import BUCKETS_MS
from littoral.node.control import GatewayReport
from littoral.telemetry.metrics import Family, Histogram, Sample


class GatewayMetrics:
    """Collects reports; one per process, whatever ran at an index before."""

    def __init__(self) -> None:
        self._reports: dict[tuple[int, int], GatewayReport] = {}

    def take(self, report: GatewayReport) -> None:
        """Totals of one gateway process."""
        self._reports[(report.index, report.pid)] = report

    def families(self) -> Iterator[Family | Histogram]:
        """For the metrics endpoint."""
        statuses: dict[tuple[str, str], int] = {}
        latency: dict[str, list[int]] = {}
        sums: dict[str, float] = {}
        for report in self._reports.values():
            for app, meter in report.meters.apps.items():
                for status, count in meter.statuses.items():
                    key = (app, str(status))
                    statuses[key] = statuses.get(key, 0) + count
                held = latency.setdefault(app, [0] * len(meter.latency))
                latency[app] = [a + b for a, b in zip(held, meter.latency, strict=True)]
                sums[app] = sums.get(app, 0.0) + meter.latency_sum_ms / 1000
        samples = [Sample(count, {"app": app, "status": status}) for (app, status), count in statuses.items()]
        yield Family("littoral_http_requests", "counter", "HTTP responses, by app and status.", samples)
        inflight = float(sum(report.meters.inflight for report in self._reports.values()))
        yield Family("littoral_http_inflight", "gauge", "HTTP requests under way.", [Sample(inflight)])
        bounds_s = [bound / 1000 for bound in BUCKETS_MS]
        for app, counts in latency.items():
            yield Histogram(
                "littoral_http_request_duration_seconds",
                "From the request's head to the response.",
                bounds_s,
                counts,
                sums[app],
                {"app": app},
            )
