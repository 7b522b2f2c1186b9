"""What all gateways of a node have counted of apps' calls. What a process counted that ended is kept, in one sum for all."""

from collections.abc import Collection

from littoral.functions.meters import Revisions, add_revisions
from littoral.node.control_messages import GatewayReport

PROCESSES_MOST = 64
"""Gateways that are known one by one: those that run, and those that were replaced and finish what they have begun. Of more, the
one that was silent for longest has ended."""


class AppMeters:
    """Collects reports."""

    def __init__(self) -> None:
        self._processes: dict[tuple[int, int], dict[str, Revisions]] = {}
        """By index and process; the one that has reported last is the last."""
        self._heard_ms: dict[int, int] = {}
        """When each gateway reported last, by index."""
        self._ended: dict[str, Revisions] = {}

    def take(self, report: GatewayReport, at_ms: int) -> None:
        """What a process has counted since it started, of some apps. at_ms: now."""
        place = (report.index, report.pid)
        known = self._processes.pop(place, {})
        known.update(report.apps)
        self._processes[place] = known
        self._heard_ms[report.index] = at_ms
        if len(self._processes) > PROCESSES_MOST:
            for app, revisions in self._processes.pop(next(iter(self._processes))).items():
                add_revisions(self._ended.setdefault(app, {}), revisions)

    @property
    def heard_ms(self) -> int | None:
        """When gateways have reported, on the average: what they have counted is what it was then."""
        return round(sum(self._heard_ms.values()) / len(self._heard_ms)) if self._heard_ms else None

    def of(self, app: str) -> Revisions:
        """All that was counted of an app."""
        total: Revisions = {}
        for known in (self._ended, *self._processes.values()):
            add_revisions(total, known.get(app, {}))
        return total

    def keep(self, apps: Collection[str]) -> None:
        """Forget all others."""
        for known in (self._ended, *self._processes.values()):
            for app in known.keys() - apps:
                del known[app]
