"""The gateway's HTTP on one listening socket."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any

from littoral.core.gateway_limits import GATEWAY_CONNECTIONS, GATEWAY_HANDSHAKE_S, GATEWAY_LINGER_S
from littoral.core.http import Response
from littoral.core.limit import Limit
from littoral.core.limits import Limits
from littoral.drivers.peer_certificates import PeerCertificates
from littoral.drivers.problem import unexpected_response
from littoral.drivers.web_certificates import WebCertificates
from littoral.drivers.web_connection import Http1Connection
from littoral.drivers.web_handshake import TlsAcceptor, TlsTerms
from littoral.drivers.web_host import Refused, Ticked, WebBounds, WebHost
from littoral.drivers.web_http2 import Http2Connection
from littoral.drivers.web_peer import PeerHost
from littoral.gateway.exchange import Serve

TICK_S = 1.0
"""How often the date is renewed, and late connections are looked for: a timer for each request would be dear."""


class WebListener:
    """`start`, then `stop`."""

    def __init__(
        self,
        listener_fd: int,
        serve: Serve,
        limits: Limits,
        tls: WebCertificates | PeerCertificates | None = None,
        *,
        knows_h2c: bool = False,
        serve_of: Callable[[bytes], Serve] | None = None,
    ) -> None:
        """listener_fd: a bound, listening socket, which stays the caller's; the listener works on a copy.
        tls: what it shows; may be replaced at any time. knows_h2c: whether to speak HTTP/2 without TLS with clients
        that begin with it. serve_of: where clients show certificates, how each is served, by its own (DER)."""
        self.serve = serve
        self.serve_of = serve_of
        self.knows_h2c = knows_h2c
        self.draining = False
        self.date_line = b""
        self.now_s = 0.0
        self.accepted = 0
        """Connections since the start."""
        self.refusals: dict[str, int] = {}
        """Requests and connections that were not served, by the reason."""
        self._limits = limits
        self.bounds = WebBounds.of(limits)
        self._most = limits[GATEWAY_CONNECTIONS]
        self._tls = tls
        self._listener_fd = listener_fd
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | TlsAcceptor | None = None
        self._connections: dict[Ticked, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        """While the listener stops: done when no connection is left."""

    @property
    def connections(self) -> int:
        """Open ones."""
        return len(self._connections)

    def configure(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        self._limits = limits
        self.bounds = WebBounds.of(limits)
        self._most = limits[GATEWAY_CONNECTIONS]

    async def start(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._tick()
        listening = socket.socket(fileno=os.dup(self._listener_fd))
        if self._tls is None:
            self._server = await loop.create_server(lambda: Http1Connection(self), sock=listening)
        else:
            limits = self._limits
            tls = self._tls
            terms = TlsTerms(lambda: tls.context, limits[GATEWAY_HANDSHAKE_S], limits[GATEWAY_LINGER_S])
            self._server = TlsAcceptor(listening, self, terms)

    async def stop(self, grace_s: float, idle_s: float = 0.0) -> bool:
        """Accept no more connections, and wait until the requests that came are answered; each answer is the last of its
        connection. False if `grace_s` passed first: what is left then is cut off. idle_s: for so long connections on which
        nothing is asked are left open, for a client may be about to ask."""
        if self._server is None:
            return True
        self.draining = True
        self._server.close()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + grace_s
        await self._wait_until_empty(idle_s)
        for connection in tuple(self._connections):
            connection.finish()
        await self._wait_until_empty(until_s - loop.time())
        if self._tasks:
            # What was begun for clients that have gone.
            await asyncio.wait(tuple(self._tasks), timeout=max(0.0, until_s - loop.time()))
        is_whole = not self._connections and not self._tasks
        for connection in tuple(self._connections):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        if self._ticking is not None:
            self._ticking.cancel()
        return is_whole

    async def _wait_until_empty(self, most_s: float) -> None:
        if self._connections and most_s > 0:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=most_s)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self.now_s = loop.time()
        self.date_line = f"date: {formatdate(usegmt=True)}\r\n".encode()
        for connection in tuple(self._connections):
            connection.tick(self.now_s)
        self._ticking = loop.call_later(TICK_S, self._tick)

    # What connections ask

    def opened(self, connection: Ticked) -> bool:
        """See WebHost."""
        self.accepted += 1
        self._connections[connection] = None
        return len(self._connections) <= self._most

    def closed(self, connection: Ticked) -> None:
        """See WebHost."""
        self._connections.pop(connection, None)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def agreed(self, connection: Ticked, transport: asyncio.Transport) -> None:
        """See HandshakeHost."""
        tls = transport.get_extra_info("ssl_object")
        host: WebHost = self
        if self.serve_of is not None:
            host = PeerHost(host, self.serve_of(tls.getpeercert(binary_form=True)))
        is_http2 = tls.selected_alpn_protocol() == "h2"
        self._replace(connection, Http2Connection(host) if is_http2 else Http1Connection(host), transport, b"")

    def speak_http2(self, connection: Ticked, transport: asyncio.Transport, data: bytes) -> None:
        """See WebHost."""
        self._replace(connection, Http2Connection(self), transport, data)

    def _replace(
        self, connection: Ticked, protocol: asyncio.Protocol, transport: asyncio.Transport, data: bytes
    ) -> None:
        """The one connection is the other now: nobody has come or gone."""
        del self._connections[connection]
        self.accepted -= 1
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """See WebHost."""
        # Not `ensure_future`, which asks the system which process this is, and does not need to.
        task = self._loop.create_task(work)
        self._tasks.add(task)
        return task

    def ran(self, task: "asyncio.Task[None]") -> None:
        """See WebHost."""
        self._tasks.discard(task)

    def refused(self, why: Refused, limit: Limit | None = None) -> None:
        """See WebHost."""
        self.refusals[why] = self.refusals.get(why, 0) + 1
        if limit is not None:
            self.reached(limit)

    def reached(self, limit: Limit) -> None:
        """See WebHost."""
        self._limits.hit(limit)

    def fault(self, method: str, target: str, error: Exception) -> Response:
        """See WebHost."""
        return unexpected_response(method, target, error)
