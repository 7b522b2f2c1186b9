"""What a route may set of how responses are cached. The defaults are what RFC 9111 says, careful where it leaves a choice."""

from msgspec import Struct

from littoral.wire.caching.directives import LONGEST_S

DAY_S = 86_400.0


class CachePolicy(Struct, frozen=True, kw_only=True):
    """Times are in seconds."""

    heuristic_fraction: float = 0.1
    """Of the time since it was last modified: how long a response that does not say it is fresh (RFC 9111, section 4.2.2). 0: it
    is not."""
    heuristic_most_s: float = DAY_S
    ttl_by_status_s: dict[int, float] = {}
    """How long responses with this status are fresh that do not say it: negative caching, for 404 and the like. Before the
    heuristic."""
    default_ttl_s: float = 0.0
    """How long others are fresh that do not say it, where there is nothing to guess it from. Unlike the guess also for responses
    to requests with cookies."""
    minimum_ttl_s: float = 0.0
    """A response that may be stored and used is fresh for at least this long, whatever it says."""
    maximum_ttl_s: float = float(LONGEST_S)
    override_ttl_s: float | None = None
    """Instead of what the response says of how long it is fresh. no-store, no-cache, private and the rest still hold."""
    stale_while_revalidate_s: float = 0.0
    """For responses that say how long they are fresh, but not this (RFC 5861). An explicit directive always goes before it."""
    stale_if_error_s: float = DAY_S
    """How long a stale response stands in for an origin that cannot be reached or fails (RFC 9111, sections 4.2.4 and 4.3.3), for
    responses that say how long they are fresh, but not this. 0: never."""
    store_set_cookie: bool = False
    """Whether responses that set cookies are stored, with them. They are mostly meant for one client."""
    targeted_fields: tuple[str, ...] = ("cdn-cache-control",)
    """Which targeted fields (RFC 9213) are meant for this cache, the most specific first; in lower case."""
    consumed_fields: tuple[str, ...] = ()
    """Not stored and so not sent on a hit: what is for this cache alone; in lower case."""
    honour_request_directives: bool = False
    """Whether a client's no-cache, max-age, min-fresh and max-stale are obeyed. They are advisory (RFC 9111, section 5.2.1), and
    with them anyone may send every request on to the origin. no-store and only-if-cached, which cannot, always are."""
    name: str = "Littoral"
    """In Cache-Status and Via; a token."""
