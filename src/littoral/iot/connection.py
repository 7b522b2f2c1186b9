"""One client's connection, as a state machine.

    NEW  --CONNECT, credentials known at once-->  OPEN   --DISCONNECT, error, silence, loss-->  CLOSED
    NEW  --CONNECT, credentials being checked-->  AUTHENTICATING  --valid-->  OPEN
    NEW, AUTHENTICATING  --refused, error, silence, loss-->  CLOSED

Nothing is read while credentials are checked. After CLOSED, bytes and answers are ignored.

QoS 0 publishes are the hot path, see `_run` and docs/explanation/mqtt-intake.md. `benches/mqtt_intake.py` measures it
beside mosquitto.
"""

import logging
from collections.abc import Awaitable
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from littoral.core.limits import MQTT_CONNECT_S, MQTT_PACKET_BYTES, MQTT_SUBSCRIPTIONS
from littoral.iot.acks import Acks
from littoral.iot.channel import Channel
from littoral.iot.outbox import Outbox
from littoral.iot.session import Session
from littoral.wire import mqtt

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

log = logging.getLogger(__name__)

_PUBLISH, _PUBLISH_BITS, _QOS_BITS = 0x30, 0xF0, 0x06
_CONNECT, _PINGREQ = 0x10, 0xC0
_RUN_BYTES_LEAST = 1024
"""Beginning and ending a run costs more than it saves for a few frames."""
_FRAMES_BETWEEN_RUNS = 64
"""What ends a run costs as much as a few frames, so a client that sends nothing for it must not pay that each time."""
_PINGRESP_FRAME = mqtt.encode(mqtt.PingResp())
_encode_record = msgspec.msgpack.Encoder().encode


class State(Enum):
    """See the module."""

    NEW = 1
    AUTHENTICATING = 2
    OPEN = 3
    CLOSED = 4


