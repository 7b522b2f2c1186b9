"""An app as placed on this node."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from littoral.core.event_limits import EVENT_CPU_MS
from littoral.core.function_limits import (
    FUNCTION_CPU_MS,
    FUNCTION_IDLE_S,
    FUNCTION_LOG_BYTES,
    FUNCTION_LOG_LINES,
    FUNCTION_MEMORY_BYTES,
    FUNCTION_OPEN_FILES,
    FUNCTION_TEMPORARY_BYTES,
    FUNCTION_THREADS,
    FUNCTION_WALL_MS,
)
from littoral.core.limits import Limits
from littoral.core.resources.app import AppSpec
from littoral.core.resources.app_assets import Assets
from littoral.core.resources.app_events import AppQueues, CronTrigger, DatasetBinding, ServiceBinding, crons_of
from littoral.functions.messages import WorkerBounds

SECRETS_MARK = "+"
"""In a worker's revision, between what was deployed and the revision of its secrets."""


class PlacedApp(Struct, frozen=True):
    """One revision of an app, with everything decided."""

    name: str
    revision: str
    """Changes whenever code, variables, bindings or limits change: workers are replaced by it."""
    directory: str
    """Absolute path of the unpacked, immutable revision."""
    main: str
    vars: Mapping[str, Any] = {}
    """What JSON can hold, by name in `env`."""
    kv: Mapping[str, str] = {}
    """Name in `env` to namespace."""
    workers: int = 1
    """At most."""
    wall_ms: int = FUNCTION_WALL_MS.default
    memory_bytes: int = FUNCTION_MEMORY_BYTES.default
    crons: Sequence[CronTrigger] = ()
    queues: AppQueues = AppQueues()
    services: Sequence[ServiceBinding] = ()
    datasets: Sequence[DatasetBinding] = ()
    min_workers: int = 0
    idle_s: int = FUNCTION_IDLE_S.default
    """A worker that nobody needed for so long goes."""
    bounds: WorkerBounds = WorkerBounds()
    egress: Sequence[str] = ()
    """Where its requests may go, as its document says (`littoral.core.egress`)."""
    secrets: Mapping[str, str] = {}
    """By name in `env`. In memory only."""
    ai: str = ""
    """The name in `env` by which it runs models; empty for none."""
    assets: Assets | None = None
    """Files that travel with it; their directory is relative to `directory`."""
    remote: frozenset[tuple[str, str]] = frozenset()
    """Kinds of bindings and what their calls name: at the node of a developer, those that another node answers."""
    inline: bool = False
    """Whether gateways answer its requests in their own processes; workers have the rest."""

    @property
    def served_assets(self) -> Assets | None:
        """As gateways find them: their directory is absolute."""
        if self.assets is None:
            return None
        return structs.replace(self.assets, directory=os.path.join(self.directory, self.assets.directory))

    @property
    def deployed(self) -> str:
        """The revision without what its secrets add to it: as it was deployed."""
        return deployed_revision(self.revision)

    @classmethod
    def from_spec(cls, name: str, revision: str, directory: str, spec: AppSpec, limits: Limits) -> "PlacedApp":
        """The app as its document and the node's limits have it."""
        return cls(
            name=name,
            revision=revision,
            directory=directory,
            main=spec.main,
            vars=spec.vars,
            kv={binding.binding: binding.namespace for binding in spec.kv},
            workers=max(spec.limits.workers, spec.limits.min_workers),
            min_workers=spec.limits.min_workers,
            idle_s=spec.limits.idle_time_s or limits[FUNCTION_IDLE_S],
            wall_ms=spec.limits.wall_time_ms or limits[FUNCTION_WALL_MS],
            memory_bytes=spec.limits.memory_bytes or limits[FUNCTION_MEMORY_BYTES],
            crons=crons_of(spec.crons),
            queues=spec.queues,
            services=spec.services,
            datasets=spec.datasets,
            bounds=_bounds(spec, limits),
            egress=spec.egress,
            assets=spec.assets,
            ai=spec.ai.binding if spec.ai is not None else "",
            remote=frozenset(_remote(spec)),
            inline=spec.isolation == "inline",
        )


def with_secrets(app: PlacedApp, revision: str, secrets: Mapping[str, str]) -> PlacedApp:
    """The app with its secrets, of which this is the revision: when they change, its workers are replaced."""
    if not revision:
        return app
    return structs.replace(app, revision=f"{app.revision}{SECRETS_MARK}{revision[:8]}", secrets=secrets)


def deployed_revision(revision: str) -> str:
    """A worker's revision without what secrets add to it."""
    return revision.partition(SECRETS_MARK)[0]


def _remote(spec: AppSpec) -> Iterator[tuple[str, str]]:
    yield from (("kv", each.namespace) for each in spec.kv if each.remote)
    yield from (("queue", each.queue) for each in spec.queues.producers if each.remote)
    # Of another app, calls name the binding (`hub.worker_bindings`).
    yield from (("service", each.binding) for each in spec.services if each.remote)
    yield from (("analytics", each.dataset) for each in spec.datasets if each.remote)


def _bounds(spec: AppSpec, limits: Limits) -> WorkerBounds:
    own = spec.limits
    workers = max(own.workers, own.min_workers)
    return WorkerBounds(
        isolation="sandbox" if spec.isolation == "sandbox" else "process",
        open_files=own.open_files or limits[FUNCTION_OPEN_FILES],
        temporary_bytes=own.temporary_bytes or limits[FUNCTION_TEMPORARY_BYTES],
        # As many workers again while one revision follows another.
        threads=limits[FUNCTION_THREADS] * workers * 2,
        cpu_ms=own.cpu_time_ms or limits[FUNCTION_CPU_MS],
        log_lines=own.log_lines or limits[FUNCTION_LOG_LINES],
        log_bytes=own.log_bytes or limits[FUNCTION_LOG_BYTES],
        concurrency=own.concurrency or 0,
        request_bytes=own.request_bytes or 0,
        response_bytes=own.response_bytes or 0,
        event_cpu_ms=max(own.cpu_time_ms or 0, limits[EVENT_CPU_MS]),
    )
