"""What the broker keeps on disk is what it finds when it starts again."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import pytest

from littoral.core.errors import LimitReached, StorageFull, Unavailable
from littoral.core.order import Order
from littoral.iot.durable_sessions import RETRY_S, SOON_S, DurableSessions
from littoral.iot.global_records import (
    DELIVERY,
    Way,
    decode_published,
    open_tree_stream,
    published_stream,
    tree_stream,
)
from littoral.iot.message import Message
from littoral.iot.readings import append_readings, readings_stream
from littoral.iot.session_rows import decode_message
from littoral.iot.session_store import (
    Change,
    Complete,
    EndSession,
    EndSubscription,
    EndWill,
    Enqueue,
    Forward,
    KeepSession,
    KeepSubscription,
    KeepWill,
    KeptSession,
    Passed,
    Receive,
    Recipient,
    Recipients,
    Released,
    Retain,
    Send,
    Taken,
)
from littoral.store.committer import OrderedJob
from littoral.testing.loop import run
from littoral.wire.mqtt.packets import Subscription
from littoral.wire.mqtt.properties import NEVER_S, NO_PROPERTIES, Properties
from tests.support.stores import SimStore, records_of

HELLO = Message("a/b", b"hello", 1)


class Disk:
    """A node's store with the broker's part of it, which can be opened again."""

    def __init__(self, **limits: int) -> None:
        self.sim = SimStore("plant-a", **limits)
        self.order = Order()
        self.open()

    def open(self) -> list[KeptSession]:
        """As when the process begins."""
        self.node = self.sim.running()
        self.sessions = DurableSessions(self.node, self)
        self.kept = self.sessions.load()
        return self.kept

    def store(self, records: Sequence[bytes], order: Order) -> "asyncio.Future[object]":
        return self.node.submit(OrderedJob(lambda tx: append_readings(tx, records), order))

    async def write(self, *changes: Change, records: Sequence[bytes] = ()) -> None:
        await self.sessions.write(changes, self.order, records)

    async def crash(self) -> list[KeptSession]:
        """The power goes, and comes back."""
        self.sim.cut_power()
        await asyncio.sleep(0)
        return self.open()

    def session(self, client_id: str = "c1") -> int:
        (number,) = [kept.session for kept in self.kept if kept.client_id == client_id]
        return number

    async def connect(self, client_id: str = "c1") -> int:
        number = self.sessions.next_session()
        await self.write(KeepSession(number, client_id, 5, NEVER_S))
        return number

    async def enqueue(self, *sessions: int, message: Message = HELLO, qos: int = 1) -> int:
        number = self.sessions.next_message()
        await self.write(Enqueue(number, message, Recipients([Recipient(each, qos) for each in sessions])))
        return number

    def rows(self, table: str) -> list[tuple[object, ...]]:
        """Of a table, as the writer sees it."""
        return list(self.node._connection.execute(f"SELECT * FROM {table}"))

    # As an intake

    def route(self, topic: str) -> None:
        return None


def play(story: Callable[[Disk], Coroutine[None, None, None]], **limits: int) -> None:
    async def main() -> None:
        disk = Disk(**limits)
        await story(disk)
        await disk.sim.close()

    run(main)


def queue(kept: KeptSession) -> list[int]:
    return [each.number for each in kept.queue]


def test_a_session_is_there_with_all_that_it_had():
    async def story(disk: Disk) -> None:
        number = disk.sessions.next_session()
        options = Subscription("$share/g/a/#", 2, no_local=True, retain_as_published=True, retain_handling=2)
        will = Message("w", b"gone", 2, retain=True, properties=Properties(user=(("a", "1"), ("a", "2"))))
        await disk.write(
            KeepSession(number, "c1", 5, 60),
            KeepWill(number, will, 5),
            KeepSubscription(number, options, 7),
            KeepSubscription(number, Subscription("b", 1)),
            KeepSubscription(number, Subscription("c", 1)),
            Receive(number, 1),
            Receive(number, 2),
        )
        await disk.write(EndSubscription(number, "c"), Released(number, 1))
        (kept,) = await disk.crash()
        assert (kept.session, kept.client_id, kept.level, kept.expiry_s, kept.away_ms) == (number, "c1", 5, 60, None)
        assert kept.subscriptions == [(options, 7), (Subscription("b", 1), None)]
        assert kept.received == {2}
        assert kept.will is not None
        assert (kept.will.delay_s, kept.will.due_ms) == (5, None)
        assert (kept.will.will.topic, kept.will.will.payload) == ("w", b"gone")
        assert (kept.will.will.qos, kept.will.will.retain) == (2, True)
        assert kept.will.will.properties == Properties(user=(("a", "1"), ("a", "2")))
        await disk.write(EndWill(number), KeepSession(number, "c1", 4, NEVER_S, 1234))
        (kept,) = await disk.crash()
        assert (kept.will, kept.level, kept.expiry_s, kept.away_ms) == (None, 4, NEVER_S, 1234)

    play(story)


def test_a_message_is_kept_once_for_all_and_until_the_last_of_them_is_done():
    async def story(disk: Disk) -> None:
        one, two = await disk.connect("c1"), await disk.connect("c2")
        message = Message("t", b"x", 2, True, Properties(content_type="text"), 99, "dev")
        number = disk.sessions.next_message()
        to = Recipients([Recipient(one, 1), Recipient(two, 2, retain=True, identifiers=(3, 1))])
        await disk.write(Enqueue(number, message, to))
        assert len(disk.rows("mqtt_messages")) == 1
        first, second = await disk.crash()
        assert first.queue[0].message is second.queue[0].message
        found = second.queue[0]
        assert (found.number, found.qos, found.retain, found.identifiers) == (number, 2, True, (3, 1))
        assert (found.packet_id, found.taken) == (None, False)
        assert found.message.properties == message.properties
        assert (found.message.expires_ms, found.message.publisher, found.message.retain) == (99, "dev", True)
        disk.sessions.later([Complete(one, number)])
        await disk.sessions.flush()
        first, second = await disk.crash()
        assert (queue(first), queue(second)) == ([], [number])
        disk.sessions.later([Complete(two, number)])
        await disk.sessions.flush()
        assert disk.rows("mqtt_messages") == []
        assert [queue(kept) for kept in await disk.crash()] == [[], []]

    play(story)


def test_which_messages_may_have_been_sent_is_known_of_a_client_that_was_away():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        first, second = [await disk.enqueue(session) for _ in range(2)]
        twice = await disk.enqueue(session, qos=2)
        (kept,) = await disk.crash()
        assert [each.sent for each in kept.queue] == [True, True, False], "it was connected"
        await disk.write(KeepSession(session, "c1", 5, NEVER_S, 77, sent_before=second))
        (kept,) = await disk.crash()
        assert [(each.number, each.sent) for each in kept.queue] == [(first, True), (second, False), (twice, False)]

    play(story)


def test_messages_keep_their_order_and_new_ones_come_behind_them():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        numbers = [await disk.enqueue(session) for _ in range(5)]
        disk.sessions.later([Complete(session, number) for number in numbers[:2]])
        await disk.sessions.flush()
        (kept,) = await disk.crash()
        assert queue(kept) == numbers[2:]
        disk.sessions.later([Complete(session, number) for number in numbers])
        await disk.sessions.flush()
        assert [queue(kept) for kept in await disk.crash()] == [[]]
        later = await disk.enqueue(session)
        assert later > numbers[-1], "a number was drawn twice: the session is done with it already"
        assert [queue(kept) for kept in await disk.crash()] == [[later]]

    play(story)


def test_what_is_done_before_an_older_one_is_sent_again_at_qos_1_only():
    async def story(disk: Disk) -> None:
        one, two = await disk.connect("c1"), await disk.connect("c2")
        stuck, again, once, last = [await disk.enqueue(one, two, qos=2) for _ in range(4)]
        await disk.write(Send(one, once, 7))
        disk.sessions.later([Complete(one, again), Complete(one, once)])
        await disk.sessions.flush()
        first, second = await disk.crash()
        assert queue(first) == [stuck, again, last]
        assert queue(second) == [stuck, again, once, last]
        assert len(disk.rows("mqtt_sent")) == 1
        disk.sessions.later([Complete(one, each) for each in (stuck, again)])
        await disk.sessions.flush()
        # The session's mark stands at what it still waits for, beyond the one whose exchange is over.
        assert disk.rows("mqtt_sent") == []
        assert queue((await disk.crash())[0]) == [last]

    play(story)


def test_an_exchange_goes_on_where_it_stood():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        waits, sent, taken = [await disk.enqueue(session, qos=2) for _ in range(3)]
        await disk.write(Send(session, sent, 1), Send(session, taken, 2))
        await disk.write(Taken(session, taken))
        (kept,) = await disk.crash()
        assert [(each.number, each.packet_id, each.taken) for each in kept.queue] == [
            (waits, None, False),
            (sent, 1, False),
            (taken, 2, True),
        ]
        disk.sessions.later([Complete(session, each) for each in (waits, sent, taken)])
        await disk.sessions.flush()
        assert disk.rows("mqtt_sent") == []

    play(story)


def test_an_identifier_is_not_used_anew_before_its_exchange_is_over_on_disk():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        old, new = await disk.enqueue(session, qos=2), await disk.enqueue(session, qos=2)
        await disk.write(Send(session, old, 1))
        await disk.write(Taken(session, old))
        disk.sessions.later([Complete(session, old)])
        await disk.write(Send(session, new, 1))
        (kept,) = await disk.crash()
        assert [(each.number, each.packet_id) for each in kept.queue] == [(new, 1)]

    play(story)


def test_a_session_that_ends_takes_everything_with_it_but_what_others_wait_for():
    async def story(disk: Disk) -> None:
        one, two = await disk.connect("c1"), await disk.connect("c2")
        await disk.enqueue(one, qos=2)
        shared = await disk.enqueue(one, two, qos=2)
        await disk.write(
            KeepWill(one, HELLO), KeepSubscription(one, Subscription("#", 1)), Receive(one, 5), Send(one, shared, 3)
        )
        disk.sessions.later([KeepSession(one, "c1", 5, NEVER_S, 77), KeepWill(one, HELLO, 0, 77)])
        await disk.write(EndSession(one))
        await disk.sessions.flush()
        for table in ("mqtt_wills", "mqtt_subscriptions", "mqtt_received", "mqtt_sent"):
            assert disk.rows(table) == [], table
        assert len(disk.rows("mqtt_messages")) == 1
        (kept,) = await disk.crash()
        assert (kept.client_id, queue(kept)) == ("c2", [shared])
        disk.sessions.later([Complete(two, shared)])
        await disk.sessions.flush()
        assert disk.rows("mqtt_messages") == []

    play(story)


def test_a_session_that_is_new_gets_nothing_of_one_before():
    async def story(disk: Disk) -> None:
        old, other = await disk.connect("c1"), await disk.connect("c0")
        newest = await disk.connect("c2")
        await disk.enqueue(other, newest)
        await disk.write(EndSession(old), EndSession(newest))
        await disk.crash()
        again = await disk.connect("c2")
        assert again > newest, "a message that waits for others still names the old session"
        assert [queue(kept) for kept in await disk.crash() if kept.client_id == "c2"] == [[]]

    play(story)


def test_a_message_for_sessions_that_are_over_is_not_kept():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        await disk.write(EndSession(session))
        await disk.enqueue(session)
        disk.sessions.later([Complete(session, 1), KeepSession(session, "c1", 5, 0, 5)])
        await disk.sessions.flush()
        assert disk.rows("mqtt_messages") == []
        assert await disk.crash() == []

    play(story)


def test_the_last_message_of_a_topic_is_retained():
    async def story(disk: Disk) -> None:
        first, second = Message("t", b"1", retain=True), Message("t", b"2", 2, True, Properties(content_type="x"))
        await disk.write(Retain("t", first), Retain("u", Message("u", b"3", retain=True)))
        disk.sessions.later([Retain("t", first)])
        await disk.write(Retain("t", second), Retain("u", None))
        await disk.sessions.flush()
        await disk.crash()
        [(topic, body)] = disk.sessions.load_retained()
        found = decode_message(body)
        assert (topic, found.topic, found.payload, found.qos, found.retain) == ("t", "t", b"2", 2, True)
        assert found.properties == Properties(content_type="x")
        disk.sessions.later([Retain("t", None), Retain("v", first)])
        await disk.sessions.flush()
        [(topic, body)] = disk.sessions.load_retained()
        found = decode_message(body)
        assert (topic, found.payload) == ("v", b"1")
        assert found.properties is NO_PROPERTIES

    play(story)


def test_readings_are_on_disk_with_what_they_bring_or_not_at_all():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        number = disk.sessions.next_message()
        change = Enqueue(number, HELLO, Recipients([Recipient(session, 1)]))
        await disk.write(change, Receive(session, 9), records=[b"r1"])
        (kept,) = await disk.crash()
        assert (queue(kept), kept.received) == ([number], {9})
        assert records_of(disk.node, readings_stream("plant-a")) == [b"r1"]
        too_large = b"x" * 2000
        with pytest.raises(Exception, match="2000 bytes"):
            await disk.write(Receive(session, 10), records=[too_large])
        with pytest.raises(Unavailable, match="what came before"):
            await disk.write(Receive(session, 11))
        (kept,) = await disk.crash()
        assert kept.received == {9}

    play(story, record_bytes=1000)


def test_what_was_not_written_waits_for_nobody():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        disk.sim.disk.capacity_bytes, capacity = 0, disk.sim.disk.capacity_bytes
        with pytest.raises(StorageFull):
            await disk.enqueue(session)
        disk.sim.disk.capacity_bytes, disk.order = capacity, Order()
        await asyncio.sleep(2)
        kept = await disk.enqueue(session)
        disk.sessions.later([Complete(session, kept)])
        await disk.sessions.flush()
        assert [row[-2] for row in disk.rows("mqtt_sessions")] == [kept + 1]

    play(story)


def test_what_nobody_waits_for_is_written_soon_and_again_once_the_disk_takes_it():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        numbers = [await disk.enqueue(session) for _ in range(3)]
        work = asyncio.create_task(disk.sessions.run())
        disk.sessions.later([Complete(session, numbers[0])])
        await asyncio.sleep(SOON_S + 0.05)
        assert len(disk.rows("mqtt_messages")) == 2
        disk.sim.disk.capacity_bytes, capacity = 0, disk.sim.disk.capacity_bytes
        message = Message("t", b"2", retain=True)
        disk.sessions.later([Complete(session, numbers[1]), Retain("t", Message("t", b"1")), Retain("t", message)])
        await asyncio.sleep(2 * SOON_S)
        assert len(disk.rows("mqtt_messages")) == 2
        disk.sim.disk.capacity_bytes = capacity
        await asyncio.sleep(2 * RETRY_S)
        assert len(disk.rows("mqtt_messages")) == 1
        assert [decode_message(body).payload for _, body in disk.sessions.load_retained()] == [b"2"]
        work.cancel()

    play(story)


def test_a_message_that_goes_from_one_session_to_another_is_at_one_of_them_always():
    async def story(disk: Disk) -> None:
        one, two = await disk.connect("c1"), await disk.connect("c2")
        number = await disk.enqueue(one, qos=2)
        other = disk.sessions.next_message()
        await disk.write(Enqueue(other, HELLO, Recipients([Recipient(two, 2)])), Complete(one, number))
        assert [queue(kept) for kept in await disk.crash()] == [[], [other]]
        disk.sim.disk.capacity_bytes, capacity = 0, disk.sim.disk.capacity_bytes
        with pytest.raises(StorageFull):
            await disk.write(
                Enqueue(disk.sessions.next_message(), HELLO, Recipients([Recipient(one, 2)])), Complete(two, other)
            )
        disk.sim.disk.capacity_bytes = capacity
        assert [queue(kept) for kept in await disk.crash()] == [[], [other]]

    play(story)


def test_a_session_whose_end_the_disk_did_not_take_is_over_all_the_same():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        await disk.write(KeepSubscription(session, Subscription("#", 1)))
        disk.sim.disk.capacity_bytes, capacity = 0, disk.sim.disk.capacity_bytes
        with pytest.raises(StorageFull):
            await disk.write(EndSession(session))
        disk.sim.disk.capacity_bytes, disk.order = capacity, Order()
        again = await disk.connect()
        (kept,) = await disk.crash()
        assert (kept.session, kept.subscriptions) == (again, [])
        await disk.sessions.flush()
        assert disk.rows("mqtt_subscriptions") == [], "what was left of it is removed at the next start"

    play(story)


def test_a_writer_that_takes_no_more_is_told_to_the_caller_and_nothing_waits():
    async def story(disk: Disk) -> None:
        session = await disk.connect()
        writes = [disk.enqueue(session) for _ in range(3)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(each) for each in results] == [int, int, LimitReached]
        await asyncio.sleep(1)
        await disk.sessions.flush()
        assert [queue(kept) for kept in await disk.crash()] == [[1, 2]]

    play(story, commit_queue_jobs=2)


def test_how_far_messages_of_other_nodes_were_delivered_is_written_with_the_queues():
    async def story(disk: Disk) -> None:
        way = Way("orders", "state", 1 << 20)
        session = await disk.connect()
        await disk.node.submit(lambda tx: open_tree_stream(tx, way))
        number = disk.sessions.next_message()
        await disk.write(Passed("orders", 3), Enqueue(number, HELLO, Recipients([Recipient(session, 1)])))
        (kept,) = await disk.crash()
        assert queue(kept) == [number]
        assert disk.node.fold_offset(DELIVERY, tree_stream("plant-a", "orders")) == 3

    play(story)


def test_messages_for_other_nodes_are_written_with_their_readings_in_their_order():
    async def story(disk: Disk) -> None:
        orders, alarms = Way("orders", "state", 1 << 20), Way("alarms", "alerts", 1 << 20)
        messages = [Message("a", b"%d" % number, 1) for number in range(4)]
        ways = [orders, alarms, alarms, orders]
        forwards = [Forward(way, message) for way, message in zip(ways, messages, strict=True)]
        await disk.write(*forwards, records=[b"1"])
        await disk.crash()
        assert len(records_of(disk.node, readings_stream("plant-a"))) == 1
        for way, payloads in ((orders, [b"0", b"3"]), (alarms, [b"1", b"2"])):
            stream = published_stream("plant-a", way.name)
            found = [decode_published(stream, record) for record in records_of(disk.node, stream)]
            assert [each.payload for each in found] == payloads
            info = disk.node.stream(stream)
            assert info is not None
            assert (info.lane, info.reach) == (way.lane, "root")

    play(story)
