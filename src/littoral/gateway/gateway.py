"""The gateway's application: what happens to one HTTP request."""

import asyncio
import itertools
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, Self

from littoral.core.errors import (
    BadGateway,
    InvalidInput,
    LittoralError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unavailable,
)
from littoral.core.limits import FUNCTION_BODY_BYTES, GATEWAY_HELD_BYTES, Limits
from littoral.gateway.fields import encoded_path, request_fields, response_fields
from littoral.gateway.meters import Meters
from littoral.gateway.routes import NoRoute, RouteTable
from littoral.wire.problem import problem_response

HeaderList = list[tuple[str, str]]
FunctionCall = Callable[[str, str, str, HeaderList, bytes, str], Awaitable[tuple[int, HeaderList, bytes]]]
"""(app, method, url, headers, body, request id) -> (status, headers, body). Raises LittoralError."""

NO_APP = ""
"""What requests are counted under that no route matched."""
_EMPTY_STATUSES = frozenset({204, 205, 304})


class RequestFields(Protocol):
    """The fields of a request (RSGI)."""

    def items(self) -> HeaderList: ...
    def get(self, key: str, default: str | None = None) -> str | None: ...


class Scope(Protocol):
    """The head of a request (RSGI 1.6, HTTP scope)."""

    proto: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None

    @property
    def headers(self) -> RequestFields: ...


class Exchange(Protocol):
    """The rest of a request, and the response to it (RSGI, HTTP protocol)."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_empty(self, status: int, headers: HeaderList) -> None: ...
    def response_bytes(self, status: int, headers: HeaderList, body: bytes) -> None: ...


class Gateway:
    """Routes requests to apps. One per gateway process."""

    def __init__(self, call: FunctionCall, limits: Limits, instance: str, log: Callable[[str], None]) -> None:
        """instance: makes request ids of this process unlike those of others. log: receives faults of ours."""
        self.meters = Meters()
        self._call = call
        self._limits = limits
        self._instance = instance
        self._log = log
        self._numbers = itertools.count(1)
        self._routes: RouteTable | None = None

    def configure(self, routes: RouteTable, limits: Limits) -> None:
        """Use these routes and limits from the next request on."""
        self._routes = routes
        self._limits = limits

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        request_id = f"{self._instance}-{next(self._numbers):x}"
        app = NO_APP
        self.meters.inflight += 1
        try:
            try:
                app = self._route(scope)
                status, headers, body = await self._ask(app, scope, exchange, request_id)
            except LittoralError as error:
                allow = [("allow", ", ".join(error.allow))] if isinstance(error, _NotAllowed) else []
                status, headers, body = _problem(error, request_id, allow)
            except Exception:  # noqa: BLE001 - the boundary of a request: whatever it is, it is logged and answered
                self._log(f"[{request_id}] fault in the gateway\n{traceback.format_exc()}")
                fault = LittoralError("answer request", scope.path, "the gateway failed", "The node's log has more")
                status, headers, body = _problem(fault, request_id, [])
            _respond(exchange, scope.method, status, headers, body)
        finally:
            self.meters.inflight -= 1
        self.meters.observe(app, status, loop.time() - began)

    def _route(self, scope: Scope) -> str:
        if self._routes is None:
            raise Unavailable("route request", "", "the node is starting", "Try again in a moment")
        host = scope.authority or scope.headers.get("host") or ""
        found = self._routes.find(scope.method, host, scope.path)
        if isinstance(found, str):
            return found
        raise _no_route(scope, found)

    async def _ask(self, app: str, scope: Scope, exchange: Exchange, request_id: str) -> tuple[int, HeaderList, bytes]:
        fields = scope.headers
        host = scope.authority or fields.get("host") or "localhost"
        query = f"?{scope.query_string}" if scope.query_string else ""
        url = f"{scope.scheme}://{host}{encoded_path(scope.path)}{query}"
        headers = request_fields(fields.items(), scope.client.rpartition(":")[0], request_id)
        declared = fields.get("content-length")
        if declared is None and fields.get("transfer-encoding") is None and scope.method in ("GET", "HEAD"):
            answer = await self._call(app, scope.method, url, headers, b"", request_id)
        else:
            with _Hold(self.meters, self._limits) as hold:
                body = await self._read(exchange, declared, hold)
                answer = await self._call(app, scope.method, url, headers, body, request_id)
        return _checked(app, answer, request_id)

    async def _read(self, exchange: Exchange, declared: str | None, hold: "_Hold") -> bytes:
        """The body. Raises: TooLarge before reading what is announced as such, else as soon as it is."""
        most = self._limits[FUNCTION_BODY_BYTES]
        if declared is not None:
            if not declared.isdecimal():
                raise InvalidInput("read request", "content-length", f"{declared!r} is no number")
            if int(declared) > most:
                raise self._too_large(most)
            if declared == "0":
                return b""
        chunks = []
        size = 0
        async for chunk in exchange:
            size += len(chunk)
            if size > most:
                raise self._too_large(most)
            hold.add(len(chunk))
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self, most: int) -> TooLarge:
        self._limits.hit(FUNCTION_BODY_BYTES)
        return TooLarge("read request", "body", f"it is larger than {most} bytes", "Send it in parts")


class _Hold:
    """The memory one request body takes, against the bound of all of them together."""

    def __init__(self, meters: Meters, limits: Limits) -> None:
        self._meters = meters
        self._limits = limits
        self._bytes = 0

    def add(self, count: int) -> None:
        """Raises Unavailable at the bound."""
        if self._meters.held_bytes + count > self._limits[GATEWAY_HELD_BYTES]:
            self._limits.hit(GATEWAY_HELD_BYTES)
            raise Unavailable("read request", "body", "the gateway holds as many bodies as it can", "Try again later")
        self._meters.held_bytes += count
        self._bytes += count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._meters.held_bytes -= self._bytes


class _NotAllowed(MethodNotAllowed):
    """With the methods that would be."""

    allow: tuple[str, ...] = ()


def _no_route(scope: Scope, found: NoRoute) -> LittoralError:
    if not found.allow:
        return NotFound("route request", scope.path, "no app at this node answers this path")
    error = _NotAllowed(
        "route request", scope.path, f"it does not take {scope.method}", f"It takes {', '.join(found.allow)}"
    )
    error.allow = found.allow
    return error


def _problem(error: LittoralError, request_id: str, headers: HeaderList) -> tuple[int, HeaderList, bytes]:
    response = problem_response(error, request_id, headers)
    return response.status, list(response.headers), response.body


def _checked(app: str, answer: tuple[int, HeaderList, bytes], request_id: str) -> tuple[int, HeaderList, bytes]:
    """The app's answer as it may go out. Raises BadGateway for what is no HTTP response."""
    status, headers, body = answer
    fields = response_fields(headers, request_id)
    if fields is None or not 200 <= status <= 599:
        raise BadGateway("call app", app, "its response is not valid HTTP", "Check its status and headers")
    return status, fields, body


def _respond(exchange: Exchange, method: str, status: int, headers: HeaderList, body: bytes) -> None:
    if status in _EMPTY_STATUSES:
        exchange.response_empty(status, headers)
    elif method == "HEAD":
        headers.append(("content-length", str(len(body))))
        exchange.response_empty(status, headers)
    else:
        exchange.response_bytes(status, headers, body)
