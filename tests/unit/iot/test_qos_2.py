"""QoS 2 in both directions; where a session is kept, what is on disk before what is sent."""

import pytest

from littoral.core.errors import StorageFull
from littoral.iot.session_store import Complete, Enqueue, KeepSession, Receive, Released, Send, Taken
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NEVER_S, ReasonCode
from tests.support.mqtt_world import Client, HeldStore, World, publish, run, suback, subscribe, turn

pytestmark = pytest.mark.usefixtures("caplog")


# --- From clients


@run
async def test_mqtt_4_3_3_8_pubrec_comes_after_the_message_is_stored_and_the_message_goes_on_after_that():
    world = World()
    subscriber = world.subscriber("site/a", name="s")
    client = world.client().sends(publish("site/a", b"1", 7, qos=2))
    [(future, records)] = world.intake.stores
    assert [record[:2] for record in records] == [["site/a", b"1"]]
    await turn()
    client.gets()
    subscriber.gets()
    future.set_result(None)
    await turn()
    client.gets(mqtt.PubRec(7))
    subscriber.gets(publish("site/a", b"1"))
    client.sends(mqtt.PubRel(7)).gets(mqtt.PubComp(7))


@run
async def test_mqtt_4_3_3_10_the_same_identifier_is_the_same_message_until_pubrel():
    world = World(at_once=True)
    subscriber = world.subscriber("a", name="s")
    client = world.client()
    client.sends(publish("a", b"1", 7, qos=2))
    await turn()
    client.gets(mqtt.PubRec(7)).sends(publish("a", b"1", 7, qos=2, duplicate=True)).gets(mqtt.PubRec(7))
    client.sends(mqtt.PubRel(7)).gets(mqtt.PubComp(7)).sends(publish("a", b"2", 7, qos=2))
    await turn()
    client.gets(mqtt.PubRec(7))
    subscriber.gets(publish("a", b"1"), publish("a", b"2"))
    assert len(world.intake.stores) == 2


@run
async def test_a_message_that_could_not_be_stored_is_not_remembered_as_received():
    world = World()
    subscriber = world.subscriber("a", name="s")
    client = world.client("c", clean=False).sends(publish("a", b"1", 7, qos=2))
    world.intake.stores[0][0].set_exception(StorageFull("append to stream", "n/readings", "no space is left"))
    await turn()
    assert client.gets().closed
    subscriber.gets()
    again = world.client("c", clean=False, present=True).sends(publish("a", b"1", 7, qos=2, duplicate=True))
    world.intake.stores[1][0].set_result(None)
    await turn()
    again.gets(mqtt.PubRec(7))
    subscriber.gets(publish("a", b"1"))


@run
async def test_pubrel_of_an_unknown_identifier_is_answered():
    world = World()
    world.client().sends(mqtt.PubRel(9)).gets(mqtt.PubComp(9))
    five = world.client5("five").sends(mqtt.PubRel(9))
    five.gets(mqtt.PubComp(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))


@run
async def test_answers_keep_the_order_of_what_they_answer():
    world = World()
    client = world.client().sends(publish("a", b"1", 1, qos=2)).sends(publish("a", b"2", 2)).sends(mqtt.PubRel(1))
    (first, _), (second, _) = world.intake.stores
    second.set_result(None)
    await turn()
    client.gets()
    first.set_result(None)
    await turn()
    client.gets(mqtt.PubRec(1), mqtt.PubAck(2), mqtt.PubComp(1))


# --- To clients


@run
async def test_mqtt_4_3_3_1_a_message_goes_to_a_subscriber_through_all_four_packets():
    world = World(at_once=True)
    subscriber = world.subscriber("a", name="s", qos=2)
    world.client("p").sends(publish("a", b"1", 3, qos=2))
    await turn()
    subscriber.gets(publish("a", b"1", 1, qos=2)).sends(mqtt.PubRec(1)).gets(mqtt.PubRel(1))
    subscriber.sends(mqtt.PubRec(1)).gets(mqtt.PubRel(1))
    assert subscriber.connection.session.deliveries._taken == {1: 0}
    subscriber.sends(mqtt.PubComp(1)).gets()
    assert subscriber.connection.session.deliveries._taken == {}


