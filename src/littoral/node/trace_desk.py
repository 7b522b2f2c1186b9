"""Requests that operators have a gateway make, to see what becomes of them.

POST /v1/routes/trace  {url, method, fields, refresh}    make it, and say what each step took
"""

import re
from typing import Protocol

import msgspec

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.http import Request, Response
from littoral.core.undecodable import UNDECODABLE
from littoral.gateway.tracing import TRACE_S, TraceAsk, TraceReport
from littoral.node.replies import Replies
from littoral.node.route_desk import PATH as ROUTES
from littoral.node.route_desk import RouteAnswer, RouteDesk, read_url
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import FIELD_NAME, FIELD_VALUE
from littoral.wire.relay import FIELDS as RELAY_FIELDS

PATH = f"{ROUTES}/trace"
ANSWER_S = 2.0
"""For so long a gateway may take beyond what the request takes."""
FIELDS_MOST = 64
USER_AGENT = "littoral-trace"
"""By which those who look at logs know such requests."""
_METHOD = re.compile(r"[A-Z]{1,32}")
_NOT_SETTABLE = OF_THE_CONNECTION | RELAY_FIELDS | {"content-length", "expect", "host"}
"""What the gateway says itself of a request without a body, or what the URL says."""


class TraceCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/routes/trace."""

    url: str
    method: str = "GET"
    fields: list[tuple[str, str]] = []
    """Header fields."""
    refresh: bool = False
    """Whether the origin is asked, whatever is stored."""


class Trace(msgspec.Struct, frozen=True):
    """Its answer."""

    asked: RouteAnswer
    """Who is to answer, as `GET /v1/routes/test` says it."""
    report: TraceReport


class Gateways(Protocol):
    """Those of the node (littoral.node.control_server)."""

    def trace(self, ask: TraceAsk) -> Replies[TraceReport]:
        """Have one of them make a request."""
        ...


class TraceDesk:
    """Answers at the operator API."""

    def __init__(self, gateways: Gateways, routes: RouteDesk) -> None:
        self._gateways = gateways
        self._routes = routes

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises InvalidInput, MethodNotAllowed, Unavailable."""
        if request.method != "POST":
            raise method_not_allowed(request)
        try:
            call = msgspec.json.decode(request.body, type=TraceCall)
        except UNDECODABLE as error:
            raise InvalidInput("trace", "", str(error), 'Send {"url": "http://HOST/PATH"}') from error
        return json_answer(await self.trace(call))

    async def trace(self, call: TraceCall) -> Trace:
        """Make a request. Raises InvalidInput; Unavailable where there is no gateway that could."""
        scheme, host, target = read_url(call.url)
        fields = [_checked(name.lower(), value) for name, value in call.fields]
        if not _METHOD.fullmatch(call.method) or len(fields) > FIELDS_MOST:
            cause = f"a method is a word in capitals, and at most {FIELDS_MOST} header fields are sent"
            raise InvalidInput("trace", call.url[:120], cause)
        if call.refresh:
            fields = [*(field for field in fields if field[0] != "cache-control"), ("cache-control", "no-cache")]
        if all(name != "user-agent" for name, _ in fields):
            fields.append(("user-agent", USER_AGENT))
        asked = self._routes.test(call.method, call.url, fields)
        replies = self._gateways.trace(TraceAsk(call.method, scheme, host, str(target), fields, call.refresh))
        await replies.wait(TRACE_S + ANSWER_S)
        if not replies.said:
            raise Unavailable(
                "trace",
                call.url[:120],
                "no gateway of the node has answered",
                "Look at `littoral status`, and try again",
            )
        return Trace(asked, replies.said[0])


def _checked(name: str, value: str) -> tuple[str, str]:
    """Raises InvalidInput."""
    if not FIELD_NAME.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise InvalidInput("trace with header field", name[:40], "it holds a character that none may hold")
    if name in _NOT_SETTABLE:
        raise InvalidInput("trace with header field", name, "the URL and the gateway say it themselves", "Leave it out")
    return name, value
