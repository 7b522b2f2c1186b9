"""What a process beside the hub reports of apps and limits, as metrics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from littoral.telemetry.metrics import Family, Sample, gauge


class Report(Protocol):
    """What a process counted since it started; further fields are figures of now."""

    @property
    def apps(self) -> Mapping[str, Struct]:
        """A meter for each app."""
        ...

    @property
    def limits_reached(self) -> Mapping[str, int]:
        """How often each limit was met."""
        ...


class ReportedMetrics:
    """Collects the reports of one kind of process. A counter begins at zero when the process does."""

    def __init__(
        self,
        process: str,
        counted: Sequence[tuple[str, str, str]],
        now: Sequence[tuple[str, str]],
        limits: str,
    ) -> None:
        """process: as in the names of the metrics. counted: name, field of the apps' meters, what it counts. now: field of the
        report, which is the name as well, what it is. limits: what it says of the limits that were met."""
        self._prefix = f"littoral_{process}_"
        self._counted = counted
        self._now = now
        self._limits = limits
        self._report: Report | None = None

    def take(self, report: Report) -> None:
        """Totals of the process that runs, or ran last."""
        self._report = report

    def families(self) -> Iterator[Family]:
        """For the metrics endpoint; none before the first report."""
        report = self._report
        if report is None:
            return
        for name, field, text in self._counted:
            samples = [Sample(getattr(meter, field), {"app": app}) for app, meter in report.apps.items()]
            yield Family(self._prefix + name, "counter", text, samples)
        for field, text in self._now:
            yield gauge(self._prefix + field, text, getattr(report, field))
        reached = [Sample(count, {"limit": limit}) for limit, count in report.limits_reached.items()]
        yield Family(f"{self._prefix}limit_reached", "counter", self._limits, reached)
