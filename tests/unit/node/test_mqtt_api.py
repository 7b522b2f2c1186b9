"""Who is at the broker, as operators are told."""

import asyncio
import base64
import json

import pytest

from littoral.core.errors import (
    Forbidden,
    InvalidInput,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
)
from littoral.core.http import Request
from littoral.iot.access import Arrival, LoginOnly
from littoral.iot.terms import Grant
from littoral.node import mqtt_api
from littoral.node.mqtt_api import MqttApi
from littoral.testing.loop import run as in_virtual_time
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Subscription
from tests.support.fakes import START_MS
from tests.support.mqtt_world import Client, World, publish, run, subscribe, turn


class Nobody(LoginOnly):
    """Lets clients in, and do nothing."""

    def __init__(self) -> None:
        super().__init__(lambda *_: True)

    def restricts(self, client):
        return True

    def may_publish(self, client, topic):
        return False

    def may_subscribe(self, client, topic_filter):
        return False


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
async def test_a_client_is_told_with_its_user_its_address_and_its_queue():
    world = World(at_once=True, mqtt_inflight=1)
    press = Client(world.broker, MQTT_5)
    press.connection.arrive(Arrival("10.0.0.7", "mqtt"))
    properties = mqtt.Properties(session_expiry_s=60)
    press.sends(mqtt.Connect("press", True, 0, None, "line-1", b"secret", MQTT_5, properties))
    press.sends(subscribe("a", qos=1))
    world.client("bench").sends(*(publish("a", b"12345", number) for number in (1, 2, 3)))
    await turn()
    told = (await clients(world))["clients"][1]
    assert (told["username"], told["address"], told["listener"]) == ("line-1", "10.0.0.7", "mqtt")
    assert (told["since_ms"], told["waiting"], told["in_flight"], told["queued_bytes"]) == (START_MS, 3, 1, 12)
    assert "secret" not in json.dumps(told)
    press.connection.lost()
    told = (await clients(world))["clients"][1]
    assert (told["connected"], told["username"], told["since_ms"], told["in_flight"]) == (False, "line-1", None, 0)


@run
async def test_clients_are_looked_for_and_counted():
    world = World(at_once=True)
    world.client("Press-1", login=("line-1", b""))
    world.client("press-2")
    panel = world.client("panel", clean=False)
    panel.sends(mqtt.Subscribe(1, (Subscription("a", 1),)))
    panel.connection.lost()
    world.client("bench").sends(publish("a", b"1", 7))
    await turn()

    async def found(**query: str):
        told = await clients(world, **query)
        assert (told["total"], told["connected"], told["waiting"], told["received"]) == (4, 3, 1, 1)
        return told["found"], [each["client"] for each in told["clients"]]

    assert await found(text="PRESS") == (2, ["Press-1", "press-2"])
    assert await found(text="line-1") == (1, ["Press-1"])
    assert await found(state="away") == await found(state="waiting") == (1, ["panel"])
    assert await found(state="connected", skip="1", limit="1") == (3, ["bench"])
    with pytest.raises(InvalidInput, match="state 'x' is not one of connected, away, waiting"):
        await found(state="x")


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


# --- Publishing and following


async def asks(api: MqttApi, method: str, path: str, body: object = None, **query: str):
    sent = b"" if body is None else json.dumps(body).encode()
    return json.loads((await api.handle(Request(method, f"/v1/mqtt/{path}", query, {}, sent))).body)


def order(topic: str, payload: bytes = b"x", **more: object) -> dict[str, object]:
    return {"topic": topic, "payload": base64.b64encode(payload).decode(), **more}


@run
async def test_what_an_operator_publishes_reaches_rules_and_subscribers():
    world = World(access=Nobody())
    client = world.client5()
    session = world.broker.sessions.get("c")
    assert session is not None
    world.broker.sessions.subscribe(session, Grant(Subscription("site/#", 2)), [])
    api = MqttApi(world.broker)
    assert await asks(api, "POST", "publish", order("site/a", b"1", user=[["k", "v"]], content_type="text/plain")) == {
        "topic": "site/a",
        "stored": False,
    }
    assert world.intake.folded == [("site/a", b"1")]
    (packet,) = client.takes()
    assert (packet.topic, packet.payload) == ("site/a", b"1")
    assert packet.properties == mqtt.Properties(content_type="text/plain", user=(("k", "v"),))


@run
async def test_at_qos_1_and_2_it_is_answered_once_it_is_synced():
    for qos in (1, 2):
        world = World()
        asked = asyncio.ensure_future(asks(MqttApi(world.broker), "POST", "publish", order("site/a", b"1", qos=qos)))
        await turn()
        assert not asked.done()
        ((future, records),) = world.intake.stores
        assert records == [["site/a", b"1", world.clock.wall_ms()]]
        future.set_result(None)
        assert await asked == {"topic": "site/a", "stored": True}


@run
async def test_what_cannot_be_stored_is_not_acknowledged():
    world = World()
    for error, kind in ((OSError("disk"), Unavailable), (StorageFull("write", "x", "full"), StorageFull)):
        asked = asyncio.ensure_future(asks(MqttApi(world.broker), "POST", "publish", order("site/a", qos=1)))
        await turn()
        world.intake.stores[-1][0].set_exception(error)
        with pytest.raises(kind):
            await asked


@run
async def test_a_retained_message_that_expires():
    world = World()
    api = MqttApi(world.broker)
    await asks(api, "POST", "publish", order("a", b"1", retain=True, expiry_s=5))
    kept = world.broker.retained.get("a")
    assert kept is not None
    assert kept.expires_ms == world.clock.wall_ms() + 5000
    await asks(api, "POST", "publish", order("a", b"", retain=True))
    assert world.broker.retained.get("a") is None


