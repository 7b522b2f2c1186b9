"""Documents of the HTTP data plane: where requests go, what is kept of the answers, and the servers they come from."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from littoral.core.resources.access_log import RouteLog
from littoral.core.resources.part import Duration, Metadata, Name, Part, Placement, RouteMatch

FieldName = Annotated[
    str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", description="Name of an HTTP header field")
]
CookieName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", description="Name of a cookie")]
Status = Annotated[str, Meta(pattern="^[2-5][0-9][0-9]$", description="An HTTP status")]
Statuses = Annotated[
    str,
    Meta(pattern="^[2-5][0-9][0-9](-[2-5][0-9][0-9])?$", description='An HTTP status ("204"), or a range ("200-399")'),
]


# --- Listener


class CertificateFiles(Part, frozen=True):
    """PEM files that belong together."""

    certificate: Annotated[str, Meta(pattern="^/")]
    """The certificate, followed by the chain to its CA."""
    key: Annotated[str, Meta(pattern="^/")]


class GatewayTls(Part, frozen=True):
    """What the gateway's listener shows to clients."""

    certificates: Annotated[list[CertificateFiles], Meta(min_length=1, max_length=1000)]
    """A client is shown the one with the name that it asks for, or else the first. Files that change are read again."""
    minimum: Literal["tls1.2", "tls1.3"] = "tls1.2"
    """The oldest version that is spoken."""


# --- Route


class QueryKey(Part, frozen=True):
    """Which parameters of the query belong to the cache key. Those that do not are sent to the origin all the same."""

    allow: list[str] | None = None
    """Only these; None for all. An entry may end with "*"."""
    deny: list[str] = []
    """Not these. An entry may end with "*"."""
    sort: bool = False
    """Whether their order is of no account."""


class CacheKey(Part, frozen=True):
    """What tells one cached object from another, besides host, path and what `Vary` says."""

    query: QueryKey = QueryKey()
    headers: list[FieldName] = []
    """Fields whose values belong to the key."""
    cookies: list[CookieName] = []
    device: bool = False
    """Whether the kind of device does: mobile, tablet or desktop, by Sec-CH-UA-Mobile and User-Agent."""


class Cache(Part, frozen=True):
    """What is kept of the answers, and for how long. Without anything of this the answers say so themselves, by RFC 9111."""

    enabled: bool = True
    key: CacheKey = CacheKey()
    ttl: Duration | None = None
    """Of every answer that may be stored, whatever it says of its freshness."""
    default_ttl: Duration = "0s"
    """Of answers that may be stored and say nothing of their freshness, not even when they were changed."""
    status_ttl: dict[Status, Duration] = {}
    """As defaultTtl, for answers of these statuses: {"404": "10s"}."""
    maximum_ttl: Duration = "365d"
    """Nothing is fresh for longer."""
    heuristic: bool = True
    """Whether an answer that says when it was changed, and not how long it is fresh, is so for a tenth of its age, and a day
    at most."""
    stale_while_revalidate: Duration = "0s"
    """How long a stale answer is given while it is fetched again, where it does not say itself."""
    stale_if_error: Duration = "1d"
    """How long a stale answer is given where the origin fails, where it does not say itself. "0s": not at all."""
    targeted: list[FieldName] = field(default_factory=lambda: ["CDN-Cache-Control"])
    """Fields meant for caches like this one, the first that is there counts (RFC 9213)."""
    set_cookie: bool = False
    """Whether answers that set cookies are stored, and given with the cookies to everybody."""
    obey_clients: bool = False
    """Whether a client may demand, by Cache-Control, that the origin is asked (RFC 9111, section 5.2.1). Anyone may then have
    every request sent on."""
    collapse: bool = True
    """Whether clients that want what is being fetched wait for that, instead of having it fetched again."""
    shield: bool = True
    """Whether the parent node is asked before the origin, where it has a relay. Not for origins with `affinity`."""


class Static(Part, frozen=True):
    """Files of a directory of the node, which its document has to allow (spec.staticRoots)."""

    directory: Annotated[str, Meta(pattern="^/")]
    """An absolute path. Nothing outside of it is served, and no symbolic link below it is followed."""
    index: str = "index.html"
    """What is served of a directory."""
    not_found: str | None = None
    """A file that is served with 404 where there is nothing else; relative to `directory`."""
    single_page: bool = False
    """Whether what is not there is answered with the index of `directory`."""
    cache_control: str = "public, max-age=0, must-revalidate"
    """What clients are told."""
    precompressed: bool = False
    """Whether a client that takes it is given NAME.br, NAME.zst or NAME.gz in place of a file NAME that is not younger."""


class RouteSpec(Part, frozen=True):
    """Requests, and who answers them: exactly one of origin, app and static."""

    match: Annotated[list[RouteMatch], Meta(min_length=1)]
    """A request that any of these matches."""
    placement: Placement = Placement()
    origin: Name | None = None
    """The name of an Origin document."""
    app: Name | None = None
    """The name of an App document."""
    static: Static | None = None
    strip_prefix: Annotated[str, Meta(pattern="^/")] | None = None
    """Taken off the path before it is sent on or looked up."""
    access_log: RouteLog | None = None
    """None: as the node's document says."""
    server_timing: bool = False
    """Whether clients are told where the time went (Server-Timing): of the cache, of origins, all together. It tells
    outsiders about the inside."""
    cache: Cache | None = None
    """Of an origin: None for all defaults. Of an app: None for no cache. Files are not cached."""


