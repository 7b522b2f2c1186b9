"""A device in memory: an MQTT client that keeps what was not acknowledged, and sends it again."""

from collections import OrderedDict
from collections.abc import Callable

from littoral.iot.broker import Broker
from littoral.iot.channel import CallbackChannel
from littoral.iot.connection import Connection
from littoral.wire import mqtt

PACKET_IDS = 65_535
"""The last one is kept for SUBSCRIBE."""
PACKET_MOST_BYTES = 1 << 20


class SimDevice:
    """Publishes with QoS 1. Call `connect` when its node is up, and now and then, as it may have been closed."""

    def __init__(self, client_id: str, broker: Callable[[], Broker | None]) -> None:
        """broker: of the node, or None while it is down."""
        self.client_id = client_id
        self.acknowledged = 0
        self._broker = broker
        self._connection: Connection | None = None
        self._channel: CallbackChannel | None = None
        self._unacknowledged: OrderedDict[int, tuple[str, bytes]] = OrderedDict()
        self._last_id = 0
        self._rest = b""
        self.received: list[tuple[str, bytes]] = []
        """Messages for its subscriptions."""

    @property
    def unacknowledged(self) -> int:
        """Publishes that nobody promised to keep yet."""
        return len(self._unacknowledged)

    def connect(self) -> bool:
        """Connect, unless it is connected, and send again what was not acknowledged; False if the node is down."""
        broker = self._broker()
        if broker is None:
            return False
        if self._connection is None or self._channel is None or self._channel.closed:
            self._rest = b""
            self._channel = CallbackChannel(self._hear)
            self._connection = broker.connect(self._channel)
            self._put(mqtt.Connect(self.client_id, clean_start=True, keep_alive_s=0))
            for packet_id, (topic, payload) in list(self._unacknowledged.items()):
                self._send(packet_id, topic, payload, again=True)
        return True

    def disconnected(self) -> None:
        """The node went away."""
        self._connection = None

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages."""
        self._put(mqtt.Subscribe(PACKET_IDS, (mqtt.Subscription(topic_filter, 0),)))

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish, now or when the node is up again."""
        self._last_id = self._last_id % (PACKET_IDS - 1) + 1
        self._unacknowledged[self._last_id] = (topic, payload)
        if self._connection is not None:
            self._send(self._last_id, topic, payload, again=False)

    def _send(self, packet_id: int, topic: str, payload: bytes, *, again: bool) -> None:
        self._put(mqtt.Publish(topic, payload, qos=1, duplicate=again, packet_id=packet_id))

    def _put(self, packet: mqtt.Packet) -> None:
        if self._connection is not None and self._channel is not None and not self._channel.closed:
            self._connection.receive(mqtt.encode(packet))

    def _hear(self, data: bytes) -> None:
        buffer, position = self._rest + data, 0
        while (place := mqtt.header(buffer, position, PACKET_MOST_BYTES)) is not None and place[1] <= len(buffer):
            start, end = place
            packet = mqtt.decode(buffer[position], buffer[start:end])
            position = end
            if isinstance(packet, mqtt.PubAck) and self._unacknowledged.pop(packet.packet_id, None) is not None:
                self.acknowledged += 1
            elif isinstance(packet, mqtt.Publish):
                self.received.append((packet.topic, packet.payload))
        self._rest = buffer[position:]
