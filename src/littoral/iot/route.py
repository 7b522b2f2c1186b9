"""Where the messages of one topic go, worked out once and then looked up by the topic's bytes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from littoral.core.intake import Fold
from littoral.iot.deliveries import Delivery
from littoral.iot.global_records import Way
from littoral.iot.message import Message
from littoral.iot.session_store import Change, Enqueue, Forward, Recipient, Recipients, SessionStore
from littoral.iot.shared import SharedGroup
from littoral.iot.terms import Grant, Terms, merged, merged_for_publisher
from littoral.wire.mqtt import publish_frame, publish_head

if TYPE_CHECKING:
    from littoral.iot.session import Session


class Target(Struct, frozen=True, eq=False):
    """A session that gets the topic's messages."""

    session: "Session"
    terms: Terms
    own: Terms | None
    """For what its own client publishes; None: it does not get that (No Local)."""

    @classmethod
    def of(cls, session: "Session", grants: Sequence[Grant]) -> "Target":
        """From the subscriptions that fit; at least one."""
        terms = merged(grants)
        assert terms is not None, session.client_id
        local = any(each.subscription.no_local for each in grants)
        return cls(session, terms, merged_for_publisher(grants) if local else terms)


class Route:
    """A topic's fold and subscribers. Valid until subscriptions or rules change."""

    __slots__ = (
        "_groups",
        "_head",
        "_recipients",
        "_store",
        "_targets",
        "cached",
        "fold",
        "has_targets",
        "is_local",
        "is_plain",
        "is_server",
        "name",
        "way",
    )

    def __init__(
        self,
        name: str,
        fold: Fold | None,
        targets: Sequence[Target],
        groups: Sequence[SharedGroup],
        store: SessionStore,
        way: Way | None = None,
    ) -> None:
        self.name = name
        self.way = way
        """By which its messages of QoS 1 and 2 go to other nodes, too."""
        self.fold = fold
        self.cached = False
        """Whether the broker holds on to it."""
        self.is_local = any(each.own is not each.terms for each in targets)
        """Whether it matters who publishes."""
        self.has_targets = bool(targets or groups)
        """Whether anybody subscribed."""
        self.is_server = name.startswith("$SYS/")
        """Whether it is one of the broker's own, which clients do not publish to (section 4.7.2)."""
        self.is_plain = not (self.has_targets or self.is_server or way is not None)
        """Whether a usual reading of QoS 1 goes nowhere but to the disk."""
        self._head = publish_head(name.encode())
        """See `publish_head`; what MQTT 5 has besides is one byte."""
        self._targets = tuple(targets)
        self._groups = tuple(groups)
        self._store = store
        self._recipients: dict[tuple[int, bool], Recipients | None] = {}
        """Of sessions that are kept, by QoS and retain flag of the message."""

    # --- QoS 0

    @property
    def usual(self) -> Fold:
        """What takes a payload of a QoS 0 publish without properties."""
        return self.take if self.has_targets else self.fold or ignore

    def take(self, payload: bytes) -> None:
        """A QoS 0 publish without properties, where it does not matter who publishes: fold it, and send it to the
        subscribers."""
        if self.fold is not None:
            self.fold(payload)
        message: Message | None = None
        frame = frame_v5 = b""
        for target in self._targets:
            out = target.session.outbound
            if out is None:
                continue
            if not out.plain or target.terms.identifiers:
                message = message or Message(self.name, payload)
                out.publish(message, identifiers=target.terms.identifiers)
            elif out.is_v5:
                frame_v5 = frame_v5 or publish_frame(self._head + b"\0", payload)
                out.send(frame_v5)
            else:
                frame = frame or publish_frame(self._head, payload)
                out.send(frame)
        if self._groups:
            self._share(message or Message(self.name, payload))

    def send(self, message: Message) -> None:
        """Send a message to the subscribers at QoS 0."""
        for target in self._targets:
            terms = target.terms if message.publisher != target.session.client_id else target.own
            out = target.session.outbound
            if out is not None and terms is not None:
                out.publish(message, retain=terms.retain_of(message.retain), identifiers=terms.identifiers)
        self._share(message)

    def _share(self, message: Message) -> None:
        for group in self._groups:
            chosen = group.pick()
            if chosen is not None and (out := chosen[0].outbound) is not None:
                terms = merged([chosen[1]])
                assert terms is not None, chosen
                out.publish(message, retain=terms.retain_of(message.retain), identifiers=terms.identifiers)

    # --- QoS 1 and 2

    def forward(self, message: Message, changes: list[Change]) -> None:
        """Let a message of QoS 1 or 2 go to other nodes, if its topic is global; not one that came from another node."""
        if self.way is not None:
            changes.append(Forward(self.way, message))

    def is_full(self, publisher: str, size: int) -> bool:
        """Whether a message of QoS 1 or 2 and so many bytes is for sessions only, none of which has room for it: no rule takes it, no
        other node, and nobody who is here and content with QoS 0."""
        if self.fold is not None or self.way is not None or self._groups:
            return False
        full = False
        for target in self._targets:
            session = target.session
            terms = target.terms if publisher != session.client_id else target.own
            if terms is None or (terms.qos == 0 and session.outbound is None):
                continue
            if terms.qos == 0 or not session.deliveries.is_full(size):
                return False
            full = True
        return full

    def plan(self, message: Message, changes: list[Change]) -> "Plan":
        """Who gets a message of QoS 1 or 2; what has to be on disk for it is added to `changes`."""
        plan = Plan(message)
        number = 0
        recipients = None
        if not self.is_local:
            recipients = self._kept(message)
            number = self._store.next_message() if recipients is not None else 0
        found: list[Recipient] = []
        for target in self._targets:
            session = target.session
            terms = target.terms if message.publisher != session.client_id else target.own
            if terms is None:
                continue
            if terms.qos == 0:
                plan.at_most_once.append((session, terms))
                continue
            if session.number and self.is_local:
                number = number or self._store.next_message()
                found.append(_recipient(session, message, terms))
            plan.deliveries.append((session, _delivery(message, terms, number if session.number else 0)))
        if found:
            recipients = Recipients(found)
        if recipients is not None:
            changes.append(Enqueue(number, message, recipients))
        for group in self._groups:
            chosen = group.pick()
            if chosen is not None:
                plan.share(*chosen, group, self._store, changes)
        return plan

    def _kept(self, message: Message) -> Recipients | None:
        """Those whose sessions are kept, for all messages like this one."""
        key = message.qos, message.retain
        if key not in self._recipients:
            kept = [
                _recipient(each.session, message, each.terms)
                for each in self._targets
                if each.session.number and each.terms.qos
            ]
            self._recipients[key] = Recipients(kept) if kept else None
        return self._recipients[key]


