"""MQTT clients in memory that keep their side of the protocol through every restart of the broker."""

import asyncio
from typing import Protocol

from msgspec import structs

from littoral.iot.broker import Broker
from littoral.iot.connection import Connection
from littoral.iot.outbox import Outbox
from littoral.wire import mqtt

WAY_S = 0.001
"""What a packet takes from one end to the other. Virtual."""
PACKET_MOST_BYTES = 1 << 20
SUBSCRIBE_ID = 65_535
REFUSED = 0x80
"""From here on, reasons are errors."""
WINDOW = 8
"""Publishes that wait for their acknowledgement at a time."""


class Way(Protocol):
    """A connection to a broker, as a client sees it. It hands over what comes to `Peer.hear`, and tells `Peer.closed`."""

    def send(self, data: bytes) -> None:
        """To the broker; nothing happens where the connection is no more."""
        ...

    def drop(self) -> None:
        """Close it, without a word of MQTT."""
        ...


class MemoryWay:
    """A broker in this process: bytes arrive a while later, in order, or not at all once it is cut."""

    def __init__(self, broker: Broker, peer: "Peer") -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self._cut = False
        self._connection: Connection = broker.connect(self)

    def send(self, data: bytes) -> None:
        self._loop.call_later(WAY_S, self._arrive, data)

    def drop(self) -> None:
        if not self._cut:
            self._cut = True
            self._connection.lost()

    def cut(self) -> None:
        """The broker is no more, and hears nothing."""
        self._cut = True

    def _arrive(self, data: bytes) -> None:
        if not self._cut:
            self._connection.receive(data)

    # Channel

    def wake(self, outbox: Outbox) -> None:
        data = outbox.take()
        self._loop.call_later(WAY_S, self._deliver, data)
        self._loop.call_soon(self._writable)

    def pause(self) -> None:
        """Packets here are few."""

    def resume(self) -> None:
        """See `pause`."""

    def close(self, outbox: Outbox) -> None:
        if outbox.bytes:
            self._deliver(outbox.take())
        self._cut = True
        self._peer.closed(self)

    def _writable(self) -> None:
        if not self._cut:
            self._connection.writable()

    def _deliver(self, data: bytes) -> None:
        if not self._cut:
            self._peer.hear(data)


