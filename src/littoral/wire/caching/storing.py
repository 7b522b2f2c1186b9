"""Whether a response may be stored, and what its use rests on (RFC 9111, section 3).

All that a hit needs is worked out here, once, as moments: serving compares them with the present.
"""

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urljoin

from msgspec import Struct

from littoral.wire.byte_range import Span, content_range
from littoral.wire.caching.directives import request_directives
from littoral.wire.caching.fields import Fields, connection_names
from littoral.wire.caching.freshness import Received, initial_age_s, lifetime_s, read_response
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.selection import parse_vary

NEVER = 0.0
"""As a moment: long past."""

HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""RFC 9110, section 15.1: these may be stored though they do not say how long they are fresh."""
UNDERSTOOD = HEURISTIC | {201, 202, 205, 302, 303, 305, 307, 400, 401, 402, 403, 406, 407, 408, 409, 411, 412, 413, 415}
UNDERSTOOD |= {416, 417, 421, 422, 426, 500, 502, 503, 504, 505}
"""Whose meaning for a cache is known (RFC 9111, section 5.2.2.3): those of RFC 9110."""


class NotStored(StrEnum):
    """Why a response is not stored."""

    METHOD = "method"
    """Neither GET, nor a POST whose response says that it is what GET would give."""
    STATUS = "status"
    """Not final, or not of a kind that may be stored without saying how long it is fresh."""
    REQUEST_NO_STORE = "request-no-store"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    """The request was authenticated, and the response does not say that it is for others, too."""
    SET_COOKIE = "set-cookie"
    VARY = "vary"
    """It depends on more than the request's fields."""
    RANGE = "range"
    """A part that cannot be told where it belongs."""
    USELESS = "useless"
    """Stale on arrival, with nothing to validate it by."""


class Stored(Struct, frozen=True):
    """A response as it is stored, without its body. Moments are in seconds since the epoch, `NEVER` where there is none."""

    status: int
    fields: tuple[tuple[str, str], ...]
    """What is sent on a hit. Without content-length and content-range, which follow from the body, and without age."""
    born_s: float
    """When the origin made it, by the age it came with: the present less this is its age."""
    date_s: float
    fresh_until_s: float
    revalidate_until_s: float
    """Until when it may be served stale while it is validated."""
    error_until_s: float
    """Until when it may stand in for an origin that fails."""
    vary: tuple[str, ...] = ()
    """The request fields that it depends on."""
    etag: str = ""
    modified: str = ""
    """Last-Modified as it came."""
    modified_s: float | None = None
    must_revalidate: bool = False
    """Never to be served stale, whoever asks."""
    heuristic: bool = False
    """It does not say itself how long it is fresh."""
    parts: tuple[Span, ...] = ()
    """Which bytes of the representation there are, in order and apart; empty for all."""
    total: int = 0
    """Of a partial one: the length of the whole."""

    @property
    def whole(self) -> bool:
        """Whether all of the representation is there."""
        return not self.parts or self.parts == ((0, self.total),)


def judge(
    method: str,
    asked: Mapping[str, str],
    status: int,
    response_fields: Fields,
    request_s: float,
    response_s: float,
    policy: CachePolicy,
    *,
    uri: str = "",
) -> Stored | NotStored:
    """Of a final response. asked: the fields of the request as the origin got it, by `fields.table`. request_s, response_s:
    when the request was sent and when the response's head came. uri: of the request, absolute; without it no response to POST is
    stored.

    What a 304 or the answer to HEAD says of what is stored is told by `validation`. Of a part, the bytes that really came are to be
    told to `ranges.received` afterwards."""
    response = read_response(status, response_fields, request_s, response_s, policy)
    if method != "GET" and not (method == "POST" and _is_what_get_gives(response, uri)):
        return NotStored.METHOD
    # 304 is about what is stored already, and 416 about the range that was asked for.
    if status < 200 or status in {304, 416}:
        return NotStored.STATUS
    parts: tuple[Span, ...] = ()
    total = 0
    if status == 206:
        part = content_range(response.by_name.get("content-range", ""))
        if part is None or "range" not in asked:
            return NotStored.RANGE
        parts, total = (part[:2],), part[2]
    return _judge(asked, response, parts, total, policy)


def never_stored(status: int, fields: Fields, policy: CachePolicy) -> NotStored | None:
    """What `judge` says of a response to GET whenever it comes, and whoever asked without a `cache-control`; None where that has to
    be judged. It follows from the arguments alone, and may be remembered with them."""
    said = read_response(status, fields, NEVER, NEVER, policy).directives
    if status < 200 or status in {206, 304, 416} or said.must_understand:
        return None
    if said.no_store:
        return NotStored.NO_STORE
    return NotStored.PRIVATE if said.private else None


def judge_again(
    stored: Stored,
    asked: Mapping[str, str],
    fields: Fields,
    request_s: float,
    response_s: float,
    policy: CachePolicy,
) -> Stored | NotStored:
    """Of a stored response with these new fields: its own, updated."""
    response = read_response(stored.status, fields, request_s, response_s, policy)
    return _judge(asked, response, stored.parts, stored.total, policy)


