"""Checking what the broker keeps in a store: the tables `mqtt_*` (docs/reference/store-format.md), each row by itself and what rows say
of each other. Reads only, also while the node runs.

Rows that belong to nothing are no damage: what nobody waits for is written later, so a crash leaves some, and the node removes them
when it starts. They are counted.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from littoral.core.errors import StorageCorrupt
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.message import Message
from littoral.iot.session_rows import DONE, SENT, decode_message, decode_options
from littoral.iot.session_store import decode_recipients
from littoral.store.check import CheckReport
from littoral.store.history import RESTORE, Problem
from littoral.store.mqtt_reads import MqttReads, SubscriptionRow, WillRow
from littoral.wire import mqtt

SUBJECT = "MQTT clients"
LOST = "The node may not start with it. Restore a backup; or delete the row while the node is stopped: clients lose what it is for"
_PACKET_IDS = range(1, 65_536)
_Row = TypeVar("_Row", SubscriptionRow, WillRow, tuple[int, int])


def check_sessions(stored: MqttReads, report: CheckReport) -> None:
    """Check the tables as of one commit, and add to `report`. Raises StorageError for what is not damage of the store."""
    with stored.at_one_moment():
        try:
            _Check(stored, report).run()
        except StorageCorrupt as error:
            report.add(Problem(subject=SUBJECT, cause=f"they cannot be read: {error.cause}", remedy=RESTORE))


class _Check:
    def __init__(self, stored: MqttReads, report: CheckReport) -> None:
        self._stored = stored
        self._report = report
        self._next: dict[int, int] = {}
        """Of each session: it is done with every message before."""
        self._clients: dict[int, str] = {}
        self._waited_for: set[tuple[int, int]] = set()
        """Sessions, and those of their messages of which they may have sent something."""

    def run(self) -> None:
        """All tables."""
        self._sessions()
        self._subscriptions()
        self._wills()
        self._messages()
        self._sent()
        self._received()
        self._retained()

    def _sessions(self) -> None:
        for number, client_id, level, _, _, following, _ in self._stored.sessions():
            self._report.mqtt_sessions += 1
            self._next[number], self._clients[number] = following, client_id
            if not client_id or level not in (mqtt.MQTT_3_1_1, mqtt.MQTT_5):
                self._add(f"session {number} is of client {client_id[:80]!r} with version {level}")

    def _subscriptions(self) -> None:
        for session, topic_filter, options, identifier in self._of_sessions(self._stored.subscriptions()):
            try:
                mqtt.check_filter(topic_filter, mqtt.MQTT_5)
                decoded = decode_options(topic_filter, options)
                good = decoded.qos in (0, 1, 2) and decoded.retain_handling in (0, 1, 2)
            except mqtt.RemoteProtocolError:
                good = False
            if not good or (identifier is not None and identifier < 1):
                name = self._clients[session][:80]
                self._add(f"client {name!r} has a subscription to {topic_filter[:80]!r} with options {options}")

    def _wills(self) -> None:
        for will in self._of_sessions(self._stored.wills()):
            self._body(will.body, f"the will of client {self._clients[will.session][:80]!r}")

    def _messages(self) -> None:
        for number, recipients, body in self._stored.messages():
            self._report.mqtt_messages += 1
            self._body(body, f"message {number}")
            try:
                waiting = [
                    each.session
                    for each in decode_recipients(recipients)
                    if number >= self._next.get(each.session, number + 1)
                ]
            except UNDECODABLE as error:
                self._add(f"whom message {number} is for cannot be read: {error}")
                continue
            self._waited_for |= {(session, number) for session in waiting}
            self._report.mqtt_leftovers += not waiting

    def _sent(self) -> None:
        used: dict[tuple[int, int], int] = {}
        for session, message, packet_id, state in self._stored.sent():
            if (session, message) not in self._waited_for:
                self._report.mqtt_leftovers += 1
                continue
            name = self._clients[session][:80]
            if packet_id not in _PACKET_IDS or not SENT <= state <= DONE:
                self._add(f"message {message} was sent to client {name!r} as {packet_id}, with state {state}")
            elif state != DONE and (other := used.setdefault((session, packet_id), message)) != message:
                self._add(f"messages {other} and {message} were both sent to client {name!r} as {packet_id}")

    def _received(self) -> None:
        for session, packet_id in self._of_sessions(self._stored.received()):
            if packet_id not in _PACKET_IDS:
                self._add(f"client {self._clients[session][:80]!r} has sent a message as {packet_id}")

    def _retained(self) -> None:
        for topic, body in self._stored.retained():
            self._report.mqtt_retained += 1
            message = self._body(body, f"the retained message of {topic[:80]!r}")
            if message is not None and (message.topic != topic or not message.payload):
                self._add(f"the retained message of {topic[:80]!r} is one of {message.topic[:80]!r}, or empty")

    def _body(self, body: bytes, what: str) -> Message | None:
        try:
            message = decode_message(body)
            mqtt.check_topic(message.topic.encode(), mqtt.MQTT_5)
        except (*UNDECODABLE, UnicodeEncodeError, mqtt.RemoteProtocolError) as error:
            self._add(f"{what} cannot be read: {error}")
            return None
        return message

    def _of_sessions(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        """Rows that begin with their session's number; those of sessions that are no more are counted."""
        for row in rows:
            if row[0] in self._next:
                yield row
            else:
                self._report.mqtt_leftovers += 1

    def _add(self, cause: str) -> None:
        self._report.add(Problem(subject=SUBJECT, cause=cause, remedy=LOST))
