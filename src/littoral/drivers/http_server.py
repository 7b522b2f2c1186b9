"""Serves a `core.http.Handler` over HTTP, HTTPS or mTLS with granian.

One `HttpServer` is one listener. The handler sees whole requests and returns whole or streaming responses; limits,
errors and disconnects are dealt with here. If the handler fails after the head of a streaming response was sent, the
body ends early and the fault is logged: protocols that stream frame their records, so a reader notices.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

from littoral.core.errors import InvalidInput, LimitReached, LittoralError, TimedOut, TooLarge
from littoral.core.http import AnyResponse, Handler, Request, Response, StreamingResponse
from littoral.core.limits import API_BODY_BYTES, API_BODY_S, API_HELD_BYTES, Limit, Limits
from littoral.drivers.granian_server import ClientGone, GranianServer, TlsFiles
from littoral.drivers.problem import answer, unexpected_response
from littoral.wire.problem import problem_response

STOP_GRACE_S = 5.0
"""How long requests in progress may take once the listener stops. Streams are ended at once: their readers reconnect."""

_log = logging.getLogger("littoral.http")


class HttpServer:
    """One listener: `start`, then `stop`; `reload` changes its certificate without refusing a connection."""

    def __init__(
        self,
        handler: Handler,
        listener_fd: int,
        limits: Limits,
        tls: TlsFiles | None = None,
        *,
        body_limit: Limit = API_BODY_BYTES,
    ) -> None:
        """`listener_fd` is a bound, listening socket, and stays the caller's: connections queue in it until somebody
        accepts them or the caller closes it. body_limit: of one request.
        Raises StartupError where a TLS file is missing or wrong.
        """
        self._handler = handler
        self._listener_fd = listener_fd
        self._limits = limits
        self._body_limit = body_limit
        self._held_bytes = 0
        self._server = GranianServer(listener_fd, self._serve, tls)
        self._streams: set[asyncio.Task[None]] = set()

    @property
    def open_streams(self) -> int:
        """Streaming responses being sent."""
        return len(self._streams)

    async def start(self) -> None:
        """Serve in the running loop until `stop`."""
        self._server.start()

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Accept nothing more, end the streams, and let other requests finish within `grace_s`."""
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        await self._end_streams()
        if not await stopping:
            _log.warning("a listener stopped with connections still open after %s s", grace_s)

    async def reload(self, tls: TlsFiles) -> None:
        """Serve new connections with other TLS files; open ones go on as they are until they end or `STOP_GRACE_S`.

        Raises StartupError where a file is missing or wrong; the listener then goes on with the old ones.
        """
        renewed = GranianServer(self._listener_fd, self._serve, tls)
        renewed.start()
        old, self._server = self._server, renewed
        if not await old.stop(STOP_GRACE_S):
            _log.info("connections made with the former certificate are still open")

    async def _serve(self, scope: Any, protocol: Any) -> None:
        if scope.proto != "http":
            protocol.close(404)
            return
        method: str = scope.method
        held = _Held()
        try:
            try:
                request = await self._read(scope, protocol, held)
            except LittoralError as error:
                response: AnyResponse = problem_response(error)
            else:
                response = await answer(self._handler, request)
            await self._respond(method, protocol, response)
        except Exception:  # noqa: BLE001 -- the boundary to the server: whatever it is, it is logged and answered
            fallback = unexpected_response(method, scope.path)
            protocol.response_bytes(fallback.status, list(fallback.headers), fallback.body)
        finally:
            self._held_bytes -= held.size

    async def _read(self, scope: Any, protocol: Any, held: "_Held") -> Request:
        headers: dict[str, str] = {}
        for name in scope.headers:
            headers[name] = ", ".join(scope.headers.get_all(name))
        body = b""
        if "content-length" in headers or "transfer-encoding" in headers or scope.http_version.startswith("2"):
            body = await self._read_body(scope.path, headers.get("content-length", "0"), protocol, held)
        try:
            query = dict(parse_qsl(scope.query_string, keep_blank_values=True, errors="strict"))
        except (UnicodeDecodeError, ValueError) as error:
            raise InvalidInput("read query of", scope.path, str(error)) from error
        return Request(scope.method, scope.path, query, headers, body, scope.client)

    async def _read_body(self, path: str, announced: str, protocol: Any, held: "_Held") -> bytes:
        limit = self._limits[self._body_limit]
        if announced.isdecimal() and int(announced) > limit:
            raise self._too_large(path, limit)
        pieces: list[bytes] = []
        seconds = self._limits[API_BODY_S]
        try:
            async with asyncio.timeout(seconds):
                async for piece in protocol:
                    self._hold(path, len(piece), held)
                    if held.size > limit:
                        raise self._too_large(path, limit)
                    pieces.append(piece)
        except TimeoutError:
            self._limits.hit(API_BODY_S)
            raise TimedOut("read body of request", path, f"it did not arrive within {seconds} s") from None
        return b"".join(pieces)

    def _hold(self, path: str, size: int, held: "_Held") -> None:
        """Count a piece of a body, for all requests of the listener. Raises LimitReached."""
        held.size += size
        self._held_bytes += size
        if self._held_bytes > self._limits[API_HELD_BYTES]:
            self._limits.hit(API_HELD_BYTES)
            cause = f"the listener holds more than {self._limits[API_HELD_BYTES]} bytes of requests"
            raise LimitReached(
                "read body of request", path, cause, f"Try again later. The limit is {API_HELD_BYTES.name}"
            )

    def _too_large(self, path: str, limit: int) -> TooLarge:
        self._limits.hit(self._body_limit)
        return TooLarge(
            "read body of request", path, f"it is larger than {limit} bytes", f"The limit is {self._body_limit.name}"
        )

    async def _respond(self, method: str, protocol: Any, response: AnyResponse) -> None:
        headers = list(response.headers)
        if isinstance(response, Response):
            protocol.response_bytes(response.status, headers, response.body)
        elif method == "HEAD":
            await _close(response.chunks)
            protocol.response_empty(response.status, headers)
        else:
            await self._stream(protocol, response)

    async def _stream(self, protocol: Any, response: StreamingResponse) -> None:
        """Send pieces until they end, the client goes away, or the listener stops."""
        sending = asyncio.create_task(
            _send(protocol.response_stream(response.status, list(response.headers)), response.chunks)
        )
        self._streams.add(sending)
        # A future of granian's that ignores being cancelled while the connection is open: it must not be awaited.
        gone = protocol.client_disconnect()
        gone.add_done_callback(lambda _: sending.cancel(), context=contextvars.copy_context())
        try:
            await asyncio.wait([sending])
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._streams.discard(sending)

    async def _end_streams(self) -> None:
        ending = list(self._streams)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


class _Held:
    """Bytes of one request's body that are in memory."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


async def _send(transport: Any, chunks: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in chunks:
            await transport.send_bytes(chunk)
    except ClientGone:
        pass  # The client went away, which is no fault of the handler.
    except Exception:
        _log.exception("a streaming response ended early")
        raise
    finally:
        # The body ends when the last reference goes, and the traceback of an exception would keep this one.
        del transport
        await _close(chunks)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    """Run the iterator's own cleaning up: it may hold a waiter or a reader's place."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()