def _is_what_get_gives(response: Received, uri: str) -> bool:
    """RFC 9110, section 9.3.3: explicit freshness, and Content-Location that is the target itself."""
    location = response.by_name.get("content-location")
    if not uri or location is None or not response.is_explicit or response.status == 206:
        return False
    try:
        return urljoin(uri, location) == uri
    except ValueError:
        return False


def _judge(
    asked: Mapping[str, str], response: Received, parts: tuple[Span, ...], total: int, policy: CachePolicy
) -> Stored | NotStored:
    refused = _refusal(asked, response, policy)
    if refused is not None:
        return refused
    vary = parse_vary(response.by_name.get("vary"))
    if vary is None:
        return NotStored.VARY
    stored = _stored(asked, response, vary, parts, total, policy)
    useful = bool(stored.etag or stored.modified) or response.response_s < max(
        stored.fresh_until_s,
        stored.revalidate_until_s,
        # The policy's window alone is no reason to store what is stale already.
        stored.error_until_s if response.directives.stale_if_error is not None else NEVER,
    )
    return stored if useful else NotStored.USELESS


def _refusal(asked: Mapping[str, str], response: Received, policy: CachePolicy) -> NotStored | None:
    """RFC 9111, section 3."""
    said = response.directives
    wish = asked.get("cache-control")
    if wish is not None and (directives := request_directives(wish, False)) is not None and directives.no_store:
        return NotStored.REQUEST_NO_STORE
    if said.must_understand:
        if response.status not in UNDERSTOOD:
            return NotStored.NO_STORE
    elif said.no_store:
        return NotStored.NO_STORE
    if said.private:
        return NotStored.PRIVATE
    if "authorization" in asked and not (said.public or said.must_revalidate or said.s_maxage is not None):
        return NotStored.AUTHORIZATION
    if "set-cookie" in response.by_name and not policy.store_set_cookie and "set-cookie" not in said.withheld:
        return NotStored.SET_COOKIE
    if response.status in HEURISTIC or response.status in policy.ttl_by_status_s or said.public:
        return None
    return None if response.is_explicit else NotStored.STATUS


def _stored(
    asked: Mapping[str, str],
    response: Received,
    vary: tuple[str, ...],
    parts: tuple[Span, ...],
    total: int,
    policy: CachePolicy,
) -> Stored:
    said = response.directives
    date_s, modified_s = response.date("date"), response.date("last-modified")
    born_s = response.response_s - initial_age_s(response)
    explicit = response.is_explicit
    fresh_s = lifetime_s(asked, response, policy)
    fresh_until_s = NEVER if said.no_cache else born_s + fresh_s
    # Without a word on stale use, s-maxage forbids it (RFC 9111, section 5.2.2.10); and what does not say how long it is fresh
    # may well be meant for one client: the policy's windows are not for that, unless the policy says how long.
    told = (
        explicit
        or policy.override_ttl_s is not None
        or response.status in policy.ttl_by_status_s
        or policy.default_ttl_s > 0
    )
    settled = told and said.s_maxage is None
    strict = said.no_cache or said.must_revalidate or said.proxy_revalidate

    def until(directive: int | None, default_s: float) -> float:
        window_s = directive if directive is not None else default_s if settled else 0
        return NEVER if strict or window_s <= 0 else fresh_until_s + window_s

    # What is never fresh is not meant to be served without asking, unless it says so.
    default_s = policy.stale_while_revalidate_s if fresh_s > 0 else 0.0
    revalidate_until_s = until(said.stale_while_revalidate, default_s)
    return Stored(
        status=response.status,
        fields=_kept(response, policy),
        born_s=born_s,
        date_s=date_s if date_s is not None else response.response_s,
        fresh_until_s=fresh_until_s,
        revalidate_until_s=revalidate_until_s,
        error_until_s=max(revalidate_until_s, until(said.stale_if_error, policy.stale_if_error_s)),
        vary=vary,
        etag=response.by_name.get("etag", ""),
        modified=response.by_name["last-modified"] if modified_s is not None else "",
        modified_s=modified_s,
        must_revalidate=strict or said.s_maxage is not None,
        heuristic=not explicit,
        parts=parts,
        total=total,
    )


def _kept(response: Received, policy: CachePolicy) -> tuple[tuple[str, str], ...]:
    """RFC 9111, section 3.1."""
    dropped = connection_names(response.by_name.get("connection"))
    dropped |= response.directives.withheld
    # What caches before this one did (RFC 9211), and how long it took, was about the request that brought it.
    dropped |= {"age", "content-length", "cache-status", "server-timing", *policy.consumed_fields}
    if response.status == 206:
        dropped |= {"content-range"}
    if not policy.store_set_cookie:
        dropped |= {"set-cookie"}
    if response.date("date") is None:
        # A recipient with a clock says itself when it came (RFC 9110, section 6.6.1).
        kept = [field for field in response.fields if field[0] not in dropped and field[0] != "date"]
        return (*kept, ("date", format_date(response.response_s)))
    return tuple([field for field in response.fields if field[0] not in dropped])
