"""SUBSCRIBE, UNSUBSCRIBE and their answers (sections 3.8 to 3.11)."""

from littoral.iot.access import LoginOnly
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, ReasonCode
from tests.support.mqtt_statements import ends, field, frame, join, messages, of_level, says, states, world
from tests.support.mqtt_world import publish, suback, subscribe


def malformed(level):
    return ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None


class NotSecrets(LoginOnly):
    """Nobody may subscribe to a topic of the name."""

    def __init__(self):
        super().__init__(lambda *_: True)

    def may_subscribe(self, client, topic_filter):
        return topic_filter != "secret"


# --- SUBSCRIBE


@states(v4="3.8.1-1", v5="3.8.1-1")
async def test_reserved_flags_of_subscribe_are_0010(level):
    for flags in (0, 1, 3, 6, 10):
        packet = frame(0x80 | flags, b"\0\1", of_level(level), field(b"a"), b"\0")
        assert await ends(join(world(), level), packet) == malformed(level)


@states(v4="3.8.3-3", v5="3.8.3-2")
async def test_a_subscribe_without_a_filter_ends_the_connection(level):
    told = await ends(join(world(), level), frame(0x82, b"\0\1", of_level(level)))
    assert told == (ReasonCode.PROTOCOL_ERROR if level == MQTT_5 else None)


@states(v4="3.8.3-4", v5="3.8.3-5")
async def test_reserved_bits_of_the_options_are_0(level):
    wrong = (0x40, 0x80, 0xC2) if level == MQTT_5 else (0x04, 0x08, 0x10, 0x40, 0x83)
    for options in wrong:
        packet = frame(0x82, b"\0\1", of_level(level), field(b"a"), bytes([options]))
        assert await ends(join(world(), level), packet) == malformed(level)


@states(v4="3.8.3-4")
async def test_a_subscription_at_qos_3_ends_the_connection(level):
    await ends(join(world(), level), frame(0x82, b"\0\1", of_level(level), field(b"a"), b"\3"))


@states(v5="3.8.3-3")
async def test_no_local_keeps_what_the_client_publishes_from_itself(level):
    table = world()
    client, other = join(table, level), join(table, level, "other")
    await says(client, subscribe("a", qos=2, no_local=True))
    for each, text in ((client, b"own"), (other, b"other")):
        each.sends(*(publish("a", text, qos or None, qos=qos) for qos in (0, 1, 2)))
    assert set(await messages(client)) == {b"other"}
    await says(client, publish("a", b"own", retain=True))
    await says(client, subscribe("a", no_local=True))
    assert await messages(client) == [], "nor as a retained message"


@states(v5="3.8.3-4")
async def test_no_local_and_a_shared_subscription_do_not_go_together(level):
    client = join(world(), level)
    assert await ends(client, subscribe("$share/g/a", no_local=True)) == ReasonCode.PROTOCOL_ERROR


@states(v4="3.8.4-1 3.8.4-2", v5="3.8.4-1 3.8.4-2")
async def test_every_subscribe_is_answered_with_its_identifier(level):
    client = join(world(), level)
    numbers = (1, 2, 300, 65_535)
    answers = await says(client, *(subscribe("a", packet_id=number) for number in numbers))
    assert answers == [suback(number, 0) for number in numbers]


@states(v4="3.8.4-3", v5="3.8.4-3 3.8.4-4")
async def test_the_same_filter_again_takes_the_place_of_the_subscription(level):
    table = world()
    client, publisher = join(table, level), join(table, level, "p")
    await says(publisher, publish("a", b"kept", 1, retain=True))
    first = await says(client, subscribe("a", qos=0))
    assert [(each.payload, each.qos) for each in first if isinstance(each, mqtt.Publish)] == [(b"kept", 0)]
    publisher.sends(publish("a", b"between", 2))
    again = await says(client, subscribe("a", qos=1))
    kinds = [(each.payload, each.qos) for each in again if isinstance(each, mqtt.Publish)]
    assert sorted(kinds) == [(b"between", 0), (b"kept", 1)]
    await says(publisher, publish("a", b"after", 3))
    [once] = client.takes()
    assert (once.payload, once.qos) == (b"after", 1)


@states(v4="3.8.4-3", v5="3.8.4-4")
async def test_nothing_is_lost_while_a_subscription_is_replaced(level):
    table = world()
    client, publisher = join(table, level), join(table, level, "p")
    await says(client, subscribe("a", qos=1))
    for number in range(1, 21):
        publisher.sends(publish("a", b"%d" % number, number))
        client.sends(subscribe("a", qos=1))
    assert await messages(client) == [b"%d" % number for number in range(1, 21)]


@states(v4="3.8.4-4", v5="3.8.4-5")
async def test_several_filters_are_several_subscriptions_with_one_answer(level):
    table = world()
    client = join(table, level)
    assert await says(client, subscribe(("a", 0), ("b", 1), ("a", 2))) == [suback(1, 0, 1, 2)]
    await says(join(table, level, "p"), publish("a", b"1", 1, qos=2), publish("b", b"2", 2, qos=2))
    assert {each.payload: each.qos for each in await says(client)} == {b"1": 2, b"2": 1}


