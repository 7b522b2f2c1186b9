"""The MQTT broker on listening sockets.

uvloop reads every connection into one receive buffer per loop and hands over a bytes object of what was read: one copy
per read, after which each topic and payload is a plain slice. (Over a bytearray through memoryviews, as a
BufferedProtocol would have it, a reading cost a quarter more.) There is no task and no timer per connection: one sweep a
second looks at all.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_CONNECTIONS
from littoral.iot.access import Arrival
from littoral.iot.broker import Broker
from littoral.iot.outbox import Outbox
from littoral.iot.rates import ConnectionRate

if TYPE_CHECKING:
    from littoral.security.revocation import CertificateMark

SWEEP_S = 1.0
_HIGH_WATER_BYTES = 64 * 1024
"""How much a transport may hold; beyond it, output waits in the outbox, which can drop what is old."""


def address_of(name: object) -> str:
    """The IP address in what a socket says of its peer; nothing where it has none."""
    return str(name[0]) if isinstance(name, tuple) and name else ""


class Acceptor(Protocol):
    """Something that takes connections from a socket, and can stop to."""

    def close(self) -> None:
        """Take no more."""
        ...


class MqttListener:
    """Serves a broker on one socket or on several. Make it inside a running loop."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[Acceptor] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._dirty: list[MqttClient] = []
        self._leaving: list[MqttClient] = []
        self._left: list[MqttClient] = []
        self._open = 0

    @property
    def limits(self) -> Limits:
        """Of the node."""
        return self.broker.limits

    def rate(self) -> ConnectionRate:
        """How fast one more socket takes connections."""
        return ConnectionRate(self.limits, self.broker.clock, self.broker.rates)

    async def start(
        self,
        listening: socket.socket,
        client: "Callable[[MqttListener], MqttClient] | None" = None,
        name: str = "mqtt",
    ) -> Acceptor:
        """Accept clients on a socket that is bound and listening already, until what is returned is removed. client: makes what
        carries each of them; None for MQTT as it is. name: see Arrival.listener."""
        make, rate = client or PlainClient, self.rate()

        def come() -> MqttClient:
            made = make(self)
            made.came_to, made.rate = name, rate
            return made

        server = await self._loop.create_server(come, sock=listening)
        self._servers.append(server)
        self._begin()
        return server

    def add(self, acceptor: Acceptor) -> None:
        """Something else accepts clients, and is stopped with this."""
        self._acceptors.append(acceptor)
        self._begin()

    def remove(self, acceptor: Acceptor) -> None:
        """Take no more clients by this way; those that came by it stay."""
        self._servers = [each for each in self._servers if each is not acceptor]
        self._acceptors = [each for each in self._acceptors if each is not acceptor]
        acceptor.close()

    async def stop(self) -> None:
        """Accept no more, and close every connection after what it has to be sent."""
        if self._sweep is not None:
            self._sweep.cancel()
        for each in (*self._servers, *self._acceptors):
            each.close()
        self.broker.close()
        for client in (*self._left, *self._leaving):
            client.leave()
        for server in self._servers:
            await server.wait_closed()

    def _begin(self) -> None:
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._tick)

    def _tick(self) -> None:
        self.broker.sweep()
        for client in self._left:
            client.leave()
        self._left, self._leaving = self._leaving, []
        self._sweep = self._loop.call_later(SWEEP_S, self._tick)

    def opened(self) -> bool:
        """Count a connection; False if it is one too many."""
        limits = self.broker.limits
        self._open += 1
        if self._open > limits[MQTT_CONNECTIONS]:
            limits.hit(MQTT_CONNECTIONS)
            return False
        return True

    def leave_later(self, client: "MqttClient") -> None:
        """`client` has been told why it is closed: give it a second or two to read that and to go by itself. A socket that is
        closed with something unread answers with a reset, which takes what was written last with it."""
        self._leaving.append(client)

    def closed(self) -> None:
        """A connection that `opened` counted is gone."""
        self._open -= 1

    def flush_later(self, client: "MqttClient") -> None:
        """Write what `client` has to be sent, once, when this turn of the loop has handled what it read."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(client)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for client in dirty:
            client.flush()


class MqttClient(asyncio.Protocol):
    """One connection: a protocol to the loop, a channel to the broker."""

    came_to = ""
    """See Arrival.listener."""
    subject = ""
    """See Arrival.subject."""
    mark: "CertificateMark | None" = None
    """Of its certificate, where those may be revoked."""
    rate: ConnectionRate | None = None
    """By which it has to wait; None where it has waited already."""

    def __init__(self, listener: MqttListener, certified: str | None = None) -> None:
        """certified: see Broker.connect."""
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._blocked = False
        self._connection = listener.broker.connect(self, certified)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        if not self._listener.opened():
            self._connection.close("too-many", "too many connections are open; limit mqtt-connections")
            return
        address = address_of(transport.get_extra_info("peername"))
        wait_s = 0.0 if self.rate is None else self.rate.wait_s(address)
        arrival = Arrival(address, self.came_to, self.subject, wait_s is None)
        self._connection.arrive(arrival, wait_s or 0.0)
        if wait_s:
            # uvloop begins to read after this, whatever was said before.
            asyncio.get_running_loop().call_soon(self._wait, wait_s)

    def _wait(self, wait_s: float) -> None:
        self.pause()
        # Not sooner: a short timer could be over before the pause, which nothing would end.
        asyncio.get_running_loop().call_later(wait_s, self._connection.unblock)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.closed()
        self._connection.lost()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self.flush()

    # --- What differs

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes of MQTT."""
        raise NotImplementedError

    def _say_goodbye(self, transport: asyncio.Transport) -> None:
        """What is sent before the connection is closed."""

    # --- Channel

    def wake(self, outbox: Outbox) -> None:
        if self._outbox is None:
            self._outbox = outbox
            if not self._blocked:
                self._listener.flush_later(self)

    def flush(self) -> None:
        """Hand the outbox to the transport, unless that is full."""
        outbox = self._outbox
        if self._blocked or self._transport is None:
            return
        self._outbox = None
        if outbox is not None and outbox.bytes:
            self._write(self._transport, outbox.take())
        if not self._blocked:
            self._connection.writable()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, outbox: Outbox) -> None:
        if self._transport is None:
            return
        self._outbox = None
        if self._blocked:
            # It does not read: waiting for it to take the rest would keep the socket for as long as it likes.
            self._transport.abort()
            return
        said = bool(outbox.bytes)
        if said:
            self._write(self._transport, outbox.take())
        self._say_goodbye(self._transport)
        if said and self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()
            self._listener.leave_later(self)
        else:
            self._transport.close()

    def leave(self) -> None:
        """Close what the client has not closed yet."""
        if self._transport is not None:
            self._transport.close()


class PlainClient(MqttClient):
    """MQTT as it is, on TCP or in TLS."""

    def __init__(self, listener: MqttListener, certified: str | None = None) -> None:
        """See MqttClient."""
        super().__init__(listener, certified)
        # The loop calls the broker with what it read, without a method of ours in between.
        self.data_received = self._connection.receive  # type: ignore[method-assign]

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)
