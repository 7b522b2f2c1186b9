"""The gateways' counters, as the hub shows them. Those of a process that ended are kept, in one sum for all."""

from collections import Counter
from collections.abc import Iterator, Mapping

from littoral.gateway.meters import BUCKETS_MS, Meters
from littoral.node.control_messages import GatewayReport
from littoral.node.gateway_status import gateway_status
from littoral.node.relay_metrics import relay_families
from littoral.node.status import GatewayStatus
from littoral.telemetry.metrics import Family, Histogram, Sample, counter, gauge

_CACHE_COUNTERS = (
    ("littoral_http_cache_hits", "hits", "Requests answered from the HTTP cache."),
    ("littoral_http_cache_stale_hits", "stale_hits", "Of the hits, those that were stale."),
    ("littoral_http_cache_validated", "validated", "Requests for which the origin confirmed what was stored."),
    ("littoral_http_cache_collapsed", "collapsed", "Requests answered by what another one fetched."),
    ("littoral_http_cache_misses", "misses", "Requests that an origin answered in place of the cache."),
    ("littoral_http_cache_stored", "stored", "Responses that were stored."),
    ("littoral_http_cache_hit_bytes", "hit_bytes", "Bytes of bodies that origins did not have to send."),
)
"""Metric, field of CacheMeter, what it counts."""
_DISK_COUNTERS = (
    (
        "littoral_http_cache_disk_hits",
        "hits",
        "Requests for which memory had nothing, or not the body, and the disk did.",
    ),
    ("littoral_http_cache_disk_stored", "stored", "Responses that were written to the disk, or confirmed there."),
    ("littoral_http_cache_disk_evicted", "evicted", "Responses that had to leave the disk for others."),
    ("littoral_http_cache_disk_purged", "purged", "Responses on the disk that purges were meant for."),
    (
        "littoral_http_cache_disk_refused",
        "refused",
        "Responses that were not written to the disk: too many waited for it, there was no room, or they were purged.",
    ),
    ("littoral_http_cache_disk_errors", "errors", "What could not be read from the disk, or written to it."),
)
"""Metric, field of DiskMeter, what it counts."""


LEAVING_MOST = 16
"""So many processes that were replaced may still report: those that finish what they have begun."""


