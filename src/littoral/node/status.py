"""What a node says of itself: on its own API, and as records of its stream `status`, which go up to the root."""

from typing import Literal

import msgspec

from littoral.core.lanes import Lane
from littoral.core.resources import Tier
from littoral.streams.bandwidth import Period
from littoral.streams.blocked import Blocked

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
    snapshot_chunks: int = 0
    """Chunks of snapshots taken over."""
    refused_chunks: int = 0
    """Chunks that were not what their digests said."""
    resumed_snapshots: int = 0
    """Snapshots that went on where an earlier session had left them."""
    put_aside_records: int = 0
    """Records of a restored store that the parent has others in place of."""
    fetched_back_records: int = 0
    """Records that a restored store lacked, and the parent had."""
    blocked: dict[str, Blocked] = {}
    """Streams the parent cannot take over, with the reason."""
    budget: BudgetStatus | None = None
    """None where the link may carry all it can."""
    held: dict[str, str] = {}
    """Streams that cannot be sent just now and are tried again, with the reason."""


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
    bytes: int = 0
    """Of the waiting records' payloads, by the mean size of each stream's records."""
    expired: int = 0
    """Records that were not sent because they were too old (spec.parent.ttl), since the hub started."""


class SpillStatus(msgspec.Struct, frozen=True):
    """What is in the spill directory."""

    files: int
    bytes: int
    moved_bytes: int
    """Payload that was moved there since the hub started."""
    refused: str = ""
    """Why nothing can be moved there at present."""


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
    progress: str = ""
    """What is being done before it can run: its code is being fetched, or unpacked."""
    running: str = ""
    """The revision that answers requests, or would: another than `revision` as long as that has not started."""
    isolation: str = ""
    """Its level, and what of that level this node cannot do."""
    cold_starts: int = 0
    """Starts that requests waited for, since the hub started."""


class RouteStatus(msgspec.Struct, frozen=True):
    """One route that has a document of its own."""

    revision: str
    leads_to: str
    problem: str = ""
    """Why it is not served."""


class BlobStatus(msgspec.Struct, frozen=True):
    """The blobs of a node."""

    count: int = 0
    """Here, or on their way here."""
    bytes: int = 0
    to_send: int = 0
    """Wait to go to the parent."""
    to_send_bytes: int = 0


class SubscriptionStatus(msgspec.Struct, frozen=True):
    """Subscriptions to streams."""

    count: int
    failing: int
    """Of these, those whose last try to wake failed; they are tried again."""
    failures: dict[str, str] = {}
    """Of some of the failing: id -> why."""


class CacheCounts(msgspec.Struct, omit_defaults=True):
    """Requests that an HTTP cache may answer, by what became of them."""

    hits: int = 0
    """Answered from the cache, fresh."""
    stale: int = 0
    """Answered from the cache, stale: while it was fetched again, or because the origin failed."""
    collapsed: int = 0
    """Answered by what another request fetched."""
    validated: int = 0
    """The origin was asked, and said that what is stored still holds."""
    misses: int = 0
    """The origin was asked, and answered."""
    saved_bytes: int = 0
    """Of bodies, that origins did not have to send."""


class TierStatus(msgspec.Struct, frozen=True):
    """What the HTTP caches of all gateways of a node hold in one place."""

    objects: int
    bytes: int
    evicted: int
    """What had to leave for others."""


class OriginStatus(msgspec.Struct, frozen=True):
    """Servers that routes lead to."""

    targets: int
    healthy: int
    """Of these, those that all gateways use."""


class GatewayStatus(msgspec.Struct, frozen=True):
    """The HTTP caches and origins of a node's gateways."""

    gateways: int
    """Processes that have reported. When another one does, the counts below may leap: it may have counted before the hub began to."""
    cache: CacheCounts
    """Of all routes."""
    memory: TierStatus
    disk: TierStatus | None = None
    """None where there is no such tier, or nothing was ever put there."""
    routes: dict[str, CacheCounts] = {}
    """Of those that are asked most."""
    origins: dict[str, OriginStatus] = {}
    """Those that these lead to, and others, up to a bound."""


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
    not_taken: dict[str, int] = {}
    """Batches that neighbours sent and that were not taken over, since the hub started: diverged, corrupt, refused."""
    restored_ms: list[int] = []
    """When the store was set back to a backup, ms since the epoch, the first time first."""
    blobs: BlobStatus = BlobStatus()
    subscriptions: SubscriptionStatus | None = None
    """None while there are none."""
    spill: SpillStatus | None = None
    """None where the node's document names no spill directory."""
    routes: dict[str, RouteStatus] = {}
    gateway: GatewayStatus | None = None
    """None where there is none, or none has reported yet."""
