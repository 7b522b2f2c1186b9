"""All sessions of a broker: how they begin, wait for their clients, and end.

    CONNECT  --attach-->  attached  --connection ended-->  waits (Session Expiry Interval)  --time is up-->  ended
                             |                                |
                             +-- interval 0 --> ended         +-- CONNECT: attached again; with Clean Start: ended, a new one

A will is published when its delay is over or the session ends, whichever is first, unless the client is back before
[MQTT-3.1.3-9] or has said goodbye [MQTT-3.1.2-10].
"""

import logging
from collections.abc import Callable, Iterator, Sequence

from littoral.core.clock import Clock
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_SESSIONS
from littoral.core.resources.topic_filters import topic_matches
from littoral.iot.bridge_names import is_bridge
from littoral.iot.broker_counters import BrokerCounters
from littoral.iot.deadlines import Deadlines
from littoral.iot.message import Message
from littoral.iot.route import Plan
from littoral.iot.session import Session
from littoral.iot.session_store import (
    Change,
    EndSession,
    EndSubscription,
    EndWill,
    KeepSession,
    KeepSubscription,
    KeepWill,
    KeptSession,
)
from littoral.iot.session_writes import SessionWrites
from littoral.iot.subscriptions import Subscriptions
from littoral.iot.terms import Grant
from littoral.wire.mqtt import MQTT_3_1_1, NEVER_S, Connect, split_shared

log = logging.getLogger(__name__)