class GatewayMetrics:
    """Collects reports."""

    def __init__(self) -> None:
        self._reports: dict[int, GatewayReport] = {}
        """By index: of the processes that take connections."""
        self._leaving: dict[int, GatewayReport] = {}
        """By process: of those that were replaced, the one that was so first being the first."""
        self._ended = Meters()

    def take(self, report: GatewayReport) -> None:
        """Totals of one gateway process. Another process at the same index means that the one before ends, or has ended."""
        if report.pid in self._leaving:
            self._leaving[report.pid] = report
            return
        before = self._reports.get(report.index)
        if before is not None and before.pid != report.pid:
            self._leaving[before.pid] = before
            if len(self._leaving) > LEAVING_MOST:
                self._ended.add(self._leaving.pop(next(iter(self._leaving))).meters)
        self._reports[report.index] = report

    def status(self) -> GatewayStatus | None:
        """What the node's status says; None before anything was reported."""
        if not self._reports:
            return None
        return gateway_status(self._total(), [report.meters for report in self._reports.values()])

    def families(self) -> Iterator[Family | Histogram]:
        """For the metrics endpoint."""
        yield from self._requests()
        yield from self._caches()
        yield from self._disk()
        yield from self._targets()
        yield from relay_families(self._total())

    def _total(self) -> Meters:
        """Of all there ever were."""
        total = Meters()
        total.add(self._ended)
        for report in (*self._leaving.values(), *self._reports.values()):
            total.add(report.meters)
        return total

    def _requests(self) -> Iterator[Family | Histogram]:
        total = self._total()
        samples = [
            Sample(count, {"route": to, "status": str(status)})
            for to, meter in total.routes.items()
            for status, count in meter.statuses.items()
        ]
        yield Family(
            "littoral_http_requests",
            "counter",
            "HTTP responses, by route (app/NAME or route/NAME) and status.",
            samples,
        )
        inflight = sum(report.meters.inflight for report in self._reports.values())
        yield gauge("littoral_http_inflight", "HTTP requests under way.", inflight)
        bounds_s = [bound / 1000 for bound in BUCKETS_MS]
        for to, meter in total.routes.items():
            yield Histogram(
                "littoral_http_request_duration_seconds",
                "From the request's head to the response.",
                bounds_s,
                meter.latency,
                meter.latency_sum_ms / 1000,
                {"route": to},
            )

        sent = [Sample(meter.sent_bytes, {"route": to}) for to, meter in total.routes.items()]
        yield Family("littoral_http_response_bytes", "counter", "Bytes of the bodies of responses, by route.", sent)
        refused = [Sample(count, {"reason": why}) for why, count in total.refused.items()]
        text = "Requests and connections that were refused before there was a request to route, by reason."
        yield Family("littoral_http_refused", "counter", text, refused)
        yield counter("littoral_access_log_lines", "Lines of the access log that were written.", total.log_lines)
        text = "Lines of the access log that were dropped: the disk did not take them, or not in time."
        yield counter("littoral_access_log_dropped", text, total.log_dropped)
        streams = sum(report.meters.app_streams for report in self._reports.values())
        yield gauge("littoral_function_streams", "Answers of functions under way that come in pieces.", streams)
        sockets = sum(report.meters.web_sockets for report in self._reports.values())
        yield gauge("littoral_function_web_sockets", "WebSockets of functions that are open.", sockets)

    def _caches(self) -> Iterator[Family]:
        reports = [report.meters for report in self._reports.values()]
        total = self._total()
        for name, field, text in _CACHE_COUNTERS:
            samples = [Sample(getattr(cache, field), {"route": route}) for route, cache in total.caches.items()]
            yield Family(name, "counter", text, samples)
        held = sum(meters.cache_bytes for meters in reports)
        yield gauge("littoral_http_cache_bytes", "Held in memory by the HTTP caches of all gateways.", held)
        objects = sum(meters.cache_objects for meters in reports)
        yield gauge(
            "littoral_http_cache_objects", "Responses held in memory by the HTTP caches of all gateways.", objects
        )
        evicted = [Sample(total.cache_evicted, {})]
        yield Family("littoral_http_cache_evicted", "counter", "Responses that had to leave for others.", evicted)
        purged = [Sample(total.cache_purged, {})]
        yield Family("littoral_http_cache_purged", "counter", "Stored responses that purges were meant for.", purged)

    def _disk(self) -> Iterator[Family]:
        """What the gateways keep on the disk they share: each of them says what all of them have there."""
        shared = [report.meters.disk for report in self._reports.values()]
        held, objects = (max((getattr(each, name) for each in shared), default=0) for name in ("bytes", "objects"))
        yield gauge("littoral_http_cache_disk_bytes", "Held on the disk by the HTTP caches of all gateways.", held)
        text = "Responses held on the disk by the HTTP caches of all gateways."
        yield gauge("littoral_http_cache_disk_objects", text, objects)
        total = self._total().disk
        for name, field, text in _DISK_COUNTERS:
            yield counter(name, text, getattr(total, field))

    def _targets(self) -> Iterator[Family]:
        """Of the gateways that run: a target that is asked no more is not shown for ever."""
        requests: Counter[tuple[str, str]] = Counter()
        failures: Counter[tuple[str, str]] = Counter()
        healthy: dict[tuple[str, str], int] = {}
        for report in self._reports.values():
            for origin, pool in report.meters.pools.items():
                for target, meter in pool.targets.items():
                    place = (origin, target)
                    requests[place] += meter.requests
                    failures[place] += meter.failures
                    healthy[place] = min(healthy.get(place, 1), int(meter.is_healthy))
        yield Family("littoral_origin_requests", "counter", "Requests to targets, retries too.", _by_target(requests))
        yield Family("littoral_origin_failures", "counter", "Of these, those that failed.", _by_target(failures))
        yield Family("littoral_origin_healthy", "gauge", "Whether all gateways use a target.", _by_target(healthy))


def _by_target(values: Mapping[tuple[str, str], int]) -> list[Sample]:
    return [Sample(value, {"origin": origin, "target": target}) for (origin, target), value in values.items()]
