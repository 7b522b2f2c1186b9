"""What a node takes of messages that come from below and above, and what it puts aside."""

from collections.abc import Sequence
from functools import partial

import msgspec
import pytest

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.limits import Limits
from littoral.core.resources import GlobalTopics
from littoral.fleet.desired import DESIRED, record_of
from littoral.fleet.global_relay import GlobalRelay
from littoral.fleet.registry import MEMBERS, SUBTREE
from littoral.iot.global_records import Published, Travelling, decode_travelling
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart
from littoral.testing.loop import run
from littoral.wire.mqtt import Properties
from littoral.wire.peer import Member
from tests.support.global_topics import global_topics
from tests.support.stores import SimStore, name, records_of

EU = Member("eu", "region", {})
PLANT_A = Member("plant-a", "site", {})
ORDERS = global_topics("orders", "orders/#")
FROM_A, FROM_ABOVE = name("plant-a/mqtt/orders"), name("cloud/mqtt-tree/orders")


def published(payload: bytes = b"x", topic: str = "orders/1", **more: object) -> Published:
    said = {"since": 1, "at_ms": 1000, "qos": 1, "retain": False, "expires_ms": None, "properties": None} | more
    return Published(topic=topic, payload=payload, **said)  # type: ignore[arg-type]


def above(number: int, message: Published, origin: str = "plant-b") -> bytes:
    return msgspec.msgpack.encode(Travelling(origin, number, message))


class Region:
    """The relay of eu, which lies below cloud, and has the child plant-a."""

    def __init__(self, store: Store, *, parent: str = "cloud", **limits: int) -> None:
        self.store = store
        bounds = Limits({key.replace("_", "-"): value for key, value in limits.items()})
        self.relay = GlobalRelay(EU, parent, bounds)

    async def begin(self, *resources: GlobalTopics) -> None:
        await self.store.submit(partial(self._begin, resources))

    def _begin(self, resources: Sequence[GlobalTopics], tx: Transaction) -> None:
        for resource in resources:
            record = record_of(resource, None)
            tx.put_state(DESIRED, record.key, msgspec.msgpack.encode(record))
        tx.put_state(SUBTREE, "plant-a", b"plant-a")
        tx.put_state(MEMBERS, "plant-a", msgspec.msgpack.encode([PLANT_A]))
        tx.open_stream(FROM_A, via="plant-a")
        tx.open_stream(FROM_ABOVE, via="cloud")

    async def below(self, first: int, *messages: Published) -> None:
        records = [msgspec.msgpack.encode(each) for each in messages]
        await self.store.submit(lambda tx: self.relay.apply(tx, FROM_A, first, records))

    async def above(self, *records: bytes) -> None:
        await self.store.submit(lambda tx: self.relay.apply(tx, FROM_ABOVE, 0, records))

    @property
    def taken(self) -> list[Travelling]:
        return [decode_travelling("", record) for record in records_of(self.store, name("eu/mqtt-tree/orders"))]

    @property
    def payloads(self) -> list[bytes]:
        return [each.message.payload for each in self.taken]


def region(story, *resources: GlobalTopics, parent: str = "cloud", **limits: int) -> None:
    async def main() -> None:
        sim = SimStore("eu")
        eu = Region(sim.open(), parent=parent, **limits)
        await eu.begin(*(resources or (ORDERS,)))
        await story(eu)
        await sim.close()

    run(main)


def test_what_came_from_below_is_not_taken_again_from_above_nor_the_other_way():
    async def story(eu: Region) -> None:
        await eu.below(0, published(b"0"), published(b"1"))
        await eu.above(above(0, published(b"0"), "plant-a"), above(1, published(b"1"), "plant-a"))
        # From above first: the link to the child was slower.
        await eu.above(above(2, published(b"2"), "plant-a"))
        await eu.below(2, published(b"2"), published(b"3"))
        assert eu.payloads == [b"0", b"1", b"2", b"3"]

    region(story)


