"""What comes through the tree reaches a node's clients: as it was published, once, and none of it what a node said itself."""

from collections.abc import Callable, Coroutine
from functools import partial

from littoral.core.errors import StorageError
from littoral.iot.global_delivery import AT_ONCE
from littoral.iot.global_records import Published, Travelling, Way, encode_travelling, open_tree_stream
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.mqtt import Properties
from tests.support.mqtt_peer import MemoryWay, Peer

WAY = Way("orders", "state", 1 << 20)


def come(number: int, payload: bytes, *, origin: str = "plant-a", **more: object) -> Travelling:
    """From plant-a, unless another is named."""
    here = {key: more.pop(key) for key in ("keep", "here") if key in more}
    said = {"qos": 1, "retain": False, "expires_ms": None, "properties": None} | more
    return Travelling(origin, number, Published(1, 1000, "orders/1", payload, **said), **here)  # type: ignore[arg-type]


def append(entries: tuple[Travelling, ...], tx: Transaction) -> None:
    tx.append(open_tree_stream(tx, WAY), [encode_travelling(each) for each in entries])


class Plant:
    """One node with a subscriber."""

    def __init__(self, tree: SimTree, node: SimNode) -> None:
        self.tree = tree
        self.node = node
        self.reader = Peer("reader", 5, "orders/#")

    async def begin(self) -> None:
        self.connect()
        await self.tree.until(lambda: self.reader.idle)

    def connect(self) -> None:
        self.reader.connect(MemoryWay(self.node.running.broker, self.reader))

    async def come(self, *entries: Travelling) -> None:
        await self.node.running.store.submit(partial(append, entries))


def play(seed: int, story: Callable[[Plant], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        plant = Plant(tree, await tree.start_root("plant"))
        await plant.begin()
        await story(plant)
        assert plant.reader.faults == []
        await tree.stop()

    run(main, seed)


def test_a_message_is_as_it_was_published(seed: int):
    said = Properties(
        payload_format=1,
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"7",
        user=(("a", "1"), ("a", "2")),
    )

    async def story(plant: Plant) -> None:
        now_ms = plant.node.clock.wall_ms()
        forged = Properties(content_type="x", topic_alias=7, session_expiry_s=1)
        await plant.come(
            come(0, b"whole", qos=2, properties=said, expires_ms=now_ms + 60_000),
            come(1, b"expired", expires_ms=now_ms - 1),
            come(2, b"for nodes below only", here=False),
            come(3, b"forged", properties=forged),
            come(4, b"of this node", origin="plant"),
        )
        await plant.tree.until(lambda: len(plant.reader.received) == 2)
        # Of two qualities of service, each is in order for itself.
        second, first = sorted(plant.reader.received, key=lambda each: each.payload)
        assert (first.payload, first.qos, first.topic) == (b"whole", 2, "orders/1")
        left_s = first.properties.message_expiry_s
        assert left_s is not None
        assert 50 <= left_s <= 60
        assert (first.properties.user, first.properties.content_type) == (said.user, "text/plain")
        assert (first.properties.response_topic, first.properties.correlation_data) == ("answers", b"7")
        assert second.properties == Properties(content_type="x")

    play(seed, story)


def test_many_messages_come_in_order(seed: int):
    async def story(plant: Plant) -> None:
        payloads = [b"%d" % number for number in range(2 * AT_ONCE + 10)]
        await plant.come(*(come(number, payload) for number, payload in enumerate(payloads)))
        await plant.tree.until(lambda: len(plant.reader.received) == len(payloads))
        assert plant.reader.payloads == payloads

    play(seed, story)


def test_a_disk_that_takes_nothing_for_a_while_loses_and_repeats_nothing(seed: int):
    async def story(plant: Plant) -> None:
        await plant.come(come(0, b"0"))
        # From the moment on at which it is stored, and not yet delivered.
        plant.node.disk.failing_changes = 8
        await plant.tree.until(lambda: plant.reader.payloads == [b"0"])
        assert plant.node.disk.hits["io_error"] > 0
        await plant.come(come(1, b"1"))
        await plant.tree.until(lambda: len(plant.reader.received) >= 2)
        assert plant.reader.payloads == [b"0", b"1"]

    play(seed, story)


def test_a_disk_that_cannot_be_read_for_a_while_is_read_again(seed: int):
    async def story(plant: Plant) -> None:
        store = plant.node.running.store
        appended = store.submit(partial(append, (come(0, b"0"),)))
        failed: list[str] = []

        def fail_once(*arguments: object) -> object:
            failed.append("read")
            del store.read
            raise StorageError("read stream", "plant/mqtt-tree/orders", "Input/output error")

        store.read = fail_once  # type: ignore[method-assign, assignment]
        await appended
        await plant.tree.until(lambda: plant.reader.payloads == [b"0"])
        assert failed == ["read"]

    play(seed, story)


def test_what_waits_for_a_client_that_is_away_is_there_after_a_power_cut(seed: int):
    async def story(plant: Plant) -> None:
        plant.reader.leave()
        await plant.come(come(0, b"0"), come(1, b"1", qos=2))
        await plant.tree.until(lambda: plant.node.running.global_messages.delivered == 2)
        plant.node.cut_power()
        await plant.node.start()
        plant.connect()
        await plant.tree.until(lambda: len(plant.reader.received) == 2)
        assert plant.reader.payloads == [b"0", b"1"]

    play(seed, story)


def test_a_retained_message_of_this_node_takes_the_place_of_an_earlier_one_that_came_since(seed: int):
    async def story(plant: Plant) -> None:
        broker = plant.node.running.broker
        await plant.come(come(0, b"theirs", retain=True, keep=True))
        await plant.tree.until(lambda: broker.retained.get("orders/1") is not None)
        await plant.come(come(0, b"ours", origin="plant", retain=True, keep=True))
        await plant.tree.until(lambda: broker.retained.match("orders/1")[0].payload == b"ours")
        # One that a client here has published since is not undone.
        plant.reader.publish("orders/1", b"newest", 1, retain=True)
        await plant.tree.until(lambda: plant.reader.idle)
        await plant.come(come(1, b"again ours", origin="plant", retain=True, keep=True), come(5, b"last"))
        await plant.tree.until(lambda: b"last" in plant.reader.payloads)
        assert broker.retained.match("orders/1")[0].payload == b"newest"
        assert plant.reader.payloads == [b"theirs", b"newest", b"last"]

    play(seed, story)


def test_a_retained_message_of_this_node_is_not_lost_to_an_earlier_one_that_comes_with_it(seed: int):
    async def story(plant: Plant) -> None:
        broker = plant.node.running.broker
        plant.reader.publish("orders/1", b"ours", 1, retain=True)
        await plant.tree.until(lambda: plant.reader.idle)
        await plant.come(
            come(0, b"theirs", retain=True, keep=True),
            come(0, b"ours", origin="plant", retain=True, keep=True),
            come(1, b"last"),
        )
        await plant.tree.until(lambda: b"last" in plant.reader.payloads)
        assert broker.retained.match("orders/1")[0].payload == b"ours"

    play(seed, story)
