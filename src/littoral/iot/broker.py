"""The MQTT 3.1.1 broker: QoS 0 and 1, without I/O. `littoral.drivers.mqtt` puts it on a socket.

A client's publishes go to the intake (rules, storage) and to subscribers. A QoS 1 publish is acknowledged after
`Intake.store` has synced it. QoS 2 subscriptions are granted QoS 1; a QoS 2 publish closes the connection, as 3.1.1
has no other refusal. Sessions and retained messages are kept in memory, within limits, and end with the process.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.intake import Fold, Intake
from littoral.core.limits import MQTT_SESSIONS, MQTT_TOPICS, Limits
from littoral.core.order import Order
from littoral.core.tasks import Tasks
from littoral.iot.broker_counters import BrokerCounters, BrokerStatistics
from littoral.iot.channel import Channel
from littoral.iot.connection import Connection
from littoral.iot.retained import Retained
from littoral.iot.route import Route, ignore
from littoral.iot.session import Session
from littoral.iot.topics import TopicTree
from littoral.wire import mqtt

log = logging.getLogger(__name__)

Authenticate = Callable[[str, str | None, bytes | None], bool | Awaitable[bool]]
"""(client id, user name, password) -> may it connect. Called once per CONNECT; what takes time returns an awaitable,
during which the client is not read."""

_TOPIC_BYTES_CACHED = 1024
"""Routes of longer topics are worked out each time: a few clients must not fill the memory with long names."""


class Broker:
    """Sessions, subscriptions and routes of one node."""

    def __init__(self, intake: Intake, clock: Clock, limits: Limits, authenticate: Authenticate, tasks: Tasks) -> None:
        """tasks: runs credential checks that take time."""
        self.intake = intake
        self.clock = clock
        self.limits = limits
        self.authenticate = authenticate
        self.tasks = tasks
        self.counters = BrokerCounters()
        self.retained = Retained(limits)
        self.folds: dict[bytes, Fold] = {}
        """For QoS 0: what takes a payload, by the topic's bytes. Cleared in place: connections hold on to it."""
        self.shapes: dict[bytes, tuple[int, int]] = {}
        """For QoS 0: the lengths of topic and payload, by the first four bytes of a frame. There are fewer than 8,000:
        it has only frames of at most 129 bytes with a payload. (Without one, a topic cut off by the end of a read could
        pass for another.)"""
        self._routes: dict[bytes, Route] = {}
        self._tree: TopicTree[Session] = TopicTree()
        self._connections: dict[Connection, None] = {}
        self._sessions: dict[str, Session] = {}
        """By client id. Clients without one cannot be resumed or taken over, and are not in it."""
        self._owners: dict[Session, Connection] = {}

    # --- For the driver

    def connect(self, channel: Channel) -> Connection:
        """A new connection; nothing is known of the client yet."""
        connection = Connection(self, channel, self.clock.monotonic_s())
        self._connections[connection] = None
        return connection

    def sweep(self) -> None:
        """To be called about every second: closes connections that were silent for too long."""
        now_s = self.clock.monotonic_s()
        for connection in list(self._connections):
            connection.sweep(now_s)

    def close(self) -> None:
        """Close every connection; wills are published, as the clients did not say goodbye."""
        for connection in list(self._connections):
            connection.close("shutdown")

    # --- For the node

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message of this node's own to its subscribers. It does not pass the intake: a rule that publishes must
        not feed itself. Raises InvalidInput for what is no topic name."""
        try:
            route = self.route(topic.encode())
        except mqtt.RemoteProtocolError as error:
            raise InvalidInput("publish to topic", repr(topic[:120]), str(error)) from error
        if retain:
            self.retained.keep(topic, payload, qos)
        route.send(payload, qos)

    def routes_changed(self) -> None:
        """Rules or subscriptions are different now: work out routes anew."""
        self.folds.clear()
        self._routes.clear()

    def statistics(self) -> BrokerStatistics:
        """The broker now."""
        return BrokerStatistics(
            len(self._connections), len(self._sessions), len(self._routes), len(self.retained), self.counters
        )

    # --- For connections

    def route(self, topic: bytes) -> Route:
        """Where messages of `topic` go. Raises RemoteProtocolError for what is no topic name."""
        route = self._routes.get(topic)
        if route is not None:
            return route
        name = mqtt.check_topic(topic)
        fold = self.intake.route(name)
        route = Route(name, fold, self._tree.match(name))
        if len(self._routes) >= self.limits[MQTT_TOPICS]:
            self.limits.hit(MQTT_TOPICS)
        elif len(topic) <= _TOPIC_BYTES_CACHED:
            self._routes[topic] = route
            self.folds[topic] = route.take if route.has_targets else fold or ignore
        return route

    def subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        """Add or change a subscription."""
        session.filters[topic_filter] = qos
        self._tree.add(topic_filter, session, qos)
        self.routes_changed()

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """Take a subscription back, if there is one."""
        if session.filters.pop(topic_filter, None) is not None:
            self._tree.remove(topic_filter, session)
            self.routes_changed()

    def attach(self, connection: Connection, packet: mqtt.Connect) -> bool:
        """Give `connection` its session; whether it was there before [MQTT-3.2.2-2]. Another connection of the same
        client is closed [MQTT-3.1.4-2]."""
        old = self._sessions.get(packet.client_id)
        if old is not None and (owner := self._owners.get(old)) is not None:
            owner.close("takeover", "another connection uses its client identifier")
            old = self._sessions.get(packet.client_id)
        if old is not None and packet.clean_session:
            self._forget(old)
            old = None
        session = old or Session(packet.client_id, self.limits, clean=packet.clean_session)
        if packet.client_id:
            self._sessions[packet.client_id] = session
        self._owners[session] = connection
        connection.session = session
        return old is not None

    def detach(self, connection: Connection, reason: str, dropped: int) -> None:
        """`connection` is closed. Its session goes with it, or waits for the client."""
        del self._connections[connection]
        self.counters.closed[reason] = self.counters.closed.get(reason, 0) + 1
        self.counters.dropped += dropped
        session = connection.session
        if session is None:
            return
        session.detach()
        del self._owners[session]
        if session.clean:
            self._forget(session)
            return
        # The dictionary's order is that of leaving: who is away longest is forgotten first.
        self._sessions[session.client_id] = self._sessions.pop(session.client_id)
        self._bound_sessions()

    def publish_will(self, will: mqtt.Will) -> None:
        """A client vanished: publish for it what it left. QoS 2 is treated as QoS 1."""
        route = self.route(will.topic.encode())
        if will.retain:
            self.retained.keep(will.topic, will.payload, min(will.qos, 1))
        if will.qos == 0:
            route.take(will.payload)
            return
        self._store_will(route.name, will.payload)
        route.send(will.payload, 1)

    def _store_will(self, topic: str, payload: bytes) -> None:
        """Keep a will as the reading it is; nobody waits for an acknowledgement, so a failure is counted and logged."""
        record = msgspec.msgpack.encode((topic, payload, self.clock.wall_ms()))
        self.intake.store([record], Order()).add_done_callback(self._will_stored)

    def _will_stored(self, future: "asyncio.Future[object]") -> None:
        if future.cancelled() or future.exception() is not None:
            self.counters.store_failures += 1
            log.error("cannot store a will: %s", "cancelled" if future.cancelled() else future.exception())

    def _forget(self, session: Session) -> None:
        for topic_filter in list(session.filters):
            self.unsubscribe(session, topic_filter)
        self.counters.dropped += session.dropped
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]

    def _bound_sessions(self) -> None:
        if len(self._sessions) <= self.limits[MQTT_SESSIONS]:
            return
        self.limits.hit(MQTT_SESSIONS)
        oldest = next((session for session in self._sessions.values() if not session.attached), None)
        if oldest is not None:
            log.warning("forgot the session of MQTT client %r: too many sessions are kept", oldest.client_id)
            self._forget(oldest)
