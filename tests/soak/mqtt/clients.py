"""Clients of a run. They keep to the specification through every death of the broker, and note what they are promised and given."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from littoral.core.errors import LittoralError
from littoral.wire import mqtt
from tests.soak.mqtt.voices import Heard, Retained, Voice, said_by
from tests.soak.workload import seconds
from tests.support.mqtt_peer import Peer, Way

TRAIL = 2000
"""Packets of each client that are kept, to be shown when something is wrong."""
OLD_WAY_S = 5.0
"""A connection that another has taken the place of is the broker's to end; the client does not wait for that for longer."""


class Link(asyncio.Protocol):
    """A connection over a socket (`tests.support.mqtt_peer.Way`)."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer.connect(self)

    def data_received(self, data: bytes) -> None:
        # What comes on a connection that the client has given up is as good as lost.
        if self._peer.way is self:
            self._peer.hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._peer.closed(self)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Close it once all is written."""
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True, slots=True)
class Work:
    """What a client does, besides being connected."""

    voice: Voice | None = None
    """Whose messages it publishes."""
    topics: tuple[tuple[str, int, bool], ...] = ()
    """Where: topic, QoS, and whether they are retained."""
    heard: Heard | None = None
    """Where it notes what comes."""
    wills: Voice | None = None
    """Each of its connections has another one."""
    retained: Retained = field(default_factory=Retained)
    """Where it notes what it was promised that is retained."""
    restless: bool = False
    """Whether it leaves now and then, or connects although it is connected."""


class Client(Peer):
    """A client whose session outlives its connections, unless it is clean."""

    def __init__(
        self, name: str, level: int, port: int, work: Work, *filters: str, qos: int = 2, clean: bool = False
    ) -> None:
        """filters: its subscriptions, at `qos`."""
        super().__init__(name, level, *filters, qos=qos, clean=clean, expiry_s=0 if clean else mqtt.NEVER_S)
        self.port = port
        self.work = work
        self.packets = 0
        """That came to it."""
        self.opened_s = 0.0
        self.trail: deque[tuple[float, object]] = deque(maxlen=TRAIL)
        self._retaining: dict[int, str] = {}
        self._will: int | None = None
        """The will of its connection, once the broker has it."""

    def say(self, which: int, padding: bytes) -> None:
        """Publish the next message of its voice on one of its topics."""
        topic, qos, retain = self.work.topics[which % len(self.work.topics)]
        assert self.work.voice is not None
        payload = self.work.voice.say(padding)
        if retain:
            self._retaining[self.work.voice.said - 1] = topic
        self.publish(topic, payload, qos, retain=retain)
        self.published.clear()

    # Its connections

    def connect(self, way: Way) -> None:
        """Anew. What a clean session had under way is lost with it, and nobody was promised it."""
        self._vanished()
        if self.clean:
            self._sent.clear()
        if self.work.wills is not None:
            self.will = mqtt.Will(f"wills/{self.client_id}", self.work.wills.say(), 1, retain=False)
        if self.way is not None:
            asyncio.get_running_loop().call_later(OLD_WAY_S, self.way.drop)
        self._note("connects")
        super().connect(way)

    def closed(self, way: Way) -> None:
        """A connection is no more."""
        if way is self.way:
            self._note("was cut off")
            self._vanished()
        super().closed(way)

    def leave(self) -> None:
        """Vanish, without a word."""
        self._note("leaves")
        self._vanished()
        super().leave()

    def say_goodbye(self) -> None:
        """Leave with a word: nobody gets the will, unless the word is lost."""
        way, self._will = self.way, None
        if way is not None:
            self._put(mqtt.Disconnect())
            self.way, self.open = None, False
            assert isinstance(way, Link)
            way.finish()

    def _vanished(self) -> None:
        """Its connection is over without a word, and its will is promised."""
        if self._will is not None and self.work.wills is not None:
            self.work.wills.promised[self._will] = 1
        self._will = None

    # What comes

    def hear(self, data: bytes) -> None:
        """Bytes of the broker."""
        was_open = self.open
        try:
            super().hear(data)
        except LittoralError as error:
            self.faults.append(f"{self.client_id} was sent what is not MQTT: {error}")
        if self.open and not was_open:
            self.opened_s = seconds()
            if self.work.wills is not None:
                self._will = self.work.wills.said - 1
        for packet in self.received:
            if self.work.heard is None:
                self.faults.append(f"{self.client_id} was sent {packet}")
            else:
                self.work.heard.take(packet)
        self.received.clear()
        for payload in self.promised:
            self._is_promised(payload)
        self.promised.clear()

    def _is_promised(self, payload: bytes) -> None:
        assert self.work.voice is not None
        number = said_by(payload)[1]
        self.work.voice.promised[number] = 1
        if (topic := self._retaining.pop(number, None)) is not None:
            self.work.retained.promise(topic, number)

    def _take(self, packet: mqtt.Packet) -> None:
        self.packets += 1
        self._note(packet)
        super()._take(packet)

    def _put(self, packet: mqtt.Packet) -> None:
        self._note((">", packet))
        super()._put(packet)

    def _note(self, what: object) -> None:
        self.trail.append((seconds(), what))


class Reader(Client):
    """Comes, subscribes, and is to be given what is retained: on each topic the last that was acknowledged before, or a later one."""

    def __init__(self, name: str, level: int, port: int, retained: Retained, *filters: str) -> None:
        super().__init__(name, level, port, Work(), *filters, clean=True)
        self.reads = 0
        self._retained_by_others = retained
        self._wanted: dict[str, int] = {}

    @property
    def is_done(self) -> bool:
        """Whether all has come that was retained when it subscribed."""
        return self.open and not self._wanted

    @property
    def wanted(self) -> list[str]:
        """What has not come, in words."""
        return [f"{self.client_id} was not given what is retained on {topic}" for topic in self._wanted]

    def hear(self, data: bytes) -> None:
        """Bytes of the broker."""
        if not self.open:
            self._wanted = dict(self._retained_by_others.numbers)
        Peer.hear(self, data)
        for packet in self.received:
            expected = self._wanted.pop(packet.topic, -1) if packet.retain else -1
            name, number = said_by(packet.payload)
            if number < expected:
                self.faults.append(f"{packet.topic} retains {name} {number} after {expected} was acknowledged")
        self.received.clear()
        if self.is_done:
            self.reads += 1
            self.leave()