@run
async def test_mqtt_4_4_0_1_a_client_that_is_back_gets_publish_again_or_pubrel():
    world = World(at_once=True)
    subscriber = world.subscriber("a", name="s", qos=2, clean=False)
    world.client("p").sends(publish("a", b"1", 1, qos=2), publish("a", b"2", 2, qos=2))
    await turn()
    subscriber.gets(publish("a", b"1", 1, qos=2), publish("a", b"2", 2, qos=2)).sends(mqtt.PubRec(1))
    subscriber.connection.lost()
    back = Client(world.broker).sends(mqtt.Connect("s", False, 0))
    back.gets(mqtt.ConnAck(True), mqtt.PubRel(1), publish("a", b"2", 2, qos=2, duplicate=True))


@run
async def test_mqtt_4_3_3_4_a_refused_message_is_over():
    world = World(at_once=True)
    subscriber = world.subscriber5("a", name="s", qos=2)
    world.client("p").sends(publish("a", b"1", 1, qos=2))
    await turn()
    subscriber.gets(publish("a", b"1", 1, qos=2)).sends(mqtt.PubRec(1, ReasonCode.QUOTA_EXCEEDED)).gets()
    assert subscriber.connection.session.deliveries.waiting == 0


@run
async def test_pubrec_of_an_unknown_identifier_is_answered_so_that_it_ends():
    world = World()
    world.client5().sends(mqtt.PubRec(9)).gets(mqtt.PubRel(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))


# --- On disk


async def kept(world, store, name="k", level=MQTT_5):
    """A client with a session that is kept."""
    client = Client(world.broker, level)
    client.sends(
        mqtt.Connect(name, False, 0, level=level, properties=mqtt.Properties(session_expiry_s=NEVER_S))
        if level == MQTT_5
        else mqtt.Connect(name, False, 0)
    )
    await store.done()
    client.takes()
    return client


@run
async def test_connack_waits_until_a_session_that_is_kept_is_on_disk():
    store = HeldStore()
    world = World(store=store)
    client = Client(world.broker).sends(mqtt.Connect("k", False, 0), mqtt.PingReq(), subscribe("a", qos=1))
    client.sends(mqtt.PingReq())
    await turn()
    client.gets()
    assert client.channel.paused
    assert [type(change) for change in await store.done()] == [KeepSession]
    client.gets(mqtt.ConnAck(False), mqtt.PingResp(), mqtt.PingResp())
    assert not client.channel.paused
    await store.done()
    client.gets(suback(1, 1))


@run
async def test_a_session_that_cannot_be_kept_is_not_opened():
    store = HeldStore()
    world = World(store=store)
    client = Client(world.broker, MQTT_5)
    client.sends(mqtt.Connect("k", True, 0, level=MQTT_5, properties=mqtt.Properties(session_expiry_s=9)))
    await store.fails(StorageFull("write sessions", "n", "no space is left"))
    [connack] = client.takes()
    assert connack.reason is ReasonCode.SERVER_BUSY
    assert client.closed


@run
async def test_a_publish_is_acknowledged_after_it_is_in_the_queues_that_are_kept():
    store = HeldStore()
    world = World(store=store)
    away = await kept(world, store)
    away.sends(subscribe("a", qos=1))
    await store.done()
    away.sends(mqtt.Disconnect())
    await store.done()
    publisher = world.client("p").sends(publish("a", b"1", 1))
    [(changes, records, _)] = store.writes
    assert [type(change) for change in changes] == [Enqueue]
    assert len(records) == 1, "the reading is in the same transaction"
    publisher.gets()
    await store.done()
    publisher.gets(mqtt.PubAck(1))


