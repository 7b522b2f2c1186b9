"""The `littoral/v1` documents as types: `kind: Node` here, the others beside it. What each field allows is stated once, there, and
the published JSON Schema, the decoder and the error messages all derive from it.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.app import App
from littoral.core.resources.global_topics import GlobalTopics
from littoral.core.resources.mqtt import Mqtt
from littoral.core.resources.namespace import Namespace
from littoral.core.resources.part import Address, Bytes, Duration, Metadata, Name, Part, Tier
from littoral.core.resources.rule import Rule
from littoral.core.resources.web import GatewayTls, Origin, Route

API_VERSION = "littoral/v1"


class Bandwidth(Part, frozen=True):
    """How much the link to the parent may carry, both directions together: at least one of rate, perDay and perMonth."""

    rate: Bytes | None = None
    """Bytes per second."""
    burst: Bytes | None = None
    """What may go at once after a quiet time. Half a second of the rate unless written otherwise: over any ten seconds
    that is 5 % more than the rate. What is larger than this (one batch cannot be divided) waits until all of it is saved
    up. A link with a long way needs at least the rate times the round trip for all of its rate to be used."""
    per_day: Bytes | None = None
    """In a UTC day of the node's clock."""
    per_month: Bytes | None = None
    """In a UTC month."""
    at_end: Literal["urgent-only", "stop"] = "urgent-only"
    """Once the budget of a day or month is spent, until the next. urgent-only: the lanes control and alerts go on, and
    nothing is followed but the desired state and the inbox. stop: nothing is sent."""


StreamPattern = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[a-z0-9-]+)/[A-Za-z0-9._~/-]*\*?$|^\*$",
        description='"NODE/PATH", where NODE may be "*", and a "*" at the end matches any rest; "*" alone matches all',
    ),
]
"""Read by littoral.core.patterns."""


class StreamTtl(Part, frozen=True):
    """How long records of some streams are worth sending."""

    streams: list[StreamPattern]
    ttl: Duration


class Ttl(Part, frozen=True):
    """How old a record may be and still be sent to the parent, by its stream, or else by its lane; without either, any age.
    What is older is kept here as its retention says. Key-value goes up at any age."""

    control: Duration | None = None
    alerts: Duration | None = None
    state: Duration | None = None
    telemetry: Duration | None = None
    bulk: Duration | None = None
    streams: list[StreamTtl] = []
    """The first entry that matches a stream counts."""


Requests = Literal["none", "read", "all"]
"""none: nothing. read: GET and HEAD of the operator API, and commands that change nothing. all: whatever the node's own
operator may."""


class Parent(Part, frozen=True):
    """Where the parent is reached. Both are addresses of the parent's, possibly through a relay or proxy."""

    url: Annotated[str, Meta(pattern="^https://[^/]+$")]
    """The parent's mTLS listener, for everything but enrolment."""
    join_url: Annotated[str, Meta(pattern="^https://[^/]+$")] | None = None
    """The parent's enrolment listener; the join token names one, this overrides it."""
    relay_url: Annotated[str, Meta(pattern="^https://[^/]+$")] | None = None
    """Where the parent's gateways answer those of this node. None: the host of `url`, at the port that the parent says."""
    bandwidth: Bandwidth | None = None
    """None: as much as the link carries."""
    ttl: Ttl = Ttl()
    requests: Requests = "read"
    """What nodes above may ask this one to do through its inbox."""


class Listen(Part, frozen=True):
    """The listeners of a node; those left out are closed. Loopback unless written otherwise."""

    api: Address = "127.0.0.1:0"
    """Operator API, durable streams, metrics. Plain HTTP; bearer token."""
    peer: Address | None = None
    """For children: mTLS."""
    join: Address | None = None
    """For children that enrol or renew: server TLS only."""
    gateway: Address | None = None
    """The HTTP data plane."""
    relay: Address | None = None
    """For the gateways of children, which ask here before they ask an origin: mTLS. Served by the gateways."""
    mqtt: Address | None = None
    dashboard: Address | None = None
    streams: Address | None = None
    """Durable streams for clients that are not operators, by `spec.streams`. Plain HTTP."""


ANYONE = "anyone"
ClientName = Annotated[
    str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description=f'A client, or "{ANYONE}"')
]


class StreamClient(Part, frozen=True):
    """Somebody who shows a token at the streams listener."""

    name: Name
    token_hash: Annotated[str, Meta(pattern=r"^sha256\$[A-Za-z0-9_-]{43}$")]
    """As `littoral stream token` prints it."""


class StreamAccess(Part, frozen=True):
    """What clients may do with some streams."""

    streams: list[Annotated[str, Meta(pattern=r"^[a-z0-9-]+/[A-Za-z0-9._~/-]*\*?$|^\*$")]]
    """"NODE/PATH"; a "*" at its end matches any rest."""
    read: list[ClientName] = []
    """Read, follow and fork."""
    append: list[ClientName] = []
    """Append and close."""
    manage: list[ClientName] = []
    """Create and delete."""


WEBHOOK_TARGET = r"(https?)://(\[[0-9a-fA-F:.]+\]|(?:\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*)(?::(\d{1,5}|\*))?"
"""scheme, host, port. A host may begin with "*.", a port may be "*"."""


