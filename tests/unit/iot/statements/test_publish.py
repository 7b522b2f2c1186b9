"""PUBLISH: its flags, topic and answers (section 3.3, without properties)."""

import pytest

from littoral.iot.access import LoginOnly
from littoral.iot.message import Message
from littoral.iot.session_store import KeptMessage, KeptSession
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NEVER_S, ReasonCode
from tests.support.mqtt_statements import ends, field, frame, join, messages, of_level, says, states, world
from tests.support.mqtt_world import Client, HeldStore, publish, suback, subscribe


async def subscribed(table, level, *filters, name="w", qos=2, **options):
    """A client with subscriptions, of which it has seen the retained messages."""
    client = join(table, level, name)
    await says(client, subscribe(*filters, qos=qos, **options))
    return client


@states(v4="3.3.1-1", v5="3.3.1-1")
async def test_what_is_sent_again_says_so(level):
    for qos in (1, 2):
        table = world()
        client = join(table, level, kept=True)
        await says(client, subscribe("a", qos=qos))
        await says(join(table, level, "p"), publish("a", b"1", 1, qos=qos))
        [first] = client.takes()
        client.connection.lost()
        [again] = await says(join(table, level, kept=True, present=True))
        assert (first.duplicate, again.duplicate) == (False, True)
        assert first.packet_id == again.packet_id


@states(v4="3.3.1-1", v5="3.3.1-1")
async def test_what_may_have_been_sent_before_a_restart_says_so(level):
    waiting = [
        KeptMessage(1, Message("a", b"1", 1), 1, False, sent=True),
        KeptMessage(2, Message("a", b"2", 1), 1, False),
    ]
    store = HeldStore()
    store.kept = [KeptSession(1, "c", level, NEVER_S, 0, [], waiting, set())]
    table = world(store=store)
    table.broker.restore()
    client = Client(table.broker, level).sends(mqtt.Connect("c", False, 0, level=level))
    await store.done()
    assert [each.duplicate for each in client.takes()[1:]] == [True, False]


@states(v4="3.3.1-2", v5="3.3.1-2")
async def test_a_qos_0_message_is_no_duplicate(level):
    told = await ends(join(world(), level), frame(0x38, field(b"a"), of_level(level), b"x"))
    assert told == (ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None)


@states(v4="3.3.1-3 4.3.1-1", v5="3.3.1-3 4.3.1-1 4.3.2-2 4.3.3-2")
async def test_dup_is_not_passed_on(level):
    table = world()
    watchers = [await subscribed(table, level, "a", name=f"w{qos}", qos=qos) for qos in (0, 1, 2)]
    publisher = join(table, level, "p")
    await says(publisher, *(publish("a", b"x", qos, qos=qos, duplicate=True) for qos in (1, 2)))
    for granted, watcher in enumerate(watchers):
        came = watcher.takes()
        assert [each.duplicate for each in came] == [False, False]
        assert [each.qos for each in came] == [min(1, granted), granted]


@states(v4="3.3.1-4", v5="3.3.1-4")
async def test_qos_3_ends_the_connection(level):
    told = await ends(join(world(), level), frame(0x36, field(b"a"), b"\0\1", of_level(level)))
    assert told == (ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None)


# --- Retained messages


@states(v4="3.3.1-5 3.3.1-6 3.3.1-8", v5="3.3.1-5 3.3.1-9")
async def test_the_last_retained_message_is_for_later_subscribers(level):
    table = world()
    publisher = join(table, level, "p")
    for qos in (0, 1, 2):
        await says(publisher, publish("a", b"before", qos + 1, qos=1, retain=True))
        await says(publisher, publish("a", b"last", qos + 1 if qos else None, qos=qos, retain=True), mqtt.PubRel(3))
        watcher = join(table, level, f"w{qos}")
        [_, message] = await says(watcher, subscribe("a", qos=2))
        assert (message.payload, message.qos, message.retain) == (b"last", qos, True)


@states(v4="3.3.1-7")
async def test_a_retained_message_of_qos_0_takes_the_place_of_the_one_before(level):
    table = world()
    await says(join(table, level), publish("a", b"1", 1, qos=2, retain=True), publish("a", b"2", retain=True))
    watcher = join(table, level, "w").sends(subscribe("a", qos=2))
    assert await messages(watcher) == [b"2"]


@states(v4="3.3.1-9", v5="3.3.1-12")
async def test_who_has_subscribed_gets_a_retained_message_like_any_other(level):
    table = world()
    watcher = await subscribed(table, level, "a")
    await says(join(table, level, "p"), *(publish("a", b"x", qos or None, qos=qos, retain=True) for qos in (0, 1, 2)))
    assert [each.retain for each in watcher.takes()] == [False, False, False]


