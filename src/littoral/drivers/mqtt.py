"""The MQTT broker on a listening socket.

uvloop reads every connection into one receive buffer per loop and hands over a bytes object of what was read: one copy
per read, after which each topic and payload is a plain slice. (Over a bytearray through memoryviews, as a
BufferedProtocol would have it, a reading cost a quarter more.) There is no task and no timer per connection: one sweep a
second looks at all.
"""

import asyncio
import socket
from typing import cast

from littoral.core.limits import MQTT_CONNECTIONS
from littoral.iot.broker import Broker
from littoral.iot.outbox import Outbox

SWEEP_S = 1.0
_HIGH_WATER_BYTES = 64 * 1024
"""How much a transport may hold; beyond it, output waits in the outbox, which can drop what is old."""


class MqttListener:
    """Serves a broker on one socket. Make it inside a running loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._dirty: list[_Client] = []
        self._open = 0

    async def start(self, listening: socket.socket) -> None:
        """Accept clients on a socket that is bound and listening already."""
        self._server = await self._loop.create_server(self._client, sock=listening)
        self._sweep = self._loop.call_later(SWEEP_S, self._tick)

    async def stop(self) -> None:
        """Accept no more, and close every connection after what it has to be sent."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._server is not None:
            self._server.close()
        self._broker.close()
        if self._server is not None:
            await self._server.wait_closed()

    def _client(self) -> "_Client":
        return _Client(self._broker, self)

    def _tick(self) -> None:
        self._broker.sweep()
        self._sweep = self._loop.call_later(SWEEP_S, self._tick)

    def opened(self) -> bool:
        """Count a connection; False if it is one too many."""
        limits = self._broker.limits
        self._open += 1
        if self._open > limits[MQTT_CONNECTIONS]:
            limits.hit(MQTT_CONNECTIONS)
            return False
        return True

    def closed(self) -> None:
        """A connection that `opened` counted is gone."""
        self._open -= 1

    def flush_later(self, client: "_Client") -> None:
        """Write what `client` has to be sent, once, when this turn of the loop has handled what it read."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(client)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for client in dirty:
            client.flush()


class _Client(asyncio.Protocol):
    """One connection: a protocol to the loop, a channel to the broker."""

    def __init__(self, broker: Broker, listener: MqttListener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._blocked = False
        self._connection = broker.connect(self)
        # The loop calls the broker with what it read, without a method of ours in between.
        self.data_received = self._connection.receive  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        if not self._listener.opened():
            self._connection.close("too-many", "too many connections are open; limit mqtt-connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.closed()
        self._connection.lost()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self.flush()

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
            self._transport.write(outbox.take())
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
        if outbox.bytes:
            self._transport.write(outbox.take())
        self._transport.close()
