"""What the broker asks of the node before it lets a client do something, and enhanced authentication (section 4.12)."""

import asyncio

import pytest

from littoral.iot.access import Challenge, LoginOnly, Proved, Refused
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_world import Client, World, publish, run, suback, subscribe, turn


class Own(LoginOnly):
    """Everybody may publish and subscribe below its own client identifier."""

    def __init__(self):
        super().__init__(lambda *_: True)
        self.asked = 0
        self.root = ""

    def restricts(self, client):
        return client.client_id != "root"

    def may_publish(self, client, topic):
        self.asked += 1
        return not self.restricts(client) or topic.startswith(f"{self.root}{client.client_id}/")

    def may_subscribe(self, client, topic_filter):
        if topic_filter == "told/why":
            return ReasonCode.UNSPECIFIED_ERROR
        return not self.restricts(client) or topic_filter.startswith(f"{client.client_id}/")


def test_a_publish_that_is_not_allowed_goes_nowhere():
    world = World(access=Own())
    watcher = world.subscriber("#", name="root")
    client = world.client("site").sends(publish("site/a", b"1"), publish("other/a", b"2", retain=True))
    assert not client.gets().closed
    watcher.gets(publish("site/a", b"1"))
    assert world.intake.folded == [("site/a", b"1")]
    assert world.broker.statistics().retained == 0
    assert world.broker.counters.denied == 1


@run
async def test_mqtt_3_3_5_2_a_stored_publish_that_is_not_allowed_is_refused_or_acknowledged_and_goes_nowhere():
    world = World(access=Own(), at_once=True)
    five, old = world.client5("five"), world.client("old")
    five.sends(publish("x", b"1", 1), publish("x", b"2", 2, qos=2))
    five.gets(mqtt.PubAck(1, ReasonCode.NOT_AUTHORIZED), mqtt.PubRec(2, ReasonCode.NOT_AUTHORIZED))
    old.sends(publish("x", b"1", 1), publish("x", b"2", 2, qos=2)).gets(mqtt.PubAck(1), mqtt.PubRec(2))
    old.sends(mqtt.PubRel(2)).gets(mqtt.PubComp(2))
    assert world.intake.stores == []


def test_the_hot_path_of_one_client_is_not_open_to_another():
    access = Own()
    world = World(access=access)
    allowed, denied, free = world.client("site"), world.client("s"), world.client("root")
    for client in (allowed, denied, free):
        client.sends(*[publish("site/a", b"1")] * 200)
    assert len(world.intake.folded) == 400
    assert access.asked < 210, "a topic that is allowed is asked for once"


def test_rights_that_change_are_asked_for_again():
    access = Own()
    world = World(access=access)
    client = world.client("site").sends(publish("site/a", b"1"), publish("site/a", b"2"))
    access.root = "elsewhere/"
    world.broker.access_changed()
    client.sends(publish("site/a", b"3"))
    assert [payload for _, payload in world.intake.folded] == [b"1", b"2"]


def test_new_subscribers_are_seen_by_a_hot_path_of_ones_own():
    world = World(access=Own())
    client = world.client("site").sends(publish("site/a", b"1"))
    exact = world.subscriber("site/a", name="root")
    client.sends(publish("site/a", b"2"))
    exact.gets(publish("site/a", b"2"))
    assert len(world.broker._own_paths) == 1
    client.connection.lost()
    assert world.broker._own_paths == {}


def test_refused_subscriptions_say_so_one_by_one():
    world = World(access=Own())
    world.client("old").sends(subscribe("old/a", "x")).gets(suback(1, 0, ReasonCode.UNSPECIFIED_ERROR))
    five = world.client5("five").sends(subscribe("five/#", "x", "told/why", "$share/g/five/a", "$share/g/x"))
    denied = ReasonCode.NOT_AUTHORIZED
    five.gets(suback(1, 0, denied, ReasonCode.UNSPECIFIED_ERROR, 0, denied))


@pytest.mark.parametrize("topic", ["other/a", "$SYS/broker/uptime"])
def test_a_will_that_the_client_could_not_publish_is_refused(topic):
    world = World(access=Own())
    client = Client(world.broker, MQTT_5)
    client.sends(mqtt.Connect("c", True, 0, mqtt.Will(topic, b"1", 0, False), level=MQTT_5))
    assert client.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    assert client.closed
    assert world.broker.statistics().sessions == 0


# --- $SYS


def test_the_brokers_own_topics_are_published_and_not_for_wildcards_at_the_front():
    world = World()
    own, rest = world.subscriber("$SYS/#", name="own"), world.subscriber("#", name="all")
    world.clock.advance(seconds=10)
    world.broker.sweep()
    found = {packet.topic: packet.payload for packet in own.takes()}
    assert found["$SYS/broker/clients/connected"] == b"2"
    rest.gets()
    late = world.client("late").sends(subscribe("$SYS/broker/clients/connected", packet_id=3))
    late.gets(suback(3, 0), publish("$SYS/broker/clients/connected", b"2", retain=True))


