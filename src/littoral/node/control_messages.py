"""What gateways and hub say to each other over run/hub.sock (`control_server`, `control_client`).

gateway -> hub   PurgesKnown (first), GatewayReport and AppLoads (each second), KillWorker, WorkerWanted, Purged, Inspected, Top, Traced;
                 InlineWanted: answered by InlineGiven; AppLines
hub -> gateway   ConfigChanged: read run/gateway.msgpack again; WorkersChanged: where an app's workers are reached; Purge, Inspect: answered in the order in which they come;
                 TopOrder, TraceOrder: answered, by their numbers, once the gateway has found time for it
"""

import msgspec

from littoral.functions.messages import InlineState
from littoral.functions.meters import Revisions
from littoral.gateway.cache.position import Position
from littoral.gateway.meters import Meters
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.egress_meters import EgressReport
from littoral.node.inference_meters import InferenceReport
from littoral.node.purge_messages import CachedObject, Told

SOCKET = "hub.sock"


class GatewayReport(msgspec.Struct, array_like=True, frozen=True, tag="report"):
    """What a gateway counted since it started."""

    index: int
    pid: int
    meters: Meters
    apps: dict[str, Revisions] = {}
    """Calls of those of which something new was counted since the hub was told last; of some of them, where they are many."""
    inline: dict[str, InlineState] = {}
    """Of the apps that run in the gateway's process."""


class KillWorker(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """A worker does not let go of a request that is past its deadline."""

    app: str
    pid: int


class WorkerWanted(msgspec.Struct, array_like=True, frozen=True, tag="wanted"):
    """Requests wait for a worker of an app, or its workers have more than they should."""

    app: str
    in_flight: int


class InlineWanted(msgspec.Struct, array_like=True, frozen=True, tag="inline"):
    """A gateway is to run an app in its own process, and does not know how."""

    index: int
    app: str


class AppLines(msgspec.Struct, array_like=True, frozen=True, tag="lines"):
    """What an app wrote that runs in a gateway's process."""

    index: int
    app: str
    text: str


class AppLoads(msgspec.Struct, array_like=True, frozen=True, tag="loads"):
    """The most requests that each app had under way since this was said last."""

    index: int
    in_flight: dict[str, int]


class PurgesKnown(msgspec.Struct, array_like=True, frozen=True, tag="known"):
    """What a gateway that has connected knows of the node's purges; None: nothing."""

    position: Position | None


class Purged(msgspec.Struct, array_like=True, frozen=True, tag="purged"):
    """Purges are done: how many objects each was meant for."""

    objects: list[int]


class Inspected(msgspec.Struct, array_like=True, frozen=True, tag="inspected"):
    """What a gateway holds of a URL."""

    objects: list[CachedObject]


class Top(msgspec.Struct, array_like=True, frozen=True, tag="topped"):
    """What a gateway has given most often."""

    number: int
    """Of the order."""
    objects: list[CachedObject]


class Traced(msgspec.Struct, array_like=True, frozen=True, tag="traced"):
    """What became of a request that a gateway was to make."""

    number: int
    """Of the order."""
    report: TraceReport


class PurgeOrder(msgspec.Struct, array_like=True, frozen=True, tag="purge"):
    """Purges that the gateway has not heard of."""

    told: Told


class InspectOrder(msgspec.Struct, array_like=True, frozen=True, tag="inspect"):
    """Say what is held of a URL."""

    url: str


class TopOrder(msgspec.Struct, array_like=True, frozen=True, tag="top"):
    """Say what was given most often."""

    number: int
    count: int


class TraceOrder(msgspec.Struct, array_like=True, frozen=True, tag="trace"):
    """Make a request."""

    number: int
    ask: TraceAsk


class WorkersChanged(msgspec.Struct, array_like=True, frozen=True, tag="workers"):
    """Where workers of an app are reached."""

    app: str
    slots: list[int]
    failing: bool
    """None is, and none can be started for now."""


class InlineGiven(msgspec.Struct, array_like=True, frozen=True, tag="given"):
    """How to run an app in the gateway's own process. It has secrets in it, and is not written down."""

    app: str
    revision: str
    """With the revision of its secrets, as `littoral.functions.calls.client.FunctionTarget.inline` has it."""
    spec: bytes
    """A WorkerSpec, encoded."""


class ConfigChanged(msgspec.Struct, array_like=True, frozen=True, tag="config"):
    """There is another configuration."""


FromGateway = (
    GatewayReport
    | KillWorker
    | WorkerWanted
    | InlineWanted
    | AppLines
    | AppLoads
    | PurgesKnown
    | Purged
    | Inspected
    | Top
    | Traced
    | EgressReport
    | InferenceReport
)
FromHub = ConfigChanged | WorkersChanged | InlineGiven | PurgeOrder | InspectOrder | TopOrder | TraceOrder

encode = msgspec.msgpack.Encoder().encode
decode_from_gateway = msgspec.msgpack.Decoder(FromGateway).decode
decode_from_hub = msgspec.msgpack.Decoder(FromHub).decode
