"""granian inside our event loop, on a socket that is already listening.

`granian.server.embed.Server` binds its own sockets, reconfigures logging and announces itself as experimental; the
worker underneath does none of that, so it is driven directly. This file is the only one that touches granian's
internals, and the version is pinned for it.
"""

# ruff: noqa: SLF001 -- driving what is underneath `granian.server.embed` is the purpose of this file
import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import granian._futures
import granian._granian

from littoral.core.errors import StartupError

BACKPRESSURE = 20_000
"""Connections served at once. granian's default of 128 stalls as soon as that many clients read streams."""
BACKLOG = 1024

# The type stubs of granian's internals do not describe them.
_native: Any = granian._granian
_futures: Any = granian._futures

# granian takes the Rust module's logger from Python; without a level it would print its own start and stop messages.
logging.getLogger("_granian").setLevel(logging.CRITICAL + 1)

ClientGone: type[Exception] = _native.RSGIProtocolClosed
"""What sending raises once the connection is closed."""

RsgiApp = Callable[[Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS listener presents and demands, as PEM files."""

    certificate: Path
    """The listener's certificate, followed by the chain to its CA."""
    key: Path
    client_ca: Path | None = None
    """If set, clients must present a certificate of this CA; without one the handshake is refused."""
    minimum: Literal["tls1.2", "tls1.3"] = "tls1.3"
    """The oldest TLS version that is spoken."""

    def check(self) -> None:
        """Raises StartupError where a file is missing or wrong: granian would panic in a thread of its own."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                "load TLS files",
                f"{self.certificate}, {self.key}" + (f", {self.client_ca}" if self.client_ca else ""),
                error.strerror or str(error),
                "Check that the files exist, are PEM, belong together and can be read by this user",
            ) from error


class GranianServer:
    """One RSGI app on one listening socket, in the running loop. Several may run in one loop."""

    def __init__(self, listener_fd: int, app: RsgiApp, tls: TlsFiles | None = None) -> None:
        """`listener_fd` stays the caller's; the server works on a copy. Raises StartupError for wrong TLS files."""
        if tls is not None:
            tls.check()
        self._listener_fd = listener_fd
        self._app = app
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
            1, (None, holder), None, threads, blocking_threads, python_threads, python_idle_s, BACKPRESSURE,
            "auto", None, None, False, None, *self._tls_arguments(), (None, None),
        )  # fmt: skip

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
