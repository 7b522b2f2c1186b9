"""ASGI applications as entry points (ASGI 3.0: asgi.readthedocs.io/en/latest/specs/).

    from workers import WorkerEntrypoint, asgi

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return await asgi.fetch(app, request, self.env, self.ctx)

The application runs in a task of its own, so that its response can be passed on while it still sends. When the client goes away,
`receive` gives http.disconnect, `send` raises OSError, and what the application does not end by itself is cancelled after
LEAVE_S. A request for a WebSocket is one for the application's WebSockets. `scope["env"]` is the app's bindings. Lifespan: started before an application's first request, ended before the process ends.
"""

import asyncio
import sys
import traceback
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from littoral.core.tasks import Tasks
from littoral.workers import platform
from littoral.workers.entrypoint import Context
from littoral.workers.headers import Headers
from littoral.workers.missing import NotSupported
from littoral.workers.request import Request
from littoral.workers.response import WITHOUT_BODY, Response
from littoral.workers.streams import ReadableStream
from littoral.workers.web_socket import FAULT, NORMAL, CloseEvent, WebSocket, WebSocketError, WebSocketPair

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

VERSIONS = {"version": "3.0", "spec_version": "2.4"}
LEAVE_S = 1.0
"""What an application has to end by itself when its client has gone."""
LIFESPANS = 8
"""Applications whose lifespan is kept; a module has one or two, unless it makes one for every request."""
_PORTS = {"http": 80, "https": 443}


def _log(error: BaseException) -> None:
    sys.stderr.write("exception in an ASGI application after its response\n")
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()


_tasks = Tasks(_log)


async def fetch(app: Application, request: Request, env: Any, ctx: Context | None = None) -> Response:
    """The application's response to `request`. Raises what the application raises before its response begins."""
    if (request.headers.get("upgrade") or "").lower() == "websocket":
        return await websocket(app, request, env, ctx)
    lifespan = await _lifespans.of(app)
    exchange = _Exchange(request)
    task = _tasks.start(_run(app, _scope(request, env, lifespan.state), exchange), "ASGI request")
    exchange.task = task
    try:
        await exchange.started.wait()
    except BaseException:
        exchange.abandon()
        if exchange.failure is not None:
            # Both at once: why the application ended says more.
            raise exchange.failure from None
        raise
    return exchange.response(ctx)


async def shutdown() -> None:
    """Have every application shut down that was started. A worker calls it before it ends."""
    await _lifespans.stop()


async def websocket(app: Application, request: Request, env: Any = None, ctx: Context | None = None) -> Response:
    """A response with the WebSocket that the application accepts, or with status 403 where it does not. Raises what the application
    raises before."""
    lifespan = await _lifespans.of(app)
    client, server = WebSocketPair()
    conversation = _Conversation(server)
    task = _tasks.start(_converse(app, _socket_scope(request, env, lifespan.state), conversation), "ASGI WebSocket")
    try:
        await conversation.decided.wait()
    except BaseException:
        task.cancel()
        raise
    if conversation.failure is not None:
        raise conversation.failure
    if not conversation.accepted:
        return Response(None, 403)
    return Response(None, 101, headers=conversation.headers, web_socket=client)


def __getattr__(name: str) -> Any:
    """`asgi.env`: a dependency for FastAPI's handlers, which gives them the app's bindings."""
    if name != "env":
        raise AttributeError(f"module 'asgi' has no {name!r}; it has fetch, websocket, shutdown and env")
    # Whoever asks for it has FastAPI.
    from fastapi import Depends  # noqa: PLC0415
    from fastapi import Request as FastApiRequest  # noqa: PLC0415

    def bindings(request: FastApiRequest) -> Any:
        return request.scope["env"]

    return Depends(bindings)