@run
async def test_clients_do_not_publish_to_the_brokers_own_topics():
    world = World(at_once=True)
    watcher = world.subscriber("$SYS/#", name="w")
    five = world.client5().sends(publish("$SYS/a", b"1"), publish("$SYS/a", b"1", 1))
    five.gets(mqtt.PubAck(1, ReasonCode.NOT_AUTHORIZED))
    watcher.sends(mqtt.Unsubscribe(2, ("$SYS/#",))).takes()
    world.client("old").sends(publish("$SYS/a", b"1", 1), publish("$SYS/a", b"1", 2)).gets(
        mqtt.PubAck(1), mqtt.PubAck(2)
    )
    watcher.gets()
    assert world.intake.stores == []


# --- Enhanced authentication


class Exchange:
    def __init__(self, steps):
        self.steps = iter(steps)
        self.seen = []

    def step(self, data):
        self.seen.append(data)
        return next(self.steps)


class Methods(LoginOnly):
    def __init__(self, **methods):
        super().__init__(lambda *_: pytest.fail("a method takes the place of the password"))
        self.methods = methods
        self.begun = []

    def exchange(self, client, method):
        steps = self.methods.get(method)
        if steps is None:
            return None
        self.begun.append(Exchange(steps))
        return self.begun[-1]


def connect(method, data=b"1"):
    asked = Properties(authentication_method=method, authentication_data=data)
    return mqtt.Connect("c", True, 0, level=MQTT_5, properties=asked)


def auth(reason, method, data):
    return mqtt.Auth(reason, Properties(authentication_method=method, authentication_data=data))


MORE, ANEW = ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.RE_AUTHENTICATE


def test_mqtt_4_12_0_1_an_unknown_method_is_refused():
    client = Client(World(access=Methods()).broker, MQTT_5).sends(connect("none"))
    assert client.takes()[0].reason is ReasonCode.BAD_AUTHENTICATION_METHOD
    assert client.closed


def test_mqtt_4_12_0_2_an_exchange_goes_on_until_the_client_is_known():
    access = Methods(m=[Challenge(b"2"), Proved(b"4")])
    world = World(access=access)
    client = Client(world.broker, MQTT_5).sends(connect("m"))
    client.gets(auth(MORE, "m", b"2")).sends(auth(MORE, "m", b"3"), mqtt.PingReq())
    connack, pong = client.takes()
    assert connack.reason is ReasonCode.SUCCESS
    assert (connack.properties.authentication_method, connack.properties.authentication_data) == ("m", b"4")
    assert pong == mqtt.PingResp()
    assert access.begun[0].seen == [b"1", b"3"]


def test_mqtt_4_12_0_4_a_client_that_does_not_prove_itself_is_refused():
    client = Client(World(access=Methods(m=[Challenge(), Refused()])).broker, MQTT_5).sends(connect("m"))
    client.takes()
    client.sends(auth(MORE, "m", b"3"))
    assert client.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    assert client.closed


def test_mqtt_4_12_0_5_another_method_in_between_is_an_error():
    client = Client(World(access=Methods(m=[Challenge()])).broker, MQTT_5).sends(connect("m"))
    client.takes()
    client.sends(auth(MORE, "other", b"3"))
    assert client.takes()[0].reason is ReasonCode.PROTOCOL_ERROR
    assert client.closed


def test_mqtt_4_12_0_6_auth_from_a_client_without_a_method_is_an_error():
    client = World().client5().sends(auth(ANEW, "m", b"1"))
    assert client.takes()[0].reason is ReasonCode.PROTOCOL_ERROR


def test_mqtt_3_1_2_30_nothing_but_auth_comes_before_connack():
    client = Client(World(access=Methods(m=[Challenge()])).broker, MQTT_5).sends(connect("m"))
    client.takes()
    client.sends(publish("site/a"))
    assert client.takes()[0].reason is ReasonCode.PROTOCOL_ERROR
    assert client.closed


@run
async def test_a_step_that_takes_time_is_waited_for_and_nothing_is_lost():
    step = asyncio.get_running_loop().create_future()
    world = World(access=Methods(m=[step]))
    client = Client(world.broker, MQTT_5).sends(connect("m"), publish("site/a", b"1"))
    await turn()
    client.gets()
    assert client.channel.paused
    step.set_result(Proved())
    await turn()
    assert client.takes()[0].reason is ReasonCode.SUCCESS
    assert not client.channel.paused
    assert world.intake.folded == [("site/a", b"1")]


def test_mqtt_4_12_1_1_a_client_may_prove_itself_anew():
    access = Methods(m=[Proved(b"2")])
    world = World(access=access)
    client = Client(world.broker, MQTT_5).sends(connect("m"))
    client.takes()
    client.sends(auth(ANEW, "m", b"5"), mqtt.PingReq())
    client.gets(auth(ReasonCode.SUCCESS, "m", b"2"), mqtt.PingResp())
    assert access.begun[1].seen == [b"5"]


def test_mqtt_4_12_1_2_a_client_that_fails_to_prove_itself_anew_is_closed():
    access = Methods(m=[Proved()])
    world = World(access=access)
    client = Client(world.broker, MQTT_5).sends(connect("m"))
    client.takes()
    access.methods["m"] = [Refused()]
    client.sends(auth(ANEW, "m", b"5"))
    assert client.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    assert client.closed


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind():
    world = World(access=Methods(m=[Challenge()]))
    client = Client(world.broker, MQTT_5).sends(connect("m"))
    client.takes()
    client.sends(mqtt.Disconnect()).gets()
    assert client.closed
    assert world.broker.statistics().sessions == 0