@run
async def test_what_is_no_message_of_mqtt_is_refused():
    api = MqttApi(World(mqtt_packet_bytes=100).broker)
    cases = (
        (order("a/#"), InvalidInput, r"cannot publish to MQTT topic 'a/#': a topic name contains a wildcard"),
        (order("a\0b"), InvalidInput, "U\\+0000"),
        (order("a", user=[["k\0", "v"]]), InvalidInput, "U\\+0000"),
        (order("a", response_topic="a/+"), InvalidInput, "wildcard"),
        (order("$SYS/a"), Forbidden, "it is the broker's own"),
        (order("a", b"x" * 200), TooLarge, "limit mqtt-packet-bytes is 100"),
        (order(""), InvalidInput, 'Send {"topic"'),
        (order("a", qos=3), InvalidInput, 'Send {"topic"'),
        ({"topic": "a", "payload": "?"}, InvalidInput, 'Send {"topic"'),
    )
    for body, kind, said in cases:
        with pytest.raises(kind, match=said):
            await asks(api, "POST", "publish", body)


@run
async def test_an_operator_follows_topics():
    world = World(access=Nobody())
    api = MqttApi(world.broker)
    watch = (await asks(api, "POST", "watches", {"filters": ["site/#"]}))["watch"]
    waiting = asyncio.ensure_future(asks(api, "GET", f"watches/{watch}", wait="30"))
    await turn()
    assert not waiting.done()
    await asks(api, "POST", "publish", order("site/a", b"1"))
    page = await waiting
    assert page["messages"] == [{"topic": "site/a", "payload": "MQ==", "at_ms": world.clock.wall_ms()}]
    assert (page["next"], page["dropped"], page["has_retained"]) == (1, 0, False)
    assert (await asks(api, "GET", f"watches/{watch}", after="1"))["messages"] == []
    assert await asks(api, "DELETE", f"watches/{watch}") == {"watch": watch}
    with pytest.raises(NotFound, match="it has ended, or the node has started anew"):
        await asks(api, "GET", f"watches/{watch}")
    await asks(api, "DELETE", f"watches/{watch}")
    assert len(api.watches) == 0


@run
async def test_filters_that_cannot_be_followed_are_refused():
    api = MqttApi(World().broker)
    cases: tuple[tuple[list[str], str], ...] = (
        (["a#"], "'#' is not alone"),
        (["a\0"], "U\\+0000"),
        (["$share/g/a"], "would take messages from its other members"),
        ([], "Send"),
        (["a"] * 101, "Send"),
    )
    for filters, said in cases:
        with pytest.raises(InvalidInput, match=said):
            await asks(api, "POST", "watches", {"filters": filters})


@run
async def test_there_are_so_many_watches_and_no_more():
    world = World(mqtt_watches=1)
    api = MqttApi(world.broker)
    watch = (await asks(api, "POST", "watches", {"filters": ["a"]}))["watch"]
    with pytest.raises(LimitReached, match="1 operators follow some already"):
        await asks(api, "POST", "watches", {"filters": ["a"]})
    await asks(api, "DELETE", f"watches/{watch}")
    await asks(api, "POST", "watches", {"filters": ["a"]})


def test_a_watch_that_nobody_asks_for_ends():
    async def scenario() -> None:
        world = World(mqtt_watch_seconds=60)
        api = MqttApi(world.broker)
        watch = (await asks(api, "POST", "watches", {"filters": ["a"]}))["watch"]
        for _ in range(3):
            world.clock.advance(seconds=50)
            await asyncio.sleep(50)
            await asks(api, "GET", f"watches/{watch}")
        world.clock.advance(seconds=61)
        await asyncio.sleep(2)
        assert len(api.watches) == 0
        assert world.limits.reached["mqtt-watch-seconds"] == 1
        assert world.broker.sessions.subscriptions.match("a") == ([], [])

    in_virtual_time(scenario)


def test_a_watch_that_is_asked_for_stays_while_it_waits():
    async def scenario() -> None:
        world = World(mqtt_watch_seconds=5)
        api = MqttApi(world.broker)
        watch = (await asks(api, "POST", "watches", {"filters": ["a"]}))["watch"]
        waiting = asyncio.ensure_future(asks(api, "GET", f"watches/{watch}", wait="30"))
        await asyncio.sleep(1)
        world.clock.advance(seconds=10)
        await asyncio.sleep(10)
        world.broker.publish("a", b"x")
        assert len((await waiting)["messages"]) == 1
        await asks(api, "DELETE", f"watches/{watch}")

    in_virtual_time(scenario)


@run
async def test_topics_are_told():
    world = World()
    world.client().sends(publish("plant/a", b"1"), publish("plant/b", b"\xff"))
    page = await asks(MqttApi(world.broker), "GET", "topics", prefix="plant", levels="1", after="plant/a")
    assert page["total"] == 2
    assert [(each["topic"], each["payload"], each["count"]) for each in page["topics"]] == [("plant/b", "/w==", 1)]
    with pytest.raises(InvalidInput, match="levels 'x' is not a whole number"):
        await asks(MqttApi(world.broker), "GET", "topics", levels="x")


@run
async def test_what_is_not_there_or_not_asked_for_so():
    api = MqttApi(World().broker)
    for method, path in (("GET", "publish"), ("POST", "topics"), ("GET", "watches"), ("PUT", "watches/1")):
        with pytest.raises(MethodNotAllowed):
            await asks(api, method, path)
    with pytest.raises(NotFound):
        await asks(api, "GET", "nothing")
