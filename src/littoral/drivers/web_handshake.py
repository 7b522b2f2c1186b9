"""Connections of the gateway on which TLS is still being agreed on.

They count as any other does, from when they are accepted: who begins a handshake and does not go on with it holds a socket, too.
So they are accepted here: what servers of asyncio say of a connection they say only when its handshake is done.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from msgspec import Struct

from littoral.core.gateway_limits import GATEWAY_CONNECTIONS, GATEWAY_HANDSHAKE_S
from littoral.core.limit import Limit
from littoral.drivers.web_host import Refused, Ticked

NO_FILES_S = 1.0
"""How long nothing is accepted where the process may open no more files."""


class TlsTerms(Struct, frozen=True):
    """How TLS is spoken."""

    context: Callable[[], ssl.SSLContext]
    """Asked at each handshake."""
    handshake_s: float
    shutdown_s: float
    """In which a client has to say that it has ended, too."""
    admit: Callable[[str], Awaitable[bool]] | None = None
    """Asked with a client's address before its handshake begins, and may take its time; False: it does not begin. None: it begins."""


class HandshakeHost(Protocol):
    """A listener, as the handshakes of its connections see it."""

    def opened(self, connection: Ticked) -> bool:
        """See WebHost."""
        ...

    def closed(self, connection: Ticked) -> None:
        """See WebHost."""
        ...

    def agreed(self, connection: Ticked, transport: asyncio.Transport) -> None:
        """HTTP goes on in place of a handshake."""
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """See WebHost."""
        ...

    def ran(self, task: "asyncio.Task[None]") -> None:
        """See WebHost."""
        ...

    def refused(self, why: Refused, limit: Limit | None = None) -> None:
        """See WebHost."""
        ...


class TlsAcceptor:
    """Accepts connections on a listening socket."""

    def __init__(self, listening: socket.socket, listener: HandshakeHost, terms: TlsTerms) -> None:
        """listening: is closed with this."""
        listening.setblocking(False)
        self._listening = listening
        self._listener = listener
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._begin()

    def close(self) -> None:
        """Accept no more; once is enough."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    def _begin(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        """One at a time: other processes listen on the same socket, and are to have their share."""
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Those who connect wait with the system, until some that are open have ended.
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(NO_FILES_S, self._begin)
            return
        _Handshake(accepted, self._listener, self._terms)


class _Handshake:
    """That of one client. Implements `Ticked`."""

    def __init__(self, accepted: socket.socket, listener: HandshakeHost, terms: TlsTerms) -> None:
        self._task: asyncio.Task[None] | None = None
        if not listener.opened(self):
            listener.refused("connections", GATEWAY_CONNECTIONS)
            accepted.close()
            listener.closed(self)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener = listener
        self._task = listener.run(self._agree(accepted, terms))
        self._task.add_done_callback(listener.ran)

    async def _agree(self, accepted: socket.socket, terms: TlsTerms) -> None:
        try:
            if terms.admit is not None and not await _is_admitted(accepted, terms.admit):
                accepted.close()
                return
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Agreed(self._done),
                accepted,
                ssl=terms.context(),
                ssl_handshake_timeout=terms.handshake_s,
                ssl_shutdown_timeout=terms.shutdown_s,
            )
        except ConnectionAbortedError:
            self._listener.refused("late", GATEWAY_HANDSHAKE_S)
        except OSError:
            pass  # It is no TLS, or none that is spoken here, or the client has gone.
        finally:
            self._listener.closed(self)

    def _done(self, transport: asyncio.Transport) -> None:
        self._listener.agreed(self, transport)

    def tick(self, now_s: float) -> None:
        """See Ticked; there is a timer for it already."""

    def finish(self) -> None:
        """See Ticked; what it wants to ask is answered: it has come in time."""

    def abort(self) -> None:
        """See Ticked."""
        if self._task is not None:
            self._task.cancel()


async def _is_admitted(accepted: socket.socket, admit: Callable[[str], Awaitable[bool]]) -> bool:
    try:
        return await admit(str(accepted.getpeername()[0]))
    except OSError:
        return False  # The client has gone.
    except asyncio.CancelledError:
        accepted.close()
        raise


class _Agreed(asyncio.Protocol):
    """The end of a handshake."""

    def __init__(self, done: Callable[[asyncio.Transport], None]) -> None:
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._done(cast("asyncio.Transport", transport))
