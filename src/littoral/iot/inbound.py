"""Publishes of one client."""

from typing import TYPE_CHECKING

import msgspec

from littoral.core.mqtt_limits import MQTT_QUEUE, MQTT_RECEIVE_MAXIMUM, MQTT_TOPIC_ALIASES
from littoral.iot.access import Client
from littoral.iot.acks import Acks
from littoral.iot.bridge_names import is_bridge
from littoral.iot.fast_path import FastPath
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.route import Plan, Route
from littoral.iot.session import Session
from littoral.iot.session_store import Change, Receive, Released, Retain
from littoral.wire import mqtt
from littoral.wire.mqtt import NO_PROPERTIES, Properties, ReasonCode, RemoteProtocolError

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

_QOS_1 = 0x02
_QOS_BITS, _DUPLICATE_BIT, _RETAIN_BIT = 0x06, 0x08, 0x01
_PUBACK, _PUBREC = b"\x40\x02", b"\x50\x02"
"""Without a reason: the same in both versions."""
_TOPIC_BYTES_LEARNED = 1024
"""Longer topics are looked up each time: a few clients must not fill the memory with long names."""
_OWN_TOPICS = 256
"""Topics learned for a client that has a fast path to itself."""
_encode_record = msgspec.msgpack.Encoder().encode


