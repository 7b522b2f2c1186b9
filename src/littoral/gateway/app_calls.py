"""Requests that an app answers, or a cache in its place.

A short body is read whole before a worker is asked: a slow client then holds none up. Any other one goes to the worker as it
comes, and an answer that the app does not give whole goes to the client as it comes. A WebSocket is a tunnel: its frames are the
worker's to read and write.
"""

from collections.abc import AsyncIterator, Awaitable
from typing import Self

from littoral.core.errors import BadGateway, InvalidInput, Unavailable
from littoral.core.gateway_limits import GATEWAY_CACHE_OBJECT_BYTES, GATEWAY_HELD_BYTES, GATEWAY_TUNNEL_IDLE_S
from littoral.core.limits import Limits
from littoral.core.remembered import Remembered
from littoral.gateway.app_answers import REQUEST_ID, AppAnswer, AppAnswerStream, AppWay
from littoral.gateway.app_asking import AppAsked, AppSaid, AppStream, FunctionAsk, FunctionCall, HeaderList, Registrar
from littoral.gateway.app_fields import app_fields
from littoral.gateway.cache.cache import RouteCache
from littoral.gateway.cache.sender import Inform
from littoral.gateway.exchange import Exchange, Later
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import KEPT, for_client
from littoral.gateway.meters import Meters
from littoral.gateway.notes import APP, step
from littoral.gateway.origin_calls import CACHED, stripped
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.passing import pass_on, whole_block
from littoral.gateway.routes import authority
from littoral.gateway.target import RequestTarget
from littoral.gateway.tunnel import tunnel, wanted_protocol
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import FINAL, flaw_of, may_be_remembered
from littoral.wire.told_fields import ToldFields

