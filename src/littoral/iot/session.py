"""What the broker remembers of a client: subscriptions, and QoS 1 messages the client has not acknowledged.

    queue (bounded, oldest dropped)  --send-->  in flight (by packet id)  --PUBACK-->  gone
                                                   |
                                     connection lost: sent again, with DUP, on the next one

With clean session 0 it outlives the connection, in memory: it ends with the broker's process.
"""

from collections import deque
from typing import Protocol

from msgspec import structs

from littoral.core.limits import MQTT_INFLIGHT, MQTT_SEND_QUEUE_BYTES, Limits
from littoral.wire.mqtt import Publish, encode, publish_frame


class Sink(Protocol):
    """The connection a session sends on, as far as it needs to know it."""

    def send(self, frame: bytes) -> None: ...

    def has_room(self) -> bool: ...


class Session:
    """One client's state. It is attached to one connection at a time, or to none."""

    __slots__ = (
        "_again",
        "_in_flight",
        "_last_id",
        "_limits",
        "_queue",
        "_queued_bytes",
        "_sink",
        "clean",
        "client_id",
        "dropped",
        "filters",
    )

    def __init__(self, client_id: str, limits: Limits, *, clean: bool) -> None:
        self.client_id = client_id
        self.clean = clean
        self.filters: dict[str, int] = {}
        """Topic filters with the QoS granted."""
        self.dropped = 0
        """QoS 1 messages dropped so far."""
        self._limits = limits
        self._sink: Sink | None = None
        self._queue: deque[tuple[str, bytes, bool]] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[int, Publish] = {}
        self._again: deque[int] = deque()
        self._last_id = 0

    @property
    def attached(self) -> bool:
        """Whether the client is connected."""
        return self._sink is not None

    @property
    def waiting(self) -> int:
        """QoS 1 messages not yet acknowledged by the client."""
        return len(self._queue) + len(self._in_flight)

    def attach(self, sink: Sink) -> None:
        """The client is back: send again what it did not acknowledge, in order [MQTT-4.4.0-1]."""
        self._sink = sink
        self._again = deque(self._in_flight)
        self.pump()

    def detach(self) -> None:
        """The connection is gone."""
        self._sink = None

    def deliver(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        """Send a message, or keep it for later where QoS and session allow."""
        if qos == 0:
            if self._sink is not None:
                self._sink.send(publish_frame(topic.encode(), payload, retain=retain))
            return
        self._queue.append((topic, payload, retain))
        self._queued_bytes += len(payload)
        self.pump()
        while len(self._queue) > self._limits[MQTT_INFLIGHT]:
            self._limits.hit(MQTT_INFLIGHT)
            self._drop()
        while self._queued_bytes > self._limits[MQTT_SEND_QUEUE_BYTES]:
            self._limits.hit(MQTT_SEND_QUEUE_BYTES)
            self._drop()

    def deliver_frame(self, frame: bytes) -> None:
        """Send a QoS 0 message that is encoded already; the same bytes go to every subscriber."""
        if self._sink is not None:
            self._sink.send(frame)

    def _drop(self) -> None:
        _, payload, _ = self._queue.popleft()
        self._queued_bytes -= len(payload)
        self.dropped += 1

    def acknowledged(self, packet_id: int) -> None:
        """The client has taken over a message. An id that is not in flight is ignored: it may be of a message sent
        twice."""
        self._in_flight.pop(packet_id, None)
        self.pump()

    def pump(self) -> None:
        """Send what the client's window and the connection have room for; first what an earlier connection sent."""
        while self._again and self._sink is not None and self._sink.has_room():
            message = self._in_flight.get(self._again.popleft())
            if message is not None:
                self._sink.send(encode(structs.replace(message, duplicate=True)))
        while self._queue and self._sink is not None and self._sink.has_room():
            if len(self._in_flight) >= self._limits[MQTT_INFLIGHT]:
                return
            topic, payload, retain = self._queue.popleft()
            self._queued_bytes -= len(payload)
            packet_id = self._next_id()
            message = Publish(topic, payload, qos=1, retain=retain, packet_id=packet_id)
            self._in_flight[packet_id] = message
            self._sink.send(encode(message))

    def _next_id(self) -> int:
        """A packet id that is not in flight; there always is one, as the window is smaller than 65,535."""
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._in_flight:
                return self._last_id