def _recipient(session: "Session", message: Message, terms: Terms) -> Recipient:
    return Recipient(session.number, terms.qos_of(message.qos), terms.retain_of(message.retain), terms.identifiers)


def _delivery(message: Message, terms: Terms, number: int) -> Delivery:
    return Delivery(message, terms.qos_of(message.qos), terms.retain_of(message.retain), terms.identifiers, number)


class Plan(Struct, eq=False):
    """What is to be done with one message of QoS 1 or 2."""

    message: Message
    deliveries: "list[tuple[Session, Delivery]]" = []
    at_most_once: "list[tuple[Session, Terms]]" = []
    """Subscribers at QoS 0."""

    def share(
        self, session: "Session", grant: Grant, group: SharedGroup, store: SessionStore, changes: list[Change]
    ) -> None:
        """Give it to the member of a shared subscription whose turn it is."""
        terms = merged([grant])
        assert terms is not None, grant
        if terms.qos == 0:
            self.at_most_once.append((session, terms))
            return
        number = 0
        if session.number:
            number = store.next_message()
            recipient = _recipient(session, self.message, terms)
            changes.append(Enqueue(number, self.message, Recipients([recipient])))
        delivery = _delivery(self.message, terms, number)
        delivery.group = group
        self.deliveries.append((session, delivery))

    def run(self) -> None:
        """Give it to the sessions."""
        message = self.message
        for session, delivery in self.deliveries:
            if not session.ended:
                session.deliveries.add(delivery)
        for session, terms in self.at_most_once:
            if session.outbound is not None:
                session.outbound.publish(message, retain=terms.retain_of(message.retain), identifiers=terms.identifiers)


def ignore(payload: bytes) -> None:
    """The end of a topic that no rule and no subscriber wants."""
