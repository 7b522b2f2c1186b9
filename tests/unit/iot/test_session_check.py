"""The check of what the broker keeps: sound tables pass, also while clients are served, and each kind of damage is named."""

from collections.abc import Iterator

import apsw
import pytest

from littoral.iot.message import Message
from littoral.iot.session_check import check_sessions
from littoral.iot.session_rows import DONE, SENT, encode_message
from littoral.iot.session_store import Recipient, encode_recipients
from littoral.store.check import CheckReport
from littoral.store.mqtt_reads import MqttReads
from littoral.store.schema import SCHEMA
from littoral.testing.loop import run as simulated
from littoral.wire import mqtt
from tests.support.mqtt_peer import Peer
from tests.support.mqtt_site import MqttSite
from tests.support.stores import SimStore

BODY = encode_message(Message("t/1", b"x", 1))
FOR_1 = encode_recipients([Recipient(1, 2)])


def test_what_clients_leave_at_any_moment_is_sound():
    will = mqtt.Will("t/will", b"gone", 1, False)
    publisher, subscriber = Peer("p", 5), Peer("s", 5, "t/#", "$share/g/u/+", will=will)

    async def main() -> None:
        sim = SimStore("plant-a")
        site = MqttSite(sim, publisher, subscriber)
        await site.until(lambda: publisher.open and subscriber.subscribed)
        for number in range(40):
            publisher.publish(f"t/{number}", b"%d" % number, number % 3, retain=number % 5 == 0)

        def sound() -> CheckReport:
            report = CheckReport()
            check_sessions(site.store.mqtt, report)
            assert report.problems == []
            return report

        def done() -> bool:
            sound()
            return publisher.idle and len(subscriber.received) >= 40

        await site.until(done)
        session = site.broker.sessions.get("s")
        assert session is not None
        await site.until(lambda: not session.deliveries.waiting)
        site.leave(subscriber)
        publisher.publish("t/1", b"later", 2)
        await site.until(lambda: publisher.idle)
        await site.sessions.flush()
        report = sound()
        assert (report.mqtt_sessions, report.mqtt_retained) == (2, 8)
        assert report.mqtt_messages >= 1
        assert report.mqtt_leftovers == 0
        await site.stop()
        await sim.close()

    simulated(main)


@pytest.fixture
def store() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    connection.execute("INSERT INTO mqtt_sessions VALUES(1, 's', 5, 60, NULL, 10, 0)")
    connection.execute("INSERT INTO mqtt_messages VALUES(11, ?, ?)", (FOR_1, BODY))
    yield connection
    connection.close()


def checked(store: apsw.Connection) -> CheckReport:
    report = CheckReport()
    check_sessions(MqttReads(store), report)
    return report


DAMAGE = [
    ("INSERT INTO mqtt_sessions VALUES(2, '', 5, 60, NULL, 10, 0)", (), "session 2 is of client ''"),
    ("INSERT INTO mqtt_subscriptions VALUES(1, 'a/#/b', 1, NULL)", (), "a subscription to 'a/#/b'"),
    ("INSERT INTO mqtt_subscriptions VALUES(1, 'a', 3, NULL)", (), "with options 3"),
    ("INSERT INTO mqtt_wills VALUES(1, 0, NULL, ?)", (b"\xff",), "the will of client 's' cannot be read"),
    ("UPDATE mqtt_messages SET body=?", (BODY[:-3],), "message 11 cannot be read"),
    ("UPDATE mqtt_messages SET recipients=?", (b"\xff",), "whom message 11 is for cannot be read"),
    ("INSERT INTO mqtt_sent VALUES(1, 11, 0, ?)", (SENT,), "was sent to client 's' as 0"),
    ("INSERT INTO mqtt_sent VALUES(1, 11, 1, ?)", (DONE + 1,), "with state 4"),
    ("INSERT INTO mqtt_received VALUES(1, 70000)", (), "has sent a message as 70000"),
    ("INSERT INTO mqtt_retained VALUES('t/2', ?)", (BODY,), "of 't/2' is one of 't/1'"),
    ("INSERT INTO mqtt_retained VALUES('t', ?)", (encode_message(Message("a/+", b"x")),), "of 't' cannot be read"),
]


@pytest.mark.parametrize(("statement", "values", "cause"), DAMAGE, ids=[cause for _, _, cause in DAMAGE])
def test_damage_is_found_and_named(store: apsw.Connection, statement: str, values: tuple[object, ...], cause: str):
    assert checked(store).problems == []
    store.execute(statement, values)
    [problem] = checked(store).problems
    assert problem.subject == "MQTT clients"
    assert cause in problem.cause


def test_an_identifier_that_is_used_twice_is_found(store: apsw.Connection):
    store.execute("INSERT INTO mqtt_messages VALUES(12, ?, ?)", (FOR_1, BODY))
    store.execute("INSERT INTO mqtt_sent VALUES(1, 11, 7, ?), (1, 12, 7, ?)", (DONE, SENT))
    assert checked(store).problems == []
    store.execute("UPDATE mqtt_sent SET state=?", (SENT,))
    [problem] = checked(store).problems
    assert "messages 11 and 12 were both sent to client 's' as 7" in problem.cause


def test_what_belongs_to_nothing_is_counted_and_is_no_damage(store: apsw.Connection):
    store.execute("INSERT INTO mqtt_messages VALUES(3, ?, ?)", (FOR_1, BODY))
    store.execute("INSERT INTO mqtt_messages VALUES(13, ?, ?)", (encode_recipients([Recipient(9, 1)]), BODY))
    store.execute("INSERT INTO mqtt_subscriptions VALUES(9, 'a', 1, NULL)")
    store.execute("INSERT INTO mqtt_wills VALUES(9, 0, NULL, ?)", (BODY,))
    store.execute("INSERT INTO mqtt_received VALUES(9, 1)")
    store.execute("INSERT INTO mqtt_sent VALUES(1, 3, 1, 1), (9, 13, 1, 1)")
    report = checked(store)
    assert report.sound
    assert (report.mqtt_messages, report.mqtt_leftovers) == (3, 7)
