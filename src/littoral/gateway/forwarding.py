"""Header fields on their way between clients and origins (RFC 9110, section 7.6).

What follows from fields alone is remembered by them: clients and origins say the same again and again.
"""

from typing import NamedTuple

from littoral.core.errors import BadGateway
from littoral.core.remembered import Remembered
from littoral.gateway.field_block import Fields
from littoral.wire import client_facts, relay
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import may_be_remembered
from littoral.wire.trace_context import TRACEPARENT, TRACESTATE, TraceContext, passes_on, read_traceparent, traceparent

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
SHARED = frozenset({"GET", "HEAD"})
"""Methods whose answers may be given to others, too."""
_NOT_FOR_ORIGINS = OF_THE_CONNECTION | _OURS | _OVERRIDES | _FRAMING | relay.FIELDS | client_facts.FIELDS | {"host"}
_NOT_IF_SHARED = _NOT_FOR_ORIGINS | _METHODS
_NOT_FOR_CLIENTS = OF_THE_CONNECTION | relay.FIELDS | {"via"}
_OF_ONE_REQUEST = _TRACE | {"x-request-id"}
KEPT = 2048
"""Of requests, and of answers, that are remembered."""


class Asking(NamedTuple):
    """What a request is passed on with, but for its own name."""

    is_shared: bool
    """Whether the answer may be given to others, too."""
    fields: tuple[tuple[str, str], ...]
    """As the client sent them."""
    host: str
    """The authority the origin is sent."""
    asked: str
    """The one the client asked."""
    scheme: str
    version: str
    client: str


Asked = tuple[bool, tuple[tuple[str, str], ...], str, str, str, str, str]
"""An Asking, which takes longer to make than all that is asked of it where its answer is remembered."""


class PassedOn(NamedTuple):
    """What an origin is told of it."""

    fields: tuple[tuple[str, str], ...]
    asks: TraceContext | None
    """Whose trace it belongs to; None for nobody's yet."""
    state: str
    """`tracestate`; empty for none."""


def for_origin(
    method: str, fields: Fields, *, host: str, asked: str, scheme: str, version: str, client: str, request_id: str
) -> list[tuple[str, str]]:
    """What a request says to an origin: all that the client said to whoever answers, and how it came here.

    host: the authority the origin is sent; asked: the one the client asked. Raises BadGateway for a request that has been
    here too often.
    """
    passed = passed_on(Asking(method in SHARED, tuple(fields), host, asked, scheme, version, client))
    return [*passed.fields, *own_fields(passed, request_id)]


def passed_on(asking: Asked) -> PassedOn:
    """The same for all requests that say the same. asking: an Asking, or its parts. Raises BadGateway as `for_origin`."""
    return _passed_on[asking]


def own_fields(passed: PassedOn, request_id: str) -> list[tuple[str, str]]:
    """What only this one says: its name, and its place in a trace."""
    own = [("x-request-id", request_id), (TRACEPARENT, traceparent(passed.asks, request_id))]
    if passed.state:
        own.append((TRACESTATE, passed.state))
    return own


def _pass_on(asked: Asked) -> PassedOn:
    asking = Asking(*asked)
    kept = [("host", asking.host)]
    dropped = _NOT_IF_SHARED if asking.is_shared else _NOT_FOR_ORIGINS
    said: dict[str, str] = {}
    for field in asking.fields:
        name, value = field
        if name not in dropped:
            kept.append(field)
        elif name == "connection":
            dropped = _with_named(dropped, value, kept)
        elif name in _OURS:
            said[name] = f"{said[name]}, {value}" if name in said else value
    loop = said.get("cdn-loop")
    if loop is not None and loop.count(PSEUDONYM) >= LOOPS:
        raise BadGateway(
            "send on request for", asking.asked[:120], "it goes in a circle", "Check where the origin's targets lead"
        )
    kept += (
        ("x-forwarded-for", _after(said.get("x-forwarded-for"), asking.client)),
        ("x-forwarded-host", asking.asked),
        ("x-forwarded-proto", asking.scheme),
        ("forwarded", _forwarded(asking.client, asking.asked, asking.scheme)),
        ("via", _after(said.get("via"), f"{asking.version} {PSEUDONYM}")),
        ("cdn-loop", _after(loop, PSEUDONYM)),
    )
    asks = read_traceparent(said[TRACEPARENT]) if TRACEPARENT in said else None
    state = said.get(TRACESTATE, "") if asks is not None else ""
    return PassedOn(tuple(kept), asks, state if passes_on(state) else "")


def may_come_again(asked: Asked) -> bool:
    """Whether what is worked out from it is remembered. Of what would not come again, nothing; and secrets for no longer than they are
    needed."""
    fields = asked[1]
    is_of_one = any(name in _OF_ONE_REQUEST for name, _ in fields)
    return not is_of_one and may_be_remembered(fields)


_passed_on = Remembered(_pass_on, KEPT, may_come_again)


def _forwarded(client: str, asked: str, scheme: str) -> str:
    """RFC 7239. Of what came before here, nothing: it says of hosts what nobody has checked."""
    address = f"[{client}]" if ":" in client else client
    return f'for="{address}";host="{asked}";proto={scheme}' if asked else f'for="{address}";proto={scheme}'


def for_client(fields: Fields, version: str) -> tuple[tuple[str, str], ...]:
    """What an origin's answer says to clients.

    version: the version of HTTP that the answer came by.
    """
    return _for_client[tuple(fields), version]


def _give_client(answered: tuple[tuple[tuple[str, str], ...], str]) -> tuple[tuple[str, str], ...]:
    fields, version = answered
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
    return tuple(kept)


_for_client = Remembered(_give_client, KEPT, lambda answered: may_be_remembered(answered[0]))


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