class Connection:
    """Feed it with `receive`; it answers through its channel."""

    __slots__ = (
        "_acks",
        "_arrived_ms",
        "_broker",
        "_channel",
        "_connect",
        "_counters",
        "_deadline_s",
        "_heard",
        "_max_bytes",
        "_needed",
        "_outbox",
        "_paused",
        "_rest",
        "_rest_bytes",
        "_silence_s",
        "_state",
        "session",
    )

    def __init__(self, broker: "Broker", channel: Channel, now_s: float) -> None:
        """now_s: of the monotonic clock; a CONNECT must come within the limit from it."""
        limits = broker.limits
        self.session: Session | None = None
        self._broker = broker
        self._counters = broker.counters
        self._channel = channel
        self._outbox = Outbox(limits)
        self._acks = Acks(broker.intake, limits, self._acknowledge, self._store_failed)
        self._connect: mqtt.Connect | None = None
        self._state = State.NEW
        self._max_bytes = limits[MQTT_PACKET_BYTES]
        self._heard = False
        self._silence_s: float = limits[MQTT_CONNECT_S]
        self._deadline_s = now_s + self._silence_s
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._needed = 0
        self._arrived_ms = 0
        self._paused = False

    # --- From the driver

    def receive(self, data: bytes) -> None:
        """Bytes from the client, as they came."""
        self._heard = True
        self._counters.received_bytes += len(data)
        if self._rest_bytes:
            self._rest.append(data)
            self._rest_bytes += len(data)
            if self._rest_bytes < self._needed or self._state is State.AUTHENTICATING:
                return
            data = self._take_rest()
        try:
            position = self._publishes(data) if self._state is State.OPEN else 0
            if position < len(data):
                self._tail(data, position)
        except mqtt.RemoteProtocolError as error:
            self._broken(error)
        if self._acks.collecting:
            self._store()

    def _store(self) -> None:
        self._arrived_ms = 0
        self._acks.submit()
        if self._state is State.OPEN and not self._paused and self._acks.full:
            self._paused = True
            self._channel.pause()

    def lost(self) -> None:
        """The network is gone: closed by the client, or broken."""
        self._end("lost")

    def writable(self) -> None:
        """The outbox was emptied, and the client takes more."""
        if self.session is not None:
            self.session.pump()

    def sweep(self, now_s: float) -> None:
        """Called about every second: closes the connection if the client was silent for too long [MQTT-3.1.2-24]."""
        if self._heard and self._state is State.OPEN:
            self._heard = False
            self._deadline_s = now_s + self._silence_s
        elif now_s >= self._deadline_s and not (self._paused and self._state is State.OPEN):
            self.close("keep-alive" if self._state is State.OPEN else "connect-timeout")

    # --- The hot path

    def _publishes(self, data: bytes) -> int:
        """Take the frames of `data` that are complete; returns where the rest begins, which `_tail` looks at."""
        end = len(data)
        position = self._run(data, 0) if end >= _RUN_BYTES_LEAST else 0
        while position < end:
            following = self._frames(data, position)
            if following == position:
                break
            position = self._run(data, following) if following < end else following
        return position

    def _run(self, data: bytes, position: int) -> int:
        """Take QoS 0 publishes until one comes that is incomplete, of an unknown topic or shape, or something else.

        Reading a BytesIO costs half of what slicing does, and the first four bytes of a frame say where its parts are:
        a dictionary finds that sooner than arithmetic on single bytes.
        """
        shapes, folds = self._broker.shapes, self._broker.folds
        stream = BytesIO(data)
        stream.seek(position)
        read, tell = stream.read, stream.tell
        count = 0
        try:
            while True:
                try:
                    topic_bytes, payload_bytes = shapes[header := read(4)]
                except KeyError:
                    return tell() - len(header)
                try:
                    fold = folds[topic := read(topic_bytes)]
                except KeyError:
                    return tell() - 4 - len(topic)
                payload = read(payload_bytes)
                if len(payload) != payload_bytes:
                    return tell() - 4 - len(topic) - len(payload)
                count += 1
                fold(payload)
        finally:
            self._counters.received += count

    def _frames(self, data: bytes, position: int) -> int:  # noqa: C901, PLR0912 - calls would cost more than they do
        """Take some frames of any kind, and learn their shapes; returns where the next begins.

        Every index is safe up to `safe`: the fixed header and the length of a topic are within five bytes. A topic that
        has a route was found valid when the route was made.
        """
        find = self._broker.folds.get
        max_bytes = self._max_bytes
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
                    if length > max_bytes:
                        break
                else:
                    break
                following = body + length
                if following > end:
                    break
                first = data[position]
                if first == _PUBLISH:
                    cut = body + 2 + (data[body] << 8 | data[body + 1])
                    fold = find(data[body + 2 : cut])
                    if fold is not None and cut <= following:
                        count += 1
                        if length < 128 and cut < following:
                            self._broker.shapes[data[position : position + 4]] = cut - body - 2, following - cut
                        fold(data[cut:following])
                    else:
                        self._packet(first, data[body:following])
                else:
                    self._packet(first, data[body:following])
                    if self._state is not State.OPEN:
                        position = end
                        break
                position = following
        finally:
            self._counters.received += count
        return position

    def _tail(self, data: bytes, position: int) -> None:
        """Take frames one by one, in any state, and keep what is incomplete."""
        while position < len(data) and self._state is not State.CLOSED:
            if self._state is State.AUTHENTICATING:
                self._keep(data, position, 0)
                return
            if self._state is State.NEW and data[position] != _CONNECT:
                # Said before the length is looked at: what speaks another protocol is not waited for.
                raise mqtt.RemoteProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT")
            found = mqtt.header(data, position, self._max_bytes)
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
        if self._state is State.NEW:
            packet = mqtt.decode(first, body)
            assert isinstance(packet, mqtt.Connect), packet
            self._connecting(packet)
        elif first & _PUBLISH_BITS == _PUBLISH:
            self._publish(first, body)
        elif first == _PINGREQ and not body:
            self.send(_PINGRESP_FRAME)
        else:
            self._control(mqtt.decode(first, body))

    def _publish(self, first: int, body: bytes) -> None:
        qos = first & _QOS_BITS
        if qos == 4:
            mqtt.decode(first, body)
            self.close("qos-2", "it published at QoS 2, which this broker does not take; use QoS 1")
            return
        cut = 2 + (body[0] << 8 | body[1]) if len(body) >= 2 else 2
        payload_at = cut + 2 if qos else cut
        if qos == 6 or payload_at > len(body) or (first & 8 and not qos):
            mqtt.decode(first, body)
            raise AssertionError((first, body[:64]))
        route = self._broker.route(body[2:cut])
        payload = body[payload_at:]
        self._counters.received += 1
        if first & 1:
            self._broker.retained.keep(route.name, payload, 1 if qos else 0)
        if not qos:
            route.take(payload)
            return
        packet_id = body[cut:payload_at]
        if packet_id == b"\0\0":
            raise mqtt.RemoteProtocolError("MQTT-2.3.1-1", "a packet identifier is 0")
        self._counters.received_qos1 += 1
        # One reading of the clock for all that arrived together.
        self._arrived_ms = self._arrived_ms or self._broker.clock.wall_ms()
        self._acks.add(packet_id, _encode_record((route.name, payload, self._arrived_ms)))
        route.send(payload, 1)

    def _control(self, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.PubAck():
                self._open_session.acknowledged(packet.packet_id)
            case mqtt.Subscribe():
                self._subscribe(packet)
            case mqtt.Unsubscribe():
                for name in packet.filters:
                    self._broker.unsubscribe(self._open_session, name)
                self.send(mqtt.encode(mqtt.UnsubAck(packet.packet_id)))
            case mqtt.Disconnect():
                self._connect = None
                self.close("disconnect")
            case mqtt.Connect():
                raise mqtt.RemoteProtocolError("MQTT-3.1.0-2", "a second CONNECT")
            case _:
                raise mqtt.RemoteProtocolError("2.2.1", f"a client does not send {type(packet).__name__}")

    @property
    def _open_session(self) -> Session:
        assert self.session is not None, self._state
        return self.session

    def _subscribe(self, packet: mqtt.Subscribe) -> None:
        session = self._open_session
        codes: list[int] = []
        for name, qos in packet.filters:
            if name not in session.filters and len(session.filters) >= self._broker.limits[MQTT_SUBSCRIPTIONS]:
                self._broker.limits.hit(MQTT_SUBSCRIPTIONS)
                codes.append(0x80)
                continue
            granted = min(qos, 1)
            self._broker.subscribe(session, name, granted)
            codes.append(granted)
        self.send(mqtt.encode(mqtt.SubAck(packet.packet_id, tuple(codes))))
        for (name, _), granted in zip(packet.filters, codes, strict=True):
            if granted == 0x80:
                continue
            for kept in self._broker.retained.match(name):
                session.deliver(kept.topic, kept.payload, min(kept.qos, granted), retain=True)

    # --- Opening

    def _connecting(self, packet: mqtt.Connect) -> None:
        if not packet.client_id and not packet.clean_session:
            self._refuse(mqtt.ConnectCode.IDENTIFIER_REJECTED, "a kept session needs a client identifier")
            return
        self._connect = packet
        verdict = self._broker.authenticate(packet.client_id, packet.username, packet.password)
        if isinstance(verdict, bool):
            self._authenticated(verdict)
            return
        self._state = State.AUTHENTICATING
        self._paused = True
        self._channel.pause()
        self._broker.tasks.start(self._wait_for(verdict), "mqtt authentication")

    async def _wait_for(self, verdict: Awaitable[bool]) -> None:
        try:
            valid = await verdict
        except Exception:
            log.exception("cannot check the credentials of MQTT client %r", self._name)
            self._refuse(mqtt.ConnectCode.SERVER_UNAVAILABLE, "its credentials cannot be checked now")
            return
        if self._state is not State.AUTHENTICATING:
            return
        self._paused = False
        self._channel.resume()
        self._authenticated(valid)
        if self._rest_bytes:
            self._needed = 0
            self.receive(b"")

    def _authenticated(self, valid: bool) -> None:
        packet = self._connect
        assert packet is not None, self._state
        if not valid:
            self._connect = None
            anonymous = packet.username is None
            code = mqtt.ConnectCode.NOT_AUTHORIZED if anonymous else mqtt.ConnectCode.BAD_CREDENTIALS
            self._refuse(code, "it gave no user name" if anonymous else "its user name or password is wrong")
            return
        present = self._broker.attach(self, packet)
        self._state = State.OPEN
        # A client that asked for no keep-alive may stay silent for ever.
        self._silence_s = packet.keep_alive_s * 1.5 if packet.keep_alive_s else float("inf")
        self._heard = True
        self.send(mqtt.encode(mqtt.ConnAck(present, mqtt.ConnectCode.ACCEPTED)))
        self._open_session.attach(self)

    def _refuse(self, code: mqtt.ConnectCode, why: str) -> None:
        if self._state is State.CLOSED:
            return
        self._counters.refused += 1
        self.send(mqtt.encode(mqtt.ConnAck(session_present=False, code=code)))
        self.close("refused", why)

    # --- Output

    def send(self, frame: bytes) -> None:
        """Queue bytes for the client."""
        if self._state is State.CLOSED:
            return
        self._outbox.add(frame)
        if self._outbox.overflowed:
            self.close("send-queue", "it does not read its acknowledgements")
        else:
            self._channel.wake(self._outbox)

    def has_room(self) -> bool:
        """Whether a QoS 1 message may be sent now."""
        return self._outbox.has_room

    def _acknowledge(self, frames: bytes, count: int) -> None:
        self._counters.stored += count
        self.send(frames)
        if self._paused and self._state is State.OPEN and self._acks.relaxed:
            self._paused = False
            self._heard = True
            self._channel.resume()

    # --- Closing

    def _store_failed(self, error: BaseException) -> None:
        self._counters.store_failures += 1
        self.close("store-failed", f"its QoS 1 publishes could not be stored and were not acknowledged: {error}")

    def _broken(self, error: mqtt.RemoteProtocolError) -> None:
        if isinstance(error, mqtt.UnsupportedLevel) and self._state is State.NEW:
            self._counters.refused += 1
            refusal = mqtt.ConnAck(session_present=False, code=mqtt.ConnectCode.UNACCEPTABLE_LEVEL)
            self.send(mqtt.CONNACK_V5_UNSUPPORTED if error.level == 5 else mqtt.encode(refusal))
            self.close("unsupported-level", str(error))
            return
        self.close("protocol", str(error))

    @property
    def _name(self) -> str:
        if self.session is not None:
            return self.session.client_id
        return self._connect.client_id if self._connect is not None else ""

    def close(self, reason: str, message: str = "") -> None:
        """Close from this side. `message` says what an operator should know; it is logged."""
        if self._state is State.CLOSED:
            return
        if message:
            log.warning("closed the connection of MQTT client %r: %s", self._name, message)
        self._end(reason)
        self._channel.close(self._outbox)

    def _end(self, reason: str) -> None:
        if self._state is State.CLOSED:
            return
        was_open = self._state is State.OPEN
        self._state = State.CLOSED
        self._take_rest()
        self._acks.submit()
        will = self._connect.will if was_open and self._connect is not None else None
        self._broker.detach(self, reason, self._outbox.dropped)
        if will is not None:
            self._broker.publish_will(will)
