"""How the apps of a node are doing: what is counted of their calls, and of their workers.

Counts begin with each gateway process and are added up; those of workers begin with the hub. Nobody looks at what workers take of
memory unless somebody asks, and then every MEMORY_S at most.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from littoral.core.clock import Clock
from littoral.core.tasks import Tasks
from littoral.functions.apps import deployed_revision
from littoral.functions.hub.pool import AppPool
from littoral.functions.meters import BOUNDS_US, Revisions, add_revisions
from littoral.node.app_messages import AppFigures
from littoral.node.app_meters import AppMeters
from littoral.node.control_messages import GatewayReport
from littoral.telemetry.metrics import Family, Histogram, Sample

METRICS_US = tuple(bound for bound in BOUNDS_US if bound >= 250 and str(bound).rstrip("0") in ("1", "25", "5", "3"))
"""Bounds of the histograms among the metrics, which are many: each is a series for each revision of each app."""
MEMORY_S = 10.0
"""Least time between two looks at the memory of all workers: each takes the kernel a millisecond."""


class FiguresDesk:
    """Of one node."""

    def __init__(
        self,
        pools: Callable[[], Mapping[str, AppPool]],
        by_hub: Callable[[], Mapping[str, Revisions]],
        clock: Clock,
        offload: Callable[..., Awaitable[Any]],
        memory_of: Callable[[int], int | None],
        tasks: Tasks,
    ) -> None:
        """by_hub: what is counted of the calls that the hub makes. offload: runs a function where it holds up nobody. memory_of: a
        process's."""
        self._pools = pools
        self._by_hub = by_hub
        self._clock = clock
        self._offload = offload
        self._memory_of = memory_of
        self._tasks = tasks
        self._meters = AppMeters()
        self._memory: dict[str, int | None] = {}
        self._looked_s: float | None = None
        self._looking: asyncio.Task[None] | None = None

    def take(self, report: GatewayReport) -> None:
        """What a gateway counted."""
        self._meters.take(report, self._clock.wall_ms())

    async def fresh(self) -> dict[str, AppFigures]:
        """As `now`, with the memory as it was MEMORY_S ago at most."""
        self._look_at_memory()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        return self.now()

    def now(self) -> dict[str, AppFigures]:
        """All apps placed here. Their memory is as it was when it was looked at last; it is looked at again soon."""
        self._look_at_memory()
        pools, by_hub = self._pools(), self._by_hub()
        self._meters.keep(pools.keys())
        at_ms = self._meters.heard_ms or self._clock.wall_ms()
        found = {}
        for app, pool in pools.items():
            revisions = self._meters.of(app)
            add_revisions(revisions, by_hub.get(app, {}))
            counters = pool.counters
            found[app] = AppFigures(
                at_ms=at_ms,
                revisions=revisions,
                workers=pool.ready,
                starting=pool.starting,
                starts=counters.starts,
                restarts=counters.restarts,
                cold=counters.cold,
                ends=dict[str, int](counters.ends.items()),
                memory_bytes=self._memory.get(app) if pool.ready else 0,
            )
        return found

    def families(self) -> Iterator[Family | Histogram]:
        """For the metrics endpoint."""
        revisions = {app: deployed_revision(pool.revision) for app, pool in self._pools().items()}
        return figure_families(self.now(), revisions)

    def _look_at_memory(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._looking is None and (self._looked_s is None or now_s - self._looked_s >= MEMORY_S):
            self._looked_s = now_s
            self._looking = self._tasks.start(self._measure(), "memory of workers")

    async def _measure(self) -> None:
        pids = {app: pool.pids for app, pool in self._pools().items() if pool.ready}
        try:
            self._memory = await self._offload(_sums, pids, self._memory_of)
        finally:
            self._looking = None


def _sums(pids: Mapping[str, Sequence[int]], memory_of: Callable[[int], int | None]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for app, workers in pids.items():
        known = [size for pid in workers if (size := memory_of(pid)) is not None]
        found[app] = sum(known) if known else None
    return found


def figure_families(figures: Mapping[str, AppFigures], revisions: Mapping[str, str]) -> Iterator[Family | Histogram]:
    """As metrics. revisions: which one runs, by app."""
    yield from _calls(figures)
    yield from _workers(figures, revisions)


def _calls(figures: Mapping[str, AppFigures]) -> Iterator[Family | Histogram]:
    meters = [
        ({"app": app, "revision": revision}, meter)
        for app, each in figures.items()
        for revision, meter in each.revisions.items()
    ]
    text = "Calls of apps, requests and events, by revision; empty for those that no worker had, and for former ones."
    yield Family("littoral_function_calls", "counter", text, [Sample(meter.calls, labels) for labels, meter in meters])
    errors = [
        Sample(count, {**labels, "error": why}) for labels, meter in meters for why, count in meter.errors.items()
    ]
    yield Family("littoral_function_errors", "counter", "Calls that failed, by why.", errors)
    text = "Calls that waited for a worker to start."
    yield Family(
        "littoral_function_waited", "counter", text, [Sample(meter.waited, labels) for labels, meter in meters]
    )
    text = "How long they waited."
    waited = [Sample(meter.waited_us / 1e6, labels) for labels, meter in meters]
    yield Family("littoral_function_waited_seconds", "counter", text, waited)
    bounds_s = [bound / 1e6 for bound in METRICS_US]
    text = "From a call to the head of its answer, with the time that it waited for a worker."
    for labels, meter in meters:
        yield Histogram(
            "littoral_function_duration_seconds", text, bounds_s, _merged(meter.wall), meter.wall_us / 1e6, labels
        )
    text = "CPU time that an answer took in its worker; of one that is streamed, known at its end."
    for labels, meter in meters:
        yield Histogram("littoral_function_cpu_seconds", text, bounds_s, _merged(meter.cpu), meter.cpu_us / 1e6, labels)


def _merged(buckets: list[int]) -> list[int]:
    """Fewer buckets, for the metrics."""
    ends = [BOUNDS_US.index(bound) + 1 for bound in METRICS_US]
    return [sum(buckets[start:end]) for start, end in itertools.pairwise([0, *ends, len(buckets)])]


def _workers(figures: Mapping[str, AppFigures], revisions: Mapping[str, str]) -> Iterator[Family]:
    starting = [Sample(each.starting, {"app": app}) for app, each in figures.items()]
    yield Family("littoral_function_workers_starting", "gauge", "Workers that are about to answer.", starting)
    ends = [
        Sample(count, {"app": app, "reason": why}) for app, each in figures.items() for why, count in each.ends.items()
    ]
    yield Family("littoral_function_ends", "counter", "Workers that ended, by why.", ends)
    memory = [Sample(each.memory_bytes, {"app": app}) for app, each in figures.items() if each.memory_bytes is not None]
    text = "Of all workers of an app (PSS), as it was not long before; missing where the node may not know."
    yield Family("littoral_function_memory_bytes", "gauge", text, memory)
    info = [Sample(1, {"app": app, "revision": revision}) for app, revision in revisions.items() if revision]
    yield Family("littoral_function_revision", "gauge", "1 for the revision of an app that answers.", info)
