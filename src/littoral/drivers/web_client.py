"""A client's connection, whatever version of HTTP goes over it: the transport, and what the client has not taken yet."""

import asyncio
from typing import cast

from littoral.core.gateway_limits import GATEWAY_CONNECTIONS
from littoral.drivers.web_host import Ticked, WebHost


class ClientConnection(asyncio.Protocol):
    """See the module. Those of a version say what the bytes mean; they implement `Ticked`."""

    _transport: asyncio.Transport
    client: str
    scheme: str
    tls = ""

    def __init__(self, listener: WebHost) -> None:
        self.listener = listener
        self.blocked = False
        """Whether the client has not taken enough of what was written."""
        self._loop = asyncio.get_running_loop()
        self._gone = False
        """Whether nobody reads what is written."""
        self._since_s = listener.now_s
        """When what is waited for began."""
        self._unsent = 0
        """What the client had not taken when it last took something, and when that was."""
        self._unsent_since_s = listener.now_s

    def _open(self, connection: Ticked, transport: asyncio.BaseTransport) -> bool:
        """Whether it may go on: there may be too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if isinstance(peer, tuple) else ""
        self.scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        if self.scheme == "https":
            cipher = transport.get_extra_info("cipher")
            self.tls = f"{cipher[1]} {cipher[0]}" if cipher else ""
        self._transport.set_write_buffer_limits(self.listener.bounds.send_bytes)
        if self.listener.opened(connection):
            return True
        self.listener.refused("connections", GATEWAY_CONNECTIONS)
        self._transport.abort()
        return False

    def pause_writing(self) -> None:
        self.blocked = True
        self._note_unsent()

    def _note_unsent(self) -> None:
        """From now on the client is to take something."""
        self._unsent, self._unsent_since_s = self._transport.get_write_buffer_size(), self.listener.now_s

    def _is_unread(self, now_s: float) -> bool:
        """Whether the client has taken nothing of what waits for it, for too long."""
        size = self._transport.get_write_buffer_size()
        if not size or size < self._unsent:
            self._unsent, self._unsent_since_s = size, now_s
        return now_s - self._unsent_since_s >= self.listener.bounds.write_s
