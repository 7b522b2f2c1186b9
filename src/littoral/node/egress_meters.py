"""What the egress counts, and what the hub shows of it."""

from msgspec import Struct

from littoral.node.reported import ReportedMetrics


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


def egress_metrics() -> ReportedMetrics:
    """Shows what EgressReports say."""
    return ReportedMetrics(
        "egress",
        (
            ("requests", "requests", "Requests that functions made, by app."),
            ("refused", "refused", "Of these, those that a rule or a limit refused, by app."),
            ("failed", "failed", "Of these, those that nobody answered, or not to the end, by app."),
            ("sent_bytes", "sent_bytes", "Bytes of bodies that functions sent, by app."),
            ("received_bytes", "received_bytes", "Bytes of bodies that functions were sent, by app."),
        ),
        (
            ("under_way", "Requests of functions under way."),
            ("connections", "Connections to servers that functions ask."),
        ),
        "How often requests of functions met a limit; see limits.md.",
    )