class Webhooks(Part, frozen=True):
    """Where subscriptions may send webhooks, and where their receivers call back."""

    allow: list[Annotated[str, Meta(pattern=r"^https?://[^/\s]+$", max_length=300)]] = []
    """What is allowed besides https to public addresses: "http://127.0.0.1:*", "https://*.plant.example". Without a port,
    that of the scheme."""
    base_url: Annotated[str, Meta(pattern=r"^https?://[^/\s]+$", max_length=300)] | None = None
    """How receivers reach this node's streams: "https://streams.plant.example", where a proxy stands before it. None for
    the address that a subscription was made at."""


class Streams(Part, frozen=True):
    """Who may use the streams listener. Nobody may do anything that no entry gives."""

    clients: list[StreamClient] = []
    access: list[StreamAccess] = []
    origins: list[Annotated[str, Meta(pattern=r"^(https?://[^/\s]+|\*)$")]] = []
    """Web sites whose pages may call it (CORS): "https://app.example", or "*"."""
    webhooks: Webhooks = Webhooks()


class Encryption(Part, frozen=True):
    """Where the key of the node's store comes from: exactly one of these. The key is 32 bytes, as 64 hexadecimal digits or
    in base64."""

    key_file: Annotated[str, Meta(min_length=1)] | None = None
    """A file, which not every user of the machine may read."""
    key_env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """An environment variable."""
    key_command: Annotated[list[str], Meta(min_length=1)] | None = None
    """A command and its arguments, run without a shell, which prints the key: for keys that a TPM or HSM holds."""


BudgetPolicy = Literal["drop-oldest", "reject", "spill"]
"""At the end of a budget. drop-oldest: the oldest records go, read or not. reject: what would go beyond it is refused.
spill: the oldest records go to spec.storage.spill, and are read from there."""


class StreamBudget(Part, frozen=True):
    """What some streams may hold at this node, their own and copies of others' alike. What is left out is as it was when
    the stream was made."""

    streams: list[StreamPattern]
    bytes: Bytes | None = None
    """Each of them, in store.db."""
    age: Duration | None = None
    """What is older is dropped, whatever the policy."""
    policy: BudgetPolicy | None = None


class SpillPlace(Part, frozen=True):
    """The second place for records: slower and larger than the disk of the data directory, or just another one."""

    directory: Annotated[str, Meta(min_length=1)]
    """Must be mounted: a node that finds it empty though it has put records there says so, and writes nothing to it."""
    bytes: Bytes
    """All that this node puts there. Beyond it the oldest goes."""


class Storage(Part, frozen=True):
    """What a node does where its streams would hold too much."""

    policy: BudgetPolicy = "drop-oldest"
    """For the limit store-bytes, over all streams of the lanes bulk and telemetry."""
    streams: list[StreamBudget] = []
    """The first entry that matches a stream counts. What Littoral folds into its own state (desired state, key-value,
    status, dead letters) is not looked up here."""
    spill: SpillPlace | None = None


class NodeSpec(Part, frozen=True):
    """A node."""

    tier: Tier
    parent: Parent | None = None
    """None for the root."""
    listen: Listen = Listen()
    advertise: list[str] = []
    """Host names and addresses that children use for this node, for its certificate; loopback is always in it."""
    gateways: Annotated[int, Meta(ge=0, le=64)] = 1
    """Gateway processes; used where listen.gateway is set."""
    gateway_tls: GatewayTls | None = None
    """None: the gateway's listener speaks plain HTTP/1.1. With it, HTTP/2, too."""
    static_roots: list[Annotated[str, Meta(pattern="^/")]] = []
    """Directories of which, and of what is below them, routes may serve files. Routes come from the root: what of this machine
    they may show is for this document to say."""
    inline_apps: list[Name] = []
    """Apps that may run in the gateways' own processes (`isolation: inline`), by name. What their code does, this node does: it
    can read the node's keys and stop its gateways. Apps come from the root: which are trusted that far is for this document to
    say."""
    cache_directory: Annotated[str, Meta(pattern="^/")] | None = None
    """Where the gateways keep HTTP answers on disk, as much of them as the limit gateway-disk-bytes says. None: `cache` in the
    data directory. Nothing is kept there where the store is encrypted: it would lie there in plain."""
    access_log: AccessLog | None = None
    """None: the requests at the gateways are not written down."""
    country_header: Annotated[str, Meta(pattern="^[A-Za-z0-9-]{0,64}$")] = ""
    """The header in which the proxy before the gateways says its client's country (ISO 3166, two letters): functions have it in
    `request.cf.country`. Whoever reaches a gateway without that proxy writes there what he likes. Empty: it is not known."""
    geo_databases: Annotated[list[Annotated[str, Meta(pattern="^/")]], Meta(max_length=8)] = []
    """Files in MaxMind's format (GeoLite2-City.mmdb, GeoLite2-ASN.mmdb) in which the gateways look up where a client is, by the
    address that is connected: country, city and more of `request.cf`, and the header `cf-ipcountry` for apps, origins and `vary`.
    Replace a file by renaming another to its name, as geoipupdate does. For gateways without a proxy before them: not with
    `countryHeader`."""
    mqtt: Mqtt = Mqtt()
    streams: Streams = Streams()
    encryption: Encryption | None = None
    """None: the store is not encrypted."""
    storage: Storage = Storage()
    status_interval: Duration = "5s"
    """How often the node reports its own state up the tree."""
    limits: dict[str, int] = {}
    """Values over the defaults in docs/reference/limits.md."""


class Node(Struct, tag_field="kind", tag="Node", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True):
    """One node of the tree."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: NodeSpec


Resource = Node | App | Namespace | Rule | Route | Origin | GlobalTopics
