"""One client's connection, as a state machine.

    NEW  --CONNECT-->  JOINING  --CONNACK-->  OPEN  --DISCONNECT, error, silence, loss-->  CLOSED
    NEW, JOINING  --refused, error, silence, loss-->  CLOSED

While JOINING, credentials are checked and the session is written: nothing is read but AUTH, where the client has the next
step. After CLOSED, bytes and answers are ignored.

QoS 0 publishes are the hot path, see `fast_path` and docs/explanation/mqtt-intake.md. `benches/mqtt_intake.py` measures it
beside mosquitto.
"""

import logging
import math
from typing import TYPE_CHECKING

from littoral.core.mqtt_limits import MQTT_CONNECT_BYTES, MQTT_CONNECT_S, MQTT_PACKET_BYTES
from littoral.iot.access import Arrival, Client
from littoral.iot.acks import Acks
from littoral.iot.channel import Channel
from littoral.iot.control import control, farewell
from littoral.iot.endings import CLOSING_REASONS, EXPIRED, KEEP_ALIVE, SEND_QUEUE, STORE_FAILED
from littoral.iot.fast_path import FastPath
from littoral.iot.inbound import Inbound
from littoral.iot.joining import Joining, State
from littoral.iot.outbound import Outbound
from littoral.iot.pace import Pace
from littoral.iot.session import Session
from littoral.iot.subscribing import Subscribing
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, ReasonCode, RemoteProtocolError

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

log = logging.getLogger(__name__)

_PUBLISH, _PUBLISH_BITS = 0x30, 0xF0
_CONNECT, _PUBACK, _PINGREQ = 0x10, 0x40, 0xC0
_ID_BYTES, _NO_ID = 2, b"\0\0"
_RUN_BYTES_LEAST = 1024
"""Beginning and ending a run costs more than it saves for a few frames."""
_FRAMES_BETWEEN_RUNS = 64
"""What ends a run costs as much as a few frames, so a client that sends nothing for it must not pay that each time."""
_UNANSWERED, _UNSTORED = 1, 2
"""Why nothing is read: an answer is waited for, the disk is behind. A third is that the client is too fast (`pace.OVER_RATE`)."""
_PIECE_BYTES_LEAST = 512
"""Drops of a packet that never ends are no sign of life [MQTT-3.1.2-22]; a large one on a slow line comes in pieces of such a size."""
_PINGRESP_FRAME = mqtt.encode(mqtt.PingResp())
_OPEN = State.OPEN
"""A member of an enumeration costs five times as much to get as a name does, and it is looked at for each read."""
_NOT_OPEN = FastPath(mqtt.MQTT_3_1_1)
"""Has learned nothing: before CONNACK and after the end, no frame is found there."""


