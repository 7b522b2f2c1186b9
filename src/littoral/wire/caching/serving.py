"""What is done with a request, by what is stored (RFC 9111, section 4)."""

from enum import Enum, auto

from littoral.wire.caching.directives import RequestDirectives
from littoral.wire.caching.storing import Stored

STALE_WARNING = ("warning", '110 - "Response is Stale"')
"""Goes with what is served stale (RFC 7234, section 5.5.1). Obsolete since RFC 9111, which leaves it to `Age`, but still the
only thing that says it outright."""

ERRORS = frozenset({500, 502, 503, 504})
"""What of an origin is an error that stale responses may hide (RFC 5861, section 4)."""


class Decision(Enum):
    """What is to be done."""

    FRESH = auto()
    """Serve it."""
    STALE_WHILE_REVALIDATE = auto()
    """Serve it, with `STALE_WARNING`, and validate it meanwhile."""
    STALE = auto()
    """Serve it, with `STALE_WARNING`: the client takes it as it is."""
    VALIDATE = auto()
    """Ask the origin whether it still holds."""
    FETCH = auto()
    """Ask the origin for it."""
    NOT_CACHED = auto()
    """Answer 504: the client wants nothing that is not here (only-if-cached)."""


_FROM_ORIGIN = frozenset({Decision.VALIDATE, Decision.FETCH})


def decide(stored: Stored | None, asked: RequestDirectives | None, now_s: float) -> Decision:
    """Of a request for what is stored; None for nothing. asked: by `directives.request_directives`."""
    if stored is not None:
        if asked is not None:
            return _decide_as_asked(stored, asked, now_s)
        if now_s < stored.fresh_until_s:
            return Decision.FRESH
        if now_s < stored.revalidate_until_s:
            return Decision.STALE_WHILE_REVALIDATE
        return _ask_origin(stored)
    return Decision.NOT_CACHED if asked is not None and asked.only_if_cached else Decision.FETCH


def may_serve_on_error(stored: Stored, now_s: float) -> bool:
    """Whether it may be sent, with `STALE_WARNING`, instead of the origin's error (one of `ERRORS`), or where the origin
    cannot be reached (RFC 5861, section 4; RFC 9111, sections 4.2.4 and 4.3.3)."""
    return now_s < stored.error_until_s


def age_s(stored: Stored, now_s: float) -> int:
    """For `Age`, which every response from a cache has."""
    return max(0, int(now_s - stored.born_s))


def _decide_as_asked(stored: Stored, asked: RequestDirectives, now_s: float) -> Decision:
    """RFC 9111, section 5.2.1."""
    decision = decide(stored, None, now_s)
    fresh_enough = asked.min_fresh is None or stored.fresh_until_s - now_s >= asked.min_fresh
    young_enough = asked.max_age is None or now_s - stored.born_s <= asked.max_age
    if asked.no_cache or not fresh_enough or not young_enough:
        decision = _ask_origin(stored)
    elif (
        decision in _FROM_ORIGIN
        and asked.max_stale is not None
        and not stored.must_revalidate
        and now_s - stored.fresh_until_s <= asked.max_stale
    ):
        return Decision.STALE
    return Decision.NOT_CACHED if asked.only_if_cached and decision in _FROM_ORIGIN else decision


def _ask_origin(stored: Stored) -> Decision:
    return Decision.VALIDATE if stored.etag or stored.modified else Decision.FETCH
