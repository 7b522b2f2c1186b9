"""Serves an ASGI application, WebSockets included, with granian in our event loop.

For what is built on an ASGI framework; APIs of our own are `HttpServer`'s.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from littoral.core.limits import API_CONNECTIONS, Limits
from littoral.drivers.granian_server import GranianServer, _native

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger("littoral.http")


class AsgiServer(GranianServer):
    """One ASGI app on one listening socket. Plain HTTP/1.1.

    The app is not sent ASGI's lifespan events: who makes the app starts and ends it, around `start` and `stop`.
    """

    def __init__(self, listener_fd: int, app: AsgiApp, limits: Limits) -> None:
        """`listener_fd` stays the caller's; the server works on a copy."""
        super().__init__(listener_fd, self._call, limits)
        self._asgi_app = app

    async def _call(self, scope: Any, protocol: Any) -> None:
        scope["root_path"] = ""
        try:
            await self._asgi_app(scope, protocol.receive, protocol.send)
        except Exception:
            # granian ends the connection, and says nothing of why.
            _log.exception("serving %s failed", scope.get("path"))
            raise

    def _worker(self, holder: Any) -> Any:
        threads, blocking_threads, python_threads, python_idle_s = 1, 1, 1, 30
        return _native.ASGIWorker(
            1, (None, holder), None, threads, blocking_threads, python_threads, python_idle_s,
            self._limits[API_CONNECTIONS], *self._protocols(), True, None, *self._tls_arguments(), (None, None),
        )  # fmt: skip