@states(v5="3.3.1-13")
async def test_who_asks_for_it_gets_the_retain_flag_as_it_was_published(level):
    table = world()
    watcher = await subscribed(table, level, "a", retain_as_published=True)
    publisher = join(table, level, "p")
    for retain in (True, False):
        await says(publisher, *(publish("a", b"x", qos or None, qos=qos, retain=retain) for qos in (0, 1, 2)))
        await says(publisher, mqtt.PubRel(2))
    assert [each.retain for each in watcher.takes()] == [True] * 3 + [False] * 3


@states(v4="3.3.1-10 3.3.1-11", v5="3.3.1-6 3.3.1-7")
async def test_an_empty_retained_message_takes_the_one_before_away(level):
    table = world()
    watcher = await subscribed(table, level, "a")
    publisher = join(table, level, "p")
    await says(publisher, publish("a", b"1", retain=True), publish("a", b"", 1, retain=True))
    assert await messages(watcher) == [b"1", b""]
    late = join(table, level, "late").sends(subscribe("a"))
    assert await messages(late) == []
    assert table.broker.statistics().retained == 0


@states(v4="3.3.1-12", v5="3.3.1-8")
async def test_a_message_without_retain_changes_nothing_of_what_is_retained(level):
    table = world()
    publisher = join(table, level, "p")
    await says(publisher, publish("a", b"kept", retain=True), publish("a", b"2"), publish("a", b"", 1))
    await says(publisher, publish("b", b"3", 2))
    late = join(table, level, "late").sends(subscribe("#"))
    assert await messages(late) == [b"kept"]


@states(v5="3.3.1-9 3.3.1-10 3.3.1-11")
async def test_retain_handling_says_when_retained_messages_are_wanted(level):
    table = world()
    await says(join(table, level, "p"), publish("a", b"kept", retain=True))
    for handling, first, second in ((0, [b"kept"], [b"kept"]), (1, [b"kept"], []), (2, [], [])):
        watcher = join(table, level, f"w{handling}")
        for expected in (first, second):
            watcher.sends(subscribe("a", retain_handling=handling))
            assert await messages(watcher) == expected, handling


# --- Topics


@states(v4="3.3.2-2 4.7.1-1", v5="3.3.2-2 4.7.0-1")
async def test_a_wildcard_in_a_topic_name_ends_the_connection(level):
    for topic in (b"#", b"a/+", b"a+", b"a/#/b"):
        await ends(join(world(), level), frame(0x30, field(topic), of_level(level), b"x"))
        await ends(join(world(), level), frame(0x32, field(topic), b"\0\1", of_level(level), b"x"))


@states(v4="3.3.2-3", v5="3.3.2-3")
async def test_a_subscriber_gets_what_fits_its_filters_with_the_topic_of_the_publisher(level):
    table = world()
    watcher = await subscribed(table, level, "a/+/c", "d/#")
    topics = ["a/b/c", "a/b", "a/b/c/d", "d", "d/e/f", "e", "a//c", "A/b/c"]
    await says(join(table, level, "p"), *(publish(topic, topic.encode()) for topic in topics))
    came = watcher.takes()
    assert [each.topic for each in came] == ["a/b/c", "d", "d/e/f", "a//c"]
    assert all(each.topic.encode() == each.payload for each in came)


# --- Answers


@states(v4="3.3.4-1", v5="3.3.4-1")
async def test_the_answer_is_that_of_the_qos(level):
    client = join(world(), level)
    assert await says(client, publish("a")) == []
    assert await says(client, publish("a", b"x", 5)) == [mqtt.PubAck(5)]
    assert await says(client, publish("a", b"x", 6, qos=2)) == [mqtt.PubRec(6)]
    assert await says(client, mqtt.PubRel(6)) == [mqtt.PubComp(6)]


@states(v4="3.3.5-1", v5="3.3.4-2")
async def test_of_several_filters_that_fit_the_highest_qos_counts(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe(("a/#", 0), ("a/+", 2), ("a/b", 1)))
    await says(join(table, level, "p"), publish("a/b", b"x", 1, qos=2), publish("a/b/c", b"y", 2, qos=2))
    assert max(each.qos for each in await says(watcher) if each.payload == b"x") == 2


class NotSecrets(LoginOnly):
    """Nobody may publish to a topic of the name."""

    def __init__(self):
        super().__init__(lambda *_: True)

    def restricts(self, client):
        return True

    def may_publish(self, client, topic):
        return topic != "secret"


@states(v4="3.3.5-2", v5="3.4.2-1 3.5.2-1")
async def test_a_publish_that_is_not_allowed_is_answered_and_goes_nowhere(level):
    table = world(access=NotSecrets())
    watcher = await subscribed(table, level, "#")
    client = join(table, level, "p")
    answers = await says(client, publish("secret"), publish("secret", b"x", 1), publish("secret", b"x", 2, qos=2))
    reason = ReasonCode.NOT_AUTHORIZED if level == MQTT_5 else ReasonCode.SUCCESS
    assert answers == [mqtt.PubAck(1, reason), mqtt.PubRec(2, reason)]
    assert await messages(watcher) == []
    assert not client.closed


# --- Several subscriptions of MQTT 5


