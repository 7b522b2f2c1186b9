"""Several clients that divide the messages of a filter among them (section 4.8.2)."""

from littoral.iot.session_store import Complete, Enqueue
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_world import Client, HeldStore, World, publish, run, suback, subscribe, turn

SHARED = "$share/g/a/+"


def payloads(client):
    return [packet.payload for packet in client.takes() if isinstance(packet, mqtt.Publish)]


def test_each_message_goes_to_one_member_in_turn_and_to_every_group_and_subscriber():
    world = World()
    members = [world.subscriber5(SHARED, name=name) for name in "xy"]
    other = world.subscriber5("$share/h/a/+", name="h")
    direct = world.subscriber5("a/#", name="d")
    world.client("p").sends(*(publish("a/b", b"%d" % each) for each in range(4)))
    assert [payloads(member) for member in members] == [[b"0", b"2"], [b"1", b"3"]]
    assert payloads(other) == payloads(direct) == [b"0", b"1", b"2", b"3"]


def test_a_shared_subscription_of_3_1_1_is_one_too_and_one_without_a_filter_is_refused():
    world = World()
    old, five = world.subscriber(SHARED, name="old"), world.subscriber5(SHARED, name="five")
    world.client("p").sends(publish("a/b", b"0"), publish("a/b", b"1"))
    assert payloads(old) == [b"0"]
    assert payloads(five) == [b"1"]
    world.client("bad").sends(subscribe("$share/g")).gets(suback(1, ReasonCode.TOPIC_FILTER_INVALID))


def test_mqtt_3_8_4_4_a_shared_subscription_begins_without_retained_messages():
    world = World()
    world.client("p").sends(publish("a/b", b"1", retain=True))
    world.subscriber5(SHARED, name="x").gets()


@run
async def test_who_can_take_a_message_at_once_gets_it():
    world = World(at_once=True)
    full = world.subscriber5(SHARED, name="full", qos=1, receive_maximum=1)
    free = world.subscriber5(SHARED, name="free", qos=1)
    world.client("p").sends(*(publish("a/b", b"%d" % each, each) for each in range(1, 5)))
    assert payloads(full) == [b"1"]
    assert payloads(free) == [b"2", b"3", b"4"]


@run
async def test_who_is_connected_comes_before_who_is_away_and_who_is_away_before_nobody():
    world = World(at_once=True)
    world.subscriber5(SHARED, name="away", qos=1, session_expiry_s=60).sends(mqtt.Disconnect())
    here = world.subscriber5(SHARED, name="here", qos=1)
    publisher = world.client("p").sends(publish("a/b", b"1", 1), publish("a/b", b"2", 2))
    assert payloads(here) == [b"1", b"2"]
    here.sends(mqtt.PubAck(1), mqtt.PubAck(2), mqtt.Disconnect())
    publisher.sends(publish("a/b", b"3", 3))
    back = Client(world.broker, MQTT_5).sends(mqtt.Connect("away", False, 0, level=MQTT_5))
    assert payloads(back) == [b"3"]


@run
async def test_a_member_that_goes_leaves_its_unacknowledged_messages_to_another():
    world = World(at_once=True)
    first = world.subscriber5(SHARED, name="x", qos=1, receive_maximum=1)
    world.client("p").sends(publish("a/b", b"1", 1), publish("a/b", b"2", 2))
    assert payloads(first) == [b"1"]
    second = world.subscriber5(SHARED, name="y", qos=1)
    first.connection.lost()
    assert payloads(second) == [b"1", b"2"]


@run
async def test_a_member_that_is_alone_finds_what_it_did_not_acknowledge_as_it_was():
    world = World(at_once=True)
    member = world.subscriber5(SHARED, name="x", qos=1, session_expiry_s=60)
    world.client("p").sends(publish("a/b", b"1", 1))
    member.takes()
    member.connection.lost()
    back = Client(world.broker, MQTT_5).sends(mqtt.Connect("x", False, 0, level=MQTT_5))
    assert back.takes()[1:] == [publish("a/b", b"1", 1, duplicate=True)]


@run
async def test_mqtt_4_8_2_5_a_message_sent_at_qos_2_waits_for_its_client():
    world = World(at_once=True)
    first = world.subscriber5(SHARED, name="x", qos=2, receive_maximum=1, session_expiry_s=60)
    world.client("p").sends(publish("a/b", b"1", 1, qos=2), publish("a/b", b"2", 2, qos=2))
    await turn()
    assert payloads(first) == [b"1"]
    second = world.subscriber5(SHARED, name="y", qos=2)
    first.connection.lost()
    assert payloads(second) == [b"2"]
    back = Client(world.broker, MQTT_5).sends(mqtt.Connect("x", False, 0, level=MQTT_5))
    assert back.takes()[1:] == [publish("a/b", b"1", 1, qos=2, duplicate=True)]


@run
async def test_mqtt_4_8_2_6_a_message_that_a_member_refuses_goes_to_nobody_else():
    world = World(at_once=True)
    first = world.subscriber5(SHARED, name="x", qos=1)
    world.client("p").sends(publish("a/b", b"1", 1))
    second = world.subscriber5(SHARED, name="y", qos=1)
    first.takes()
    first.sends(mqtt.PubAck(1, ReasonCode.QUOTA_EXCEEDED)).connection.lost()
    second.gets()


@run
async def test_a_message_that_is_passed_on_is_there_and_gone_in_one_transaction():
    store = HeldStore()
    world = World(store=store)
    members = []
    for name in "xy":
        member = Client(world.broker, MQTT_5)
        kept = Properties(session_expiry_s=60)
        member.sends(mqtt.Connect(name, False, 0, level=MQTT_5, properties=kept))
        await store.done()
        members.append(member)
    first, second = members
    first.sends(subscribe(SHARED, qos=1))
    await store.done()
    world.client("p").sends(publish("a/b", b"1", 1))
    await store.done()
    second.sends(subscribe(SHARED, qos=1))
    await store.done()
    second.takes()
    first.connection.lost()
    passed_on = [write for write, _, _ in store.writes if any(isinstance(each, Enqueue) for each in write)]
    ((gone, there),) = passed_on
    assert gone == Complete(1, 1)
    assert (there.number, there.recipients.sessions) == (2, (2,))
    second.gets(publish("a/b", b"1", 1))


def test_the_last_member_takes_the_group_with_it():
    world = World()
    member = world.subscriber5(SHARED, name="x")
    assert world.broker.sessions.subscriptions.match("a/b")[1]
    member.sends(mqtt.Unsubscribe(2, (SHARED,))).gets(mqtt.UnsubAck(2, (ReasonCode.SUCCESS,)))
    assert world.broker.sessions.subscriptions.match("a/b") == ([], [])