def test_what_this_node_published_does_not_come_back():
    async def story(eu: Region) -> None:
        await eu.above(above(0, published(), "eu"))
        assert eu.taken == []

    region(story)


def test_what_stays_retained_at_the_parent_is_no_news_to_a_node_that_has_not_heard_of_it():
    """It may have it from a snapshot, or have come later."""

    async def story(eu: Region) -> None:
        await eu.above(msgspec.msgpack.encode(Travelling("plant-b", 3, published(retain=True), keep=True, stays=True)))
        assert eu.taken == []

    region(story)


def test_a_node_whose_disk_was_replaced_counts_anew():
    async def story(eu: Region) -> None:
        await eu.below(0, published(b"0"), published(b"1"))
        await eu.below(0, published(b"0", since=2))
        await eu.above(above(0, published(b"0"), "plant-a"))
        await eu.above(above(0, published(b"0", since=2), "plant-a"))
        assert eu.payloads == [b"0", b"1", b"0"]

    region(story)


REFUSED = [
    (published(topic="secrets/1"), "its topic 'secrets/1' is none of GlobalTopics orders"),
    (published(topic="orders/+"), "a topic name contains a wildcard"),
    (published(topic="orders/\0"), "MQTT cannot say it"),
    (published(qos=0), "MQTT cannot say it"),
    (published(qos=3), "MQTT cannot say it"),
    (published(properties=Properties(content_type="x" * 70_000)), "MQTT cannot say it"),
]


@pytest.mark.parametrize(("message", "told"), REFUSED)
def test_a_message_that_may_not_come_is_refused(message: Published, told: str):
    async def story(eu: Region) -> None:
        with pytest.raises(InvalidInput, match="plant-a/mqtt/orders") as refusal:
            await eu.below(0, message)
        assert told in str(refusal.value)
        with pytest.raises(InvalidInput):
            await eu.above(above(0, message))
        assert eu.taken == []

    region(story)


def test_a_record_that_is_no_message_is_refused():
    async def story(eu: Region) -> None:
        for source in (FROM_A, FROM_ABOVE):
            with pytest.raises(InvalidInput, match="it is none"):
                await eu.store.submit(partial(eu.relay.apply, source=source, first=0, records=[b"\xc1"]))

    region(story)


def test_a_node_below_that_the_topics_are_not_placed_on_is_refused_until_they_are():
    async def story(eu: Region) -> None:
        with pytest.raises(InvalidInput, match=r"plant-a is not in spec\.placement of GlobalTopics orders"):
            await eu.below(0, published(b"0"))
        await eu.begin(ORDERS)
        record = msgspec.msgpack.encode(published(b"0"))
        await eu.below(1, published(b"1"))
        assert await eu.store.submit(lambda tx: eu.relay.retry(tx, FROM_A, 0, record)) == "sent on"
        assert eu.payloads == [b"1", b"0"]

    region(story, global_topics("orders", "orders/#", nodes=["plant-b"]))


def test_what_is_not_placed_here_is_for_nodes_below_only():
    async def story(eu: Region) -> None:
        await eu.above(above(0, published(b"for sites")))
        await eu.below(0, published(b"from a site"))
        assert [(each.message.payload, each.here) for each in eu.taken] == [
            (b"for sites", False),
            (b"from a site", True),
        ]

    region(story, global_topics("orders", "orders/#", tiers=["site"]))


def test_topics_that_nobody_declared_are_waited_for_or_refused():
    async def story(eu: Region) -> None:
        stream = name("cloud/desired")
        await eu.store.submit(lambda tx: tx.put_state(DESIRED, "GlobalTopics/orders", None))
        with pytest.raises(Unavailable, match="not folded to its end yet"):
            await eu.below(0, published())

        def fold(tx: Transaction) -> None:
            tx.open_stream(stream, via="cloud")
            tx.set_fold("desired", stream, 0)

        await eu.store.submit(fold)
        info = eu.store.stream(stream)
        assert info is not None
        eu.relay.wants(info)
        with pytest.raises(InvalidInput, match="there is no GlobalTopics orders"):
            await eu.below(0, published())

    region(story)


