"""Cache-Status (RFC 9211): what a cache did with a request, for who wants to know why."""

import re
from functools import lru_cache
from typing import Literal

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


@lru_cache(maxsize=256)
def _string(text: str) -> str:
    """RFC 9651, section 4.1.6."""
    sendable = _UNSENDABLE.sub("?", text[:_TEXT_CHARACTERS])
    return '"' + _QUOTED.sub(r"\\\1", sendable) + '"'
