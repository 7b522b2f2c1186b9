"""HTTP/1.1 without TLS on one listening socket, in the event loop itself (littoral.drivers.http_connection)."""

import asyncio
import os
import socket
from email.utils import formatdate

from littoral.core.http import Handler
from littoral.core.limits import API_CONNECTIONS, Limits
from littoral.drivers.http_connection import HttpConnection
from littoral.drivers.request_bodies import RequestBodies


class PlainServer:
    """One listener: `start`, then `stop`."""

    def __init__(self, listener_fd: int, handler: Handler, bodies: RequestBodies, limits: Limits) -> None:
        """`listener_fd` stays the caller's; the server works on a copy."""
        self.handler = handler
        self.bodies = bodies
        self.limits = limits
        self._listener_fd = listener_fd
        self._server: asyncio.Server | None = None
        self._connections: dict[HttpConnection, None] = {}
        self._streams: dict[asyncio.Task[int], None] = {}
        self._stopping = False
        """What the system accepts from now on is closed unserved: its client has asked nothing yet that was read."""
        self._idle: asyncio.Future[None] | None = None
        """While the server stops: done when no connection is left."""
        self._dated_s = -1
        self._date = ""

    @property
    def open_streams(self) -> int:
        """Streaming responses being sent."""
        return len(self._streams)

    async def start(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        listening = socket.socket(fileno=os.dup(self._listener_fd))
        self._server = await loop.create_server(lambda: HttpConnection(self), sock=listening)

    async def stop(self, grace_s: float) -> bool:
        """Accept no more connections, end the streams, and wait until other requests have been answered.

        False if `grace_s` passed first: what is left then is cut off.
        """
        if self._server is None:
            return True
        self._stopping = True
        self._server.close()
        for task in tuple(self._streams):
            task.cancel()
        for connection in tuple(self._connections):
            connection.finish()
        if not self._connections:
            return True
        self._idle = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._idle], timeout=grace_s)
        for connection in tuple(self._connections):
            connection.abort()
        return bool(done)

    # What connections ask

    def opened(self, connection: HttpConnection) -> bool:
        """See Connections."""
        self._connections[connection] = None
        if len(self._connections) > self.limits[API_CONNECTIONS]:
            self.limits.hit(API_CONNECTIONS)
            return False
        return not self._stopping

    def closed(self, connection: HttpConnection) -> None:
        """See Connections."""
        self._connections.pop(connection, None)
        if not self._connections and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def streaming(self, task: "asyncio.Task[int]") -> None:
        """See Connections."""
        self._streams[task] = None
        task.add_done_callback(self._streamed)

    def _streamed(self, task: "asyncio.Task[int]") -> None:
        self._streams.pop(task, None)

    def date(self) -> str:
        """See Connections."""
        second = int(asyncio.get_running_loop().time())
        if second != self._dated_s:
            self._dated_s, self._date = second, formatdate(usegmt=True)
        return self._date
