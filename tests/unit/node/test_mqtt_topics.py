"""The tree of topics, as operators are told."""

from typing import Any

import pytest

from littoral.core.errors import InvalidInput
from littoral.node import mqtt_topics
from littoral.node.mqtt_topics import TopicQuestion, topic_page
from tests.support.mqtt_world import World, publish, run


def filled() -> World:
    world = World()
    client = world.client()
    for topic in (
        "plant/press-1/state",
        "plant/press-1/temperature",
        "plant/press-2/state",
        "plant",
        "office",
        "plants/x",
    ):
        client.sends(publish(topic, topic.encode()))
    client.sends(publish("plant/press-1/state", b"on", retain=True))
    return world


def names(world: World, **question):
    return [each.topic for each in topic_page(world.broker, TopicQuestion(**question)).topics]


@run
async def test_topics_are_told_in_the_order_of_their_levels():
    world = filled()
    page = topic_page(world.broker, TopicQuestion())
    assert [(each.topic, each.payload, each.count, each.retained) for each in page.topics] == [
        ("office", b"office", 1, False),
        ("plant", b"plant", 1, False),
        ("plant/press-1/state", b"on", 2, True),
        ("plant/press-1/temperature", b"plant/press-1/temperature", 1, False),
        ("plant/press-2/state", b"plant/press-2/state", 1, False),
        ("plants/x", b"plants/x", 1, False),
    ]
    assert (page.total, page.noted, page.sampled, page.left_out) == (6, 7, 0, False)
    assert page.topics[0].at_ms == world.clock.wall_ms()


@run
async def test_a_prefix_is_a_topic_and_what_lies_below_it():
    world = filled()
    assert names(world, prefix="plant") == [
        "plant",
        "plant/press-1/state",
        "plant/press-1/temperature",
        "plant/press-2/state",
    ]
    assert names(world, prefix="plant/press-2/") == ["plant/press-2/state"]
    assert names(world, prefix="nothing") == []


@run
async def test_what_lies_deeper_is_one_line_a_branch():
    world = filled()
    page = topic_page(world.broker, TopicQuestion(levels=1))
    assert [(each.topic, each.topics, each.payload) for each in page.topics] == [
        ("office", 1, b"office"),
        ("plant", 4, b"plant"),
        ("plants", 1, None),
    ]
    page = topic_page(world.broker, TopicQuestion("plant", levels=1))
    assert [(each.topic, each.topics) for each in page.topics] == [
        ("plant", 1),
        ("plant/press-1", 2),
        ("plant/press-2", 1),
    ]


@run
async def test_a_tree_is_told_as_far_as_it_is_unfolded():
    def told(*unfolded: str, **more: Any):
        page = topic_page(world.broker, TopicQuestion(open=frozenset(unfolded), **more))
        return [(each.topic, each.topics, each.payload is not None) for each in page.topics]

    world = filled()
    closed = [("office", 1, True), ("plant", 4, True), ("plants", 1, False)]
    assert told() == closed
    assert told("plant/press-1") == closed
    assert told("plant", "plant/press-1", "plants", "office") == [
        ("office", 1, True),
        ("plant", 4, True),
        ("plant/press-1", 2, False),
        ("plant/press-1/state", 1, True),
        ("plant/press-1/temperature", 1, True),
        ("plant/press-2", 1, False),
        ("plants", 1, False),
        ("plants/x", 1, True),
    ]
    assert told(limit=1) == closed[:1]
    assert [topic for topic, _, _ in told(prefix="plant")] == ["plant", "plant/press-1", "plant/press-2"]


@run
async def test_empty_levels_are_levels():
    world = World()
    world.client().sends(publish("/a", b"1"), publish("a//b", b"2"))
    assert names(world) == ["/a", "a//b"]
    page = topic_page(world.broker, TopicQuestion(open=frozenset(["", "a", "a/"])))
    assert [(each.topic, each.topics) for each in page.topics] == [("", 1), ("/a", 1), ("a", 1), ("a/", 1), ("a//b", 1)]


@run
async def test_a_text_is_looked_for_in_any_case():
    assert names(filled(), text="STATE") == ["plant/press-1/state", "plant/press-2/state"]


@run
async def test_the_servers_own_topics_are_told_when_they_are_asked_for():
    world = filled()
    world.clock.advance(seconds=11)
    world.broker.sweep()
    assert not any(each.startswith("$") for each in names(world))
    assert "$SYS/broker/clients/connected" in names(world, prefix="$SYS")


@run
async def test_retained_messages_are_told_where_nothing_has_passed():
    world = World(mqtt_topic_values=0, mqtt_topic_value_bytes=3)
    world.client().sends(publish("a/b", b"12345", retain=True), publish("a/c", b"x"))
    (entry,) = topic_page(world.broker, TopicQuestion("a")).topics
    assert (entry.topic, entry.payload, entry.bytes, entry.at_ms, entry.count) == ("a/b", b"123", 5, None, 0)
    assert names(world, prefix="a/b") == ["a/b"]
    assert names(world, prefix="a/b/c") == []


@run
async def test_they_are_told_page_by_page():
    world = filled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt_topics, "TOPICS_MOST", 2)
        found = names(world)
        while page := names(world, after=found[-1]):
            found += page
    assert found == names(world)
    assert len(found) == 6


@run
async def test_not_all_of_very_many_retained_messages_are_looked_at():
    world = World(mqtt_topic_values=0)
    world.client().sends(*(publish(f"a/{number}", b"x", retain=True) for number in range(5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt_topics, "RETAINED_LOOKED", 3)
        page = topic_page(world.broker, TopicQuestion())
    assert (page.total, page.left_out) == (3, True)


@run
async def test_seconds_in_which_not_all_was_noted_are_counted():
    world = World(mqtt_topic_notes=1)
    client = world.client()
    client.sends(publish("a", b"x"))
    client.sends(publish("a", b"y"))
    world.broker.sweep()
    page = topic_page(world.broker, TopicQuestion())
    assert (page.noted, page.sampled) == (1, 1)


@run
async def test_a_prefix_that_is_no_topic_says_so():
    with pytest.raises(InvalidInput, match="cannot list topics below 'plant/#': a topic name contains a wildcard"):
        names(World(), prefix="plant/#")
