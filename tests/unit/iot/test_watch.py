"""An operator who follows topics."""

from littoral.iot.watch import MESSAGE_COST_BYTES, Watch
from littoral.wire import mqtt
from tests.support.mqtt_world import World, publish, run, turn

PAGE = 1 << 20


def told(watch: Watch, after: int = 0, most: int = 100, size: int = PAGE):
    return [(each.number, each.message.topic, each.message.payload) for each in watch.take(after, most, size)]


@run
async def test_it_gets_what_a_subscriber_would_at_every_qos():
    world = World(at_once=True)
    watch = Watch(world.broker, ["a/+", "a/#"], "also")
    client = world.client5()
    client.sends(publish("a/0", b"0"), publish("b", b"-"))
    client.sends(publish("a/0", b"0"), publish("a/1", b"1", 1), publish("a/2", b"2", 2, qos=2))
    world.broker.publish("a/own", b"own")
    await turn()
    found = watch.take(0, 100, PAGE)
    assert [(each.message.topic, each.message.qos) for each in found] == [
        ("a/0", 0),
        ("a/0", 0),
        ("a/1", 1),
        ("a/own", 0),
        ("a/2", 2),
    ]
    assert [each.number for each in found] == [0, 1, 2, 3, 4]


@run
async def test_it_is_no_session_and_clients_go_on_when_it_ends():
    world = World()
    client = world.client()
    watch = Watch(world.broker, ["a", "a/#"], "also")
    assert len(world.broker.sessions) == 1
    client.sends(publish("a", b"1"), publish("a", b"2"))
    watch.end()
    client.sends(publish("a", b"3"))
    assert [payload for _, _, payload in told(watch)] == [b"1", b"2"]
    assert world.broker.sessions.subscriptions.match("a") == ([], [])


@run
async def test_what_was_asked_for_is_kept_until_the_next_is():
    world = World()
    client = world.client()
    watch = Watch(world.broker, ["#"], "also")
    client.sends(*(publish("a", b"%d" % number) for number in range(5)))
    assert told(watch, most=2) == [(0, "a", b"0"), (1, "a", b"1")]
    assert told(watch, most=2) == [(0, "a", b"0"), (1, "a", b"1")]
    assert told(watch, 2) == [(2, "a", b"2"), (3, "a", b"3"), (4, "a", b"4")]
    assert told(watch, 5) == []


@run
async def test_a_page_has_at_least_one_message_and_not_many_more_bytes_than_it_may():
    world = World()
    watch = Watch(world.broker, ["#"], "also")
    world.client().sends(*(publish("a", b"x" * 600) for _ in range(5)))
    assert len(told(watch, size=1000)) == 2
    assert len(told(watch, size=1)) == 1


@run
async def test_the_oldest_go_where_there_is_no_room_and_are_counted():
    world = World(mqtt_watch_bytes=3 * (MESSAGE_COST_BYTES + 2))
    watch = Watch(world.broker, ["#"], "also")
    world.client().sends(*(publish("a", b"%d" % number) for number in range(5)))
    assert told(watch) == [(2, "a", b"2"), (3, "a", b"3"), (4, "a", b"4")]
    assert watch.dropped == 2
    assert world.limits.reached["mqtt-watch-bytes"] == 2


@run
async def test_retained_messages_come_first_or_alone_or_not_at_all():
    world = World()
    client = world.client()
    client.sends(*(publish(f"a/{number}", b"kept", retain=True) for number in range(3)))
    also, only, never = (Watch(world.broker, ["a/#"], wish) for wish in ("also", "only", "never"))
    assert only.has_retained
    first = also.take(0, 2, PAGE)
    assert [(each.message.topic, each.retained) for each in first] == [("a/0", True), ("a/1", True)]
    client.sends(publish("a/2", b"new"))  # not retained: the one before stays so
    client.sends(publish("a/1", b"kept anew", retain=True))
    rest = also.take(2, 100, PAGE)
    assert [(each.message.topic, each.message.payload, each.retained) for each in rest] == [
        ("a/2", b"new", False),
        ("a/1", b"kept anew", True),
        ("a/2", b"kept", True),
    ]
    assert [topic for _, topic, _ in told(never)] == ["a/2", "a/1"]
    # What is not the last of its topic any more is not told.
    assert [(each.message.topic, each.message.payload) for each in only.take(0, 100, PAGE)] == [
        ("a/0", b"kept"),
        ("a/2", b"kept"),
    ]
    assert not only.has_retained


@run
async def test_retained_messages_need_no_room_until_they_are_asked_for():
    world = World(mqtt_watch_bytes=4 * (MESSAGE_COST_BYTES + 4))
    client = world.client()
    client.sends(*(publish(f"a/{number}", b"x", retain=True) for number in range(50)))
    watch = Watch(world.broker, ["#"], "only")
    found, after = [], 0
    while page := watch.take(after, 100, PAGE):
        found += page
        after = page[-1].number + 1
    assert len(found) == 50
    assert watch.dropped == 0


@run
async def test_a_retained_message_that_has_expired_is_not_told():
    world = World()
    world.client5().sends(
        publish("a", b"x", retain=True, properties=mqtt.Properties(message_expiry_s=10)),
        publish("b", b"x", retain=True),
    )
    watch = Watch(world.broker, ["#"], "only")
    world.clock.advance(seconds=11)
    assert [topic for _, topic, _ in told(watch)] == ["b"]