WHOLE_BYTES = 1 << 16
"""A request's body that is announced as no longer is read before a worker is asked."""
WEB_SOCKET = "websocket"
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Of these a request is given up when its client goes away; of others the app hears of it."""
_NOT_FOR_CLIENTS = OF_THE_CONNECTION | {"content-length", REQUEST_ID}


class AppRequest(OriginRequest, frozen=True, kw_only=True):
    """What an app is asked."""

    url: str
    """As the client asked for it, without the prefix that the route takes off."""
    request_id: str
    when_gone: Registrar | None = None


class AppSender:
    """Implements `littoral.gateway.cache.cache.Sender` for one app."""

    def __init__(
        self,
        app: str,
        call: FunctionCall,
        limits: Limits,
        meters: Meters,
        strip_prefix: str = "",
        country_header: str = "",
        ask: FunctionAsk | None = None,
        *,
        is_located: bool = False,
    ) -> None:
        """call, ask: reach the app's workers; without the latter there is always a task that waits. strip_prefix: what the route takes off paths. country_header: in which the proxy before
        the gateway says where its client is; empty for none. is_located: whether the gateway itself has put that among a request's fields."""
        self._app = app
        self._call = call
        self.limits = limits
        self._meters = meters
        self._strip_prefix = strip_prefix
        self._country_header = country_header
        self._is_located = is_located
        self._ask = ask

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> AppRequest:
        """See Sender.request."""
        told, sent, url = self._told(exchange, target, request_id)
        fields = told.of(request_id) if isinstance(told, ToldFields) else told
        return AppRequest(
            exchange.method,
            sent,
            fields,
            exchange.body() if exchange.has_body else b"",
            exchange.body_length,
            notes=exchange.notes,
            url=url,
            request_id=request_id,
            when_gone=None if exchange.method in SAFE and not exchange.has_body else exchange.when_gone,
        )

    def _told(
        self, exchange: Exchange, target: RequestTarget, request_id: str
    ) -> tuple[ToldFields | HeaderList, str, str]:
        """What the app is told of a request: its fields, its target, and its URL."""
        asked = authority(exchange.scheme, exchange.host)
        fields = app_fields(exchange, asked, self._country_header, request_id, is_located=self._is_located)
        sent = target.path if not target.query else str(target)
        if self._strip_prefix or sent[0] != "/":
            sent = stripped(sent, self._strip_prefix)
        return fields, sent, f"{exchange.scheme}://{asked or 'localhost'}{sent}"

    def ask_later(self, exchange: Exchange, target: RequestTarget, request_id: str) -> "Later | None":
        """Have the app answer in a callback; None for requests that need a task: whose body is to be read, of which notes are
        taken, or where somebody waits for what is returned. Raises LittoralError for what is known at once."""
        if (
            self._ask is None
            or exchange.method != "GET"
            or exchange.has_body
            or exchange.notes is not None
            or exchange.go_on is None
        ):
            return None
        fields, _, url = self._told(exchange, target, request_id)
        later = _Asked(self, exchange, request_id)
        later.asked = self._ask(self._app, exchange.method, url, fields, request_id, later)
        return later

    async def send(self, request: OriginRequest, key: str, inform: Inform | None) -> OriginAnswer:
        """See Sender.send: for a cache. Raises what `ask` raises."""
        assert isinstance(request, AppRequest), request
        answer = await self.ask(request)
        if (
            isinstance(answer, AppAnswer)
            and len(answer.body) > self.limits[GATEWAY_CACHE_OBJECT_BYTES]
            and request.method != "HEAD"
        ):
            answer.take_apart()
        return answer

    def changed(self, url: str) -> None:
        """See Sender.changed: no other cache is asked."""

    async def ask(self, request: AppRequest) -> AppAnswer | AppAnswerStream:
        """Have the app answer. Raises what the call raises, and what reading the body does."""
        if isinstance(request.body, bytes):
            return await self._answer(request, list(request.fields), request.body)
        announced = request.body_length
        if announced is None:
            return await self._answer(request, list(request.fields), request.body)
        fields = [*request.fields, ("content-length", str(announced))]
        if announced > WHOLE_BYTES:
            return await self._answer(request, fields, request.body)
        with _Hold(self._meters, self.limits) as hold:
            with step(request.notes, "read body"):
                body = await self._read(request.body, hold)
            return await self._answer(request, fields, body)

    async def switch(self, request: AppRequest) -> "AppAnswer | AppAnswerStream | tuple[Fields, AppWay]":
        """Ask the app to go on with WebSocket: the fields of its answer, and the way on; or another answer. Raises what the call
        raises."""
        fields = [*request.fields, ("connection", "upgrade"), ("upgrade", WEB_SOCKET)]
        with step(request.notes, APP, self._app) as called:
            said = await self._call(self._app, request.method, request.url, fields, None, request.request_id)
            status, headers, body = said
            if status != 101 or isinstance(body, bytes):
                answer = self._checked(said, request)
                called.answered(answer.status, answer.fields)
                return answer
            called.answered(status, headers)
            try:
                return self.checked(200, headers).fields, AppWay(body, self._meters)
            except BadGateway:
                body.close()
                raise

    async def _answer(
        self, request: AppRequest, headers: HeaderList, body: bytes | AsyncIterator[bytes]
    ) -> AppAnswer | AppAnswerStream:
        with step(request.notes, APP, self._app) as called:
            said = await self._call(
                self._app, request.method, request.url, headers, body, request.request_id, request.when_gone
            )
            answer = self._checked(said, request)
            called.answered(answer.status, answer.fields)
        return answer

    async def _read(self, pieces: AsyncIterator[bytes], hold: "_Hold") -> bytes:
        read = []
        async for piece in pieces:
            hold.add(len(piece))
            read.append(piece)
        return b"".join(read)

    def _checked(
        self, answer: tuple[int, HeaderList, bytes | AppStream], request: AppRequest
    ) -> AppAnswer | AppAnswerStream:
        """The app's answer as it may go out. Raises BadGateway for what is no HTTP response."""
        status, headers, body = answer
        if isinstance(body, bytes):
            fields = self.checked(status, headers).fields
            if request.method == "HEAD" and body:
                # A cache that passes this on, or compares it with what it holds, has no body to count.
                fields = [*fields, ("content-length", str(len(body)))]
            return AppAnswer(status, fields, body, request.request_id)
        return self.streamed(status, headers, body, request.method, request.request_id)

    def streamed(
        self, status: int, headers: HeaderList, stream: AppStream, method: str, request_id: str
    ) -> AppAnswerStream:
        """The app's answer as it may go out, which comes in pieces. Raises as `checked`; then nobody reads the stream."""
        try:
            fields = self.checked(status, headers).fields
        except BadGateway:
            stream.close()
            raise
        return AppAnswerStream(self._app, status, fields, stream, method, request_id, self._meters)

    def checked(self, status: int, headers: HeaderList) -> FieldBlock:
        """What clients are sent of an answer's fields. Raises BadGateway for what is no HTTP response."""
        # A worker is not trusted to have checked: a line break in a value would let it write a response of its own.
        flaw, block = _checked_fields[tuple(headers)]
        if flaw or not FINAL[0] <= status <= FINAL[1]:
            flaw = flaw or flaw_of(status, ())
            raise BadGateway("call app", self._app, f"its response is not valid HTTP: {flaw}", "Check what it returns")
        return block


