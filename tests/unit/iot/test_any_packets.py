"""Whatever clients send: each ends its own connection at worst, and the others go on."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.mqtt_packets import packets
from tests.support.mqtt_world import Client, HeldStore, World, publish

LEVELS = st.sampled_from([MQTT_3_1_1, MQTT_5])
ANYTHING = LEVELS.flatmap(
    lambda level: st.tuples(
        st.just(level),
        st.booleans(),
        st.lists(st.one_of(packets(level), packets(level), st.binary(min_size=1, max_size=20)), max_size=8),
    )
)


async def scenario(clients):
    store = HeldStore()
    world = World(store=store)
    watcher = world.subscriber("quiet/+", name="watcher", qos=1)
    for level, opens, sent in clients:
        client = Client(world.broker, level)
        if opens:
            client.sends(mqtt.Connect("any", False, 0, level=level))
            await store.done()
        for packet in sent:
            client.sends(packet)
            await store.done()
        if client.closed and level == MQTT_5:
            said = [each for each in client.takes() if isinstance(each, mqtt.Disconnect)]
            assert all(each.reason.failed for each in said)
            assert len(said) <= 1
        client.connection.lost()
        await store.done()
    publisher = world.client("publisher").sends(publish("quiet/x", b"still here", 1))
    await store.done()
    publisher.gets(mqtt.PubAck(1))
    assert publish("quiet/x", b"still here").payload in [
        each.payload for each in watcher.takes() if isinstance(each, mqtt.Publish)
    ]
    assert world.failures == []


@settings(max_examples=12)
@given(st.lists(ANYTHING, min_size=1, max_size=2))
def test_any_packets_in_any_order_end_their_own_connection_at_worst(clients):
    asyncio.run(scenario(clients))