class Sessions:
    """Sessions by client identifier."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        writes: SessionWrites,
        counters: BrokerCounters,
        publish_will: Callable[[Message, Sequence[Change]], None],
        routes_changed: Callable[[str], None],
        *,
        reject_new: bool = False,
    ) -> None:
        """publish_will: also writes the changes that it is given, in the same transaction. routes_changed: told of the topic filter whose subscribers are others now. reject_new: see `Deliveries`."""
        self._reject_new = reject_new
        self._limits = limits
        self._clock = clock
        self._writes = writes
        self._counters = counters
        self._publish_will = publish_will
        self._routes_changed = routes_changed
        # The order is that of leaving: who is away longest is forgotten first.
        self._by_client: dict[str, Session] = {}
        self._ends: Deadlines[Session] = Deadlines()
        self._wills: Deadlines[Session] = Deadlines()
        self._left_wills: dict[str, Session] = {}
        """Wills of the time before a restart, by client, until it is back or they are published."""
        self.subscriptions = Subscriptions()

    def __len__(self) -> int:
        return len(self._by_client)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_client.values())

    def get(self, client_id: str) -> Session | None:
        """The session of a client."""
        return self._by_client.get(client_id)

    def restore(self, kept: KeptSession) -> None:
        """Take over a session that was kept through a restart. Who was connected then is away since now."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        session = self._session(kept.client_id, kept.session)
        session.level, session.expiry_s = kept.level, kept.expiry_s
        session.received = kept.received
        session.deliveries.restore(kept.queue)
        if kept.expiry_s:
            self._by_client[kept.client_id] = session
        for subscription, identifier in kept.subscriptions:
            self.subscriptions.add(session, Grant(subscription, identifier))
        if kept.unfinished:
            session.walks = dict.fromkeys(sorted(kept.unfinished))
        away_ms = now_ms if kept.away_ms is None else min(kept.away_ms, now_ms)
        if kept.away_ms is None and kept.expiry_s:
            # What is queued from now on was not sent, whatever was before: the disk is to know that after the next restart.
            self._writes.later([self._away(session, now_ms)])
        if kept.expiry_s != NEVER_S:
            session.ends_s = now_s + (away_ms - now_ms) / 1000 + kept.expiry_s
            self._ends.add(session.ends_s, session)
        if kept.will is not None:
            session.will, session.will_delay_s = kept.will.will, kept.will.delay_s
            due_ms = kept.will.due_ms
            wait_s = min(kept.will.delay_s, kept.expiry_s) if due_ms is None else (due_ms - now_ms) / 1000
            session.will_due_s = now_s + wait_s
            self._wills.add(session.will_due_s, session)
            self._left_wills[kept.client_id] = session

    def _away(self, session: Session, now_ms: int) -> KeepSession:
        """The client is away since `now_ms`."""
        sent_before = session.deliveries.sent_before
        return KeepSession(session.number, session.client_id, session.level, session.expiry_s, now_ms, sent_before)

    def _session(self, client_id: str, number: int) -> Session:
        return Session(client_id, number, self._limits, self._writes, reject_new=self._reject_new)

    # --- Begin and end

    def attach(
        self, connect: Connect, client_id: str, changes: list[Change], username: str | None = None
    ) -> tuple[Session, bool]:
        """The session of a client that connects, and whether it was there before [MQTT-3.2.2-2]; no other connection has it.
        What has to be on disk before CONNACK is added to `changes`. username: whose it is. The session of another user ends: what
        waits in it is not for this one."""
        # A will that a crash has made due is published before its client has another: with that one, the disk forgets it.
        if (left := self._left_wills.pop(client_id, None)) is not None:
            self._publish_due(left, self._clock.monotonic_s())
        old = self._by_client.get(client_id)
        assert old is None or not old.attached, client_id
        if old is not None and (connect.clean_start or _is_anothers(old, username)):
            self.end(old, changes)
            old = None
        expiry_s = _expiry_s(connect)
        kept = self._writes.keeps and expiry_s > 0
        number = self._writes.store.next_session() if kept and old is None else 0
        session = old or self._session(client_id, number)
        session.attached = True
        session.level = connect.level
        session.expiry_s = expiry_s
        session.ends_s = None
        session.will, session.will_due_s = None, None
        self._by_client[client_id] = session
        if connect.will is not None:
            session.will = Message(
                connect.will.topic,
                connect.will.payload,
                connect.will.qos,
                connect.will.retain,
                connect.will.properties,
                publisher=client_id,
            )
            session.will_delay_s = connect.will.properties.will_delay_s or 0
        if session.number:
            changes.append(KeepSession(session.number, client_id, session.level, expiry_s))
            if session.will is None and old is not None:
                changes.append(EndWill(session.number))
        elif session.will is not None and self._writes.keeps:
            session.will_number = self._writes.store.next_session()
            changes.append(KeepSession(session.will_number, client_id, session.level, 0))
        if session.will is not None and session.will_number:
            changes.append(KeepWill(session.will_number, session.will, session.will_delay_s))
        return session, old is not None

    def detach(self, session: Session, *, goodbye: bool) -> None:
        """The connection of a session is over. goodbye: the client does not want its will published [MQTT-3.14.4-3]."""
        session.attached = False
        session.outbound = None
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        changes: list[Change] = []
        session.deliveries.detach()
        self._pass_on(session)
        if goodbye and session.will is not None:
            session.will = None
            if session.number:
                changes.append(EndWill(session.number))
        if session.expiry_s == 0:
            self.end(session, changes)
            self._writes.write_aside("the end of a session", changes)
            return
        if session.expiry_s != NEVER_S:
            session.ends_s = now_s + session.expiry_s
            self._ends.add(session.ends_s, session)
        if session.number:
            changes.append(self._away(session, now_ms))
        if session.will is not None:
            self._will_waits(session, now_s, now_ms, changes)
        self._writes.write_aside("that a client has left", changes)
        self._by_client[session.client_id] = self._by_client.pop(session.client_id)
        self._bound()

    def end(self, session: Session, changes: list[Change]) -> None:
        """Forget a session that is not attached. Its will is published now [MQTT-3.1.2-8]."""
        session.ended = True
        self._pass_on(session)
        self._counters.dropped += session.deliveries.dropped
        for topic_filter in list(session.grants):
            self._take_back(session, topic_filter)
        if self._by_client.get(session.client_id) is session:
            del self._by_client[session.client_id]
        ends = [EndSession(session.will_number)] if session.will_number else []
        will, session.will = session.will, None
        if will is not None:
            self._publish_will(will, ends)
        else:
            changes += ends

    def sweep(self, now_s: float) -> None:
        """To be called about every second: publish the wills that are due, and end the sessions whose time is up."""
        changes: list[Change] = []
        for session in self._wills.due(now_s):
            self._left_wills.pop(session.client_id, None)
            self._publish_due(session, now_s)
        for session in self._ends.due(now_s):
            if session.ends_s is not None and session.ends_s <= now_s and not session.ended:
                self.end(session, changes)
        self._writes.write_aside("the end of sessions", changes)

    def _publish_due(self, session: Session, now_s: float) -> None:
        """Publish the will of a session, if it is due."""
        will = session.will
        if will is None or session.will_due_s is None or session.will_due_s > now_s:
            return
        session.will, session.will_due_s = None, None
        self._publish_will(will, [EndWill(session.number)] if session.number else [])

    def _will_waits(self, session: Session, now_s: float, now_ms: int, changes: list[Change]) -> None:
        will = session.will
        assert will is not None
        delay_s = min(session.will_delay_s, session.expiry_s)
        if delay_s == 0:
            session.will = None
            self._publish_will(will, [EndWill(session.number)] if session.number else [])
            return
        session.will_due_s = now_s + delay_s
        self._wills.add(session.will_due_s, session)
        if session.number:
            changes.append(KeepWill(session.number, will, session.will_delay_s, now_ms + delay_s * 1000))

    def _bound(self) -> None:
        if len(self._by_client) <= self._limits[MQTT_SESSIONS]:
            return
        self._limits.hit(MQTT_SESSIONS)
        away = (each for each in self._by_client.values() if not each.attached and not is_bridge(each.client_id))
        oldest = next(away, None)
        if oldest is not None:
            log.warning("forgot the session of MQTT client %r: too many sessions are kept", oldest.client_id)
            changes: list[Change] = []
            self.end(oldest, changes)
            self._writes.write_aside("the end of a session", changes)

    # --- Subscriptions

    def subscribe(self, session: Session, grant: Grant, changes: list[Change]) -> bool:
        """Add or change a subscription; whether it is new."""
        new = grant.subscription.filter not in session.grants
        self.subscriptions.add(session, grant)
        if session.number:
            changes.append(KeepSubscription(session.number, grant.subscription, grant.identifier))
        self._routes_changed(grant.subscription.filter)
        return new

    def unsubscribe(self, session: Session, topic_filter: str, changes: list[Change]) -> bool:
        """Take a subscription back; whether there was one."""
        if topic_filter not in session.grants:
            return False
        self._take_back(session, topic_filter)
        if session.number:
            changes.append(EndSubscription(session.number, topic_filter))
        return True

    def restrict(self, session: Session, is_allowed: Callable[[str], bool], changes: list[Change]) -> None:
        """Take back the subscriptions that are not allowed, and withdraw what no other one is for."""
        denied = [each for each in session.grants if not is_allowed(each)]
        if not denied:
            return
        log.warning("MQTT client %r may not subscribe any more to %r", session.client_id, denied[:10])
        for each in denied:
            session.stop_walk(each)
            self.unsubscribe(session, each, changes)
        left = [split_shared(each)[1] for each in session.grants]
        for delivery in session.deliveries.all():
            if not any(topic_matches(each, delivery.message.topic) for each in left):
                session.deliveries.withdraw(delivery, changes)

    def _take_back(self, session: Session, topic_filter: str) -> None:
        self.subscriptions.remove(session, topic_filter)
        self._routes_changed(topic_filter)

    def _pass_on(self, session: Session) -> None:
        """Give what is not delivered of shared subscriptions to other members, where there are any (section 4.8.2)."""
        for delivery in session.deliveries.shared():
            assert delivery.group is not None, delivery
            chosen = delivery.group.pick(but=session)
            if chosen is None:
                continue
            other, grant = chosen
            plan = Plan(delivery.message)
            changes: list[Change] = []
            session.deliveries.withdraw(delivery, changes)
            plan.share(other, grant, delivery.group, self._writes.store, changes)
            self._writes.write_aside("a message of a shared subscription", changes)
            plan.run()


def _is_anothers(session: Session, username: str | None) -> bool:
    """Whether another user had it last, as far as that is known: it is not after a restart."""
    return session.presence is not None and session.presence.username != username


def _expiry_s(connect: Connect) -> int:
    """How long the session outlives its connection. In MQTT 3.1.1 it is clean session that says so."""
    if connect.level == MQTT_3_1_1:
        return 0 if connect.clean_start else NEVER_S
    return connect.properties.session_expiry_s or 0
