"""What the inference process counts, and what the hub shows of it."""

from msgspec import Struct

from littoral.node.reported import ReportedMetrics


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


def inference_metrics() -> ReportedMetrics:
    """Shows what InferenceReports say."""
    return ReportedMetrics(
        "inference",
        (
            ("runs", "runs", "Runs of models that functions asked for, by app."),
            ("errors", "errors", "Of these, those that gave no outputs, by app."),
            ("seconds", "run_s", "Time that these took of threads, by app."),
        ),
        (
            ("models", "Models that are loaded."),
            ("model_bytes", "Bytes of the files of these."),
            ("waiting", "Runs that wait for a thread."),
        ),
        "How often runs of models met a limit; see limits.md.",
    )
