"""What a node says of itself: on its own API, and as records of its stream `status`, which go up to the root."""

from typing import Literal

import msgspec

from littoral.core.lanes import Lane
from littoral.core.resources import Tier
from littoral.streams.bandwidth import Period

STATUS = "status"
STATUS_BYTES = 256 * 1024
"""Retention of the stream: a record is about 1 KB, and only the last ones are of interest."""


class BudgetStatus(msgspec.Struct, frozen=True):
    """The bandwidth budget of the uplink."""

    state: Literal["free", "waiting", "exhausted"]
    """waiting: something waits for the rate. exhausted: the budget of a day or month is spent."""
    until_ms: int | None
    """Until when it is exhausted, ms since the epoch."""
    stops: bool
    """Whether nothing is sent while it is exhausted, rather than only control and alerts."""
    rate: int | None
    """Bytes per second; None for any."""
    used: dict[Period, int]
    """Bytes carried in the present UTC day and month, where these have a bound."""
    most: dict[Period, int]
    """Their bounds."""
    carried_bytes: int
    """Both directions, with an estimate of what HTTP and TLS add, since the hub started."""
    waited_s: float
    """How long what was sent has waited for the rate, in all."""


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
    budget: BudgetStatus | None = None
    """None where the link may carry all it can."""


class LaneStatus(msgspec.Struct, frozen=True):
    """What waits to be sent."""

    records: int
    oldest_ms: int | None
    """When the oldest waiting record was appended, ms since the epoch."""
    records_s: float = 0.0
    """Records that the parent takes over in a second, averaged over about 30 s."""
    bytes_s: float = 0.0
    """Bytes of their payloads, as they are stored."""
    empty_s: float | None = None
    """In how many seconds nothing will wait if it goes on so; None while the queue does not shrink."""


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
    """Records that were put aside here, and neither retried with success nor dropped since."""
    memory_bytes: int
    """Resident memory of the hub."""
    addresses: dict[str, str] = {}
    """Where its listeners are: name -> host:port."""
    dead_letters_ever: int = 0
    """As `dead_letters`, with those that are done with or gone; a large record counts for each of its parts."""
