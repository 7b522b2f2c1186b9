"""This node's broker, as a bridge sees it: one of its clients, of MQTT 5, in memory."""

from collections.abc import Callable, Sequence
from typing import Protocol

from littoral.iot.bridge_names import BRIDGE_USER, bridge_client
from littoral.iot.broker import Broker
from littoral.iot.connection import Connection
from littoral.iot.outbox import Outbox
from littoral.iot.session import Session
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NEVER_S, Packet, Properties, Subscription

_FRAME_BYTES_MOST = 1 << 28


class NearHost(Protocol):
    """Who has such a client."""

    def from_near(self, packet: Packet) -> None:
        """This broker sent something."""
        ...

    def near_flushed(self) -> None:
        """All that it had to send was told."""
        ...

    def near_closed(self, why: str) -> None:
        """It has ended the connection."""
        ...

    def pause_far(self, *, paused: bool) -> None:
        """It takes nothing for a while, or goes on."""
        ...


class BridgeNear:
    """Implements `Channel`. What the broker sends is taken in a later turn of the loop, and only while `is_held` is false: what is not
    taken waits in the client's session, within its limits."""

    def __init__(
        self, broker: Broker, name: str, pass_word: str, host: NearHost, later: Callable[[Callable[[], None]], object]
    ) -> None:
        """pass_word: see BridgeAccess. later: calls in a later turn."""
        self._broker = broker
        self._client_id = bridge_client(name)
        self._pass_word = pass_word
        self._host = host
        self._later = later
        self._connection: Connection | None = None
        self._outbox: Outbox | None = None
        self._is_due = False
        self.is_held = False

    @property
    def session(self) -> Session | None:
        """Of this client, if there is one."""
        return self._broker.sessions.get(self._client_id)

    def connect(self, receive_maximum: int, *, forget: bool = False) -> None:
        """receive_maximum: messages of QoS 1 and 2 to be sent and not answered. forget: with a session that ends with the
        connection, in place of the one before."""
        connection = self._connection = self._broker.connect(self, self._pass_word)
        expiry_s = 0 if forget else NEVER_S
        properties = Properties(session_expiry_s=expiry_s, receive_maximum=receive_maximum)
        # A user name of its own, or what certifies it would be taken for one, and shown.
        connect = mqtt.Connect(self._client_id, forget, 0, None, BRIDGE_USER, level=MQTT_5, properties=properties)
        connection.receive(mqtt.encode(connect, MQTT_5))

    def subscribe(self, packet_id: int, wanted: Sequence[Subscription]) -> bool:
        """Have these subscriptions and no others; whether SUBACK follows. The client is connected."""
        session = self.session
        assert session is not None, self._client_id
        grants = session.grants
        stale = tuple(set(grants) - {each.filter for each in wanted})
        if stale:
            self.send(mqtt.encode(mqtt.Unsubscribe(packet_id, stale), MQTT_5))
        new = tuple(each for each in wanted if each.filter not in grants or grants[each.filter].subscription != each)
        if new:
            self.send(mqtt.encode(mqtt.Subscribe(packet_id, new), MQTT_5))
        return bool(new)

    def send(self, data: bytes) -> None:
        """Packets, as bytes."""
        if self._connection is not None and data:
            self._connection.receive(data)

    def leave(self) -> None:
        """Say goodbye. The session stays."""
        connection, self._connection = self._connection, None
        self._outbox = None
        if connection is not None:
            connection.receive(mqtt.encode(mqtt.Disconnect(), MQTT_5))
            connection.lost()

    def release(self) -> None:
        """Hold back nothing any more."""
        self.is_held = False
        self._flush_later()

    # --- Channel

    def wake(self, outbox: Outbox) -> None:
        """See Channel."""
        self._outbox = outbox
        self._flush_later()

    def pause(self) -> None:
        """See Channel."""
        self._host.pause_far(paused=True)

    def resume(self) -> None:
        """See Channel."""
        self._host.pause_far(paused=False)

    def close(self, outbox: Outbox) -> None:
        """See Channel."""
        if self._connection is not None:
            self._connection = None
            self._outbox = None
            self._host.near_closed("this node's broker has ended it")

    # --- Taking

    def _flush_later(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._later(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        connection = self._connection
        if connection is None or self.is_held:
            return
        outbox, self._outbox = self._outbox, None
        if outbox is not None and outbox.bytes:
            self._take(outbox.take())
        self._host.near_flushed()
        if self._connection is connection:
            connection.writable()

    def _take(self, data: bytes) -> None:
        """The broker sends whole packets."""
        position = 0
        while position < len(data) and self._connection is not None:
            found = mqtt.header(data, position, _FRAME_BYTES_MOST, MQTT_5)
            assert found is not None, data[position:]
            body, end = found
            self._host.from_near(mqtt.decode(data[position], data[body:end], MQTT_5))
            position = end
