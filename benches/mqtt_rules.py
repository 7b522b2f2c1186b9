"""The rules that intake is measured with: count, min, max, mean and stddev of 1,000 topics."""

import msgspec

from littoral.core.resources import Rule

STILL: dict[str, object] = {
    "source": {"mqtt": {"topic": "site/#"}},
    "value": {"path": "v"},
    "timestamp": {"path": "ts", "unit": "s"},
    "window": {"tumbling": "1m", "allowedLateness": "1h"},
    "aggregates": ["count", "min", "max", "mean", "stddev"],
    "windows": [{"stream": {"name": "windows", "lane": "telemetry"}}],
}
"""Of a series so fast that no window closes while it is measured."""
MOVING: dict[str, object] = STILL | {
    "source": {"mqtt": {"topic": "moving/#"}},
    "window": {"tumbling": "10s"},
}
"""Of a series whose windows close; every result goes into a stream."""


def rule(name: str, spec: dict[str, object], **more: object) -> Rule:
    """The resource. more: further members of the spec."""
    document = {"apiVersion": "littoral/v1", "kind": "Rule", "metadata": {"name": name}, "spec": spec | more}
    return msgspec.convert(document, Rule)
