"""Messages of QoS 1 and 2 on their way to one client.

    queue  --send-->  SENT, under a packet identifier  --PUBACK-->  gone                                (QoS 1)
                                                       --PUBREC-->  TAKEN  --PUBCOMP-->  gone           (QoS 2)

    connection lost: SENT goes again with DUP, TAKEN goes again as PUBREL, each under its identifier [MQTT-4.4.0-1]

Where the session is kept, the identifier of a QoS 2 message is on disk before its first PUBLISH, and that it was taken is on disk
before PUBREL: otherwise a restart could send it twice. Identifiers of QoS 1 messages are not written: after a restart such a
message goes out anew.
"""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_INFLIGHT, MQTT_QUEUE, MQTT_QUEUE_BYTES
from littoral.core.order import Order
from littoral.iot.acks import Acks
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.session_store import Change, Complete, KeptMessage, Send, Taken
from littoral.iot.session_writes import SessionWrites
from littoral.iot.shared import SharedGroup
from littoral.wire.mqtt import PubRel, ReasonCode

PACKET_IDS_MOST = 65_534
"""The greatest identifier that a message gets. The one after it is free in every session: a bridge, which uses a session's identifiers
at another broker too, subscribes there under it."""


class Delivery(Struct, eq=False):
    """A message that waits for one client."""

    message: Message
    qos: int
    retain: bool = False
    identifiers: tuple[int, ...] = ()
    number: int = 0
    """In the store; 0 where it is not kept."""
    group: SharedGroup | None = None
    """The shared subscription by which it came here; another of its members may get it instead."""
    sent: bool = False
    """A second time, it goes with DUP [MQTT-3.3.1-1]."""


