"""The MQTT broker: versions 3.1.1 and 5, without I/O. `littoral.drivers.mqtt` puts it on a socket.

A client's publishes go to the intake (rules, storage) and to subscribers. A publish of QoS 1 or 2 is acknowledged after it is
synced: as a reading, and in the queues of all sessions that are kept and get it. See docs/adr/0036-mqtt-5.md.
"""

from collections.abc import Callable, Sequence

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.garbage import uncollected
from littoral.core.intake import Intake
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_TOPICS
from littoral.core.order import Order
from littoral.core.tasks import Tasks
from littoral.iot.access import NOWHERE, Access, Client
from littoral.iot.broker_counters import BrokerCounters, BrokerStatistics
from littoral.iot.channel import Channel
from littoral.iot.connection import Connection
from littoral.iot.endings import KICKED, SHUTDOWN, TAKEOVER
from littoral.iot.fast_path import FastPath
from littoral.iot.global_records import Way
from littoral.iot.handshake import Handshake, Refusal
from littoral.iot.message import Message
from littoral.iot.rates import Rates
from littoral.iot.retained import Retained
from littoral.iot.route import Route
from littoral.iot.session import Presence, Session
from littoral.iot.session_store import Change, Passed, Retain, SessionStore
from littoral.iot.session_writes import SessionWrites, Written
from littoral.iot.sessions import Sessions
from littoral.iot.shared_frames import SharedFrames
from littoral.iot.system_topics import system_messages
from littoral.iot.topic_values import TopicValues
from littoral.iot.volatile_sessions import VolatileSessions
from littoral.iot.watch import Watch
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, NO_PROPERTIES, ReasonCode

SYSTEM_INTERVAL_S = 10.0
"""How often the topics under $SYS are published; mosquitto's interval."""
_PLACED_PER_SWEEP = 4096
"""Retained messages of before a restart that nobody has asked for yet: some 10 ms."""


