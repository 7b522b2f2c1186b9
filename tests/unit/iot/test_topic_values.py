"""The last values of topics, on every way that a message takes."""

import asyncio

import pytest

from littoral.core.limits import Limits
from littoral.core.resources.mqtt import MqttPermission
from littoral.iot.access import LoginOnly
from littoral.iot.permissions import Permissions
from littoral.iot.topic_values import TOPIC_BYTES_MOST, TopicValue, TopicValues
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.fakes import FakeClock
from tests.support.mqtt_world import Client, World, publish, run, turn

LEVELS = pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])


def table(**limits: int) -> TopicValues:
    return TopicValues(FakeClock(), Limits({name.replace("_", "-"): value for name, value in limits.items()}))


def topics(values: TopicValues) -> list[str]:
    return [topic for topic, _ in values]


def known(values: TopicValues, topic: str) -> TopicValue:
    value = values.get(topic)
    assert value is not None, topic
    return value


def shown(world: World) -> dict[str, tuple[bytes, int]]:
    return {topic: (value.payload, value.count) for topic, value in world.broker.values}


def joined(world: World, level: int) -> Client:
    return world.client5() if level == MQTT_5 else world.client()


def frames(level: int, *pairs: tuple[str, bytes]) -> bytes:
    return b"".join(mqtt.encode(mqtt.Publish(*pair), level) for pair in pairs)


@LEVELS
def test_every_message_of_a_long_read_is_noted_once(level):
    async def scenario() -> None:
        world = World()
        pairs = [(f"site/{number % 7}", b"%d" % number) for number in range(700)]
        client = joined(world, level).sends(frames(level, *pairs))
        assert shown(world) == {f"site/{number}": (b"%d" % (693 + number), 100) for number in range(7)}
        client.sends(frames(level, *pairs))  # One run from the first frame to the last.
        assert {count for _, count in shown(world).values()} == {200}

    asyncio.run(scenario())


@LEVELS
def test_every_message_of_short_reads_is_noted_once(level):
    async def scenario() -> None:
        world = World()
        client = joined(world, level)
        for number in range(5):
            client.sends(frames(level, ("site/a", b"%d" % number), ("idle/b", b"x")))
        client.sends(frames(level, ("site/a", b"long" * 5000)))
        assert shown(world) == {"site/a": ((b"long" * 64), 6), "idle/b": (b"x", 5)}
        assert known(world.broker.values, "site/a").bytes == 20_000

    asyncio.run(scenario())


@run
async def test_stored_retained_and_own_messages_are_noted_and_wills():
    world = World(at_once=True)
    client = world.client5()
    client.sends(
        publish("a/1", b"1", 1), publish("a/2", b"2", 2, qos=2), publish("a/2", b"2", 2, qos=2, duplicate=True)
    )
    client.sends(publish("a/3", b"3", retain=True))
    world.broker.publish("a/rule", b"4")
    world.client("gone", will=mqtt.Will("a/will", b"5", 1, False)).connection.lost()
    await turn()
    assert shown(world) == {
        "a/1": (b"1", 1),
        "a/2": (b"2", 1),
        "a/3": (b"3", 1),
        "a/rule": (b"4", 1),
        "a/will": (b"5", 1),
    }


class _Guarded(LoginOnly):
    def __init__(self) -> None:
        super().__init__(lambda *_: True)
        self._permissions = Permissions([MqttPermission(topics=["mine/#"])])

    def restricts(self, client):
        return True

    def may_publish(self, client, topic):
        return self._permissions.may_publish(None, client.client_id, topic)


@run
async def test_what_a_client_may_not_publish_is_no_value():
    world = World(access=_Guarded())
    client = world.client()
    for _ in range(3):
        client.sends(frames(MQTT_3_1_1, ("mine/a", b"1"), ("other/a", b"2")))
    assert shown(world) == {"mine/a": (b"1", 3)}


@run
async def test_of_more_than_the_budget_the_first_of_each_second_are_noted():
    world = World(mqtt_topic_notes=100)
    client = world.client()
    burst = frames(MQTT_3_1_1, *((f"site/{number}", b"x") for number in range(300)))
    client.sends(burst)
    assert 100 <= len(shown(world)) < 200
    assert world.broker.counters.received == 300
    client.sends(burst)
    assert world.broker.values.noted < 200
    assert world.limits.reached["mqtt-topic-notes"] == 0
    world.broker.sweep()
    assert world.limits.reached["mqtt-topic-notes"] == 1
    client.sends(frames(MQTT_3_1_1, ("site/later", b"x")))
    assert "site/later" in shown(world)
    world.broker.sweep()
    noted = world.broker.values.noted
    client.sends(burst)  # One run: all of its topics are known now.
    assert world.broker.values.noted == noted + 100


def test_the_topic_that_was_quiet_longest_makes_room():
    values = table(mqtt_topic_values=3)
    for name in (b"a", b"b", b"c", b"a", b"d"):
        values.note(name, b"x")
    assert topics(values) == ["c", "a", "d"]
    assert known(values, "a").count == 2
    assert values.get("b") is None


def test_a_value_is_kept_as_far_as_its_limit():
    values = table(mqtt_topic_value_bytes=4)
    values.note(b"a", b"123456")
    assert (known(values, "a").payload, known(values, "a").bytes) == (b"1234", 6)


def test_long_topics_are_not_kept():
    values = table()
    values.note(b"a" * (TOPIC_BYTES_MOST + 1), b"x")
    assert len(values) == 0


@run
async def test_a_limit_of_nothing_turns_it_off():
    world = World(mqtt_topic_values=0)
    world.client().sends(frames(MQTT_3_1_1, *[("site/a", b"x")] * 300), publish("a", b"1", retain=True))
    world.broker.sweep()
    world.broker.publish("a/rule", b"4")
    assert shown(world) == {}
    assert world.broker.values.budget == 0


def test_a_node_without_clients_gets_its_budget_again_by_the_clock():
    clock = FakeClock()
    values = TopicValues(clock, Limits({"mqtt-topic-notes": 1}))
    for _ in range(3):
        values.note_own(b"a", b"x")
    assert values.noted == 1
    clock.advance(seconds=1)
    values.note_own(b"a", b"x")
    assert values.noted == 2
