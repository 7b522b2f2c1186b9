"""What the egress counts, and what the hub shows of it."""

from collections.abc import Iterator

from msgspec import Struct

from littoral.node.reported import counted_by_app, limits_met
from littoral.telemetry.metrics import Family, gauge


class EgressMeter(Struct):
    """Of one app, since the process started."""

    requests: int = 0
    refused: int = 0
    """By its rules, or by a limit."""
    failed: int = 0
    """That nobody answered, or not to the end."""
    sent_bytes: int = 0
    received_bytes: int = 0
    """Of bodies."""


class EgressReport(Struct, array_like=True, frozen=True, tag="egress"):
    """What the egress counted since it started."""

    pid: int
    apps: dict[str, EgressMeter]
    under_way: int
    connections: int
    limits_reached: dict[str, int]


_COUNTERS = (
    ("littoral_egress_requests", "requests", "Requests that functions made, by app."),
    ("littoral_egress_refused", "refused", "Of these, those that a rule or a limit refused, by app."),
    ("littoral_egress_failed", "failed", "Of these, those that nobody answered, or not to the end, by app."),
    ("littoral_egress_sent_bytes", "sent_bytes", "Bytes of bodies that functions sent, by app."),
    ("littoral_egress_received_bytes", "received_bytes", "Bytes of bodies that functions were sent, by app."),
)
"""Metric, field of EgressMeter, what it counts."""


class EgressMetrics:
    """Collects reports. A counter begins at zero when the process does."""

    def __init__(self) -> None:
        self._report: EgressReport | None = None

    def take(self, report: EgressReport) -> None:
        """Totals of the process that runs."""
        self._report = report

    def families(self) -> Iterator[Family]:
        """For the metrics endpoint."""
        report = self._report
        if report is None:
            return
        yield from counted_by_app(_COUNTERS, report.apps)
        yield gauge("littoral_egress_under_way", "Requests of functions under way.", report.under_way)
        yield gauge("littoral_egress_connections", "Connections to servers that functions ask.", report.connections)
        text = "How often requests of functions met a limit; see limits.md."
        yield limits_met("littoral_egress_limit_reached", text, report.limits_reached)
