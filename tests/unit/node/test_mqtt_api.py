"""Who is at the broker, as operators are told."""

import json

import pytest

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request
from littoral.node import mqtt_api
from littoral.node.mqtt_api import MqttApi
from littoral.wire import mqtt
from littoral.wire.mqtt import Subscription
from tests.support.mqtt_world import World, publish, run, turn


async def clients(world: World, **query: str):
    answer = await MqttApi(world.broker).handle(Request("GET", "/v1/mqtt/clients", query))
    return json.loads(answer.body)


async def kick(world: World, order: object):
    request = Request("POST", "/v1/mqtt/kick", body=json.dumps(order).encode())
    return json.loads((await MqttApi(world.broker).handle(request)).body)


@run
async def test_clients_and_sessions_that_wait_are_told():
    world = World(at_once=True)
    press = world.client("press", clean=False)
    press.sends(mqtt.Subscribe(1, (Subscription("a/#", 1),)))
    world.client5("view", will=mqtt.Will("gone", b"x", 0, False), session_expiry_s=60)
    press.connection.lost()
    world.client("bench").sends(publish("a/b", b"1", 7, qos=1))
    await turn()
    told = await clients(world)
    assert told["total"] == 3
    bench, press, view = told["clients"]
    assert (bench["client"], bench["connected"], bench["expiry_s"], bench["waiting"]) == ("bench", True, 0, 0)
    assert (press["client"], press["connected"], press["subscriptions"], press["waiting"]) == ("press", False, 1, 1)
    assert (view["version"], view["expiry_s"], view["has_will"]) == ("5", 60, True)


@run
async def test_they_are_told_page_by_page():
    world = World()
    for name in ("c", "a", "b"):
        world.client(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt_api, "CLIENTS_MOST", 2)
        assert [each["client"] for each in (await clients(world))["clients"]] == ["a", "b"]
        assert [each["client"] for each in (await clients(world, after="b"))["clients"]] == ["c"]


@run
async def test_a_connection_is_ended_and_its_session_stays():
    world = World()
    press = world.client("press", clean=False)
    assert await kick(world, {"client": "press"}) == {"client": "press"}
    assert press.closed
    with pytest.raises(NotFound, match="MQTT client press: it is not connected to this node"):
        await kick(world, {"client": "press"})
    world.client("press", clean=False, present=True)


@run
async def test_an_order_that_is_wrong_says_how_it_should_be():
    for order in ({}, {"client": 1}, {"client": "a", "why": "b"}):
        with pytest.raises(InvalidInput, match='Send {"client": "NAME"}'):
            await kick(World(), order)
