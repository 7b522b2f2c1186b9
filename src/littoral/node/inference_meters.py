"""What the inference process counts, and what the hub shows of it."""

from collections.abc import Iterator

from msgspec import Struct

from littoral.node.reported import counted_by_app, limits_met
from littoral.telemetry.metrics import Family, gauge


class InferenceMeter(Struct):
    """Of one app, since the process started."""

    runs: int = 0
    errors: int = 0
    """Of these, those that gave no outputs."""
    run_s: float = 0.0
    """That threads were taken."""


class InferenceReport(Struct, array_like=True, frozen=True, tag="inference"):
    """What the process counted since it started."""

    pid: int
    apps: dict[str, InferenceMeter]
    models: int
    model_bytes: int
    waiting: int
    limits_reached: dict[str, int]


_COUNTERS = (
    ("littoral_inference_runs", "runs", "Runs of models that functions asked for, by app."),
    ("littoral_inference_errors", "errors", "Of these, those that gave no outputs, by app."),
    ("littoral_inference_seconds", "run_s", "Time that these took of threads, by app."),
)
"""Metric, field of InferenceMeter, what it counts."""


class InferenceMetrics:
    """Collects reports. A counter begins at zero when the process does."""

    def __init__(self) -> None:
        self._report: InferenceReport | None = None

    def take(self, report: InferenceReport) -> None:
        """Totals of the process that runs, or ran last."""
        self._report = report

    def families(self) -> Iterator[Family]:
        """For the metrics endpoint."""
        report = self._report
        if report is None:
            return
        yield from counted_by_app(_COUNTERS, report.apps)
        yield gauge("littoral_inference_models", "Models that are loaded.", report.models)
        yield gauge("littoral_inference_model_bytes", "Bytes of the files of these.", report.model_bytes)
        yield gauge("littoral_inference_waiting", "Runs that wait for a thread.", report.waiting)
        text = "How often runs of models met a limit; see limits.md."
        yield limits_met("littoral_inference_limit_reached", text, report.limits_reached)
