"""What gateways and hub say to each other (littoral.node.control)."""

import msgspec

from littoral.gateway.cache.position import Position
from littoral.gateway.meters import Meters
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.purge_desk import CachedObject, Told


class GatewayReport(msgspec.Struct, array_like=True, frozen=True, tag="report"):
    """What a gateway counted since it started."""

    index: int
    pid: int
    meters: Meters


class KillWorker(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """A worker does not let go of a request that is past its deadline."""

    app: str
    pid: int


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


class ConfigChanged(msgspec.Struct, array_like=True, frozen=True, tag="config"):
    """There is another configuration."""


FromGateway = GatewayReport | KillWorker | PurgesKnown | Purged | Inspected | Top | Traced
FromHub = ConfigChanged | PurgeOrder | InspectOrder | TopOrder | TraceOrder

encode = msgspec.msgpack.Encoder().encode
decode_from_gateway = msgspec.msgpack.Decoder(FromGateway).decode
decode_from_hub = msgspec.msgpack.Decoder(FromHub).decode