class Route(
    Struct, tag_field="kind", tag="Route", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True
):
    """Where requests go."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: RouteSpec


# --- Origin


class Target(Part, frozen=True):
    """One server of an origin."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/\s?#@]+$", description="http://HOST[:PORT] or https://HOST[:PORT]")]
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Its share, beside the others'."""
    region: str = ""
    """Targets whose region is the node's label `region` are used before others."""
    host: str | None = None
    """The Host that this target is sent, its health checks included; None for that of the origin."""


class OriginTls(Part, frozen=True):
    """How targets prove who they are, where their URL is https."""

    ca_file: Annotated[str, Meta(pattern="^/")] | None = None
    """PEM with the CAs that may have signed them; None for the machine's."""
    server_name: str | None = None
    """The name in their certificates; None for the host of the URL."""


class HealthCheck(Part, frozen=True):
    """A GET that a target is sent now and then. One that is well answers with one of `statuses`."""

    path: Annotated[str, Meta(pattern="^/")]
    statuses: Annotated[list[Statuses], Meta(min_length=1)] = field(default_factory=lambda: ["200-399"])
    interval: Duration = "10s"
    timeout: Duration = "2s"
    healthy: Annotated[int, Meta(ge=1, le=100)] = 2
    """After so many good answers in a row it is used again."""
    unhealthy: Annotated[int, Meta(ge=1, le=100)] = 3
    """After so many bad ones it is not used."""


class Ejection(Part, frozen=True):
    """When a target is left alone for a while because of what requests met there."""

    failures: Annotated[int, Meta(ge=1, le=10_000)] = 5
    """In a row: no connection, no answer in time, or one with status 502, 503 or 504."""
    base: Duration = "10s"
    """For so long the first time; each further time for as much longer."""
    maximum: Duration = "5m"
    most_percent: Annotated[int, Meta(ge=0, le=100)] = 50
    """Of the targets; where more fail, all are used."""


class Retry(Part, frozen=True):
    """When a request is sent again, to another target where there is one. What cannot have been acted on, because no
    connection came about, always is; else only idempotent requests are (RFC 9110, section 9.2.2)."""

    tries: Annotated[int, Meta(ge=1, le=10)] = 2
    """All together."""
    statuses: list[Status] = field(default_factory=lambda: ["502", "503", "504"])
    """Answers that count as failures, while there are tries left."""
    budget_percent: Annotated[int, Meta(ge=0, le=100)] = 20
    """Retries, of all requests of the last ten seconds: so that they do not bring down what is overloaded."""


class OriginTimes(Part, frozen=True):
    """How long a target may take."""

    connect: Duration = "5s"
    head: Duration = "60s"
    """From the end of the request to the beginning of the answer."""
    idle: Duration = "60s"
    """Between two pieces of a body."""


class HashBy(Part, frozen=True):
    """What consistent-hash goes by: exactly one of these. A request that does not have it goes by its cache key."""

    header: FieldName | None = None
    """The value of a header field."""
    cookie: CookieName | None = None
    """The value of a cookie, such as that of the application's session."""
    client: bool = False
    """The client's address."""


class AffinityCookie(Part, frozen=True):
    """A cookie that the gateway sets and reads, and that origins do not see. It tells nobody what the target's address is."""

    name: CookieName | None = None
    """None for "littoral-affinity-" and the origin's name."""
    max_age: Duration | None = None
    """How long the client keeps it; None for as long as its browser runs."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    secure: bool | None = None
    """Whether the client sends it over https only. None: if it came by https, or `sameSite` is "none", which needs it."""


class Affinity(Part, frozen=True):
    """How a client comes back to the target that has answered it, as long as that can be used."""

    cookie: AffinityCookie = AffinityCookie()


class OriginSpec(Part, frozen=True):
    """A pool of servers that give the same answers."""

    targets: Annotated[list[Target], Meta(min_length=1, max_length=1000)]
    placement: Placement = Placement()
    balance: Literal["round-robin", "least-request", "consistent-hash"] = "least-request"
    """consistent-hash: by the cache key, so that each target is asked for its part of the objects; or by `hashBy`."""
    hash_by: HashBy | None = None
    affinity: Affinity | None = None
    """Goes before `balance`, for clients that bring the mark of a target."""
    host: str | None = None
    """The Host that targets are sent, with its port if they are to see one; None for the one that the client asked."""
    tls: OriginTls = OriginTls()
    health: HealthCheck | None = None
    ejection: Ejection = Ejection()
    retry: Retry = Retry()
    timeouts: OriginTimes = OriginTimes()
    connections: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """To each target, from each gateway process; one request at a time goes over each."""
    waiting: Annotated[int, Meta(ge=0, le=100_000)] = 1024
    """Requests that wait for a connection, in each gateway process; what is more is answered with 503."""


class Origin(
    Struct, tag_field="kind", tag="Origin", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True
):
    """Servers that requests are sent on to."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: OriginSpec