def test_of_two_retained_messages_for_a_topic_the_later_stays():
    async def story(eu: Region) -> None:
        await eu.below(0, published(b"a at 10", retain=True, at_ms=10))
        await eu.above(above(0, published(b"b at 9", retain=True, at_ms=9)))
        # A clock that is set back does not count between messages of one node.
        await eu.below(1, published(b"a at 5", retain=True, at_ms=5))
        await eu.above(above(1, published(b"", retain=True, at_ms=20)))
        assert [each.keep for each in eu.taken] == [True, False, True, True]
        assert eu.store.state("mqtt-retained/orders") == {}

    region(story)


def test_of_retained_messages_there_are_no_more_than_the_limit():
    async def story(eu: Region) -> None:
        await eu.below(0, *(published(topic=f"orders/{number}", retain=True) for number in range(3)))
        await eu.below(3, published(topic="orders/0", retain=True))
        assert [each.keep for each in eu.taken] == [True, True, False, True]

    region(story, mqtt_global_retained=2)


def test_a_snapshot_brings_what_is_later_and_ends_what_is_no_more():
    async def story(eu: Region) -> None:
        old = [published(b"old", f"orders/{number}", retain=True) for number in range(3)]
        await eu.above(*(above(number, each) for number, each in enumerate(old)))
        await eu.below(0, published(b"from below", "orders/9", retain=True))
        items = [
            msgspec.Raw(above(0, old[0])),
            msgspec.Raw(above(7, published(b"new", "orders/1", retain=True))),
            msgspec.Raw(above(8, published(b"bad", "secrets/1", retain=True))),
        ]
        part = SnapshotPart(msgspec.msgpack.encode(items), None)
        eu_store, relay = eu.store, eu.relay
        await eu_store.submit(lambda tx: relay.begin(tx, FROM_ABOVE, "orders"))
        await eu_store.submit(lambda tx: relay.take(tx, FROM_ABOVE, "orders", part))
        await eu_store.submit(lambda tx: relay.finish(tx, FROM_ABOVE, "orders", 0))
        came = [(each.message.topic, each.message.payload) for each in eu.taken[4:]]
        assert came == [("orders/1", b"new"), ("orders/2", b"")]
        assert set(eu_store.state("mqtt-retained/orders")) == {"orders/0", "orders/1", "orders/9"}
        assert len(records_of(eu_store, name("eu/dead-letters"))) == 1
        # Also where what is gone came to this node before, and to those below it.
        site = SimStore("plant-a")
        below = Region(site.open(), parent="eu")
        await below.begin(ORDERS)
        records = records_of(eu_store, name("eu/mqtt-tree/orders"))
        await below.store.submit(lambda tx: tx.open_stream(name("eu/mqtt-tree/orders"), via="eu"))
        child = GlobalRelay(PLANT_A, "eu", Limits())
        await below.store.submit(lambda tx: child.apply(tx, name("eu/mqtt-tree/orders"), 0, records))
        assert set(below.store.state("mqtt-retained/orders")) == {"orders/0", "orders/1"}
        await site.close()
        # And is given away in turn.
        given = relay.part(eu_store, "orders", None, 1 << 20)
        assert [decode_travelling("", each).message.payload for each in _items(given)] == [
            b"old",
            b"new",
            b"from below",
        ]

    region(story)


def test_a_snapshot_that_is_here_before_the_desired_state_comes_again():
    async def story(eu: Region) -> None:
        await eu.store.submit(lambda tx: tx.put_state(DESIRED, "GlobalTopics/orders", None))
        part = SnapshotPart(msgspec.msgpack.encode([]), None)
        with pytest.raises(Unavailable, match="there is no GlobalTopics orders here yet"):
            await eu.store.submit(lambda tx: eu.relay.take(tx, FROM_ABOVE, "orders", part))

    region(story)


def _items(part: SnapshotPart) -> list[bytes]:
    return [bytes(item) for item in msgspec.msgpack.decode(part.items, type=list[msgspec.Raw])]
