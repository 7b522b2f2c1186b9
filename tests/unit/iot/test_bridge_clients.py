"""Bridges of other brokers, mosquitto's for one, that are clients of this broker."""

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.mqtt_world import CONNACK, Client, World, publish, run, suback, subscribe


@run
async def test_one_of_3_1_1_is_sent_nothing_of_its_own_and_what_is_retained_as_that():
    world = World(at_once=True)
    other = Client(world.broker).sends(mqtt.Connect("other", False, 0, is_bridge=True)).gets(CONNACK)
    other.sends(subscribe("x/#")).gets(suback(1, 0))
    plain = world.subscriber("x/#", name="plain")
    other.sends(publish("x/1", b"own"))
    world.client("c").sends(publish("x/1", b"1", retain=True))
    other.gets(publish("x/1", b"1", retain=True))
    plain.gets(publish("x/1", b"own"), publish("x/1", b"1"))


@run
async def test_a_shared_subscription_of_one_goes_by_turns_as_any():
    world = World(at_once=True)
    other = Client(world.broker).sends(mqtt.Connect("other", True, 0, is_bridge=True)).gets(CONNACK)
    other.sends(subscribe("$share/g/x")).gets(suback(1, 0))
    world.client("c").sends(publish("x", b"1"))
    other.gets(publish("x", b"1"))


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_what_one_says_of_itself_under_sys_does_not_keep_it_out_and_is_not_published(level):
    @run
    async def story():
        world = World(at_once=True)
        watcher = world.subscriber("$SYS/broker/connection/#", name="watcher")
        will = mqtt.Will("$SYS/broker/connection/other/state", b"0", 1, retain=True)
        other = Client(world.broker, level).sends(mqtt.Connect("other", True, 0, will, level=level))
        [connack] = other.takes()
        assert not connack.reason
        other.sends(publish("$SYS/broker/connection/other/state", b"1", 1, retain=True))
        [answer] = other.takes()
        assert answer.packet_id == 1
        assert not other.closed
        other.connection.lost()
        watcher.gets()
        assert len(world.broker.retained) == 0

    story()
