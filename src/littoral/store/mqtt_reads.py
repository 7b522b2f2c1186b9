"""Reading what the MQTT broker keeps, when it starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import apsw

from littoral.store.database import translated


class SessionRow(NamedTuple):
    """Of `mqtt_sessions`; see docs/reference/store-format.md for all of these."""

    number: int
    client_id: str
    level: int
    expiry_s: int
    away_ms: int | None
    next: int
    sent: int


class WillRow(NamedTuple):
    """Of `mqtt_wills`."""

    session: int
    delay_s: int
    due_ms: int | None
    body: bytes


class SubscriptionRow(NamedTuple):
    """Of `mqtt_subscriptions`."""

    session: int
    filter: str
    options: int
    identifier: int | None


class MessageRow(NamedTuple):
    """Of `mqtt_messages`."""

    number: int
    recipients: bytes
    body: bytes


class SentRow(NamedTuple):
    """Of `mqtt_sent`."""

    session: int
    message: int
    packet_id: int
    state: int


class MqttReads:
    """The tables `mqtt_*` as committed."""

    def __init__(self, reader: apsw.Connection) -> None:
        self._reader = reader

    def sessions(self) -> list[SessionRow]:
        """All of them. Each of these raises StorageError."""
        return [
            SessionRow(*row)
            for row in self._rows(
                "SELECT number, client_id, level, expiry_s, away_ms, next, sent FROM mqtt_sessions ORDER BY number"
            )
        ]

    def wills(self) -> list[WillRow]:
        """Those of all sessions."""
        return [WillRow(*row) for row in self._rows("SELECT session, delay_s, due_ms, body FROM mqtt_wills")]

    def subscriptions(self) -> list[SubscriptionRow]:
        """Those of all sessions, in order of session and filter."""
        query = "SELECT session, filter, options, identifier FROM mqtt_subscriptions ORDER BY session, filter"
        return [SubscriptionRow(*row) for row in self._rows(query)]

    def messages(self) -> Iterator[MessageRow]:
        """All of them, in order of their numbers."""
        query = "SELECT number, recipients, body FROM mqtt_messages ORDER BY number"
        return (MessageRow(*row) for row in self._rows(query))

    def sent(self) -> list[SentRow]:
        """Those of all sessions."""
        return [SentRow(*row) for row in self._rows("SELECT session, message, packet_id, state FROM mqtt_sent")]

    def received(self) -> list[tuple[int, int]]:
        """Pairs of session and packet identifier."""
        return [
            (session, packet_id) for session, packet_id in self._rows("SELECT session, packet_id FROM mqtt_received")
        ]

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """All that is read in the block is as of one commit."""
        self._reader.execute("BEGIN")
        try:
            yield
        finally:
            if self._reader.in_transaction:
                self._reader.execute("ROLLBACK")

    def retained(self) -> Iterator[tuple[str, bytes]]:
        """The topics that messages are retained for, with their bodies, in any order."""
        return self._rows("SELECT topic, body FROM mqtt_retained")

    def _rows(self, query: str) -> Iterator[Any]:
        # Any: SQLite's values, whose types the tables' schema holds to.
        with translated("read sessions of", "MQTT clients"):
            yield from self._reader.execute(query)
