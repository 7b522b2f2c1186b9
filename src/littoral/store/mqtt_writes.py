"""The writer's hands on what the MQTT broker keeps: rows whose meaning is the broker's (`littoral.iot.durable_sessions`)."""

from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from operator import itemgetter

from littoral.store.blob_writes import BlobWrites


class MqttStatement(Enum):
    """A change to the tables `mqtt_*`, as SQLite runs it."""

    KEEP_SESSION = (
        "INSERT INTO mqtt_sessions(number, client_id, level, expiry_s, away_ms, sent, next) VALUES(?,?,?,?,?,?,?)"
        " ON CONFLICT(number) DO UPDATE SET level=excluded.level, expiry_s=excluded.expiry_s, away_ms=excluded.away_ms,"
        " sent=excluded.sent"
    )
    END_OTHERS = "DELETE FROM mqtt_sessions WHERE client_id=? AND number<>?"
    END_SESSION = "DELETE FROM mqtt_sessions WHERE number=?"
    MOVE_NEXT = "UPDATE mqtt_sessions SET next=?2 WHERE number=?1"
    KEEP_WILL = "INSERT OR REPLACE INTO mqtt_wills(session, delay_s, due_ms, body) VALUES(?,?,?,?)"
    END_WILL = "DELETE FROM mqtt_wills WHERE session=?"
    KEEP_SUBSCRIPTION = (
        "INSERT OR REPLACE INTO mqtt_subscriptions(session, filter, options, identifier) VALUES(?,?,?,?)"
    )
    END_SUBSCRIPTION = "DELETE FROM mqtt_subscriptions WHERE session=? AND filter=?"
    END_SUBSCRIPTIONS = "DELETE FROM mqtt_subscriptions WHERE session=?"
    ADD_MESSAGE = "INSERT INTO mqtt_messages(number, recipients, body) VALUES(?,?,?)"
    DROP_MESSAGES = "DELETE FROM mqtt_messages WHERE number>=? AND number<?"
    SEND = "INSERT OR REPLACE INTO mqtt_sent(session, message, packet_id, state) VALUES(?,?,?,?)"
    SET_STATE = "UPDATE mqtt_sent SET state=?3 WHERE session=?1 AND message=?2"
    FORGET_SENT = "DELETE FROM mqtt_sent WHERE session=? AND message=?"
    FORGET_SENT_BEFORE = "DELETE FROM mqtt_sent WHERE session=? AND message<?"
    END_SENT = "DELETE FROM mqtt_sent WHERE session=?"
    RECEIVE = "INSERT OR IGNORE INTO mqtt_received(session, packet_id) VALUES(?,?)"
    RELEASE = "DELETE FROM mqtt_received WHERE session=? AND packet_id=?"
    END_RECEIVED = "DELETE FROM mqtt_received WHERE session=?"
    RETAIN = "INSERT INTO mqtt_retained(topic, body) VALUES(?,?) ON CONFLICT DO UPDATE SET body=excluded.body"
    END_RETAINED = "DELETE FROM mqtt_retained WHERE topic=?"


MqttChange = tuple[MqttStatement, tuple[str | int | bytes | None, ...]]


class MqttWrites(BlobWrites):
    """See `littoral.store.transaction`."""

    def write_mqtt(self, changes: Sequence[MqttChange]) -> None:
        """Do them in order."""
        for statement, alike in groupby(changes, itemgetter(0)):
            self._connection.executemany(statement.value, [values for _, values in alike])
