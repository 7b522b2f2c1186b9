"""`kind: App`."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from littoral.core.resources.app_assets import Assets
from littoral.core.resources.app_events import (
    AiBinding,
    AppQueues,
    CronText,
    CronTrigger,
    DatasetBinding,
    ServiceBinding,
)
from littoral.core.resources.part import Metadata, Name, Part, Placement, RouteMatch


class KvBinding(Part, frozen=True, omit_defaults=True):
    """Gives `env.<binding>` a key-value namespace."""

    binding: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    namespace: Name
    remote: bool = False
    """Whether `littoral dev --remote` gives the project this of another node. Elsewhere it means nothing."""


class AppLimits(Part, frozen=True):
    """Bounds of one app's workers."""

    wall_time_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None
    memory_bytes: Annotated[int, Meta(ge=1 << 24)] | None = None
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """At most: as many run as the requests under way need."""
    min_workers: Annotated[int, Meta(ge=0, le=64)] = 0
    """Kept running also while nobody asks for the app; 0: the first request after its idle time waits for a worker to start."""
    idle_time_s: Annotated[int, Meta(ge=1, le=7 * 86_400)] | None = None
    """A worker that was not needed for so long ends."""
    cpu_time_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None
    """Of the processor, for one request: what computes for longer is interrupted, whatever its wall time."""
    open_files: Annotated[int, Meta(ge=32, le=65_536)] | None = None
    """Files and sockets that a worker may have open."""
    temporary_bytes: Annotated[int, Meta(ge=4096)] | None = None
    """What a worker may write to its /tmp, which is in memory, ends with it, and is the only place where it can write."""
    log_lines: Annotated[int, Meta(ge=1)] | None = None
    """Lines a second that a worker may log; those beyond are left out, and counted in the log."""
    log_bytes: Annotated[int, Meta(ge=1024)] | None = None
    """Bytes a second of these lines."""
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests that a worker has at once; more are refused."""
    request_bytes: Annotated[int, Meta(ge=0)] | None = None
    """Of a request's body, where the code reads it whole; a longer one is refused. Read piece by piece it may be of any length."""
    response_bytes: Annotated[int, Meta(ge=1)] | None = None
    """Of a response's body. One that says so before it begins is refused; one that turns out longer is broken off."""


class AppSpec(Part, frozen=True):
    """A team's code and what it gets."""

    main: str
    """The module with the entry point, relative to `source`."""
    source: str = "."
    """The folder with the code, relative to the document. Packed into the revision by `littoral apply`."""
    placement: Placement = Placement()
    routes: list[RouteMatch] = []
    kv: list[KvBinding] = []
    vars: dict[str, Any] = {}
    """What the code finds in `env` under these names: anything that JSON can hold."""
    limits: AppLimits = AppLimits()
    isolation: Literal["process", "sandbox", "inline"] = "process"
    """process: a process of its own that sees no other files of the node. sandbox: no network either, but for what goes through the
    platform; where a node cannot do that, the app does not run there. inline: requests are answered within the gateways' own
    processes, kept apart from nothing there; it runs only on nodes whose own documents name the app in `inlineApps`."""
    egress: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=1000)] = []
    """Where its requests may go besides: names (api.example.com, *.example.com, *), addresses and networks (10.1.2.3, 10.1.0.0/16),
    each with a port if need be (10.1.2.3:8080, [fd00::1]:8080). process: every name, and every address of the public internet, is
    allowed already; an address that is not public is what has to be listed. sandbox: names have to be listed, too."""
    assets: Assets | None = None
    crons: list[CronText | CronTrigger] = []
    """When it is called besides; a text alone is an expression whose missed runs are skipped."""
    queues: AppQueues = AppQueues()
    services: list[ServiceBinding] = []
    """Other apps that it calls."""
    datasets: list[DatasetBinding] = []
    """Streams that it writes data points to."""
    ai: AiBinding | None = None
    """Models that it runs. A node needs the packages of the extra `ai` for that."""


class App(Struct, tag_field="kind", tag="App", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True):
    """Request handlers deployed to nodes."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: AppSpec
