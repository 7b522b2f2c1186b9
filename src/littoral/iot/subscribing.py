"""SUBSCRIBE and UNSUBSCRIBE of one client."""

from collections import deque
from typing import TYPE_CHECKING

from littoral.core.mqtt_limits import MQTT_SUBSCRIPTIONS
from littoral.iot.access import Client
from littoral.iot.acks import Acks
from littoral.iot.deliveries import Delivery
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.session import Session
from littoral.iot.session_store import Change, Enqueue, Recipient, Recipients, Retain
from littoral.iot.terms import Grant
from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode, RemoteProtocolError

if TYPE_CHECKING:
    from littoral.iot.broker import Broker


class Subscribing:
    """Grants what a client asks for, or says why not, filter by filter."""

    __slots__ = ("_acks", "_backlog", "_broker", "_client", "_out", "_session")

    def __init__(self, broker: "Broker", client: Client, session: Session, out: Outbound, acks: Acks) -> None:
        self._broker = broker
        self._client = client
        self._session = session
        self._out = out
        self._acks = acks
        self._backlog: deque[tuple[str, Delivery]] | None = None
        """Retained messages of QoS 0 that the connection has no room for yet, with the filter that asked for them; None while
        there are none."""

    def subscribe(self, packet: mqtt.Subscribe) -> None:
        """Answered once the subscriptions are on disk; then come the retained messages."""
        identifier = packet.properties.subscription_ids[0] if packet.properties.subscription_ids else None
        changes: list[Change] = []
        reasons: list[ReasonCode] = []
        wanted: list[Grant] = []
        for asked in packet.subscriptions:
            reason = self._refusal(asked.filter)
            reasons.append(ReasonCode(asked.qos) if reason is None else reason)
            if reason is not None:
                continue
            grant = Grant(asked, identifier)
            new = self._broker.sessions.subscribe(self._session, grant, changes)
            shared = mqtt.split_shared(asked.filter)[0] is not None
            if not shared and (asked.retain_handling == 0 or (asked.retain_handling == 1 and new)):
                wanted.append(grant)
        self._acks.answer(self._out.encoded(mqtt.SubAck(packet.packet_id, tuple(reasons))))
        found = [(message, grant) for grant in wanted for message in self._retained(grant)]
        deliveries = [(grant.subscription.filter, self._delivery(message, grant, changes)) for message, grant in found]

        def written(error: BaseException | None) -> None:
            if error is None:
                self._send(deliveries)

        self._acks.change(changes, written if deliveries else None)

    def pump(self) -> None:
        """Send what there is room for. A message that is not the last of its topic any more is left out: the client has been sent
        the one after it."""
        while self._backlog and self._out.has_room:
            _, delivery = self._backlog.popleft()
            message = delivery.message
            if self._broker.retained.get(message.topic) is message:
                self._out.publish(message, retain=True, identifiers=delivery.identifiers)
        if not self._backlog:
            self._backlog = None

    def _refusal(self, topic_filter: str) -> ReasonCode | None:
        name, shared = mqtt.split_shared(topic_filter)
        if name is not None and not self._out.is_v5:
            try:
                mqtt.check_filter(topic_filter, mqtt.MQTT_5)
            except RemoteProtocolError:
                return ReasonCode.TOPIC_FILTER_INVALID
        allowed = self._broker.access.may_subscribe(self._client, shared)
        if allowed is not True:
            self._broker.counters.denied += 1
            return allowed or ReasonCode.NOT_AUTHORIZED
        session, limits = self._session, self._broker.limits
        if topic_filter not in session.grants and len(session.grants) >= limits[MQTT_SUBSCRIPTIONS]:
            limits.hit(MQTT_SUBSCRIPTIONS)
            return ReasonCode.QUOTA_EXCEEDED
        return None

    def _retained(self, grant: Grant) -> list[Message]:
        """The retained messages that a subscription begins with."""
        asked = grant.subscription
        now_ms = self._broker.clock.wall_ms()
        found: list[Message] = []
        for message in self._broker.retained.match(asked.filter):
            if message.expires_ms is not None and now_ms >= message.expires_ms:
                self._broker.retained.forget(message)
                self._broker.writes.later([Retain(message.topic, None)])
            elif not (asked.no_local and message.publisher == self._client.client_id):
                found.append(message)
        return found

    def _delivery(self, message: Message, grant: Grant, changes: list[Change]) -> Delivery:
        """Of a session that is kept, they are written with the subscription: a client that comes back after a crash does not
        subscribe again."""
        qos = min(message.qos, grant.subscription.qos)
        identifiers = () if grant.identifier is None else (grant.identifier,)
        delivery = Delivery(message, qos, retain=True, identifiers=identifiers)
        if qos and self._session.number:
            delivery.number = self._broker.writes.store.next_message()
            recipient = Recipient(self._session.number, qos, retain=True, identifiers=identifiers)
            changes.append(Enqueue(delivery.number, message, Recipients([recipient])))
        return delivery

    def _send(self, deliveries: list[tuple[str, Delivery]]) -> None:
        for _, delivery in deliveries:
            if delivery.qos:
                self._session.deliveries.add(delivery)
        self._backlog = self._backlog or deque()
        self._backlog += [each for each in deliveries if not each[1].qos]
        self.pump()

    def unsubscribe(self, packet: mqtt.Unsubscribe) -> None:
        """Answered once it is on disk that the subscriptions are gone."""
        changes: list[Change] = []
        if self._backlog:
            self._backlog = deque(each for each in self._backlog if each[0] not in packet.filters)
        gone = [self._broker.sessions.unsubscribe(self._session, each, changes) for each in packet.filters]
        reasons = tuple(ReasonCode.SUCCESS if each else ReasonCode.NO_SUBSCRIPTION_EXISTED for each in gone)
        self._acks.answer(self._out.encoded(mqtt.UnsubAck(packet.packet_id, reasons)))
        self._acks.change(changes)
