"""Cache-Status (RFC 9211): what a cache did with a request, for who wants to know why."""

import re
from functools import lru_cache
from typing import Literal

from littoral.wire.caching.fields import members

Forward = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]
"""Why a request went on to the origin (section 2.2)."""

_UNSENDABLE = re.compile(r"[^\x20-\x7e]")
_QUOTED = re.compile(r'(["\\])')
_TEXT_CHARACTERS = 1024


def cache_status(
    name: str,
    *,
    forward: Forward | None = None,
    forward_status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl_s: float | None = None,
    key: str | None = None,
    detail: str | None = None,
) -> str:
    """This cache's member, to be put after what other caches, nearer to the origin, have said. name: a token. forward: None for a
    hit. forward_status: what the origin answered, where it differs from what was sent. ttl_s: for how long what was sent is still
    fresh; negative if it is not. key, detail: any text; what a structured field cannot hold of it is replaced."""
    assert forward is not None or not (forward_status or stored or collapsed), name
    parts = [name, "hit" if forward is None else f"fwd={forward}"]
    if forward_status is not None:
        parts.append(f"fwd-status={forward_status}")
    if stored:
        parts.append("stored")
    if collapsed:
        parts.append("collapsed")
    if ttl_s is not None:
        parts.append(f"ttl={int(ttl_s)}")
    if key is not None:
        parts.append(f"key={_string(key)}")
    if detail is not None:
        parts.append(f"detail={_string(detail)}")
    return "; ".join(parts)


def decision(status: str) -> str:
    """What the cache did that has spoken last, in a word: hit, stale-hit, collapsed, validated (the origin said that what is
    stored still holds), or why it went on, as `Forward` has it. status: the field, as `cache_status` makes it; empty for none."""
    said = members(status)
    # Behind the first quote is text, which may look like anything.
    member = said[-1].partition('"')[0] if said else ""
    if "; hit" in member:
        return "stale-hit" if "; ttl=-" in member else "hit"
    if "; collapsed" in member:
        return "collapsed"
    if "; fwd-status=304" in member:
        return "validated"
    return member.partition("; fwd=")[2].partition(";")[0]


@lru_cache(maxsize=256)
def _string(text: str) -> str:
    """RFC 9651, section 4.1.6."""
    sendable = _UNSENDABLE.sub("?", text[:_TEXT_CHARACTERS])
    return '"' + _QUOTED.sub(r"\\\1", sendable) + '"'