class Inbound:
    """Takes what a client publishes, by its QoS, and says what became of it."""

    __slots__ = (
        "_acks",
        "_aliases",
        "_arrived_ms",
        "_broker",
        "_client",
        "_out",
        "_receiving",
        "_rejects",
        "_restricted",
        "_routes",
        "_session",
        "_values",
        "fast",
    )

    def __init__(self, broker: "Broker", client: Client, session: Session, out: Outbound, acks: Acks) -> None:
        self._broker = broker
        self._client = client
        self._session = session
        self._out = out
        self._acks = acks
        self._aliases: dict[int, bytes] = {}
        self._arrived_ms = 0
        self._receiving = 0
        """QoS 2 publishes that wait for the disk, and are among the session's received ones already."""
        self._routes = broker.routes
        self._values = broker.values
        self._rejects = broker.reject_new and out.is_v5
        """Whether it is told of messages that all for whom they are have no room for."""
        self._restricted = broker.access.restricts(client)
        self.fast = broker.fast_path(client.level, own=self._restricted)

    def take_rights(self, client: Client) -> None:
        """The same client may do something else from now on."""
        self._broker.forget(self.own_path)
        self._client = client
        self._restricted = self._broker.access.restricts(client)
        self.fast = self._broker.fast_path(client.level, own=self._restricted)

    def read_is_over(self) -> None:
        """What comes from now on arrived later."""
        self._arrived_ms = 0

    def publish(self, first: int, body: bytes) -> None:
        """A PUBLISH; its fields are found here where they are as usual, and by the codec where they are not."""
        qos = first & _QOS_BITS
        cut = 2 + (body[0] << 8 | body[1]) if len(body) >= 2 else 2
        payload_at = cut + 2 if qos else cut
        usual = qos != 6 and payload_at <= len(body) and (qos or not first & _DUPLICATE_BIT)
        if usual and self._out.is_v5:
            usual = payload_at < len(body) and body[payload_at] == 0 and cut > 2
            payload_at += 1
        packet_id = body[cut : cut + 2] if qos else b""
        if not usual or packet_id == b"\0\0":
            self._decoded(first, body)
            return
        topic = body[2:cut]
        if qos == _QOS_1 and not first & _RETAIN_BIT and not self._restricted:
            route = self._routes.get(topic)
            if route is not None and route.is_plain:
                # The usual reading: nobody but the disk waits for it.
                if self._out.is_v5:
                    self._check_quota()
                counters = self._broker.counters
                counters.received += 1
                counters.received_qos1 += 1
                if self._values.budget > 0:
                    self._values.note(topic, body[payload_at:])
                arrived_ms = self._arrived_ms = self._arrived_ms or self._broker.clock.wall_ms()
                self._acks.add(_PUBACK + packet_id, _encode_record((route.name, body[payload_at:], arrived_ms)))
                return
        self._take(topic, body[payload_at:], qos >> 1, first & _RETAIN_BIT, packet_id)

    def _decoded(self, first: int, body: bytes) -> None:
        packet = mqtt.decode(first, body, self._out.level)
        assert isinstance(packet, mqtt.Publish), (first, body[:64])
        packet_id = b"" if packet.packet_id is None else packet.packet_id.to_bytes(2, "big")
        topic = self._topic(packet)
        properties = packet.properties
        if properties.subscription_ids:
            raise RemoteProtocolError(
                "MQTT-3.3.4-6", "a publish of a client has a subscription identifier", ReasonCode.PROTOCOL_ERROR
            )
        if properties.payload_format == 1 and not _is_text(packet.payload):
            self._refuse(packet.qos, packet_id, ReasonCode.PAYLOAD_FORMAT_INVALID)
            return
        expires_ms = None
        if properties.message_expiry_s is not None:
            expires_ms = self._broker.clock.wall_ms() + properties.message_expiry_s * 1000
        self._take(topic, packet.payload, packet.qos, packet.retain, packet_id, _travelling(properties), expires_ms)

    def _topic(self, packet: mqtt.Publish) -> bytes:
        """The topic that is meant; an alias is good for this connection only [MQTT-3.3.2-7]."""
        alias = packet.properties.topic_alias
        if alias is None:
            return packet.topic.encode()
        if not 1 <= alias <= self._broker.limits[MQTT_TOPIC_ALIASES]:
            self._broker.limits.hit(MQTT_TOPIC_ALIASES)
            raise RemoteProtocolError(
                "MQTT-3.3.2-9", f"the topic alias {alias} is not allowed", ReasonCode.TOPIC_ALIAS_INVALID
            )
        if packet.topic:
            topic = self._aliases[alias] = packet.topic.encode()
            return topic
        known = self._aliases.get(alias)
        if known is None:
            raise RemoteProtocolError(
                "3.3.2.3.4", f"the topic alias {alias} stands for no topic", ReasonCode.TOPIC_ALIAS_INVALID
            )
        return known

    def _take(
        self,
        topic: bytes,
        payload: bytes,
        qos: int,
        retain: int,
        packet_id: bytes,
        properties: Properties = NO_PROPERTIES,
        expires_ms: int | None = None,
    ) -> None:
        route = self._broker.route(topic, self._out.level)
        if qos == 2 and int.from_bytes(packet_id, "big") in self._session.received:
            self._acks.answer(_PUBREC + packet_id)  # The same message again: it is not delivered again [MQTT-4.3.3-10].
            return
        if qos and self._out.is_v5:
            self._check_quota()
        self._broker.counters.received += 1
        if route.is_server or (self._restricted and not self._broker.access.may_publish(self._client, route.name)):
            self._broker.counters.denied += 1
            self._refuse(qos, packet_id, ReasonCode.NOT_AUTHORIZED)
            return
        if qos and self._rejects and not retain and route.is_full(self._client.client_id, len(topic) + len(payload)):
            # Nobody has it and nobody will: the client is told that it was not taken, for it would send it again otherwise.
            self._broker.limits.hit(MQTT_QUEUE)
            self._broker.counters.dropped += 1
            self._refuse(qos, packet_id, ReasonCode.QUOTA_EXCEEDED)
            return
        if self._values.budget > 0:
            self._values.note(topic, payload)
        message = None
        if retain or properties is not NO_PROPERTIES or expires_ms is not None or not route.is_plain:
            publisher = self._client.client_id
            message = Message(route.name, payload, qos, bool(retain), properties, expires_ms, publisher)
        if qos:
            self._take_stored(route, message, payload, qos, packet_id)
        else:
            self._take_unstored(route, message, topic, payload)

    def _take_unstored(self, route: Route, message: Message | None, topic: bytes, payload: bytes) -> None:
        if message is None or not (route.is_local or message.retain or _has_more(message)):
            route.take(payload)
            if route.cached and len(topic) <= _TOPIC_BYTES_LEARNED:
                self._learn(topic, route)
            return
        if message.retain:
            self._broker.writes.later([self._retain(message)])
        if route.fold is not None:
            route.fold(payload)
        route.send(message)

    def _learn(self, topic: bytes, route: Route) -> None:
        folds = self.fast.folds
        if self._restricted:
            if len(folds) >= _OWN_TOPICS:
                folds.clear()
            self._broker.learned(self.fast)
        folds[topic + self.fast.pad] = route.usual

    @property
    def own_path(self) -> FastPath | None:
        """The fast path, where it is this connection's alone."""
        return self.fast if self._restricted else None

    def _take_stored(self, route: Route, message: Message | None, payload: bytes, qos: int, packet_id: bytes) -> None:
        self._broker.counters.received_qos1 += qos == 1
        # One reading of the clock for all that arrived together.
        self._arrived_ms = self._arrived_ms or self._broker.clock.wall_ms()
        record = _encode_record((route.name, payload, self._arrived_ms))
        self._acks.add((_PUBACK if qos == 1 else _PUBREC) + packet_id, record)
        changes: list[Change] = []
        plan = None
        if message is not None:
            if message.retain:
                changes.append(self._retain(message))
            route.forward(message, changes)
            plan = route.plan(message, changes)
        if qos == 2:
            self._receive(plan, int.from_bytes(packet_id, "big"), changes)
            return
        if plan is not None:
            if changes:
                self._acks.change(changes)
            plan.run()

    def _receive(self, plan: Plan | None, packet_id: int, changes: list[Change]) -> None:
        """A QoS 2 message goes on once it is on disk with its identifier: what is sent on before could be sent again after
        a crash, when the client repeats it."""
        session = self._session
        session.received.add(packet_id)
        self._receiving += 1
        if session.number:
            changes.append(Receive(session.number, packet_id))

        def written(error: BaseException | None) -> None:
            self._receiving -= 1
            if error is not None:
                session.received.discard(packet_id)
            elif plan is not None:
                plan.run()

        self._acks.change(changes, written)

    def _retain(self, message: Message) -> Retain:
        kept = self._broker.retained.keep(message) and message.payload
        return Retain(message.topic, message if kept else None)

    def release(self, packet_id: int) -> None:
        """PUBREL: the identifier is free once that is on disk; a message that came with it before would be taken for the old
        one after a crash, and lost."""
        session = self._session
        if packet_id not in session.received:
            unknown = mqtt.PubComp(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
            self._acks.answer(self._out.encoded(unknown))
            return
        self._acks.answer(self._out.encoded(mqtt.PubComp(packet_id)))

        def written(error: BaseException | None) -> None:
            if error is None:
                session.received.discard(packet_id)

        self._acks.change([Released(session.number, packet_id)] if session.number else [], written)

    def _check_quota(self) -> None:
        """The client must not have more unanswered than this broker said that it takes [MQTT-3.3.4-7]. A bridge says so to the other
        broker, whose messages they are; one of MQTT 3.1.1 knows no such bound."""
        waiting = self._acks.unacknowledged - self._receiving + len(self._session.received)
        if waiting >= self._broker.limits[MQTT_RECEIVE_MAXIMUM] and not is_bridge(self._client.client_id):
            self._broker.limits.hit(MQTT_RECEIVE_MAXIMUM)
            raise RemoteProtocolError(
                "MQTT-3.3.4-7",
                f"more than {self._broker.limits[MQTT_RECEIVE_MAXIMUM]} publishes wait for their acknowledgement",
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
            )

    def _refuse(self, qos: int, packet_id: bytes, reason: ReasonCode) -> None:
        """Say that a publish is not taken. MQTT 3.1.1 has no words for it: there, it is acknowledged and goes nowhere
        [MQTT-3.3.5-2]."""
        if not qos:
            if reason is ReasonCode.PAYLOAD_FORMAT_INVALID:
                raise RemoteProtocolError("3.3.2.3.2", "a payload is not the UTF-8 that it says it is", reason)
            return
        number = int.from_bytes(packet_id, "big")
        kind = mqtt.PubAck if qos == 1 else mqtt.PubRec
        self._acks.answer(self._out.encoded(kind(number, reason)))
        if qos == 2 and not self._out.is_v5:
            self._session.received.add(number)


def _has_more(message: Message) -> bool:
    return message.properties is not NO_PROPERTIES or message.expires_ms is not None


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _travelling(properties: Properties) -> Properties:
    """Those that go on to subscribers, unaltered and in order [MQTT-3.3.2-17, MQTT-3.3.2-18]."""
    if properties.topic_alias is None and properties.message_expiry_s is None:
        return properties
    rest = msgspec.structs.replace(properties, topic_alias=None, message_expiry_s=None)
    return NO_PROPERTIES if rest == NO_PROPERTIES else rest
