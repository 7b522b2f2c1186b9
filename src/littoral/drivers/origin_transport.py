"""Connections to origins: made, kept, used again.

Kept connections are taken last in, first out: those that are not needed grow old and are closed. A connection that its origin
has closed meanwhile, or on which it says only that it has waited too long (408), is nobody's failure: the request goes on a new
one, once, if nothing else can be to blame and it does no harm to send it twice.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from msgspec import Struct

from littoral.core.limits import Limits
from littoral.drivers.origin_connect import TlsContexts, addresses_of, connected, not_connected
from littoral.drivers.origin_connection import OriginConnection
from littoral.drivers.origin_duplex import OriginDuplex
from littoral.drivers.origin_request import request_head
from littoral.drivers.origin_response import OriginResponse
from littoral.gateway.field_block import Fields
from littoral.gateway.notes import step
from littoral.gateway.origins.transport import Endpoint, OriginAnswer, OriginFailed, OriginRequest, OriginTimeouts

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class ConnectionMeter(Struct):
    """What a gateway has done with connections to origins since it started."""

    opened: int = 0
    reused: int = 0
    """Requests on a connection that was kept."""
    repeated: int = 0
    """Requests that were sent again because a kept connection had been closed, or given up by its origin."""


class HttpOriginTransport:
    """Implements `gateway.origins.transport.OriginTransport`. Close it with `aclose`."""

    def __init__(self, limits: Limits | None = None, contexts: TlsContexts | None = None) -> None:
        """contexts: what is trusted, where several share it."""
        self.limits = limits or Limits()
        self.meter = ConnectionMeter()
        self._idle: dict[Endpoint, list[OriginConnection]] = {}
        self._open: set[OriginConnection] = set()
        self._connecting: set[asyncio.Timeout] = set()
        self._uploads: set[asyncio.Task[None]] = set()
        self._contexts = contexts or TlsContexts()
        self._is_closed = False
        self._changed = asyncio.Event()
        """A connection, an attempt at one or an upload is no more."""

    @property
    def open_connections(self) -> int:
        """Now, in use or kept."""
        return len(self._open)

    async def send(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None] | None = None,
        begun: OriginAnswer | None = None,
    ) -> OriginResponse:
        """See `OriginTransport.send`. Raises InvalidInput for a request that would not be read as one."""
        head = request_head(endpoint, request)
        response = begun if begun is not None else self._sent(endpoint, head, request, timeouts, inform)
        if response is not None:
            assert isinstance(response, OriginResponse), "it was begun here"
            try:
                await response.head()
            except OriginFailed as failure:
                self._check_may_repeat(request, failure)
            else:
                if response.status != HTTPStatus.REQUEST_TIMEOUT or not _may_repeat(request):
                    return response
                # It has waited too long for a request, most likely before this one came (RFC 9110, section 15.5.9).
                response.close()
                self.meter.repeated += 1
        with step(request.notes, "connect"):
            connection = await self._opened(endpoint, timeouts.connect_s)
        response = connection.ask(head, request, timeouts, inform)
        await response.head()
        return response

    def begin(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None],
        told: Callable[[], None],
    ) -> OriginResponse | None:
        """See `OriginTransport.begin`. Raises InvalidInput as `send`."""
        if not isinstance(request.body, bytes):
            return None
        return self._sent(endpoint, request_head(endpoint, request), request, timeouts, inform, told)

    async def switch(
        self, endpoint: Endpoint, request: OriginRequest, timeouts: OriginTimeouts
    ) -> tuple[OriginResponse, OriginDuplex | None]:
        """See `OriginTransport.switch`. It is done on a new connection: an old one might not last."""
        head = request_head(endpoint, request)
        with step(request.notes, "connect"):
            connection = await self._opened(endpoint, timeouts.connect_s)
        response = connection.ask(head, request, timeouts, wants_switch=True)
        await response.head()
        return response, connection.duplex

    def close_idle(self, most: int) -> None:
        """Keep so many connections for later, over all endpoints; those of the endpoints that were asked first go first."""
        surplus = sum(map(len, self._idle.values())) - most
        for connection in [each for idle in self._idle.values() for each in idle][: max(surplus, 0)]:
            connection.close()

    async def aclose(self) -> None:
        """Close all connections. Requests under way fail; returns when nothing of them is left."""
        self._is_closed = True
        for attempt in self._connecting:
            attempt.reschedule(asyncio.get_running_loop().time())
        for connection in list(self._open):
            connection.close()
        while self._open or self._connecting or self._uploads:
            self._changed.clear()
            await self._changed.wait()

    def _check_may_repeat(self, request: OriginRequest, failure: OriginFailed) -> None:
        """Raises the failure if the request may not be sent again."""
        if not failure.reused or not _may_repeat(request):
            raise failure
        self.meter.repeated += 1

    def _sent(
        self,
        endpoint: Endpoint,
        head: bytes,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None] | None,
        told: Callable[[], None] | None = None,
    ) -> OriginResponse | None:
        """On a kept connection; None where there is none."""
        connection = self._kept(endpoint, request)
        return connection.ask(head, request, timeouts, inform, told) if connection is not None else None

    def _kept(self, endpoint: Endpoint, request: OriginRequest) -> OriginConnection | None:
        idle = self._idle.get(endpoint)
        while idle:
            connection = idle.pop()
            if connection.is_fit(look=not _may_repeat(request)):
                self.meter.reused += 1
                return connection
            connection.close()
        return None

    async def _opened(self, endpoint: Endpoint, connect_s: float) -> OriginConnection:
        """Raises OriginFailed."""
        if stopping := self._stopping():
            raise not_connected(endpoint, stopping, connect_s)
        attempt = asyncio.timeout(connect_s)
        self._connecting.add(attempt)
        try:
            async with attempt:
                connection = await self._connected(endpoint)
            if connection.is_closed:
                raise OSError("it closes connections, or sends something, before it is asked")
            return connection
        except (OSError, TimeoutError) as error:
            raise not_connected(endpoint, self._stopping() or error, connect_s) from error
        finally:
            self._connecting.discard(attempt)
            self._changed.set()

    def _stopping(self) -> OSError | None:
        return OSError("the gateway is stopping") if self._is_closed else None

    async def _connected(self, endpoint: Endpoint) -> OriginConnection:
        loop = asyncio.get_running_loop()
        is_tls = endpoint.scheme == "https"
        files = (endpoint.ca_file, endpoint.certificate_file, endpoint.key_file)
        context = await self._contexts.of(*files) if is_tls else None
        connection = OriginConnection(endpoint, self)
        sock = await connected(await addresses_of(endpoint.host, endpoint.port))
        try:
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=(endpoint.server_name or endpoint.host) if is_tls else None,
            )
        except BaseException:
            # A connection that was made just before this is given up is closed by uvloop without a word to it.
            if connection in self._open:
                connection.close()
                self.lost(connection)
            sock.close()
            raise
        return connection

    # Connections

    def made(self, connection: OriginConnection) -> list[OriginConnection]:
        """See `origin_connection.Owner`."""
        self._open.add(connection)
        self.meter.opened += 1
        return self._idle.setdefault(connection.endpoint, [])

    def lost(self, connection: OriginConnection) -> None:
        """See `origin_connection.Owner`."""
        self._open.discard(connection)
        endpoint = connection.endpoint
        idle = self._idle.get(endpoint, [])
        if connection in idle:
            idle.remove(connection)
        if endpoint in self._idle and not idle and not any(each.endpoint == endpoint for each in self._open):
            del self._idle[endpoint]
        self._changed.set()

    def uploading(self, task: "asyncio.Task[None]") -> None:
        """See `origin_connection.Owner`."""
        self._uploads.add(task)
        task.add_done_callback(self._uploaded)

    def _uploaded(self, task: "asyncio.Task[None]") -> None:
        self._uploads.discard(task)
        self._changed.set()


def _may_repeat(request: OriginRequest) -> bool:
    return request.method in IDEMPOTENT and isinstance(request.body, bytes)
