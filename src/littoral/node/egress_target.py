"""From what a function asks to what is sent: the URL in its parts, and the fields of the request."""

from functools import lru_cache
from typing import Literal, NamedTuple

import ada_url

from littoral.core.egress import shown_url
from littoral.core.errors import InvalidInput
from littoral.functions.egress_messages import Ask
from littoral.wire import client_facts, relay
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import FIELD_NAME, FIELD_VALUE
from littoral.wire.trace_context import TRACEPARENT, TRACESTATE, passes_on, read_traceparent, trace_of

KNOWN_URLS, KNOWN_CHARACTERS = 1024, 256
"""URLs that are remembered as they were read, and the longest that is."""
_PORTS = {"http:": 80, "https:": 443}
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
"""Fetch Standard, section 2.2.1."""
_OURS = (
    OF_THE_CONNECTION
    | client_facts.FIELDS
    | relay.FIELDS
    | {"host", "content-length", "expect", "http2-settings", "cdn-loop"}
)
"""Fields that a function cannot set: they say how a connection is used, whether a request goes in a circle, or what gateways tell."""
LOOP, LOOPS = "littoral", 8
"""As `littoral.gateway.forwarding` has them."""


class Target(NamedTuple):
    """What a URL says."""

    href: str
    """In canonical form, without its fragment."""
    scheme: Literal["http", "https"]
    host: str
    """A name or an address, in lower case and without brackets."""
    port: int
    authority: str
    """As `host` of the request."""
    path: str
    """With the query."""


def read_target(url: str, base: str) -> Target:
    """base: what the URL is relative to; empty for nothing. Raises InvalidInput."""
    # Functions ask the same again and again; long URLs would make much to be kept.
    return _remembered(url, base) if len(url) + len(base) <= KNOWN_CHARACTERS else _read(url, base)


def _read(url: str, base: str) -> Target:
    try:
        read = ada_url.URL(url, base or None)
    except ValueError:
        raise _refused(url, "it is no absolute URL", "Begin it with https:// or http://") from None
    if read.protocol not in _PORTS:
        raise _refused(url, f"{read.protocol} is no protocol that can be asked", "Use https:// or http://")
    if read.username or read.password:
        raise _refused(url, "it holds a user name or a password", "Put them into the header Authorization")
    read.hash = ""
    host = read.hostname.strip("[]")
    if not host:
        raise _refused(url, "it names no host", "")
    scheme: Literal["http", "https"] = "https" if read.protocol == "https:" else "http"
    port = int(read.port or _PORTS[read.protocol])
    return Target(read.href, scheme, host, port, read.host, f"{read.pathname}{read.search}")


_remembered = lru_cache(maxsize=KNOWN_URLS)(_read)


def location_of(location: str, target: Target) -> str:
    """Where a redirect leads; empty for nowhere."""
    try:
        return str(ada_url.URL(location, target.href).href)
    except ValueError:
        return ""


def fields_of(ask: Ask, target: Target) -> list[tuple[str, str]]:
    """The fields that are sent, without those that frame the body. Raises InvalidInput."""
    if ask.method.upper() in _REFUSED_METHODS or not FIELD_NAME.fullmatch(ask.method):
        raise _refused(target.href, f"{ask.method[:40]!r} is no method that can be used", "")
    if ask.length is not None and ask.length < 0:
        raise _refused(target.href, f"{ask.length} is no length of a body", "")
    if ask.cdn_loop.count(LOOP) >= LOOPS:
        cause = f"this request goes in a circle: it has come through gateways {LOOPS} times"
        raise _refused(target.href, cause, "Do not ask for what the app itself answers")
    kept = [("host", target.authority)]
    named = {""}
    for name, value in ask.headers:
        lower, text = name.lower(), value.strip(" \t")
        if not FIELD_NAME.fullmatch(lower) or not FIELD_VALUE.fullmatch(text):
            raise _refused(target.href, f"its header {name[:40]!r} holds a character that none may hold", "")
        if lower == "connection":
            named |= {part.strip().lower() for part in text.split(",")}
        if lower not in _OURS:
            kept.append((lower, text))
    kept = [field for field in kept if field[0] == "host" or field[0] not in named]
    if ask.cdn_loop:
        kept.append(("cdn-loop", ask.cdn_loop))
    if ask.web_socket:
        kept += [("connection", "upgrade"), ("upgrade", "websocket")]
    return _in_trace(kept, ask)


def _in_trace(fields: list[tuple[str, str]], ask: Ask) -> list[tuple[str, str]]:
    """With the trace of the request for whose sake this is sent, unless the function has set another one."""
    own = next((value for name, value in fields if name == TRACEPARENT), None)
    if own is not None and own != ask.traceparent:
        return fields
    asks = read_traceparent(ask.traceparent)
    # The request itself is in this trace, whether or not its client had begun one.
    around = asks or trace_of(None, ask.request_id)
    fields = [field for field in fields if field[0] not in (TRACEPARENT, TRACESTATE)]
    fields.append((TRACEPARENT, str(trace_of(around, f"{ask.request_id} {ask.number}"))))
    if asks is not None and ask.tracestate and passes_on(ask.tracestate):
        fields.append((TRACESTATE, ask.tracestate))
    return fields


def _refused(url: str, cause: str, remedy: str) -> InvalidInput:
    return InvalidInput("fetch", shown_url(url), cause, remedy)
