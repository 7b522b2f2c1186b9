"""The operator API's part for nodes below: what is asked of them, wherever they are and whoever cannot connect to them.

*      /v1/nodes/NODE/api/PATH     the request PATH of that node's own operator API
POST   /v1/nodes/NODE/commands     POST /v1/commands of it
DELETE /v1/nodes/NODE              expel it
GET    /v1/inbox?cursor&limit      what was asked lately, page by page
GET    /v1/inbox/ID                what became of one
GET    /v1/inbox/ID/answer         its answer, as it came
DELETE /v1/inbox/ID                cancel it

Littoral-Deadline: 30s             the request is not made later, and the call waits no longer
Idempotency-Key: ID                the request is made once, however often it is sent; also its name
Prefer: respond-async              do not wait: 202, and the answer is asked for later
"""

import re
from collections.abc import Mapping

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, Forbidden, InvalidInput, LittoralError, NotFound
from littoral.core.http import AnyResponse, Handler, Headers, Request, Response
from littoral.core.limits import INBOX_LISTED, Limits
from littoral.core.names import check_node_name
from littoral.core.resources import parse_duration_ms
from littoral.core.waiting import while_client_waits
from littoral.fleet.inbox import DEADLINE_MOST_MS, Message
from littoral.fleet.registry import Registry, not_below
from littoral.node.asking import AskedPage, Asking
from littoral.node.secret_api import PATH as SECRET_PATH
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.inbox import (
    ASKED_PATH,
    DEADLINE_DEFAULT,
    DEADLINE_HEADER,
    KEY_HEADER,
    MESSAGE_HEADER,
    NODE_HEADER,
    NODES_PATH,
    PREFER_HEADER,
    addressed,
)
from littoral.wire.problem import problem_response
from littoral.wire.query import whole_number

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer")
) | frozenset(("transfer-encoding", "upgrade", "content-length", "host", "date", "server", "expect"))
"""Of one connection (RFC 9110, section 7.6.1): they mean nothing at another node."""
NOT_PASSED_ON = HOP_BY_HOP | {"authorization", "cookie", DEADLINE_HEADER, KEY_HEADER, PREFER_HEADER}
"""Nor is what lets the caller in here."""

_KEY = re.compile(r"[A-Za-z0-9._~-]{1,100}")


class InboxApi:
    """Answers for requests to NODES_PATH and ASKED_PATH, once the operator is known."""

    def __init__(
        self,
        node: str,
        asking: Asking,
        registry: Registry,
        limits: Limits,
        clock: Clock,
        here: Handler,
    ) -> None:
        """here: this node's own operator API, for who may use it."""
        self._node = node
        self._asking = asking
        self._registry = registry
        self._limits = limits
        self._clock = clock
        self._here = here

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        if request.path.startswith(NODES_PATH):
            return await self._node_below(request)
        return await self._message(request)

    async def _node_below(self, request: Request) -> AnyResponse:
        name, slash, _ = request.path.removeprefix(NODES_PATH).partition("/")
        check_node_name(name)
        there = addressed(request.path)
        if there is not None:
            return await self._ask(name, _inner(request, there[1]))
        if slash:
            raise NotFound("find", request.path[:120], "the operator API has no such resource")
        if request.method != "DELETE":
            raise method_not_allowed(request)
        return await self._expel(name, request)

    # Asking

    async def _ask(self, target: str, request: Request) -> AnyResponse:
        """Make a request at another node, or here."""
        if target == self._node:
            return await self._here(_stripped(request))
        if SECRET_PATH in request.path:
            # What is asked travels as a record, which is kept on each node on the way.
            raise Forbidden("use secrets of", target, "they are set at the root only", "Ask the root itself")
        message = self._message_of(target, request)
        id_ = await self._asking.ask(message)
        told = ((MESSAGE_HEADER, id_), (NODE_HEADER, target))
        if "respond-async" in request.headers.get(PREFER_HEADER, "").lower():
            accepted = json_answer(self._asking.entry(id_), 202)
            return Response(202, (*accepted.headers, ("location", f"{ASKED_PATH}/{id_}"), *told), accepted.body)
        try:
            with while_client_waits():
                response = await self._asking.wait(id_)
        except LittoralError as error:
            return problem_response(error, headers=told)
        return Response(response.status, (*_passed_on(response.headers), *told), response.body)

    def _message_of(self, target: str, request: Request) -> Message:
        now_ms = self._clock.wall_ms()
        return Message(
            id=_key(request.headers),
            ticket=b"",
            asker=self._node,
            target=target,
            asked_ms=now_ms,
            deadline_ms=now_ms + _deadline_ms(request.headers),
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=dict(_stripped(request).headers),
            body=request.body,
        )

    async def _expel(self, name: str, request: Request) -> AnyResponse:
        """A node's parent lets it in no more; who is further up asks the child on the way to that parent."""
        if name == self._node:
            raise Conflict("expel", name, "it is this node", "Ask its parent")
        if self._registry.child(name) is not None:
            await self._registry.expel(name)
            return Response(204)
        via = self._registry.via(name)
        if via is None:
            raise not_below("expel", name, self._node)
        return await self._ask(via, request)

    # Messages

    async def _message(self, request: Request) -> Response:
        parts = request.path.removeprefix(ASKED_PATH).strip("/").split("/")
        match (request.method, *parts):
            case ("GET", ""):
                return json_answer(self._page(request.query))
            case ("GET", id_):
                return json_answer(self._asking.entry(id_))
            case ("GET", id_, "answer"):
                answer = self._asking.answer(id_)
                return Response(answer.status, (*_passed_on(answer.headers), (MESSAGE_HEADER, id_)), answer.body)
            case ("DELETE", id_) if id_:
                await self._asking.cancel(id_)
                return Response(204)
            case (_, _) | (_, _, "answer"):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    def _page(self, query: Mapping[str, str]) -> AskedPage:
        most = self._limits[INBOX_LISTED]
        limit = whole_number(query, "limit", "list", "messages", most)
        return self._asking.page(query.get("cursor", ""), max(1, min(limit, most)))


def _inner(request: Request, path: str) -> Request:
    return Request(request.method, path, request.query, request.headers, request.body, request.remote)


def _stripped(request: Request) -> Request:
    """As it is made there: without what was meant for this node."""
    headers = {name: value for name, value in request.headers.items() if name not in NOT_PASSED_ON}
    return Request(request.method, request.path, request.query, headers, request.body, request.remote)


def _passed_on(headers: Headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


def _deadline_ms(headers: Mapping[str, str]) -> int:
    """How long the caller gives it. Raises InvalidInput."""
    text = headers.get(DEADLINE_HEADER, DEADLINE_DEFAULT)
    deadline_ms = parse_duration_ms(text)
    if not 1 <= deadline_ms <= DEADLINE_MOST_MS:
        most_days = DEADLINE_MOST_MS // 86_400_000
        raise InvalidInput("use deadline", repr(text[:40]), f"it is between 1ms and {most_days}d", 'For example "30s"')
    return deadline_ms


def _key(headers: Mapping[str, str]) -> str:
    """The key that the caller gives the request; empty where it gives none. Raises InvalidInput."""
    text = headers.get(KEY_HEADER)
    if text is None:
        return ""
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not _KEY.fullmatch(text):
        cause = "it has 1 to 100 of A-Z, a-z, 0-9, '.', '_', '~' and '-'"
        raise InvalidInput("use Idempotency-Key", repr(text[:120]), cause, "Draw a UUID")
    return text
