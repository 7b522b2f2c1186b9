"""What a node says of itself: on its own API, and as records of its stream `status`, which go up to the root."""

import msgspec

from littoral.core.lanes import Lane
from littoral.core.resources import Tier

STATUS = "status"
STATUS_BYTES = 256 * 1024
"""Retention of the stream: a record is about 1 KB, and only the last ones are of interest."""


class LinkStatus(msgspec.Struct, frozen=True):
    """The uplink."""

    parent: str
    connected: bool
    since_ms: int
    """When `connected` last changed, ms since the epoch."""
    last_error: str
    sessions: int
    shipped_records: int
    shipped_bytes: int
    followed_records: int
    bootstraps: int = 0
    """Streams begun from a snapshot."""
    blocked: dict[str, str] = {}
    """Streams the parent cannot take over, with the reason."""


class LaneStatus(msgspec.Struct, frozen=True):
    """What waits to be sent."""

    records: int
    oldest_ms: int | None
    """When the oldest waiting record was appended, ms since the epoch."""


class RuleStatus(msgspec.Struct, frozen=True):
    """One rule, since the hub started."""

    readings: int
    windows: int
    alerts: int
    duplicates: int
    late: int
    undecodable: int
    behind: int
    """Stored readings not yet folded."""
    problem: str = ""
    """Why it does not run, or waits to try again."""


class AppStatus(msgspec.Struct, frozen=True):
    """One app."""

    revision: str
    workers: int
    """Ready to take requests."""
    starts: int
    restarts: int
    problem: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """A node at one moment."""

    node: str
    tier: Tier
    version: str
    at_ms: int
    """Of this report, by the node's clock."""
    started_ms: int
    """When the hub started."""
    lineage: str
    link: LinkStatus | None
    """None at the root."""
    lanes: dict[Lane, LaneStatus]
    children: list[str]
    """Enrolled."""
    connected: list[str]
    """Of the children, those with an open channel."""
    readings: int
    """Publishes taken in since the hub started."""
    clients: int
    """MQTT clients connected."""
    rules: dict[str, RuleStatus]
    apps: dict[str, AppStatus]
    streams: int
    dead_letters: int
    """In the node's own dead-letter stream, ever."""
    memory_bytes: int
    """Resident memory of the hub."""
    addresses: dict[str, str] = {}
    """Where its listeners are: name -> host:port."""