class _Asked(Later):
    """A request without a body, whose answer the client is given as it comes back from the app. Implements `AppAsking`."""

    __slots__ = ("_sender", "asked")

    asked: AppAsked

    def __init__(self, sender: AppSender, exchange: Exchange, request_id: str) -> None:
        self._sender = sender
        self.exchange = exchange
        self.request_id = request_id

    def answered(self, answer: AppSaid, stream: AppStream | None, /) -> None:
        """See AppAsking."""
        exchange, status = self.exchange, answer.status
        try:
            if stream is not None:
                streamed = self._sender.streamed(status, answer.headers, stream, exchange.method, self.request_id)
                self.host.take_on(self, _pass_on(exchange, streamed))
            else:
                block = self._sender.checked(status, answer.headers)
                exchange.respond(status, block, ((REQUEST_ID, self.request_id),), answer.body)
                self.host.settle(self, status)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is answered
            self.host.refuse_later(self, error)
        self._let_go()

    def failed(self, error: Exception, /) -> None:
        """See AppAsking."""
        self.host.refuse_later(self, error)
        self._let_go()

    def cancel(self) -> None:
        """See Later."""
        self.asked.cancel()
        self.host.abandon(self)
        self._let_go()

    def _let_go(self) -> None:
        # Each of them holds the next: memory that only the garbage collector would find.
        del self.exchange, self.asked


async def _pass_on(exchange: Exchange, answer: AppAnswerStream) -> int:
    await pass_on(exchange, answer, answer.fields, ())
    return answer.status


def _check_fields(headers: tuple[tuple[str, str], ...]) -> tuple[str, FieldBlock]:
    """What is wrong with an answer's fields, and what clients are sent of them."""
    flaw = flaw_of(FINAL[0], headers)
    kept = [(lower, value) for name, value in headers if (lower := name.lower()) not in _NOT_FOR_CLIENTS]
    return flaw, FieldBlock(tuple(kept))


_checked_fields = Remembered(_check_fields, KEPT, may_be_remembered)


class AppCalls:
    """Implements `littoral.gateway.gateway.Handler` for one app, or for one route to it."""

    def __init__(self, sender: AppSender, cache: RouteCache | None = None) -> None:
        self._sender = sender
        self._cache = cache

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Later | Awaitable[int]:
        """See Handler.serve."""
        protocol = wanted_protocol(exchange)
        if protocol is not None and protocol.lower() == WEB_SOCKET:
            return self._switch(exchange, target, request_id)
        if self._cache is not None and exchange.method in CACHED and not exchange.has_body:
            return self._cache.serve(exchange, target, request_id)
        later = self._sender.ask_later(exchange, target, request_id) if self._cache is None else None
        return later if later is not None else self._pass(exchange, target, request_id)

    async def _pass(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        """Raises what AppSender.ask raises."""
        since = self._cache.since if self._cache is not None else 0
        answer = await self._sender.ask(self._sender.request(exchange, target, request_id))
        fields: Fields = answer.fields
        if self._cache is not None:
            fields = self._cache.note(exchange, target, answer, for_client(fields, answer.version), since)
        if isinstance(answer, AppAnswer):
            block = FieldBlock(fields) if exchange.method == "HEAD" else whole_block(fields)
            exchange.respond(answer.status, block, answer.personal, answer.body)
        else:
            await pass_on(exchange, answer, fields, ())
        return answer.status

    async def _switch(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        """Let client and function speak WebSocket, if the function will. Raises InvalidInput for a handshake that is none (RFC
        6455, section 4.2.1); what AppSender.switch raises."""
        said = dict(exchange.fields)
        if not said.get("sec-websocket-key") or said.get("sec-websocket-version") != "13":
            cause = "its handshake lacks Sec-WebSocket-Key, or Sec-WebSocket-Version: 13"
            raise InvalidInput("open WebSocket", exchange.target[:120], cause)
        answer = await self._sender.switch(self._sender.request(exchange, target, request_id))
        if not isinstance(answer, tuple):
            await pass_on(exchange, answer, answer.fields, ())
            return answer.status
        fields, way = answer
        extra = [("connection", "upgrade"), ("upgrade", WEB_SOCKET), (REQUEST_ID, request_id)]
        if await tunnel(exchange.switch(101, [*fields, *extra]), way, self._sender.limits[GATEWAY_TUNNEL_IDLE_S]):
            self._sender.limits.hit(GATEWAY_TUNNEL_IDLE_S)
        return 101


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