class Peer:
    """A client whose session outlives its connections."""

    def __init__(
        self,
        client_id: str,
        level: int,
        *filters: str,
        qos: int = 2,
        will: mqtt.Will | None = None,
        clean: bool = False,
        expiry_s: int = mqtt.NEVER_S,
    ) -> None:
        """filters: its subscriptions, at `qos`. clean: its session ends with the connection (MQTT 3.1.1);
        expiry_s: or is kept for so long (MQTT 5)."""
        self.expiry_s = expiry_s
        self.client_id, self.level = client_id, level
        self.filters, self.qos, self.will, self.clean = filters, qos, will, clean
        self.received: list[mqtt.Publish] = []
        """What the application got, as QoS 2 has it: each identifier once until PUBREL."""
        self.published: dict[bytes, int] = {}
        """Payloads, with the QoS that they were published with."""
        self.promised: list[bytes] = []
        """Payloads of publishes that the broker has taken over: PUBACK or PUBREC came."""
        self.faults: list[str] = []
        """What a broker must not do."""
        self.way: Way | None = None
        self.open = False
        self.subscribed = not filters
        self.acknowledges = True
        """Whether it acknowledges what it receives at QoS 1."""
        self._known = False
        self._waiting: list[mqtt.Publish] = []
        self._sent: dict[int, mqtt.Publish | mqtt.PubRel] = {}
        self._held: set[int] = set()
        self._rest = b""
        self._last_id = 0

    @property
    def idle(self) -> bool:
        """Whether all it has published is acknowledged, and all its subscriptions are."""
        return self.open and self.subscribed and not self._waiting and not self._sent and not self._held

    @property
    def waiting(self) -> int:
        """Publishes that are not acknowledged."""
        return len(self._waiting) + len(self._sent)

    @property
    def payloads(self) -> list[bytes]:
        """Of what it received."""
        return [each.payload for each in self.received]

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        retain: bool = False,
        properties: mqtt.Properties = mqtt.NO_PROPERTIES,
    ) -> None:
        """Now, or when it can."""
        self.published[payload] = qos
        self._waiting.append(mqtt.Publish(topic, payload, qos, retain, properties=properties))
        self._pump()

    def connect(self, way: Way) -> None:
        """Anew, with the session of before."""
        self._rest, self.open, self.way = b"", False, way
        if self.clean:
            self._held.clear()
        expiry = mqtt.Properties(session_expiry_s=self.expiry_s) if self.level == mqtt.MQTT_5 else mqtt.NO_PROPERTIES
        self._put(mqtt.Connect(self.client_id, self.clean, 0, self.will, level=self.level, properties=expiry))

    def leave(self) -> None:
        """Vanish, without a word."""
        way, self.way, self.open = self.way, None, False
        if way is not None:
            way.drop()

    # What comes

    def closed(self, way: Way) -> None:
        """A connection is no more."""
        if self.way is way:
            self.way, self.open = None, False

    def hear(self, data: bytes) -> None:
        """Bytes of the broker."""
        self._rest += data
        while (place := mqtt.header(self._rest, 0, PACKET_MOST_BYTES, self.level)) and place[1] <= len(self._rest):
            body, end = place
            packet, self._rest = mqtt.decode(self._rest[0], self._rest[body:end], self.level), self._rest[end:]
            self._take(packet)

    def _take(self, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.ConnAck():
                self._connected(packet)
            case mqtt.PubAck() | mqtt.PubRec() if packet.reason >= REFUSED:
                self.faults.append(f"{self.client_id} was sent {packet}")
            case mqtt.SubAck():
                self.subscribed = True
            case mqtt.Publish():
                self._receive(packet)
            case mqtt.PubRel():
                self._held.discard(packet.packet_id)
                self._put(mqtt.PubComp(packet.packet_id))
            case mqtt.PubAck():
                self._taken_over(packet.packet_id)
                self._sent.pop(packet.packet_id, None)
                self._pump()
            case mqtt.PubRec():
                self._taken_over(packet.packet_id)
                self._sent[packet.packet_id] = mqtt.PubRel(packet.packet_id)
                self._put(mqtt.PubRel(packet.packet_id))
            case mqtt.PubComp():
                self._sent.pop(packet.packet_id, None)
                self._pump()
            case mqtt.Disconnect():
                """Its disk is gone, and the broker says so: the connection ends."""
            case _:
                self.faults.append(f"{self.client_id} was sent {packet}")

    def _connected(self, packet: mqtt.ConnAck) -> None:
        if packet.reason:
            self.faults.append(f"{self.client_id} was refused: {packet.reason!r}")
            return
        if self._known and not packet.session_present:
            self.faults.append(f"the session of {self.client_id} is lost")
        self._known, self.open = not self.clean, True
        if self.filters and (self.clean or not self.subscribed):
            wanted = tuple(mqtt.Subscription(each, self.qos) for each in self.filters)
            self._put(mqtt.Subscribe(SUBSCRIBE_ID, wanted))
        for each in self._sent.values():
            self._put(structs.replace(each, duplicate=True) if isinstance(each, mqtt.Publish) else each)
        self._pump()

    def _receive(self, packet: mqtt.Publish) -> None:
        if packet.packet_id is None:
            self.received.append(packet)
        elif packet.qos == 1:
            self.received.append(packet)
            if self.acknowledges:
                self._put(mqtt.PubAck(packet.packet_id))
        else:
            if packet.packet_id not in self._held:
                self._held.add(packet.packet_id)
                self.received.append(packet)
            self._put(mqtt.PubRec(packet.packet_id))

    # What goes

    def _taken_over(self, packet_id: int) -> None:
        sent = self._sent.get(packet_id)
        if isinstance(sent, mqtt.Publish):
            self.promised.append(sent.payload)

    def _pump(self) -> None:
        while self.open and self._waiting and len(self._sent) < WINDOW:
            packet = self._waiting.pop(0)
            if packet.qos:
                packet = structs.replace(packet, packet_id=self._next_id())
                self._sent[self._last_id] = packet
            self._put(packet)

    def _next_id(self) -> int:
        """Few, so that each is used again soon."""
        while True:
            self._last_id = self._last_id % (WINDOW + 1) + 1
            if self._last_id not in self._sent:
                return self._last_id

    def _put(self, packet: mqtt.Packet) -> None:
        if self.way is not None:
            self.way.send(mqtt.encode(packet, self.level))