class Connection:
    """Feed it with `receive`; it answers through its channel."""

    __slots__ = (
        "_acks",
        "_blocked",
        "_broker",
        "_counters",
        "_deadline_s",
        "_fast",
        "_goodbye",
        "_heard",
        "_inbound",
        "_joining",
        "_max_bytes",
        "_needed",
        "_out",
        "_pace",
        "_rest",
        "_rest_bytes",
        "_silence_s",
        "_stopped",
        "_subscribing",
        "_values",
        "channel",
        "session",
        "state",
        "until_s",
    )

    def __init__(self, broker: "Broker", channel: Channel, now_s: float, certified: str | None) -> None:
        """now_s: of the monotonic clock; a CONNECT must come within the limit from it. certified: see Broker.connect."""
        limits = broker.limits
        self.session: Session | None = None
        self._broker = broker
        self._counters = broker.counters
        self._values = broker.values
        self.channel = channel
        self._out = Outbound(channel, limits, broker.clock, broker.frames, self._overflowed, self._store_failed)
        self._acks = Acks(broker.writes, limits, self._acknowledge, self._store_failed)
        self._joining = Joining(self, broker, certified, self._out, self._acks)
        self._inbound: Inbound | None = None
        self._subscribing: Subscribing | None = None
        self._fast = _NOT_OPEN
        self.state = State.NEW
        self._max_bytes = min(limits[MQTT_CONNECT_BYTES], limits[MQTT_PACKET_BYTES])
        """Of a packet, less its fixed header."""
        self.until_s = math.inf
        """When its client's login expires, by the monotonic clock."""
        self._goodbye = False
        self._heard = False
        self._silence_s: float = limits[MQTT_CONNECT_S]
        self._deadline_s = now_s + self._silence_s
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._needed = 0
        self._stopped = 0
        """Why nothing is read: bits."""
        self._pace: Pace | None = None
        """None for a client that has not published."""
        self._blocked = False
        """Whether nothing may be handled until an answer is there."""

    # --- From the driver

    def receive(self, data: bytes) -> None:
        """Bytes from the client, as they came.

        Most devices send one reading at a time: a read is then one QoS 0 publish, of a shape and a topic that are known. It is
        taken here, without what the general way does for any read, which costs more than the publish does.
        """
        fast = self._fast
        shape = fast.shapes.get(data[:4])
        if shape is None or self._rest_bytes:
            self._receive(data)
            return
        topic_bytes, payload_bytes = shape
        cut = 4 + topic_bytes
        fold = fast.folds.get(data[4:cut])
        if fold is None or len(data) != cut + payload_bytes:
            self._receive(data)
            return
        self._heard = True
        counters = self._counters
        counters.received_bytes += len(data)
        counters.received += 1
        payload = data[cut:]
        if self._values.budget > 0:
            self._values.note(data[4 : cut - fast.pad_bytes], payload)
        fold(payload)
        pace = self._pace or self._new_pace()
        pace.count += 1
        if pace.count >= pace.look_at:
            pace.look()

    def _receive(self, data: bytes) -> None:
        """Bytes of any kind."""
        counters = self._counters
        counters.received_bytes += len(data)
        before = counters.received
        if self._rest_bytes:
            self._rest.append(data)
            self._rest_bytes += len(data)
            if self._rest_bytes < self._needed or self._blocked:
                if self._blocked or len(data) >= _PIECE_BYTES_LEAST:
                    self._heard = True
                return
            data = self._take_rest()
        self._heard = True
        try:
            position = self._publishes(data) if self.state is _OPEN else 0
            if position < len(data):
                self._tail(data, position)
        except RemoteProtocolError as error:
            self._broken(error)
        if self._acks.collecting:
            self._store()
        if count := counters.received - before:
            pace = self._pace or self._new_pace()
            pace.took(count)

    def _new_pace(self) -> Pace:
        pace = self._pace = Pace(self._broker, self, self._name)
        return pace

    def _store(self) -> None:
        if self._inbound is not None:
            self._inbound.read_is_over()
        self._acks.submit()
        if self.state is State.OPEN and not self._stopped & _UNSTORED and self._acks.full:
            self.hold(_UNSTORED)
        if self._out.unsendable and self.state is State.OPEN:
            self.finish("too-large", ReasonCode.PACKET_TOO_LARGE, "an answer is larger than what the client takes")

    def lost(self) -> None:
        """The network is gone: closed by the client, or broken."""
        self._end("lost")

    def writable(self) -> None:
        """The outbox was emptied, and the client takes more."""
        if self.state is State.OPEN and self.session is not None:
            self.session.deliveries.pump()
            if self._subscribing is not None:
                self._subscribing.pump()

    def arrive(self, arrival: Arrival, wait_s: float = 0.0) -> None:
        """Which way the client came. wait_s: when `unblock` will be called, for it has to wait for its turn."""
        self._joining.arrival = arrival
        if wait_s:
            self._deadline_s += wait_s
            self.block()

    def sweep(self, now_s: float) -> None:
        """Called about every second: closes the connection if the client was silent for too long [MQTT-3.1.2-22], or its login has
        expired."""
        if now_s >= self.until_s:
            self.close(EXPIRED, "its login has expired")
        elif self._heard and self.state is State.OPEN:
            self._heard = False
            self._deadline_s = now_s + self._silence_s
        elif now_s >= self._deadline_s and not (self._stopped and self.state is State.OPEN):
            if self.state is not State.OPEN:
                self._broker.limits.hit(MQTT_CONNECT_S)
            self.close(KEEP_ALIVE if self.state is State.OPEN else "connect-timeout")

    # --- The hot path

    def _publishes(self, data: bytes) -> int:
        """Take the frames of `data` that are complete; returns where the rest begins, which `_tail` looks at."""
        end = len(data)
        position = self._noted_run(data, 0) if end >= _RUN_BYTES_LEAST else 0
        while position < end:
            following = self._frames(data, position)
            if following == position:
                break
            position = self._noted_run(data, following) if following < end else following
        return position

    def _noted_run(self, data: bytes, position: int) -> int:
        """As `FastPath.run`. Its messages are noted afterwards, in a loop of their own, while there is a budget."""
        following = self._fast.run(data, position, self._counters)
        if self._values.budget > 0:
            self._values.note_run(data, position, following, self._fast.pad_bytes)
        return following

    def _frames(self, data: bytes, position: int) -> int:  # noqa: C901, PLR0912 - calls would cost more than they do
        """Take some frames of any kind, and learn their shapes; returns where the next begins.

        Every index is safe up to `safe`: the fixed header and the length of a topic are within five bytes. A topic that
        has a route was found valid when the route was made.
        """
        fast = self._fast
        find = fast.folds.get
        pad_bytes = fast.pad_bytes
        max_bytes = self._max_bytes
        values = self._values if self._values.budget > 0 else None
        end = len(data)
        safe = end - 4
        count = 0
        try:
            for _ in range(_FRAMES_BETWEEN_RUNS):
                if position >= safe:
                    break
                length = data[position + 1]
                if length < 128:
                    body = position + 2
                elif (second := data[position + 2]) < 128:
                    length += (second << 7) - 128
                    body = position + 3
                    if length > max_bytes or length < 128:
                        break
                else:
                    break
                following = body + length
                if following > end:
                    break
                first = data[position]
                if first == _PUBLISH:
                    cut = body + 2 + (data[body] << 8 | data[body + 1]) + pad_bytes
                    fold = find(data[body + 2 : cut])
                    if fold is not None and cut <= following:
                        count += 1
                        if length < 128 and cut < following:
                            fast.shapes[data[position : position + 4]] = cut - body - 2, following - cut
                        fold(data[cut:following])
                        if values is not None:
                            values.note(data[body + 2 : cut - pad_bytes], data[cut:following])
                        position = following
                        continue
                self._packet(first, data[body:following])
                position = following
                if self.state is not State.OPEN or self._blocked:
                    if self._blocked and following < end:
                        self._keep(data, following, 0)
                    position = end
                    break
        finally:
            self._counters.received += count
        return position

    def _tail(self, data: bytes, position: int) -> None:
        """Take frames one by one, in any state, and keep what is incomplete."""
        while position < len(data) and self.state is not State.CLOSED:
            if self._blocked:
                self._keep(data, position, 0)
                return
            if self.state is State.NEW and data[position] != _CONNECT:
                # Said before the length is looked at: what speaks another protocol is not waited for.
                raise RemoteProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT", ReasonCode.PROTOCOL_ERROR)
            found = mqtt.header(data, position, self._max_bytes, self._out.level)
            if found is None or found[1] > len(data):
                self._keep(data, position, 0 if found is None else found[1] - position)
                return
            body, following = found
            self._packet(data[position], data[body:following])
            position = following

    def _keep(self, data: bytes, position: int, needed: int) -> None:
        self._rest = [data[position:]] if position else [data]
        self._rest_bytes = len(self._rest[0])
        self._needed = needed

    def _take_rest(self) -> bytes:
        data = b"".join(self._rest)
        self._rest.clear()
        self._rest_bytes = 0
        return data

    # --- Packets

    def _packet(self, first: int, body: bytes) -> None:
        if self._inbound is None:
            self._joining.packet(mqtt.decode(first, body, self._out.level))
        elif first & _PUBLISH_BITS == _PUBLISH:
            self._inbound.publish(first, body)
        elif first == _PUBACK and len(body) == _ID_BYTES and body != _NO_ID:
            assert self.session is not None, self.state
            self.session.deliveries.acknowledged(body[0] << 8 | body[1])
        elif first == _PINGREQ and not body:
            self._out.send(_PINGRESP_FRAME)
        else:
            self._control(mqtt.decode(first, body, self._out.level))

    def _control(self, packet: mqtt.Packet) -> None:
        session, inbound, subscribing = self.session, self._inbound, self._subscribing
        assert session is not None, self.state
        assert inbound is not None, self.state
        assert subscribing is not None, self.state
        if isinstance(packet, mqtt.Disconnect):
            self._goodbye = farewell(packet, session)
            self.finish("disconnect")
        else:
            control(packet, session, inbound, subscribing, self._joining, self._acks)

    # --- Joining

    def join(self, session: Session, silence_s: float) -> None:
        """The client is known, and has its session; CONNACK follows."""
        self.session = session
        self._silence_s = silence_s

    def open(self, inbound: Inbound, subscribing: Subscribing) -> None:
        """CONNACK is sent."""
        self.state = State.OPEN
        self._max_bytes = self._broker.limits[MQTT_PACKET_BYTES]
        self._heard = True
        self._inbound, self._subscribing = inbound, subscribing
        self._fast = inbound.fast

    def proved_anew(self, client: Client) -> None:
        """The client has other rights from now on."""
        assert self._inbound is not None, self.state
        assert self._subscribing is not None, self.state
        self._inbound.take_rights(client)
        self._subscribing.take_rights(client)
        if self.state is State.OPEN:
            self._fast = self._inbound.fast

    def block(self) -> None:
        """Handle nothing until `unblock`: an answer is waited for."""
        self._blocked = True
        self.hold(_UNANSWERED)

    def unblock(self) -> None:
        """Go on."""
        if not self._blocked or self.state is State.CLOSED:
            return
        self._blocked = False
        self.go(_UNANSWERED)
        if self._rest_bytes:
            self._needed = 0
            self.receive(b"")

    # --- Output

    def _acknowledge(self, frames: bytes, publishes: int) -> None:
        self._counters.stored += publishes
        self._out.send(frames)
        if self._stopped & _UNSTORED and self.state is State.OPEN and self._acks.relaxed:
            self.go(_UNSTORED)

    def hold(self, why: int) -> None:
        """Read nothing until `go` for the same reason."""
        if not self._stopped:
            self.channel.pause()
        self._stopped |= why

    def go(self, why: int) -> None:
        """Read again, unless there is another reason not to."""
        if self._stopped & why:
            self._stopped &= ~why
            if not self._stopped:
                self._heard = True
                self.channel.resume()

    @property
    def own_path(self) -> FastPath | None:
        """The fast path that this connection has to itself, if it has one."""
        return self._inbound.own_path if self._inbound is not None else None

    # --- Closing

    def _overflowed(self) -> None:
        self.close(SEND_QUEUE, "it does not read its acknowledgements")

    def _store_failed(self, error: BaseException) -> None:
        self._counters.store_failures += 1
        self.close(STORE_FAILED, f"what it sent could not be stored and was not acknowledged: {error}")

    def _broken(self, error: RemoteProtocolError) -> None:
        if isinstance(error, mqtt.UnsupportedLevel) and self.state is State.NEW:
            self._counters.refused += 1
            self._out.level = max(mqtt.MQTT_3_1_1, min(error.level, MQTT_5))
            self._out.answer(mqtt.ConnAck(session_present=False, reason=error.reason))
            self.finish("unsupported-level", None, str(error))
            return
        if error.reason is ReasonCode.PACKET_TOO_LARGE:
            self._broker.limits.hit(MQTT_PACKET_BYTES if self.state is State.OPEN else MQTT_CONNECT_BYTES)
        self.finish("protocol", error.reason, str(error))

    @property
    def _name(self) -> str:
        return self.session.client_id if self.session is not None else self._joining.client_id

    def close(self, reason: str, message: str = "") -> None:
        """Close from this side. `message` says what an operator should know; it is logged."""
        self.finish(reason, CLOSING_REASONS.get(reason), message)

    def finish(self, reason: str, code: ReasonCode | None = None, message: str = "") -> None:
        """As `close`. code: what a client of MQTT 5 is told [MQTT-4.13.1-1]."""
        self._acks.submit()  # what it answers comes before the last word
        if self.state is State.CLOSED:
            return
        if message:
            log.warning("closed the connection of MQTT client %r: %s", self._name, message)
        if code is not None and self._out.is_v5:
            if self.state is State.OPEN:
                self._out.answer(mqtt.Disconnect(code, self._out.explained(message)))
            elif self.state is State.JOINING:
                self._out.answer(
                    mqtt.ConnAck(session_present=False, reason=code, properties=self._out.explained(message))
                )
        self._end(reason)
        self.channel.close(self._out.outbox)

    def _end(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        was_open = self.state is State.OPEN
        self.state = State.CLOSED
        self._fast = _NOT_OPEN
        self._take_rest()
        self._joining.abandon()
        self._acks.submit()
        self._out.closed = True
        self._broker.detach(self, reason, self._out.outbox.dropped, goodbye=self._goodbye or not was_open)
