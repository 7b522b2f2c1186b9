"""Header fields on their way between clients and origins (RFC 9110, section 7.6)."""

from littoral.core.errors import BadGateway
from littoral.gateway.field_block import Fields
from littoral.wire import relay
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.trace_context import TRACEPARENT, TRACESTATE, passes_on, read_traceparent, trace_of

PSEUDONYM = "littoral"
"""What this gateway calls itself in `via`, `cdn-loop` and `cache-status`."""
LOOPS = 8
"""A request that has come through here so often goes in a circle (RFC 8586): a tree is not so deep."""

_TRACE = frozenset({TRACEPARENT, TRACESTATE})
_OURS = _TRACE | {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "via", "cdn-loop"}
_FRAMING = frozenset({"content-length", "expect"})
_OVERRIDES = frozenset(
    {
        "forwarded",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-host",
        "x-original-host",
        "x-original-url",
        "x-rewrite-url",
    }
)
"""By these many servers take a request to be for another host or path than it says. They are in no cache key, and not for clients
to say."""
_METHODS = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
"""By these they take it to be of another method. Where the answer may be given to others, too, they are not for clients to say."""
_SHARED = frozenset({"GET", "HEAD"})
_NOT_FOR_ORIGINS = OF_THE_CONNECTION | _OURS | _OVERRIDES | _FRAMING | relay.FIELDS | {"host"}
_NOT_IF_SHARED = _NOT_FOR_ORIGINS | _METHODS
_NOT_FOR_CLIENTS = OF_THE_CONNECTION | relay.FIELDS | {"via"}


def for_origin(
    method: str, fields: Fields, *, host: str, asked: str, scheme: str, version: str, client: str, request_id: str
) -> list[tuple[str, str]]:
    """What a request says to an origin: all that the client said to whoever answers, and how it came here.

    host: the authority the origin is sent; asked: the one the client asked. Raises BadGateway for a request that has been
    here too often.
    """
    kept = [("host", host)]
    dropped = _NOT_IF_SHARED if method in _SHARED else _NOT_FOR_ORIGINS
    said: dict[str, str] = {}
    for field in fields:
        name, value = field
        if name not in dropped:
            kept.append(field)
        elif name == "connection":
            dropped = _with_named(dropped, value, kept)
        elif name in _OURS:
            said[name] = f"{said[name]}, {value}" if name in said else value
    loop = said.get("cdn-loop", "")
    if loop.count(PSEUDONYM) >= LOOPS:
        raise BadGateway(
            "send on request for", asked[:120], "it goes in a circle", "Check where the origin's targets lead"
        )
    kept += (
        ("x-forwarded-for", _after(said.get("x-forwarded-for"), client)),
        ("x-forwarded-host", asked),
        ("x-forwarded-proto", scheme),
        ("forwarded", _forwarded(client, asked, scheme)),
        ("x-request-id", request_id),
        ("via", _after(said.get("via"), f"{version} {PSEUDONYM}")),
        ("cdn-loop", _after(loop, PSEUDONYM)),
    )
    asks = read_traceparent(said[TRACEPARENT]) if TRACEPARENT in said else None
    kept.append((TRACEPARENT, str(trace_of(asks, request_id))))
    if asks is not None and TRACESTATE in said and passes_on(said[TRACESTATE]):
        kept.append((TRACESTATE, said[TRACESTATE]))
    return kept


def _forwarded(client: str, asked: str, scheme: str) -> str:
    """RFC 7239. Of what came before here, nothing: it says of hosts what nobody has checked."""
    address = f"[{client}]" if ":" in client else client
    return f'for="{address}";host="{asked}";proto={scheme}' if asked else f'for="{address}";proto={scheme}'


def for_client(fields: Fields, version: str) -> list[tuple[str, str]]:
    """What an origin's answer says to clients; without `content-length`, if its framing contradicts that.

    version: the version of HTTP that the answer came by.
    """
    kept: list[tuple[str, str]] = []
    dropped = _NOT_FOR_CLIENTS
    via = None
    for field in fields:
        name, value = field
        if name not in dropped:
            kept.append(field)
        elif name == "connection":
            dropped = _with_named(dropped, value, kept)
        elif name == "via":
            via = _after(via, value)
    kept.append(("via", _after(via, f"{version} {PSEUDONYM}")))
    return kept


def _with_named(dropped: frozenset[str], connection: str, kept: list[tuple[str, str]]) -> frozenset[str]:
    """A connection's fields are also those that `connection` names. `host` and `cache-control` never are: whoever names
    them there wants the next one to see another request than we did (RFC 9110, section 7.6.1)."""
    named = {part.strip().lower() for part in connection.split(",")} - {
        "",
        "close",
        "keep-alive",
        "host",
        "cache-control",
    }
    if not named - dropped:
        return dropped
    kept[:] = [field for field in kept if field[0] not in named]
    return dropped | named


def _after(before: str | None, value: str) -> str:
    return f"{before}, {value}" if before else value