@states(v5="3.3.4-3 3.3.4-4")
async def test_a_message_has_the_identifiers_of_all_subscriptions_that_fit(level):
    table = world()
    watcher = join(table, level, "w")
    for number, topic_filter in enumerate(("a/b", "a/+", "a/#", "c"), 1):
        await says(watcher, subscribe(topic_filter, qos=2, identifier=number))
    await says(watcher, subscribe("#", qos=2))
    for qos in (0, 1, 2):
        await says(join(table, level, f"p{qos}"), publish("a/b", b"x", qos or None, qos=qos))
        [message] = watcher.takes()
        assert set(message.properties.subscription_ids) == {1, 2, 3}


@states(v5="3.3.4-5")
async def test_each_copy_has_the_identifier_of_its_subscription(level):
    table = world()
    watcher = join(table, level, "w")
    granted = await says(watcher, subscribe("a", qos=1, identifier=1), subscribe("$share/g/a", qos=1, identifier=2))
    assert granted == [suback(1, 1), suback(1, 1)]
    await says(join(table, level, "p"), publish("a", b"x", 1))
    assert sorted(each.properties.subscription_ids for each in watcher.takes()) == [(1,), (2,)]


@pytest.mark.parametrize("packet_id", [None, 1])
@states(v5="3.3.4-6")
async def test_a_subscription_identifier_from_a_publisher_ends_the_connection(level, packet_id):
    table = world()
    watcher = await subscribed(table, level, "a")
    sent = publish("a", b"x", packet_id, properties=mqtt.Properties(subscription_ids=(7,)))
    assert await ends(join(table, level, "p"), sent) == ReasonCode.PROTOCOL_ERROR
    assert await messages(watcher) == []


# --- Quotas of MQTT 5


@states(v5="3.3.4-7")
async def test_a_client_may_have_as_many_unanswered_as_the_broker_takes_and_no_more(level):
    for qos in (1, 2):
        table = world(mqtt_receive_maximum=4)
        table.intake.at_once = False
        client = join(table, level)
        assert client.agreed.receive_maximum == 4
        client.sends(*(publish("a", b"x", number, qos=qos) for number in (1, 2, 3, 4)))
        assert not client.closed, qos
        assert await ends(client, publish("a", b"x", 5, qos=qos)) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@states(v5="3.3.4-7")
async def test_pubrec_does_not_make_room_for_another_message(level):
    client = join(world(mqtt_receive_maximum=2), level)
    await says(client, publish("a", b"x", 1, qos=2), publish("a", b"x", 2, qos=2))
    assert await says(client, mqtt.PubRel(1)) == [mqtt.PubComp(1)]
    assert await says(client, publish("a", b"x", 1, qos=2)) == [mqtt.PubRec(1)]
    assert await ends(client, publish("a", b"x", 3, qos=2)) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@states(v5="3.3.4-9 4.9.0-1 4.9.0-2")
async def test_the_broker_sends_no_more_than_the_client_takes_at_a_time(level):
    table = world()
    watcher = join(table, level, "w", receive_maximum=2)
    await says(watcher, subscribe("a", qos=2))
    await says(join(table, level, "p"), *(publish("a", b"%d" % n, n, qos=2) for n in range(1, 5)))
    first = watcher.takes()
    assert [each.payload for each in first] == [b"1", b"2"]
    [one, two] = [each.packet_id for each in first]
    assert await says(watcher, mqtt.PubRec(one)) == [mqtt.PubRel(one)]
    [three] = await says(watcher, mqtt.PubComp(one))
    assert three.payload == b"3"
    refused = mqtt.PubRec(two, ReasonCode.QUOTA_EXCEEDED)
    assert [each.payload for each in await says(watcher, refused)] == [b"4"]
    await says(join(table, level, "q"), publish("a", b"5", 1), publish("a", b"6", 2))
    await says(watcher, mqtt.PubRec(three.packet_id))
    [five] = await says(watcher, mqtt.PubComp(three.packet_id))
    assert five.payload == b"5"


@states(v5="3.3.4-10 4.9.0-3")
async def test_other_packets_do_not_wait_for_the_clients_acknowledgements(level):
    table = world()
    watcher = join(table, level, "w", receive_maximum=1)
    await says(watcher, subscribe("a", qos=1))
    await says(join(table, level, "p"), publish("a", b"1", 1), publish("a", b"2", 2))
    assert len(watcher.takes()) == 1
    answers = await says(
        watcher,
        mqtt.PingReq(),
        subscribe("b", packet_id=8),
        publish("c", b"x", 1),
        publish("c", b"x", 2, qos=2),
        mqtt.PubRel(2),
        mqtt.Unsubscribe(9, ("b",)),
    )
    kinds = [mqtt.PingResp, mqtt.SubAck, mqtt.PubAck, mqtt.PubRec, mqtt.PubComp, mqtt.UnsubAck]
    assert sorted(type(each).__name__ for each in answers) == sorted(kind.__name__ for kind in kinds)
