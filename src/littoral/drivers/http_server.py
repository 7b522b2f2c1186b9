"""Serves a `core.http.Handler` over HTTP, HTTPS or mTLS.

One `HttpServer` is one listener: in the event loop itself without TLS (`plain_server`), with granian otherwise. The
handler sees whole requests and returns whole or streaming responses; limits, errors and disconnects are dealt with here. If
the handler fails after the head of a streaming response was sent, the body ends early and the fault is logged: protocols
that stream frame their records, so a reader notices.
"""

import logging
from typing import TYPE_CHECKING

from littoral.core.http import Handler
from littoral.core.limit import Limit
from littoral.core.limits import API_BODY_BYTES, Limits
from littoral.drivers.plain_server import PlainServer
from littoral.drivers.request_bodies import RequestBodies
from littoral.drivers.tls_files import TlsFiles

if TYPE_CHECKING:
    from littoral.drivers.tls_server import TlsServer

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
        bodies = RequestBodies(limits, body_limit)
        self._server: PlainServer | TlsServer
        if tls is None:
            self._server = PlainServer(listener_fd, handler, bodies, limits)
        else:
            self._server = _tls_server(listener_fd, handler, bodies, limits, tls)

    @property
    def open_streams(self) -> int:
        """Streaming responses being sent."""
        return self._server.open_streams

    async def start(self) -> None:
        """Serve in the running loop until `stop`."""
        await self._server.start()

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Accept nothing more, end the streams, and let other requests finish within `grace_s`."""
        if not await self._server.stop(grace_s):
            _log.warning("a listener stopped with connections still open after %s s", grace_s)

    async def reload(self, tls: TlsFiles) -> None:
        """Serve new connections with other TLS files; open ones go on as they are until they end.

        Raises StartupError where a file is missing or wrong; the listener then goes on with the old ones.
        """
        assert not isinstance(self._server, PlainServer), "a listener without TLS has no certificate"
        await self._server.reload(tls)


def _tls_server(
    listener_fd: int, handler: Handler, bodies: RequestBodies, limits: Limits, tls: TlsFiles
) -> "TlsServer":
    # A leaf of the tree has no such listener, and does not load granian.
    from littoral.drivers.tls_server import TlsServer  # noqa: PLC0415

    return TlsServer(listener_fd, handler, bodies, limits, tls)
