"""Messages between sites: each once, in order, whatever happens to links and nodes on the way."""

from collections.abc import Awaitable, Callable

import pytest

from littoral.testing.loop import run
from littoral.wire import mqtt
from tests.support.global_topics import Sites, global_topics
from tests.support.mqtt_peer import MemoryWay, Peer

ORDERS = global_topics("orders", "orders/#")


def simulate(seed: int, main: Callable[[Sites], Awaitable[None]]) -> None:
    async def body() -> None:
        sites = Sites(seed)
        await main(sites)
        await sites.tree.stop()

    run(body, seed)


def numbers(first: int, following: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, following)]


def test_a_message_reaches_the_brokers_of_all_nodes_once_and_does_not_come_back(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        nodes = list(sites.tree.nodes.values())
        readers = [await sites.peer(node, "reader", "orders/+") for node in nodes]
        writers = [await sites.peer(node, "writer") for node in nodes]
        for number in range(5):
            for place, writer in enumerate(writers):
                writer.publish("orders/1", b"%d of %d" % (number, place), 1 + place % 2)
        for reader in readers:
            await sites.got(reader, 5 * len(writers))
        await sites.settle()
        for reader in readers:
            for place in range(len(writers)):
                mine = [each for each in reader.payloads if each.endswith(b"of %d" % place)]
                assert mine == [b"%d of %d" % (number, place) for number in range(5)]
            assert reader.faults == []
        assert {each.qos for each in readers[0].received} == {1, 2}

    simulate(seed, main)


def test_messages_go_down_only_to_where_they_are_placed(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(global_topics("secrets", "secrets/#", nodes=["eu", "plant-a"]))
        writer = await sites.peer(sites.eu, "writer")
        reader = await sites.peer(sites.plant_a, "reader", "#")
        others = [await sites.peer(node, "reader", "#") for node in (sites.us, sites.plant_b)]
        writer.publish("secrets/1", b"s", 1)
        await sites.got(reader, 1)
        await sites.settle()
        assert [other.payloads for other in others] == [[], []]
        for node in (sites.us, sites.plant_b):
            held = [info for info in node.running.store.streams() if info.next and "secrets" in info.name.path]
            assert held == [], node.name

    simulate(seed, main)


def test_what_is_published_at_qos_0_stays_and_what_a_client_leaves_travels(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        reader, here = (
            await sites.peer(sites.cloud, "reader", "orders/#"),
            await sites.peer(sites.eu, "here", "orders/#"),
        )
        writer = await sites.peer(sites.eu, "writer")
        writer.publish("orders/1", b"stays", 0)
        writer.publish("orders/1", b"is of its topic", 1, properties=mqtt.Properties(content_type="text/plain"))
        leaving = Peer("leaving", 5, will=mqtt.Will("orders/2", b"I am gone", 1, retain=False))
        leaving.connect(MemoryWay(sites.eu.running.broker, leaving))
        await sites.tree.until(lambda: leaving.open)
        assert leaving.way is not None
        leaving.way.drop()
        await sites.tree.until(lambda: len(reader.received) == 2 and len(here.received) == 3)
        await sites.settle()
        assert sorted(reader.payloads) == [b"I am gone", b"is of its topic"]
        assert {each.properties.content_type for each in reader.received} == {"text/plain", None}

    simulate(seed, main)


def test_a_site_that_moves_to_another_region_repeats_nothing(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        writer = await sites.peer(sites.plant_a, "writer")
        readers = [
            await sites.peer(node, "reader", "orders/#") for node in (sites.cloud, sites.eu, sites.us, sites.plant_b)
        ]
        for number in numbers(0, 10):
            writer.publish("orders/1", number, 1)
        for reader in readers:
            await sites.got(reader, 10)
        writer.leave()
        await sites.plant_a.switch_off()
        sites.plant_a.move_to(sites.us)
        await sites.plant_a.start(await sites.tree.token(sites.us, "plant-a"))
        await sites.back(writer)
        for number in numbers(10, 20):
            writer.publish("orders/1", number, 1)
        for reader in readers:
            await sites.got(reader, 20)
        await sites.settle()
        assert [reader.payloads for reader in readers] == [numbers(0, 20)] * 4

    simulate(seed, main)


def test_a_message_for_the_root_goes_up_only(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(global_topics("reports", "reports", to="root", tiers=["site"]))
        readers = {node.name: await sites.peer(node, "reader", "reports") for node in sites.tree.nodes.values()}
        site, region = await sites.peer(sites.plant_a, "writer"), await sites.peer(sites.us, "writer")
        site.publish("reports", b"from a site", 1)
        region.publish("reports", b"from a region, which is not in the placement", 1)
        await sites.tree.until(lambda: readers["cloud"].payloads)
        await sites.settle()
        heard = {name: reader.payloads for name, reader in readers.items()}
        assert heard["cloud"] == heard["eu"] == heard["plant-a"] == [b"from a site"]
        assert heard["us"] == [b"from a region, which is not in the placement"]
        assert heard["plant-b"] == []

    simulate(seed, main)


@pytest.mark.parametrize("killed", ["cloud", "plant-b"])
def test_what_was_acknowledged_while_a_link_is_cut_arrives_once_and_in_order(killed: str, seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        writer = await sites.peer(sites.plant_a, "writer")
        above = await sites.peer(sites.cloud, "above", "orders/#")
        beside = await sites.peer(sites.plant_b, "beside", "orders/#")
        for number in numbers(0, 20):
            writer.publish("orders/1", number, 2)
        sites.cut(sites.plant_a, sites.eu)
        sites.cut(sites.plant_b, sites.us)
        for number in numbers(20, 40):
            writer.publish("orders/1", number, 2)
        await sites.tree.until(lambda: writer.idle)
        await sites.kill_and_start(sites.tree.nodes[killed])
        sites.restore(sites.plant_a, sites.eu)
        sites.restore(sites.plant_b, sites.us)
        for number in numbers(40, 60):
            writer.publish("orders/1", number, 2)
        for reader in (above, beside):
            await sites.got(reader, 60)
        await sites.settle()
        assert above.payloads == beside.payloads == numbers(0, 60)
        assert above.faults == beside.faults == []

    simulate(seed, main)


def test_a_node_between_that_dies_again_and_again_loses_and_repeats_nothing(seed: int):
    """At moments of chance, while messages flow. For both ends see the crash tests."""

    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        writer = await sites.peer(sites.plant_a, "writer")
        above = await sites.peer(sites.cloud, "above", "orders/#")
        beside = await sites.peer(sites.plant_b, "beside", "orders/#")
        random = sites.tree.random.fork("kills")
        for turn in range(8):
            for number in numbers(turn * 10, turn * 10 + 10):
                writer.publish("orders/1", number, 2)
            await sites.pass_time(random.uniform(0.0, 0.3))
            await sites.kill_and_start(sites.eu)
        for reader in (above, beside):
            await sites.got(reader, 80)
        await sites.settle()
        assert above.payloads == beside.payloads == numbers(0, 80)
        assert above.faults == beside.faults == []

    simulate(seed, main)


def test_a_retained_message_is_retained_everywhere_also_at_a_node_that_comes_later(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        writer = await sites.peer(sites.plant_a, "writer")
        writer.publish("orders/open", b"3", 1, retain=True)
        writer.publish("orders/closed", b"1", 1, retain=True)
        broker = sites.plant_b.running.broker
        await sites.tree.until(lambda: len(broker.retained) == 2)
        writer.publish("orders/closed", b"", 1, retain=True)
        await sites.tree.until(lambda: len(broker.retained) == 1)
        late = await sites.tree.start_child("plant-c", "site", sites.us)
        await sites.tree.until(lambda: len(late.running.broker.retained) == 1)
        reader = await sites.peer(late, "reader", "orders/#")
        await sites.tree.until(lambda: reader.received)
        await sites.settle()
        assert [(each.topic, each.payload, each.retain) for each in reader.received] == [("orders/open", b"3", True)]
        # It goes on with what comes.
        writer.publish("orders/open", b"4", 1, retain=True)
        await sites.tree.until(lambda: len(reader.received) == 2)
        assert reader.received[1].payload == b"4"

    simulate(seed, main)


def test_two_sites_that_retain_a_message_for_one_topic_while_divided_end_with_the_same(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        sites.cut(sites.plant_a, sites.eu)
        one, other = await sites.peer(sites.plant_a, "one"), await sites.peer(sites.plant_b, "other")
        one.publish("orders/open", b"earlier", 1, retain=True)
        await sites.tree.until(lambda: one.idle)
        other.publish("orders/open", b"later", 1, retain=True)
        await sites.tree.until(lambda: other.idle)
        sites.restore(sites.plant_a, sites.eu)
        await sites.settle()
        for node in sites.tree.nodes.values():
            held = node.running.broker.retained.get("orders/open")
            assert held is not None, node.name
            assert held.payload == b"later", node.name

    simulate(seed, main)


@pytest.mark.parametrize("said", [b"ours", b""], ids=["another", "its end"])
def test_a_retained_message_that_is_earlier_by_the_clocks_is_not_retained_at_its_own_site_either(
    said: bytes, seed: int
):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        sites.plant_b.clock.step(10_000)
        here, there = await sites.peer(sites.plant_a, "here", "orders/#"), await sites.peer(sites.plant_b, "there")
        there.publish("orders/open", b"theirs", 1, retain=True)
        await sites.got(here, 1)
        here.publish("orders/open", said, 1, retain=True)
        await sites.got(here, 2)
        await sites.settle()
        for node in sites.tree.nodes.values():
            held = node.running.broker.retained.get("orders/open")
            assert held is not None, node.name
            assert held.payload == b"theirs", node.name
        assert here.payloads == [b"theirs", said], "who is here has heard both"
        await sites.kill_and_start(sites.plant_a)
        held = sites.plant_a.running.broker.retained.get("orders/open")
        assert held is not None
        assert held.payload == b"theirs"

    simulate(seed, main)


def test_a_site_that_was_away_for_longer_than_streams_go_back_has_what_is_retained_now(seed: int):
    async def main(sites: Sites) -> None:
        await sites.start(ORDERS)
        writer = await sites.peer(sites.plant_a, "writer")
        reader = await sites.peer(sites.plant_b, "reader", "orders/#")
        writer.publish("orders/1", b"one", 1, retain=True)
        writer.publish("orders/2", b"two", 1, retain=True)
        await sites.tree.until(lambda: len(reader.received) == 2)
        sites.cut(sites.plant_b, sites.us)
        writer.publish("orders/1", b"", 1, retain=True)
        for number in numbers(0, 50):
            writer.publish("orders/2", number, 1, retain=True)
        await sites.tree.until(lambda: writer.idle)
        await sites.tree.until(lambda: len(sites.us.records("us/mqtt-tree/orders")) >= 53)
        await sites.forget(sites.us, "us/mqtt-tree/orders")
        sites.restore(sites.plant_b, sites.us)
        await sites.tree.until(lambda: b"49" in reader.payloads)
        await sites.settle()
        held = sites.plant_b.running.broker.retained
        assert (len(held), held.match("#")[0].payload) == (1, b"49")
        assert reader.payloads == [b"one", b"two", b"49", b""]
        assert b"littoral_mqtt_global_missed_total 51" in sites.plant_b.running.metrics.text()

    simulate(seed, main)


def test_while_the_parent_is_away_the_oldest_make_room_and_are_counted(seed: int):
    async def main(sites: Sites) -> None:
        tree = sites.tree
        cloud = await tree.start_root("cloud")
        plant = await tree.start_child("plant", "site", cloud, mqtt_global_bytes=50_000)
        await tree.apply(cloud, ORDERS)
        await tree.until(lambda: plant.running.desired.topic_group("orders"))
        writer = await sites.peer(plant, "writer")
        reader = await sites.peer(cloud, "reader", "orders/#")
        sites.cut(plant, cloud)
        content = [sites.tree.random.randbytes(2_000) for _ in range(100)]
        for each in content:
            writer.publish("orders/1", each, 1)
            await tree.until(lambda: writer.idle)
        messages = plant.running.global_messages
        await tree.until(lambda: messages.dropped)
        await sites.settle()
        dropped = messages.dropped
        sites.restore(plant, cloud)
        await tree.until(lambda: reader.payloads and reader.payloads[-1] == content[-1])
        assert reader.payloads == content[dropped:]
        assert 50 < dropped < 100
        assert plant.running.limits.reached["mqtt-global-bytes"]

    simulate(seed, main)
