"""granian inside our event loop, on a socket that is already listening.

`granian.server.embed.Server` binds its own sockets, reconfigures logging and announces itself as experimental; the
worker underneath does none of that, so it is driven directly. This file is the only one that touches granian's
internals, and the version is pinned for it.
"""

# ruff: noqa: SLF001 -- driving what is underneath `granian.server.embed` is the purpose of this file
import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import granian._futures
import granian._granian
from granian.http import HTTP1Settings, HTTP2Settings

from littoral.core.limits import API_CONNECTIONS, API_HEAD_BYTES, API_IDLE_S, Limits
from littoral.drivers.tls_files import TlsFiles

BACKLOG = 1024
PONG_S = 300
"""How long a client may take to answer a ping of HTTP/2: on a slow link there are megabytes in front of it."""

# The type stubs of granian's internals do not describe them.
_native: Any = granian._granian
_futures: Any = granian._futures

# granian takes the Rust module's logger from Python; without a level it would print its own start and stop messages.
logging.getLogger("_granian").setLevel(logging.CRITICAL + 1)

ClientGone: type[Exception] = _native.RSGIProtocolClosed
"""What sending raises once the connection is closed."""

RsgiApp = Callable[[Any, Any], Awaitable[None]]


class GranianServer:
    """One RSGI app on one listening socket, in the running loop. Several may run in one loop."""

    def __init__(self, listener_fd: int, app: RsgiApp, limits: Limits, tls: TlsFiles | None = None) -> None:
        """`listener_fd` stays the caller's; the server works on a copy. Raises StartupError for wrong TLS files."""
        if tls is not None:
            tls.check()
        self._listener_fd = listener_fd
        self._app = app
        self._limits = limits
        self._tls = tls
        self._signal = _native.WorkerSignal()
        self._stopped: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        assert self._stopped is None, "a server starts once"
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        self._signal.add_cb(self._worker_ended(loop, self._stopped))
        # granian closes the descriptor it is given.
        holder = _native.SocketHolder(os.dup(self._listener_fd), False, BACKLOG)
        scheduler = _futures._new_cbscheduler(loop, _futures._future_watcher_wrapper(self._app), impl_asyncio=True)
        self._worker(holder).serve_async(scheduler, loop, self._signal)

    async def stop(self, grace_s: float) -> bool:
        """Accept no more connections, and wait until the open ones have been answered.

        False if `grace_s` passed first: what is left then ends with the process.
        """
        if self._stopped is None:
            return True
        if not self._stopped.done():
            self._signal.set()
        done, _ = await asyncio.wait([self._stopped], timeout=grace_s)
        return bool(done)

    def _worker(self, holder: Any) -> Any:
        threads, blocking_threads, python_threads, python_idle_s = 1, 1, 1, 30
        return _native.RSGIWorker(
            1, (None, holder), None, threads, blocking_threads, python_threads, python_idle_s,
            self._limits[API_CONNECTIONS], *self._protocols(), False, None, *self._tls_arguments(), (None, None),
        )  # fmt: skip

    def _protocols(self) -> tuple[str, HTTP1Settings, HTTP2Settings | None]:
        """The versions of HTTP that are spoken, and what bounds a connection of each on which nothing is asked.

        Where both are, one that says nothing at all is waited for without end, for its version is not known. So both are
        spoken with those alone that had to show a certificate.
        """
        idle_ms = self._limits[API_IDLE_S] * 1000
        http1 = HTTP1Settings(header_read_timeout=idle_ms)
        if self._tls is None or self._tls.client_ca is None:
            return "1", http1, None
        http2 = HTTP2Settings(
            keep_alive_interval=idle_ms, keep_alive_timeout=PONG_S, max_headers_size=self._limits[API_HEAD_BYTES]
        )
        return "auto", http1, http2

    def _tls_arguments(self) -> tuple[object, ...]:
        """In granian's order: on, certificate, key, password, lowest version, client CA, revocation lists, demand."""
        if self._tls is None:
            return (False, None, None, None, "tls1.3", None, [], False)
        tls = self._tls
        client_ca = str(tls.client_ca) if tls.client_ca else None
        return (
            True, str(tls.certificate), str(tls.key), None, tls.minimum, client_ca, [], client_ca is not None,
        )  # fmt: skip

    @staticmethod
    def _worker_ended(loop: asyncio.AbstractEventLoop, stopped: "asyncio.Future[None]") -> Callable[[], None]:
        def resolve() -> None:
            if not stopped.done():
                stopped.set_result(None)

        def from_worker_thread() -> None:
            # A connection that outlived the grace period may end after the loop did.
            if not loop.is_closed():
                loop.call_soon_threadsafe(resolve)

        return from_worker_thread