class _Exchange:
    """One request and its response, as the application's `receive` and `send` see them."""

    def __init__(self, request: Request) -> None:
        self._incoming = request.body
        self._pieces: AsyncIterator[bytes] | None = None if self._incoming is None else aiter(self._incoming)
        self._received = False
        self._status = 0
        self._headers = Headers()
        self._body: list[bytes] = []
        self._outgoing: asyncio.Queue[bytes | None] | None = None
        self._complete = False
        self._over = asyncio.Event()
        self.started = asyncio.Event()
        """There is a whole response, the beginning of one, or a failure."""
        self.failure: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self._signal = request.signal
        self._signal.addEventListener("abort", self._leave)
        self._dropped: weakref.finalize[..., AsyncIterator[bytes]] | None = None

    async def receive(self) -> Message:
        """A piece of the request's body; after its end, the news that the client has gone."""
        if self._received or self._signal.aborted:
            await self._over.wait()
            return {"type": "http.disconnect"}
        try:
            piece = b"" if self._pieces is None else await anext(self._pieces, b"")
        except ConnectionError:
            # The client went away before all of it was here.
            return {"type": "http.disconnect"}
        self._received = not piece
        return {"type": "http.request", "body": bytes(piece), "more_body": bool(piece)}

    async def send(self, message: Message) -> None:
        """Take the beginning of the response, or a piece of its body. Waits while nobody reads. Raises ConnectionResetError where
        the client has gone."""
        kind = message["type"]
        if self._signal.aborted:
            raise ConnectionResetError("the client has gone")
        if kind == "http.response.start" and not self._status:
            self._status = message["status"]
            for name, value in message.get("headers", ()):
                self._headers.append(name.decode("latin-1"), value.decode("latin-1"))
        elif kind == "http.response.body" and self._status and not self._complete:
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind not in ("http.response.start", "http.response.body"):
            raise NotSupported(f"the ASGI message {kind!r}", "Answer with http.response.start and http.response.body")
        elif not self._complete:
            raise RuntimeError(f"the ASGI application sent {kind!r} out of order")

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._status in WITHOUT_BODY:
            # Middleware sends them an empty stream, and some applications a body.
            body = b""
            if more:
                return
        self._complete = not more
        if self._outgoing is None and not more:
            self._body.append(body)
            self.end()
            return
        if self._outgoing is None:
            self._outgoing = asyncio.Queue(1)
            self.started.set()
        if body:
            await self._outgoing.put(body)
        if not more:
            self.end()

    def end(self, failure: BaseException | None = None) -> None:
        """The response is whole, or will never be."""
        if not self._complete:
            self.failure = failure or RuntimeError("the ASGI application returned without a whole response")
        elif failure is not None:
            _log(failure)
        self._over.set()
        self.started.set()
        if self._outgoing is not None and self._outgoing.empty():
            # Whoever reads waits for a piece.
            self._outgoing.put_nowait(None)

    def response(self, ctx: Context | None) -> Response:
        """What there is of the response."""
        if self._outgoing is None and self.failure is not None:
            raise self.failure
        if self._outgoing is None:
            self._go_on(ctx)
            body: bytes | ReadableStream | None = b"".join(self._body) or None
        else:
            pieces = self._stream(self._outgoing, ctx)
            assert self.task is not None
            # A response that is dropped unread would leave the application waiting for a reader for ever.
            self._dropped = weakref.finalize(pieces, self.abandon)
            self._dropped.atexit = False
            body = ReadableStream(pieces)
        return Response(body, self._status, headers=self._headers)

    async def _stream(self, outgoing: "asyncio.Queue[bytes | None]", ctx: Context | None) -> AsyncIterator[bytes]:
        whole = False
        try:
            while not (self._over.is_set() and outgoing.empty()):
                if (piece := await outgoing.get()) is not None:
                    yield piece
            if self.failure is not None:
                raise self.failure
            whole = True
        finally:
            if whole and self._dropped is not None:
                self._dropped.detach()
                self._go_on(ctx)
            else:
                self.abandon()

    def _leave(self, event: object) -> None:
        """The client has gone."""
        self._over.set()
        while self._outgoing is not None and not self._outgoing.empty():
            # Whoever waits for room to send the next piece hears of it by the one after that.
            self._outgoing.get_nowait()

    def abandon(self) -> None:
        """Nobody reads the response: an application that can know by now ends by itself, or else is ended."""
        if self.task is None or self.task.done():
            return
        if self._signal.aborted:
            self.task.get_loop().call_later(LEAVE_S, self.task.cancel)
        else:
            self.task.cancel()

    def _go_on(self, ctx: Context | None) -> None:
        """What the application does after its response (background tasks) counts as work of ctx.waitUntil."""
        assert self.task is not None
        if self.task.done() or (ctx is None and not platform.has_background()):
            return
        try:
            (platform.wait_until if ctx is None else ctx.waitUntil)(self.task)
        except RuntimeError:
            self.task.cancel()
            raise