class Broker:
    """Connections, sessions and routes of one node."""

    def __init__(
        self,
        intake: Intake,
        clock: Clock,
        limits: Limits,
        access: Access,
        tasks: Tasks,
        store: SessionStore | None = None,
        *,
        reject_new: bool = False,
        rates: Rates = Rates(),  # noqa: B008 - frozen
    ) -> None:
        """tasks: runs credential checks that take time. store: keeps sessions and retained messages through a restart; without
        one, they end with the process. reject_new: a session's full queue takes no more, instead of dropping its oldest."""
        self.intake = intake
        self.clock = clock
        self.limits = limits
        self.access = access
        self.tasks = tasks
        self.rates = rates
        self.reject_new = reject_new
        self.counters = BrokerCounters()
        self.retained = Retained(limits)
        self.frames = SharedFrames()
        self.values = TopicValues(clock, limits)
        self.watches: set[Watch] = set()
        """Of operators who follow topics."""
        self.writes = SessionWrites(
            VolatileSessions(intake) if store is None else store, clock, self.counters, keeps=store is not None
        )
        self.sessions = Sessions(
            limits,
            clock,
            self.writes,
            self.counters,
            self._publish_will,
            self._subscribers_changed,
            reject_new=reject_new,
        )
        self.way_of: Callable[[str], Way | None] = lambda topic: None
        """By which messages of a topic go to other nodes; who changes it calls `routes_changed`."""
        self._fast = {level: FastPath(level) for level in (MQTT_3_1_1, MQTT_5)}
        self._own_paths: dict[FastPath, None] = {}
        """Those that have learned something."""
        self.routes: dict[bytes, Route] = {}
        """Those worked out, by the topic's bytes. Changed in place: connections hold on to it."""
        self._connections: dict[Connection, None] = {}
        self._owners: dict[Session, Connection] = {}
        self._unnamed = 0
        self._began_ms = clock.wall_ms()
        self._system_due_s = clock.monotonic_s() + SYSTEM_INTERVAL_S

    def restore(self) -> None:
        """Take over what the store kept. To be called once, before the first connection."""
        with uncollected():
            for kept in self.writes.store.load():
                self.sessions.restore(kept)
            self.retained.restore(self.writes.store.load_retained())

    # --- For the driver

    def connect(self, channel: Channel, certified: str | None = None) -> Connection:
        """A new connection. certified: the user that the client's certificate names, if it has shown one; nothing else is known
        of it yet."""
        connection = Connection(self, channel, self.clock.monotonic_s(), certified)
        self._connections[connection] = None
        return connection

    def sweep(self) -> None:
        """To be called about every second: closes connections that were silent for too long, ends sessions and publishes wills
        whose time has come."""
        now_s = self.clock.monotonic_s()
        for connection in list(self._connections):
            connection.sweep(now_s)
        self.values.refill()
        self.retained.place(_PLACED_PER_SWEEP)
        self.sessions.sweep(now_s)
        if now_s >= self._system_due_s:
            self._system_due_s = now_s + SYSTEM_INTERVAL_S
            self._publish_system_topics()

    def close(self) -> None:
        """Close every connection; wills are published, as the clients did not say goodbye."""
        for connection in list(self._connections):
            connection.close(SHUTDOWN)

    # --- For the node

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message of this node's own to its subscribers. It does not pass the intake: a rule that publishes must
        not feed itself. Raises InvalidInput for what is no topic name."""
        try:
            self.route(topic.encode())
        except mqtt.RemoteProtocolError as error:
            raise InvalidInput("publish to topic", repr(topic[:120]), str(error)) from error
        self._dispatch(Message(topic, payload, qos, retain))

    def publish_as_client(self, message: Message, written: Written) -> None:
        """Let a message pass as a client's would, through the intake too. written: told once it may be acknowledged, or why not.
        Raises RemoteProtocolError for what is no topic name."""
        route = self.route(message.topic.encode(), MQTT_5)
        if message.qos == 0:
            if route.fold is not None:
                route.fold(message.payload)
            self._dispatch(message)
            written(None)
            return
        record = msgspec.msgpack.encode((message.topic, message.payload, self.clock.wall_ms()))
        self._dispatch(message, (record,), written=written)

    def take_over(
        self, messages: Sequence[Message], retained: Sequence[Message], passed: Passed, written: Written
    ) -> None:
        """Send messages of other nodes' clients to the subscribers here, once they are in the queues of all sessions that are kept,
        in the transaction that notes them as passed. retained: those that become the retained message of their topic, or end that
        with an empty payload. written: told what came of it."""
        changes: list[Change] = [passed]
        for message in retained:
            kept = self.retained.keep(message) and message.payload
            changes.append(Retain(message.topic, message if kept else None))
        plans = [self.route(each.topic.encode()).plan(each, changes) for each in messages]
        for each in messages:
            self.values.note_own(each.topic.encode(), each.payload)

        def done(error: BaseException | None) -> None:
            if error is None:
                for plan in plans:
                    plan.run()
            written(error)

        self.writes.write(changes, Order(), (), done)

    def kick(self, client_id: str) -> bool:
        """Close the connection of a client; whether it had one. Its session stays."""
        session = self.sessions.get(client_id)
        owner = self._owners.get(session) if session is not None else None
        if owner is None:
            return False
        owner.close(KICKED, "an operator ended it")
        return True

    def end(self, is_meant: Callable[[Channel], bool], reason: str, message: str) -> None:
        """Close the connections whose channels are meant. reason, message: see Connection.close."""
        for connection in [each for each in self._connections if is_meant(each.channel)]:
            connection.close(reason, message)

    def routes_changed(self) -> None:
        """Rules are different now: work out routes anew."""
        self.routes.clear()
        for path in (*self._fast.values(), *self._own_paths):
            path.folds.clear()
        self._own_paths.clear()

    def access_changed(self) -> None:
        """Answers of `Access.may_publish` are different now."""
        for path in self._own_paths:
            path.folds.clear()
        self._own_paths.clear()

    def statistics(self) -> BrokerStatistics:
        """The broker now."""
        return BrokerStatistics(
            len(self._connections), len(self.sessions), len(self.routes), len(self.retained), self.counters
        )

    # --- For connections

    def fast_path(self, level: int, *, own: bool) -> FastPath:
        """What the hot path of a connection looks up; own: for itself alone."""
        if not own:
            return self._fast[level]
        return FastPath(level, self._fast[level].shapes)

    def forget(self, path: FastPath | None) -> None:
        """A path of one connection's own is not used any more."""
        if path is not None:
            self._own_paths.pop(path, None)

    def learned(self, path: FastPath) -> None:
        """A path of one connection's own holds folds: they go when subscribers, rules or rights change."""
        self._own_paths[path] = None

    def route(self, topic: bytes, level: int = MQTT_3_1_1) -> Route:
        """Where messages of `topic` go. Raises RemoteProtocolError for what is no topic name."""
        route = self.routes.get(topic)
        if route is not None:
            return route
        name = mqtt.check_topic(topic, level)
        targets, groups = self.sessions.subscriptions.match(name)
        route = Route(name, self.intake.route(name), targets, groups, self.writes.store, self.way_of(name))
        if len(self.routes) >= self.limits[MQTT_TOPICS]:
            self.limits.hit(MQTT_TOPICS)
        else:
            self.routes[topic] = route
            route.cached = True
        return route

    def check_takeover(self, client: Client) -> None:
        """Raises Refusal where another user is connected with the same client identifier: whoever may connect could cut off, under
        their names, all who are here. Who has no user name is nobody in particular, and makes room."""
        session = self.sessions.get(client.client_id)
        if session is None or not session.attached or session.presence is None:
            return
        if session.presence.username not in (None, client.username):
            raise Refusal(ReasonCode.NOT_AUTHORIZED, "another user is connected with its client identifier")

    def attach(self, connection: Connection, handshake: Handshake, changes: list[Change]) -> tuple[Session, bool]:
        """The session for `connection`, and whether it was there before [MQTT-3.2.2-2]. Another connection of the same
        client is closed [MQTT-3.1.4-3]."""
        client_id = handshake.connect.client_id or self._new_client_id()
        old = self.sessions.get(client_id)
        if old is not None and (owner := self._owners.get(old)) is not None:
            owner.close(TAKEOVER, "another connection uses its client identifier")
        came = handshake.client
        session, present = self.sessions.attach(handshake.connect, client_id, changes, came.username)
        session.presence = Presence(came.username, came.arrival.address, came.arrival.listener, self.clock.wall_ms())
        # By which way it came is of interest while it connects: memory for each connection is not to be had for it.
        arrival = NOWHERE if handshake.connect.properties.authentication_method is None else handshake.client.arrival
        handshake.client = msgspec.structs.replace(handshake.client, client_id=client_id, arrival=arrival)
        if present:
            self.keep_to_rights(session, handshake.client, changes)
        self._owners[session] = connection
        return session, present

    def keep_to_rights(self, session: Session, client: Client, changes: list[Change]) -> None:
        """Take back the subscriptions that `client` may not make now, with what waits for it by them. They may be of somebody else,
        or of a time when it was allowed."""

        def is_allowed(topic_filter: str) -> bool:
            return self.access.may_subscribe(client, mqtt.split_shared(topic_filter)[1]) is True

        self.sessions.restrict(session, is_allowed, changes)

    def detach(self, connection: Connection, reason: str, dropped: int, *, goodbye: bool) -> None:
        """`connection` is closed. Its session goes with it, or waits for the client. goodbye: without its will."""
        del self._connections[connection]
        self.counters.closed[reason] = self.counters.closed.get(reason, 0) + 1
        self.counters.dropped += dropped
        self.forget(connection.own_path)
        session = connection.session
        if session is not None:
            del self._owners[session]
            self.sessions.detach(session, goodbye=goodbye)

    def _new_client_id(self) -> str:
        """One that no client was given before, also not before a restart, and that no session has [MQTT-3.2.2-16]: a client may
        call itself what another would be called next."""
        while True:
            self._unnamed += 1
            client_id = f"auto-{self._began_ms:x}-{self._unnamed}"
            if self.sessions.get(client_id) is None:
                return client_id

    # --- Messages of no connection

    def _dispatch(
        self,
        message: Message,
        records: Sequence[bytes] = (),
        also: Sequence[Change] = (),
        written: Written | None = None,
    ) -> None:
        """Send a message on, and write what has to be kept of it, with what follows from it. written: told what came of that, of a
        message of QoS 1 or 2; None: nobody waits for it."""
        topic = message.topic.encode()
        route = self.route(topic)
        self.values.note_own(topic, message.payload)
        changes: list[Change] = []
        if message.retain:
            kept = self.retained.keep(message) and message.payload
            changes.append(Retain(message.topic, message if kept else None))
        if message.qos == 0:
            route.send(message)
            self.writes.later([each for each in changes if isinstance(each, Retain)])
            self.writes.write_aside("what follows from a message of the broker's own", also)
            return
        route.forward(message, changes)
        plan = route.plan(message, changes)
        needed = (*changes, *also) if self.writes.keeps else ()
        if written is None:
            self.writes.write_aside("a message of the broker's own", needed, records)
        else:
            self.writes.write(needed, Order(), records, written)
        plan.run()

    def _publish_will(self, will: Message, also: Sequence[Change]) -> None:
        """A client vanished: publish for it what it left. It counts as published now, and its time begins now."""
        expires_ms = None
        lifetime_s = will.properties.message_expiry_s
        if lifetime_s is not None:
            expires_ms = self.clock.wall_ms() + lifetime_s * 1000
        properties = msgspec.structs.replace(will.properties, will_delay_s=None, message_expiry_s=None)
        properties = NO_PROPERTIES if properties == NO_PROPERTIES else properties
        message = Message(
            will.topic, will.payload, will.qos, will.retain, properties, expires_ms, publisher=will.publisher
        )
        if will.qos == 0:
            fold = self.route(will.topic.encode()).fold
            if fold is not None:
                fold(will.payload)
            self._dispatch(message, (), also)
            return
        record = msgspec.msgpack.encode((will.topic, will.payload, self.clock.wall_ms()))
        self._dispatch(message, (record,), also)

    def _publish_system_topics(self) -> None:
        for topic, payload in system_messages(self.statistics()):
            message = Message(topic, payload, retain=True)
            self.retained.keep(message)
            self.route(topic.encode()).send(message)

    def _subscribers_changed(self, topic_filter: str) -> None:
        """The subscribers of a filter are others now."""
        _, shared = mqtt.split_shared(topic_filter)
        if "+" in shared or "#" in shared:
            self.routes_changed()
            return
        topic = shared.encode()
        if self.routes.pop(topic, None) is not None:
            for path in (*self._fast.values(), *self._own_paths):
                path.folds.pop(topic + path.pad, None)
