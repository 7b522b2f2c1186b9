"""HTTPS, or mTLS, on one listening socket, with granian: HTTP/1.1, and where clients show certificates HTTP/2.

granian takes what it is to send without waiting for the client to take it. So an answer in pieces ends once it has had
peer-stream-bytes of them: that is the most that is held for a client that reads nothing.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

from littoral.core.errors import InvalidInput, LittoralError
from littoral.core.http import AnyResponse, Handler, Request, Response, StreamingResponse
from littoral.core.limits import PEER_STREAM_BYTES, Limits
from littoral.drivers.granian_server import ClientGone, GranianServer
from littoral.drivers.pieces import close_pieces
from littoral.drivers.problem import unexpected_response
from littoral.drivers.request_bodies import HeldBody, RequestBodies
from littoral.drivers.tls_files import TlsFiles
from littoral.wire.http_fields import flaw_of
from littoral.wire.problem import answer, problem_response

WHOLE_BYTES = 256 * 1024
"""A body up to this is read all at once, and counted as held before it has come; a larger one in pieces, as they come."""
RELOAD_GRACE_S = 5.0
"""How long the end of connections made with a former certificate is waited for, before the log says that some are left."""

_log = logging.getLogger("littoral.http")


class TlsServer:
    """One listener: `start`, then `stop`; `reload` changes its certificate without refusing a connection."""

    def __init__(
        self, listener_fd: int, handler: Handler, bodies: RequestBodies, limits: Limits, tls: TlsFiles
    ) -> None:
        """`listener_fd` stays the caller's. Raises StartupError where a TLS file is missing or wrong."""
        self._handler = handler
        self._listener_fd = listener_fd
        self._bodies = bodies
        self._limits = limits
        self._server = GranianServer(listener_fd, self._serve, limits, tls)
        self._streams: set[asyncio.Task[None]] = set()

    @property
    def open_streams(self) -> int:
        """Streaming responses being sent."""
        return len(self._streams)

    async def start(self) -> None:
        """Serve in the running loop until `stop`."""
        self._server.start()

    async def stop(self, grace_s: float) -> bool:
        """Accept nothing more, end the streams, and let other requests finish. False if `grace_s` passed first."""
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        await self._end_streams()
        return await stopping

    async def reload(self, tls: TlsFiles) -> None:
        """Serve new connections with other TLS files; open ones go on as they are until they end.

        Raises StartupError where a file is missing or wrong; the listener then goes on with the old ones.
        """
        renewed = GranianServer(self._listener_fd, self._serve, self._limits, tls)
        renewed.start()
        old, self._server = self._server, renewed
        if not await old.stop(RELOAD_GRACE_S):
            _log.info("connections made with the former certificate are still open")

    async def _serve(self, scope: Any, protocol: Any) -> None:
        if scope.proto != "http":
            protocol.close(404)
            return
        method: str = scope.method
        held = HeldBody()
        try:
            try:
                request = await self._read(scope, protocol, held)
            except LittoralError as error:
                response: AnyResponse = problem_response(error)
            else:
                response = await answer(self._handler, request, unexpected_response)
            await self._respond(method, protocol, response)
        except Exception as error:  # noqa: BLE001 -- the boundary to the server: whatever it is, it is logged and answered
            fallback = unexpected_response(method, scope.path, error)
            protocol.response_bytes(fallback.status, list(fallback.headers), fallback.body)
        finally:
            self._bodies.release(held)

    async def _read(self, scope: Any, protocol: Any, held: HeldBody) -> Request:
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

    async def _read_body(self, path: str, announced: str, protocol: Any, held: HeldBody) -> bytes:
        self._bodies.announce(path, announced)
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self._bodies.seconds):
                if announced.isdecimal() and 0 < (length := int(announced)) <= WHOLE_BYTES:
                    # Each piece is a wake-up of another thread, and so is the end of all.
                    self._bodies.hold(path, length, held)
                    body: bytes = await protocol()
                    return body
                async for piece in protocol:
                    self._bodies.hold(path, len(piece), held)
                    pieces.append(piece)
        except TimeoutError:
            raise self._bodies.timed_out(path) from None
        return b"".join(pieces)

    async def _respond(self, method: str, protocol: Any, response: AnyResponse) -> None:
        if flaw := flaw_of(response.status, response.headers):
            if isinstance(response, StreamingResponse):
                await close_pieces(response.chunks)
            raise ValueError(flaw)
        headers = list(response.headers)
        if isinstance(response, Response):
            protocol.response_bytes(response.status, headers, response.body)
        elif method == "HEAD":
            await close_pieces(response.chunks)
            protocol.response_empty(response.status, headers)
        else:
            await self._stream(protocol, response)

    async def _stream(self, protocol: Any, response: StreamingResponse) -> None:
        """Send pieces until they end or are too many, the client goes away, or the listener stops."""
        transport = protocol.response_stream(response.status, list(response.headers))
        sending = asyncio.create_task(_send(transport, response.chunks, self._limits))
        # The body ends when the last reference goes.
        del transport
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


async def _send(transport: Any, pieces: AsyncIterator[bytes], limits: Limits) -> None:
    left = limits[PEER_STREAM_BYTES]
    try:
        async for piece in pieces:
            await transport.send_bytes(piece)
            left -= len(piece)
            if left <= 0:
                limits.hit(PEER_STREAM_BYTES)
                return
    except ClientGone:
        pass  # The client went away, which is no fault of the handler.
    except Exception:
        _log.exception("a streaming response ended early")
        raise
    finally:
        # The body ends when the last reference goes, and the traceback of an exception would keep this one.
        del transport
        await close_pieces(pieces)