async def _run(app: Application, scope: Scope, exchange: _Exchange) -> None:
    try:
        await app(scope, exchange.receive, exchange.send)
    except BaseException as error:
        exchange.end(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        exchange.end()


class _Conversation:
    """One WebSocket, as the application's `receive` and `send` see it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._connected = False
        self._closed: CloseEvent | None = None
        self.decided = asyncio.Event()
        """The application has accepted it, or refused, or failed."""
        self.accepted = False
        self.headers = Headers()
        self.failure: BaseException | None = None

    async def receive(self) -> Message:
        """That there is one; then each message; then, and ever after, how it was closed."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._closed is None:
            event = await self._socket.receive()
            if not isinstance(event, CloseEvent):
                if isinstance(event.data, str):
                    return {"type": "websocket.receive", "text": event.data, "bytes": None}
                return {"type": "websocket.receive", "text": None, "bytes": bytes(event.data)}
            self._closed = event
        return {"type": "websocket.disconnect", "code": self._closed.code, "reason": self._closed.reason}

    async def send(self, message: Message) -> None:
        """Take the application's decision, a message, or the end. Waits while the client does not read. Raises
        ConnectionResetError where it has gone."""
        kind = message["type"]
        if kind == "websocket.accept" and not self.decided.is_set():
            for name, value in message.get("headers", ()):
                self.headers.append(name.decode("latin-1"), value.decode("latin-1"))
            if message.get("subprotocol"):
                self.headers.append("sec-websocket-protocol", message["subprotocol"])
            self._socket.accept()
            self.accepted = True
            self.decided.set()
        elif kind == "websocket.send" and self.accepted:
            text = message.get("text")
            try:
                self._socket.send(message["bytes"] if text is None else text)
            except WebSocketError as error:
                raise ConnectionResetError(str(error)) from None
            await self._socket.drained()
        elif kind == "websocket.close":
            self._socket.close(message.get("code", NORMAL), message.get("reason") or "")
            self.decided.set()
        else:
            raise RuntimeError(f"the ASGI application sent {kind!r} out of order")

    def end(self, failure: BaseException | None = None) -> None:
        """The application has returned."""
        if self.accepted:
            self._socket.close(NORMAL if failure is None else FAULT)
            if failure is not None and not isinstance(failure, (asyncio.CancelledError, ConnectionError)):
                _log(failure)
        else:
            self.failure = failure
        self.decided.set()


async def _converse(app: Application, scope: Scope, conversation: _Conversation) -> None:
    try:
        await app(scope, conversation.receive, conversation.send)
    except BaseException as error:
        conversation.end(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        conversation.end()


def _socket_scope(request: Request, env: Any, state: dict[str, Any]) -> Scope:
    scope = _scope(request, env, state)
    del scope["method"]
    offered = request.headers.get("sec-websocket-protocol") or ""
    return {
        **scope,
        "type": "websocket",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "subprotocols": [each for part in offered.split(",") if (each := part.strip())],
    }


def _scope(request: Request, env: Any, state: dict[str, Any]) -> Scope:
    url = urlsplit(request.url)
    client = request.client_address
    return {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": unquote(url.path or "/"),
        "raw_path": (url.path or "/").encode("latin-1", "replace"),
        "query_string": url.query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in request.headers.items()
        ],
        "server": (url.hostname or "", url.port or _PORTS.get(url.scheme, 0)),
        # The port is the gateway's affair.
        "client": (client, 0) if client else None,
        # A shallow copy for each request: as the specification of lifespan has it.
        "state": state.copy(),
        "env": env,
    }


class _Lifespan:
    """One application's startup and shutdown."""

    def __init__(self, app: Application) -> None:
        self.state: dict[str, Any] = {}
        self._news: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.Event()
        self._news.put_nowait({"type": "lifespan.startup"})
        self._task = _tasks.start(self._live(app), "ASGI lifespan")

    async def ready(self) -> None:
        """Wait until the application is ready. Raises RuntimeError where it says that it cannot be."""
        # Several requests may wait for it: none of them takes it along when it is cancelled.
        await asyncio.shield(self._started)

    async def stop(self) -> None:
        """Have the application shut down."""
        if self._started.done() and self._started.exception() is None and self._started.result():
            self._news.put_nowait({"type": "lifespan.shutdown"})
            await self._stopped.wait()
        self._task.cancel()

    async def _live(self, app: Application) -> None:
        try:
            await app({"type": "lifespan", "asgi": VERSIONS, "state": self.state}, self._news.get, self._send)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are not its business
            # Raised before it is ready: an application without lifespan, as the specification has it.
            if self._started.done():
                _log(error)
        finally:
            if not self._started.done():
                self._started.set_result(False)
            self._stopped.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started.set_result(True)
        elif kind == "lifespan.startup.failed":
            self._started.set_exception(
                RuntimeError(f"the ASGI application cannot start: {message.get('message', '')}")
            )
        elif kind == "lifespan.shutdown.failed":
            _log(RuntimeError(f"the ASGI application's shutdown failed: {message.get('message', '')}"))


class _Lifespans:
    """Those of the applications that were asked last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Application, _Lifespan]] = OrderedDict()

    async def of(self, app: Application) -> _Lifespan:
        """That of `app`, which has started. Raises RuntimeError where it cannot; the next request tries again."""
        kept = self._kept.get(id(app))
        if kept is not None:
            self._kept.move_to_end(id(app))
        else:
            # The application is kept as well: its id stays its own.
            kept = self._kept[id(app)] = (app, _Lifespan(app))
            platform.at_end(self.stop)
            if len(self._kept) > LIFESPANS:
                _, (_, oldest) = self._kept.popitem(last=False)
                _tasks.start(oldest.stop(), "end of an ASGI lifespan")
        try:
            await kept[1].ready()
        except RuntimeError:
            self._kept.pop(id(app), None)
            raise
        return kept[1]

    async def stop(self) -> None:
        """Have all shut down."""
        while self._kept:
            _, (_, lifespan) = self._kept.popitem()
            await lifespan.stop()


_lifespans = _Lifespans()