@states(v4="3.8.4-5 3.9.3-1 3.9.3-2", v5="3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2")
async def test_suback_has_a_reason_for_each_filter_in_their_order(level):
    client = join(world(access=NotSecrets()), level)
    [answer] = await says(client, subscribe(("a", 2), ("secret", 2), ("b", 0), ("c", 1)))
    failed = ReasonCode.NOT_AUTHORIZED if level == MQTT_5 else ReasonCode.UNSPECIFIED_ERROR
    assert answer == suback(1, 2, failed, 0, 1)


@states(v4="3.8.4-6", v5="3.8.4-8 4.8.2-3")
async def test_a_message_comes_at_the_lower_of_both_qos(level):
    for granted in (0, 1, 2):
        table = world()
        client = join(table, level)
        await says(client, subscribe("a", qos=granted))
        if level == MQTT_5:
            await says(client, subscribe("$share/g/b", qos=granted))
        publisher = join(table, level, "p")
        for topic in "ab" if level == MQTT_5 else "a":
            for qos in (0, 1, 2):
                await says(publisher, publish(topic, b"x", qos or None, qos=qos), mqtt.PubRel(2))
                [message] = client.takes()
                assert message.qos == min(qos, granted)


@states(v5="3.8.4-1 3.10.4-4")
async def test_a_client_that_cannot_be_answered_is_told_and_closed(level):
    filters = [f"a/{number}" for number in range(30)]
    for packet in (subscribe(*filters), mqtt.Unsubscribe(1, tuple(filters))):
        client = join(world(), level, maximum_packet_bytes=30)
        assert await ends(client, packet) == ReasonCode.PACKET_TOO_LARGE


# --- UNSUBSCRIBE


@states(v4="3.10.1-1", v5="3.10.1-1")
async def test_reserved_flags_of_unsubscribe_are_0010(level):
    for flags in (0, 1, 3, 6, 10):
        packet = frame(0xA0 | flags, b"\0\1", of_level(level), field(b"a"))
        assert await ends(join(world(), level), packet) == malformed(level)


@states(v4="3.10.3-2", v5="3.10.3-2")
async def test_an_unsubscribe_without_a_filter_ends_the_connection(level):
    told = await ends(join(world(), level), frame(0xA2, b"\0\1", of_level(level)))
    assert told == (ReasonCode.PROTOCOL_ERROR if level == MQTT_5 else None)


@states(v4="3.10.4-1", v5="3.10.4-1")
async def test_only_the_filter_of_the_same_characters_is_taken_back(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("a/+", "a/#", "A/b"))
    await says(client, mqtt.Unsubscribe(2, ("a/b", "#", "a/+/", "A/B")))
    assert client.connection.session is not None
    assert set(client.connection.session.grants) == {"a/+", "a/#", "A/b"}
    await says(client, mqtt.Unsubscribe(3, ("a/+", "A/b")))
    await says(join(table, level, "p"), publish("a/b", b"1"), publish("A/b", b"2"))
    assert await messages(client) == [b"1"]
    await says(client, mqtt.Unsubscribe(4, ("a/#",)))
    await says(join(table, level, "q"), publish("a/b", b"3"))
    assert await messages(client) == []


@states(v4="3.10.4-2", v5="3.10.4-2")
async def test_after_unsubscribe_nothing_new_comes(level):
    table = world()
    client, publisher = join(table, level), join(table, level, "p")
    await says(client, subscribe("a", qos=2))
    await says(publisher, publish("a", b"before"))
    await says(client, mqtt.Unsubscribe(2, ("a",)))
    await says(publisher, *(publish("a", b"after", qos or None, qos=qos) for qos in (0, 1, 2)))
    assert await messages(client) == []


@states(v4="3.10.4-3", v5="3.10.4-3")
async def test_what_is_on_its_way_is_completed_after_unsubscribe(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=2))
    await says(join(table, level, "p"), publish("a", b"1", 1), publish("a", b"2", 2, qos=2))
    one, two = (each.packet_id for each in client.takes())
    await says(client, mqtt.Unsubscribe(2, ("a",)))
    client.connection.lost()
    client = join(table, level, kept=True, present=True)
    assert [each.packet_id for each in await says(client)] == [one, two]
    assert await says(client, mqtt.PubAck(one), mqtt.PubRec(two)) == [mqtt.PubRel(two)]
    assert await says(client, mqtt.PubComp(two)) == []


@states(v4="3.10.4-4 3.10.4-5", v5="3.10.4-4 3.10.4-5 3.11.3-2")
async def test_every_unsubscribe_is_answered_with_its_identifier(level):
    client = join(world(), level)
    await says(client, subscribe("a"))
    numbers = (1, 300, 65_535)
    answers = await says(client, *(mqtt.Unsubscribe(number, ("a",)) for number in numbers))
    missing = (ReasonCode.NO_SUBSCRIPTION_EXISTED,)
    reasons = [(ReasonCode.SUCCESS,), missing, missing] if level == MQTT_5 else [()] * 3
    assert answers == [mqtt.UnsubAck(number, reason) for number, reason in zip(numbers, reasons, strict=True)]


@states(v4="3.10.4-6", v5="3.10.4-6 3.11.3-1")
async def test_several_filters_are_taken_back_with_one_answer(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("a", "b", "c"))
    [answer] = await says(client, mqtt.Unsubscribe(2, ("b", "x", "a", "b")))
    yes, no = ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED
    assert answer == mqtt.UnsubAck(2, (yes, no, yes, no) if level == MQTT_5 else ())
    await says(join(table, level, "p"), *(publish(topic, topic.encode()) for topic in "abc"))
    assert await messages(client) == [b"c"]
