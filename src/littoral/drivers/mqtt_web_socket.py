"""Clients of the MQTT broker that speak WebSocket: browsers, most of the time."""

from asyncio import Transport
from collections.abc import Collection

from littoral.drivers.mqtt import MqttClient, MqttListener
from littoral.wire.mqtt_web_socket import MqttWebSocket


class WebSocketClient(MqttClient):
    """MQTT in the frames of a WebSocket."""

    def __init__(
        self, listener: MqttListener, certified: str | None = None, *, path: str, origins: Collection[str] = ()
    ) -> None:
        """See MqttClient; path, origins: see MqttWebSocket."""
        super().__init__(listener, certified)
        self._frames = MqttWebSocket(path, origins)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        received = self._frames.receive(data)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if received.answer:
            if self._blocked:
                # It asks for answers and takes none: they would wait here without end.
                transport.abort()
                return
            transport.write(received.answer)
        if received.data:
            self._connection.receive(received.data)
        if received.ended and not transport.is_closing():
            transport.close()

    def _write(self, transport: Transport, data: bytes) -> None:
        if self._frames.is_open:
            transport.write(self._frames.frame(data))

    def _say_goodbye(self, transport: Transport) -> None:
        transport.write(self._frames.close())