class Deliveries:
    """A session's queue and what is in flight."""

    __slots__ = (
        "_again",
        "_in_flight",
        "_last_id",
        "_limits",
        "_most",
        "_outbound",
        "_queue",
        "_queued_bytes",
        "_reject_new",
        "_sent_before",
        "_session",
        "_taken",
        "_writes",
        "dropped",
    )

    def __init__(self, session: int, limits: Limits, writes: SessionWrites, *, reject_new: bool) -> None:
        """session: its number in the store; 0 for one that is not kept. reject_new: a full queue takes nothing more, instead of
        dropping its oldest."""
        self._session = session
        self._reject_new = reject_new
        self._limits = limits
        self._writes = writes
        self._outbound: Outbound | None = None
        self._queue: deque[Delivery] | list[Delivery] = []
        self._queued_bytes = 0
        self._in_flight: dict[int, Delivery] = {}
        self._taken: dict[int, int] = {}
        """QoS 2: identifiers that wait for PUBCOMP, with the message's number."""
        self._again: list[int] = []
        self._last_id = 0
        self._sent_before = 0
        """Of what came through a restart: see `sent_before`."""
        self._most = 0
        """How many may be in flight; known when the client is there."""
        self.dropped = 0
        """Messages dropped so far."""

    # --- What is there

    @property
    def waiting(self) -> int:
        """Messages that the client has not taken over."""
        return len(self._queue) + len(self._in_flight)

    @property
    def in_flight(self) -> int:
        """Messages among them that it has been sent."""
        return len(self._in_flight)

    @property
    def queued_bytes(self) -> int:
        """Of those that it has not been sent."""
        return self._queued_bytes

    @property
    def is_free(self) -> bool:
        """Whether a message would be sent at once."""
        out = self._outbound
        return out is not None and not self._queue and not self._again and self._has_window and out.has_room

    def is_full(self, size: int) -> bool:
        """Whether the queue has no room for a message of so many bytes."""
        limits = self._limits
        return not self.is_free and (
            len(self._queue) >= limits[MQTT_QUEUE] or self._queued_bytes + size > limits[MQTT_QUEUE_BYTES]
        )

    @property
    def sent_before(self) -> int:
        """Of what waits at QoS 1, messages of a lesser number in the store may have been sent, and no others were: they are sent in
        order."""
        sent = (each.number + 1 for each in self._in_flight.values() if each.sent and each.qos == 1)
        return max((self._sent_before, *sent))

    @property
    def _outstanding(self) -> int:
        """How many this connection has been sent and has not answered."""
        return len(self._in_flight) - len(self._again) + len(self._taken)

    @property
    def _has_window(self) -> bool:
        """Whether one more message may be in flight (section 4.9)."""
        return len(self._in_flight) + len(self._taken) < self._most

    # --- In and out

    def restore(self, kept: Iterable[KeptMessage]) -> None:
        """Take over what was kept through a restart."""
        for each in kept:
            if each.taken and each.packet_id is not None:
                self._taken[each.packet_id] = each.number
                continue
            delivery = Delivery(each.message, each.qos, each.retain, each.identifiers, each.number)
            if each.packet_id is not None:
                delivery.sent = True
                self._in_flight[each.packet_id] = delivery
                continue
            delivery.sent = each.sent
            if each.sent:
                self._sent_before = each.number + 1
            self._append(delivery)

    def add(self, delivery: Delivery) -> None:
        """Send a message, or keep it until the client takes it."""
        if self.is_free and delivery.message.expires_ms is None and not (delivery.qos == 2 and delivery.number):
            packet_id = self._next_id()
            self._in_flight[packet_id] = delivery
            assert self._outbound is not None
            self._send(self._outbound, packet_id, delivery)
            return
        self._append(delivery)
        if self._outbound is not None:
            self.pump()
            if self._queue and not self._has_window and self._most == self._limits[MQTT_INFLIGHT]:
                self._limits.hit(MQTT_INFLIGHT)
        limits = self._limits
        while len(self._queue) > limits[MQTT_QUEUE]:
            limits.hit(MQTT_QUEUE)
            self._drop()
        while self._queued_bytes > limits[MQTT_QUEUE_BYTES]:
            limits.hit(MQTT_QUEUE_BYTES)
            self._drop()

    def _append(self, delivery: Delivery) -> None:
        if type(self._queue) is list:
            self._queue = deque()  # made when it is needed: most sessions never have anything in it
        self._queue.append(delivery)
        self._queued_bytes += delivery.message.bytes

    def _pop(self, *, newest: bool = False) -> Delivery:
        assert isinstance(self._queue, deque)
        delivery = self._queue.pop() if newest else self._queue.popleft()
        self._queued_bytes -= delivery.message.bytes
        return delivery

    def _drop(self) -> None:
        self.dropped += 1
        self._completed(self._pop(newest=self._reject_new).number)

    def _completed(self, number: int) -> None:
        if number:
            self._writes.later([Complete(self._session, number)])

    # --- The connection

    def attach(self, outbound: Outbound) -> None:
        """The client is back: send again what it did not acknowledge, in order."""
        self._outbound = outbound
        self._most = min(self._limits[MQTT_INFLIGHT], outbound.receive_maximum)
        for packet_id in self._taken:
            outbound.answer(PubRel(packet_id))
        self._again = list(self._in_flight)
        self._again.reverse()
        self.pump()

    def detach(self) -> None:
        """The connection is gone."""
        self._outbound = None
        self._again = []

    def shared(self) -> list[Delivery]:
        """What members of shared subscriptions may get in this client's place: what was not sent, and what was sent at QoS 1
        (section 4.8.2). What was sent at QoS 2 is for this client only [MQTT-4.8.2-5]."""
        sent = [
            each for each in self._in_flight.values() if each.group is not None and (each.qos == 1 or not each.sent)
        ]
        return sent + [each for each in self._queue if each.group is not None]

    def all(self) -> list[Delivery]:
        """What the client has not taken over."""
        return [*self._in_flight.values(), *self._queue]

    def withdraw(self, delivery: Delivery, changes: list[Change]) -> None:
        """`delivery` goes to another client, or to nobody. That it is gone here belongs into the transaction by which it is there: it is
        added to `changes`."""
        for packet_id, each in self._in_flight.items():
            if each is delivery:
                del self._in_flight[packet_id]
                break
        else:
            self._queue.remove(delivery)
            self._queued_bytes -= delivery.message.bytes
        if delivery.number:
            changes.append(Complete(self._session, delivery.number))

    def pump(self) -> None:
        """Send what the client's window and the connection have room for; first what an earlier connection sent."""
        out = self._outbound
        if out is None:
            return
        while self._again and out.has_room and self._outstanding < self._most:
            packet_id = self._again.pop()
            delivery = self._in_flight.get(packet_id)
            if delivery is not None:
                self._send(out, packet_id, delivery)
        if self._again:
            return
        sends: list[tuple[int, Delivery]] = []
        now_ms = 0
        while self._queue and self._has_window and out.has_room:
            delivery = self._pop()
            if delivery.message.expires_ms is not None:
                now_ms = now_ms or self._writes.clock.wall_ms()
                if now_ms >= delivery.message.expires_ms:
                    self._completed(delivery.number)
                    continue
            packet_id = self._next_id()
            self._in_flight[packet_id] = delivery
            if delivery.qos == 2 and delivery.number:
                sends.append((packet_id, delivery))
            else:
                self._send(out, packet_id, delivery)
        if sends:
            self._send_when_written(out, sends)

    def _send(self, out: Outbound, packet_id: int, delivery: Delivery) -> None:
        sent = out.publish(
            delivery.message,
            qos=delivery.qos,
            retain=delivery.retain,
            duplicate=delivery.sent,
            packet_id=packet_id,
            identifiers=delivery.identifiers,
        )
        delivery.sent = True
        if not sent:
            del self._in_flight[packet_id]
            self.dropped += 1
            self._completed(delivery.number)

    def _send_when_written(self, out: Outbound, sends: list[tuple[int, Delivery]]) -> None:
        def written(error: BaseException | None) -> None:
            if self._outbound is not out:
                return
            if error is not None:
                out.failed(error)
                return
            for packet_id, delivery in sends:
                if self._in_flight.get(packet_id) is delivery:
                    self._send(out, packet_id, delivery)

        changes = [Send(self._session, delivery.number, packet_id) for packet_id, delivery in sends]
        self._writes.write(changes, Order(), (), written)

    # --- Answers of the client

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK. An identifier that is not in flight is ignored: it may be of a message sent twice."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None or delivery.qos != 1:
            return
        del self._in_flight[packet_id]
        self._completed(delivery.number)
        if self._queue or self._again:
            self.pump()

    def received(self, packet_id: int, reason: ReasonCode, acks: Acks) -> None:
        """PUBREC: never send the message again, only PUBREL [MQTT-4.3.3-3, MQTT-4.3.3-4]."""
        out = self._outbound
        assert out is not None, "only a connection answers"
        delivery = self._in_flight.get(packet_id)
        if delivery is None or delivery.qos != 2:
            known = packet_id in self._taken
            why = ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            acks.answer(out.encoded(PubRel(packet_id, why)))
            return
        del self._in_flight[packet_id]
        if reason.failed:
            self._completed(delivery.number)
            self.pump()
            return
        self._taken[packet_id] = delivery.number
        acks.answer(out.encoded(PubRel(packet_id)))
        if delivery.number:
            acks.change([Taken(self._session, delivery.number)])

    def completed(self, packet_id: int) -> None:
        """PUBCOMP: the identifier is free."""
        number = self._taken.pop(packet_id, None)
        if number is not None:
            self._completed(number)
            self.pump()

    def _next_id(self) -> int:
        """A packet identifier that is not in flight; there always is one, as the window has room."""
        while True:
            self._last_id = self._last_id % PACKET_IDS_MOST + 1
            if self._last_id not in self._in_flight and self._last_id not in self._taken:
                return self._last_id