@run
async def test_an_inbound_identifier_is_on_disk_before_pubrec_and_its_release_before_pubcomp():
    store = HeldStore()
    world = World(store=store)
    client = await kept(world, store)
    client.sends(publish("a", b"1", 7, qos=2)).gets()
    assert await store.done() == [Receive(1, 7)]
    client.gets(mqtt.PubRec(7)).sends(mqtt.PubRel(7)).gets()
    assert client.connection.session.received == {7}
    assert await store.done() == [Released(1, 7)]
    client.gets(mqtt.PubComp(7))
    assert client.connection.session.received == set()


@run
async def test_an_outbound_identifier_is_on_disk_before_publish_and_what_was_taken_before_pubrel():
    store = HeldStore()
    world = World(store=store)
    client = await kept(world, store)
    client.sends(subscribe("a", qos=2))
    await store.done()
    client.takes()
    world.client("p").sends(publish("a", b"1", 1, qos=2))
    await store.done()
    client.gets()
    assert await store.done() == [Send(1, 1, 1)]
    client.gets(publish("a", b"1", 1, qos=2)).sends(mqtt.PubRec(1)).gets()
    assert await store.done() == [Taken(1, 1)]
    client.gets(mqtt.PubRel(1)).sends(mqtt.PubComp(1))
    assert store.lates == [Complete(1, 1)]


@run
async def test_a_message_whose_identifier_was_not_written_goes_without_dup_to_the_next_connection():
    store = HeldStore()
    world = World(store=store)
    client = await kept(world, store)
    client.sends(subscribe("a", qos=2))
    await store.done()
    world.client("p").sends(publish("a", b"1", 1, qos=2))
    await store.done()
    client.connection.lost()
    back = Client(world.broker, MQTT_5)
    back.sends(mqtt.Connect("k", False, 0, level=MQTT_5, properties=mqtt.Properties(session_expiry_s=NEVER_S)))
    await store.done()
    assert back.takes()[1:] == [publish("a", b"1", 1, qos=2)]


@run
async def test_an_identifier_that_cannot_be_written_closes_the_connection():
    store = HeldStore()
    world = World(store=store)
    client = await kept(world, store)
    client.sends(subscribe("a", qos=2))
    await store.done()
    client.takes()
    world.client("p").sends(publish("a", b"1", 1, qos=2))
    await store.done()
    await store.fails(StorageFull("write sessions", "n", "no space is left"))
    [goodbye] = client.takes()
    assert goodbye.reason is ReasonCode.SERVER_BUSY
    assert client.closed


@run
async def test_a_session_that_ends_with_its_connection_leaves_nothing_on_disk():
    store = HeldStore()
    world = World(store=store)
    subscriber = world.subscriber("a", name="s", qos=2)
    world.client("p").sends(publish("a", b"1", 1, qos=2))
    assert [changes for changes, _, _ in store.writes] == [[]]
    await store.done()
    subscriber.gets(publish("a", b"1", 1, qos=2)).sends(mqtt.PubRec(1)).gets(mqtt.PubRel(1)).sends(mqtt.PubComp(1))
    assert store.writes == store.lates == []


@run
async def test_messages_are_written_in_the_order_of_their_numbers():
    """Also where a rule publishes while a read is being collected."""
    store = HeldStore()
    world = World(store=store)
    client = await kept(world, store)
    client.sends(subscribe("a", "b", qos=1))
    await store.done()
    vars(world.intake)["route"] = lambda topic: lambda payload: world.broker.publish("b", payload, qos=1)
    world.client("p").sends(publish("a", b"1", 1), publish("site/x", b"2"), publish("a", b"3", 2))
    numbers = [change.number for change in await store.done() if isinstance(change, Enqueue)]
    assert numbers == [1, 2, 3]


@run
async def test_a_message_that_is_dropped_at_once_is_done_after_it_was_written():
    store = HeldStore()
    world = World(store=store, mqtt_queue_bytes=1)
    client = await kept(world, store)
    client.sends(subscribe("a", qos=1))
    await store.done()
    client.connection.lost()
    await store.done()
    told = []
    vars(store)["later"] = lambda changes: told.append((list(changes), len(store.writes)))
    world.client("p").sends(publish("a", b"too much", 1))
    assert told == [([Complete(1, 1)], 1)]
