"""Requests that an app answers, or a cache in its place: read whole, handed to one of its workers, and answered whole."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

from littoral.core.errors import BadGateway, TooLarge, Unavailable
from littoral.core.limits import FUNCTION_BODY_BYTES, GATEWAY_CACHE_OBJECT_BYTES, GATEWAY_HELD_BYTES, Limits
from littoral.gateway.cache.cache import Inform, RouteCache
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import for_client, for_origin
from littoral.gateway.meters import Meters
from littoral.gateway.notes import APP, step
from littoral.gateway.origin_calls import CACHED, stripped
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.routes import authority
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import flaw_of

HeaderList = list[tuple[str, str]]
FunctionCall = Callable[[str, str, str, HeaderList, bytes, str], Awaitable[tuple[int, HeaderList, bytes]]]
"""(app, method, url, headers, body, request id) -> (status, headers, body). Raises LittoralError."""

REQUEST_ID = "x-request-id"
PIECE_BYTES = 1 << 18
"""Of a body that is too large to be stored in memory: it is given, and written to the disk, piece by piece."""
_NOT_FOR_CLIENTS = OF_THE_CONNECTION | {"content-length", REQUEST_ID}


class AppRequest(OriginRequest, frozen=True, kw_only=True):
    """What an app is asked."""

    url: str
    """As the client asked for it, without the prefix that the route takes off."""
    request_id: str


class AppAnswer:
    """Implements `littoral.gateway.origins.transport.OriginAnswer`: all of it is here."""

    __slots__ = ("_at", "body", "fields", "length", "older_s", "personal", "status", "trailers", "version", "whole")

    def __init__(self, status: int, fields: Fields, body: bytes, request_id: str) -> None:
        self.status = status
        self.fields: Fields = fields
        self.version = "1.1"
        self.body = body
        self.whole: bytes | None = body
        self.length: int | None = len(body)
        self._at = len(body)
        """How far it has been read."""
        self.trailers: Fields = ()
        self.personal: Fields = ((REQUEST_ID, request_id),)
        self.older_s = 0.0

    def take_apart(self) -> None:
        """It is too large to be stored whole: have it read instead."""
        self.whole, self._at = None, 0
        self.fields = [*self.fields, ("content-length", str(len(self.body)))]

    async def read(self) -> bytes:
        """See OriginAnswer.read."""
        start, self._at = self._at, self._at + PIECE_BYTES
        return self.body[start : self._at]

    def close(self) -> None:
        """There is nothing to close."""


class AppSender:
    """Implements `littoral.gateway.cache.cache.Sender` for one app."""

    def __init__(self, app: str, call: FunctionCall, limits: Limits, meters: Meters, strip_prefix: str = "") -> None:
        """call: reaches the app's workers. strip_prefix: what the route takes off paths."""
        self._app = app
        self._call = call
        self._limits = limits
        self._meters = meters
        self._strip_prefix = strip_prefix

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> AppRequest:
        """See Sender.request."""
        asked = authority(exchange.scheme, exchange.host)
        fields = for_origin(
            exchange.method,
            exchange.fields,
            host=asked,
            asked=asked,
            scheme=exchange.scheme,
            version=exchange.version,
            client=exchange.client,
            request_id=request_id,
        )
        sent = stripped(str(target), self._strip_prefix)
        return AppRequest(
            exchange.method,
            sent,
            fields,
            exchange.body() if exchange.has_body else b"",
            exchange.body_length,
            notes=exchange.notes,
            url=f"{exchange.scheme}://{asked or 'localhost'}{sent}",
            request_id=request_id,
        )

    async def send(self, request: OriginRequest, key: str, inform: Inform | None) -> OriginAnswer:
        """See Sender.send: for a cache. Raises what `ask` raises."""
        assert isinstance(request, AppRequest), request
        answer = await self.ask(request)
        if len(answer.body) > self._limits[GATEWAY_CACHE_OBJECT_BYTES] and request.method != "HEAD":
            answer.take_apart()
        return answer

    def changed(self, url: str) -> None:
        """See Sender.changed: no other cache is asked."""

    async def ask(self, request: AppRequest) -> AppAnswer:
        """Have the app answer. Raises TooLarge before it reads what is announced as such, else as soon as it is; and what the
        call raises."""
        if isinstance(request.body, bytes):
            return await self._answer(request, list(request.fields), request.body)
        with _Hold(self._meters, self._limits) as hold:
            with step(request.notes, "read body"):
                body = await self._read(request.body, request.body_length, hold)
            return await self._answer(request, [*request.fields, ("content-length", str(len(body)))], body)

    async def _answer(self, request: AppRequest, headers: HeaderList, body: bytes) -> AppAnswer:
        with step(request.notes, APP, self._app) as called:
            said = await self._call(self._app, request.method, request.url, headers, body, request.request_id)
            answer = self._checked(said, request)
            called.answered(answer.status, answer.fields)
        return answer

    async def _read(self, pieces: AsyncIterator[bytes], announced: int | None, hold: "_Hold") -> bytes:
        most = self._limits[FUNCTION_BODY_BYTES]
        if (announced or 0) > most:
            raise self._too_large(most)
        read = []
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > most:
                raise self._too_large(most)
            hold.add(len(piece))
            read.append(piece)
        return b"".join(read)

    def _too_large(self, most: int) -> TooLarge:
        self._limits.hit(FUNCTION_BODY_BYTES)
        return TooLarge("read request", "body", f"it is larger than {most} bytes", "Send it in parts")

    def _checked(self, answer: tuple[int, HeaderList, bytes], request: AppRequest) -> AppAnswer:
        """The app's answer as it may go out. Raises BadGateway for what is no HTTP response."""
        status, headers, body = answer
        # A worker is not trusted to have checked: a line break in a value would let it write a response of its own.
        if flaw := flaw_of(status, headers):
            raise BadGateway("call app", self._app, f"its response is not valid HTTP: {flaw}", "Check what it returns")
        fields = [(lower, value) for name, value in headers if (lower := name.lower()) not in _NOT_FOR_CLIENTS]
        if request.method == "HEAD" and body:
            # A cache that passes this on, or compares it with what it holds, has no body to count.
            fields.append(("content-length", str(len(body))))
        return AppAnswer(status, fields, body, request.request_id)


class AppCalls:
    """Implements `littoral.gateway.gateway.Handler` for one app, or for one route to it."""

    def __init__(self, sender: AppSender, cache: RouteCache | None = None) -> None:
        self._sender = sender
        self._cache = cache

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Awaitable[int]:
        """See Handler.serve."""
        if self._cache is not None and exchange.method in CACHED and not exchange.has_body:
            return self._cache.serve(exchange, target, request_id)
        return self._pass(exchange, target, request_id)

    async def _pass(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        """Raises what AppSender.ask raises."""
        since = self._cache.since if self._cache is not None else 0
        answer = await self._sender.ask(self._sender.request(exchange, target, request_id))
        fields = answer.fields
        if self._cache is not None:
            fields = self._cache.note(exchange, target, answer, for_client(fields, answer.version), since)
        exchange.respond(answer.status, FieldBlock(fields), answer.personal, answer.body)
        return answer.status


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
