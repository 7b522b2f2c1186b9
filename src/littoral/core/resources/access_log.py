"""Which requests at the gateways are written down, where, and what of them."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from littoral.core.resources.check import Mistake, repeated
from littoral.core.resources.part import Part
from littoral.core.resources.problem import suggestion

DEFAULT_FIELDS = (
    "time",
    "request_id",
    "trace_id",
    "client",
    "method",
    "scheme",
    "host",
    "path",
    "status",
    "bytes",
    "duration_ms",
    "complete",
    "route",
    "cache",
    "origin",
    "tries",
    "user_agent",
)
FIELDS = (*DEFAULT_FIELDS, "query", "version", "referer", "span_id", "failure")
"""Described in docs/reference/access-log.md."""
REQUEST, RESPONSE = "request.", "response."
"""What the name of a header field comes after."""
SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Whoever has read one of these can do what its sender may. They are written nowhere."""

_HEADER = re.compile(r"(?:request|response)\.([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})")

LogField = Annotated[
    str, Meta(max_length=140, description="A field of docs/reference/access-log.md, or request.NAME, response.NAME")
]
Percent = Annotated[float, Meta(ge=0, le=100)]


class AccessLog(Part, frozen=True):
    """The requests of a node's gateways, written down: a line of JSON for each."""

    directory: Annotated[str, Meta(pattern="^/")] | None = None
    """An absolute path; None for `log` in the node's data directory. Nodes that share one write into the same files."""
    sample_percent: Percent = 100.0
    """How many of the requests. What is answered with a status of 500 or above always is."""
    fields: Annotated[list[LogField], Meta(min_length=1, max_length=64)] = field(
        default_factory=lambda: list(DEFAULT_FIELDS)
    )
    """What is written of each."""


class RouteLog(Part, frozen=True):
    """What is written of a route's requests, where that is not what the node's document says (spec.accessLog there); without
    that one nothing is written anywhere."""

    enabled: bool = True
    sample_percent: Percent | None = None
    fields: Annotated[list[LogField], Meta(min_length=1, max_length=64)] | None = None


def check_access_log(log: AccessLog | RouteLog | None) -> Iterator[Mistake]:
    """Of `spec.accessLog`."""
    if log is None or log.fields is None:
        return
    path = ("spec", "accessLog", "fields")
    yield from repeated(path, log.fields, "field")
    for index, name in enumerate(log.fields):
        match = _HEADER.fullmatch(name)
        if match is not None:
            if match[1].lower() in SECRET:
                cause = f'found "{name}"; what it holds is a secret, and is written nowhere. Leave it out'
                yield (*path, index), cause
        elif name not in FIELDS:
            near = suggestion(name, FIELDS)
            cause = f'found "{name[:80]}"; there is no such field.{near} Allowed: {", ".join(FIELDS)},'
            yield (*path, index), f"{cause} request.NAME and response.NAME for header fields"
