"""A session is its user's: nobody gets another one's with its client identifier, and nobody more from his own than he may now."""

import msgspec
import pytest

from littoral.iot.access import Challenge, LoginOnly, Proved, Rights
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_world import Client, World, publish, run, suback, subscribe

FOR_EVER = Properties(session_expiry_s=mqtt.NEVER_S)


class Rules(LoginOnly):
    """Who may subscribe to what, by user; all, where nothing is said."""

    def __init__(self, **filters):
        super().__init__(lambda *_: True)
        self.filters = filters

    def restricts(self, client):
        return True

    def may_publish(self, client, topic):
        return client.rights is None or client.rights.may_publish(topic)

    def may_subscribe(self, client, topic_filter):
        if client.rights is not None and not client.rights.may_subscribe(topic_filter):
            return False
        return topic_filter in self.filters.get(client.username, [topic_filter])


def come(world, username, *, clean=False, client_id="c"):
    client = Client(world.broker, MQTT_5)
    return client.sends(mqtt.Connect(client_id, clean, 0, None, username, b"", MQTT_5, FOR_EVER))


def present(client):
    connack = client.takes()[0]
    assert connack.reason is ReasonCode.SUCCESS
    return connack.session_present


def test_nobody_takes_over_the_connection_of_another_user():
    world = World()
    press = come(world, "press")
    press.takes()
    oven = come(world, "oven")
    assert oven.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    assert (oven.closed, press.closed) == (True, False)
    nobody = come(world, None)
    assert nobody.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    again = come(world, "press")
    assert present(again)
    assert press.closed, "its own user does"


def test_who_has_no_user_name_makes_room():
    world = World()
    nobody = come(world, None)
    nobody.takes()
    assert not present(come(world, "press"))
    assert nobody.closed


@run
async def test_what_waits_for_one_user_is_not_for_another():
    world = World(at_once=True)
    press = come(world, "press")
    press.sends(subscribe("site/orders", qos=1)).takes()
    press.connection.lost()
    world.client("p").sends(publish("site/orders", b"secret", 1)).takes()
    oven = come(world, "oven")
    assert not present(oven)
    oven.gets()
    world.client("p").sends(publish("site/orders", b"secret", 1)).takes()
    oven.gets()


@run
async def test_what_may_not_be_subscribed_to_any_more_is_taken_back_with_what_waits_for_it():
    access = Rules()
    world = World(access=access, at_once=True)
    press = come(world, "press")
    press.sends(subscribe("site/a", "site/b", "$share/g/site/c", qos=1)).takes()
    press.connection.lost()
    sender = world.client("p")
    for number, topic in enumerate(("site/a", "site/b", "site/c"), 1):
        sender.sends(publish(topic, topic.encode(), number)).takes()
    access.filters = {"press": ["site/a"]}
    press = come(world, "press")
    connack, first = press.takes()
    assert connack.session_present
    assert first == mqtt.Publish("site/a", b"site/a", 1, packet_id=first.packet_id)
    for number, topic in enumerate(("site/b", "site/c", "site/a"), 4):
        sender.sends(publish(topic, b"later", number)).takes()
    [only] = press.takes()
    assert only.topic == "site/a"
    press.sends(mqtt.Unsubscribe(7, ("site/b",)))
    assert press.takes() == [mqtt.UnsubAck(7, (ReasonCode.NO_SUBSCRIPTION_EXISTED,))]


class Exchange:
    def __init__(self, steps):
        self.steps = steps

    def step(self, data):
        return next(self.steps)


class Proving(Rules):
    """Enhanced authentication by these steps."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = iter(steps)

    def exchange(self, client, method):
        return Exchange(self.steps)


def prove(world):
    asked = msgspec.structs.replace(FOR_EVER, authentication_method="m", authentication_data=b"1")
    client = Client(world.broker, MQTT_5).sends(mqtt.Connect("c", True, 0, None, "press", None, MQTT_5, asked))
    assert client.takes()[0].reason is ReasonCode.SUCCESS
    return client


def prove_anew(client):
    properties = Properties(authentication_method="m", authentication_data=b"2")
    client.sends(mqtt.Auth(ReasonCode.RE_AUTHENTICATE, properties))


def test_who_proves_itself_anew_has_the_rights_that_come_of_it():
    less = Rights(publish=("site/b",), subscribe=("site/b",))
    world = World(access=Proving(Proved(), Challenge(b"?"), Proved(rights=less)))
    client = prove(world)
    client.sends(subscribe("site/a", "site/b")).gets(suback(1, 0, 0))
    client.sends(publish("site/a", b"1")).takes()
    prove_anew(client)
    client.takes()
    client.sends(publish("site/a", b"2")).takes()
    properties = Properties(authentication_method="m", authentication_data=b"3")
    client.sends(mqtt.Auth(ReasonCode.CONTINUE_AUTHENTICATION, properties))
    assert client.takes()[-1].reason is ReasonCode.SUCCESS
    client.sends(publish("site/a", b"3"), publish("site/b", b"4"))
    assert world.intake.folded == [("site/a", b"1"), ("site/a", b"2"), ("site/b", b"4")]
    assert [each.topic for each in client.takes()] == ["site/b"]
    world.client("p").sends(publish("site/a", b"5"))
    client.gets()
    client.sends(subscribe("site/a", packet_id=2)).gets(suback(2, ReasonCode.NOT_AUTHORIZED))
    client.connection.lost()
    assert client.connection.own_path not in world.broker._own_paths


@pytest.mark.parametrize("name", ["oven", "root"])
def test_who_proves_to_be_somebody_else_is_closed(name):
    world = World(access=Proving(Proved(), Proved(username=name)))
    client = prove(world)
    prove_anew(client)
    assert client.takes()[0].reason is ReasonCode.NOT_AUTHORIZED
    assert client.closed
