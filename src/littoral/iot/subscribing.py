"""SUBSCRIBE and UNSUBSCRIBE of one client."""

from collections import deque
from typing import TYPE_CHECKING

from msgspec import structs

from littoral.core.mqtt_limits import MQTT_SUBSCRIPTIONS
from littoral.iot.access import Client
from littoral.iot.acks import Acks
from littoral.iot.deliveries import Delivery
from littoral.iot.outbound import Outbound
from littoral.iot.retained_slices import RetainedSlices
from littoral.iot.session import Session
from littoral.iot.session_store import Change
from littoral.iot.terms import Grant
from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode, RemoteProtocolError, Subscription

if TYPE_CHECKING:
    from littoral.iot.broker import Broker


class Subscribing:
    """Grants what a client asks for, or says why not, filter by filter."""

    __slots__ = ("_acks", "_backlog", "_broker", "_client", "_is_bridge", "_out", "_session", "_slices")

    def __init__(
        self, broker: "Broker", client: Client, session: Session, out: Outbound, acks: Acks, *, is_bridge: bool
    ) -> None:
        """is_bridge: see Connect.is_bridge."""
        self._broker = broker
        self._is_bridge = is_bridge
        self._client = client
        self._session = session
        self._out = out
        self._acks = acks
        self._backlog: deque[tuple[str, Delivery]] | None = None
        """Retained messages of QoS 0 that the connection has no room for yet, with the filter that asked for them; None while
        there are none."""
        self._slices: RetainedSlices | None = None
        """None for a client that never subscribed."""

    def take_rights(self, client: Client) -> None:
        """The same client may do something else from now on; what it may not subscribe to any more is taken back."""
        self._client = client
        changes: list[Change] = []
        self._broker.keep_to_rights(self._session, client, changes)
        if self._backlog:
            left = self._session.grants
            self._backlog = deque(each for each in self._backlog if each[0] in left) or None
        self._acks.change(changes)

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
            grant = Grant(_for_bridge(asked) if self._is_bridge else asked, identifier)
            self._session.stop_walk(asked.filter)
            new = self._broker.sessions.subscribe(self._session, grant, changes)
            shared = mqtt.split_shared(asked.filter)[0] is not None
            if not shared and (asked.retain_handling == 0 or (asked.retain_handling == 1 and new)):
                wanted.append(grant)
        self._acks.answer(self._out.encoded(mqtt.SubAck(packet.packet_id, tuple(reasons))))
        slices = self._slices = self._slices or self._new_slices()
        deliveries = [each for grant in wanted for each in slices.begin(grant, changes)]

        def written(error: BaseException | None) -> None:
            if error is None:
                self._send(deliveries)
                slices.go_on()

        self._acks.change(changes, written if deliveries or self._session.walks else None)

    def opened(self) -> None:
        """The client is back: go on with what earlier connections left."""
        if self._session.walks:
            self._slices = self._new_slices()
            self._slices.go_on()

    def _new_slices(self) -> RetainedSlices:
        return RetainedSlices(
            self._broker, self._client, self._session, self._out, self._send, lambda: not self._backlog
        )

    def pump(self) -> None:
        """There is room for more."""
        self._send_backlog()
        if self._slices is not None:
            self._slices.room()

    def _send_backlog(self) -> None:
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

    def _send(self, deliveries: list[tuple[str, Delivery]]) -> None:
        for _, delivery in deliveries:
            if delivery.qos:
                self._session.deliveries.add(delivery)
        self._backlog = self._backlog or deque()
        self._backlog += [each for each in deliveries if not each[1].qos]
        self._send_backlog()

    def unsubscribe(self, packet: mqtt.Unsubscribe) -> None:
        """Answered once it is on disk that the subscriptions are gone."""
        changes: list[Change] = []
        if self._backlog:
            self._backlog = deque(each for each in self._backlog if each[0] not in packet.filters)
        for topic_filter in packet.filters:
            self._session.stop_walk(topic_filter)
        gone = [self._broker.sessions.unsubscribe(self._session, each, changes) for each in packet.filters]
        reasons = tuple(ReasonCode.SUCCESS if each else ReasonCode.NO_SUBSCRIPTION_EXISTED for each in gone)
        self._acks.answer(self._out.encoded(mqtt.UnsubAck(packet.packet_id, reasons)))
        self._acks.change(changes)


def _for_bridge(asked: Subscription) -> Subscription:
    """What a broker that is a client means by its subscription. Others share with it what they publish themselves, too."""
    if mqtt.split_shared(asked.filter)[0] is not None:
        return asked
    return structs.replace(asked, no_local=True, retain_as_published=True)
