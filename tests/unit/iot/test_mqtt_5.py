"""The broker with clients of MQTT 5: what CONNECT agrees on, properties, aliases, options of subscriptions, quotas."""

import pytest

from littoral.core.mqtt_limits import MQTT_RECEIVE_MAXIMUM
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode, Subscription
from tests.support.mqtt_world import Client, World, publish, run, suback, subscribe, turn


def properties(**values):
    return Properties(**values)


# --- CONNECT


def test_mqtt_3_2_2_6_connack_says_what_the_broker_takes():
    agreed = World(mqtt_receive_maximum=7, mqtt_topic_aliases=3, mqtt_packet_bytes=1000).client5().agreed
    assert agreed == Properties(receive_maximum=7, topic_alias_maximum=3, maximum_packet_bytes=1000)


def test_mqtt_3_1_3_6_a_client_without_identifier_is_given_one_that_nobody_else_has():
    world = World()
    first, second = world.client5("").agreed, world.client5("").agreed
    assert first.assigned_client_id
    assert first.assigned_client_id != second.assigned_client_id
    assert world.client5(first.assigned_client_id, clean=False, present=False).agreed.assigned_client_id is None


@pytest.mark.parametrize(("asked", "told", "silent_s"), [(10, None, 15), (0, 60, 90), (120, 60, 90)])
def test_mqtt_3_2_2_21_the_servers_keep_alive_counts(asked, told, silent_s):
    world = World(mqtt_keep_alive_seconds=60)
    client = world.client5(keep_alive_s=asked)
    assert client.agreed.server_keep_alive_s == told
    world.broker.sweep()
    world.clock.advance(seconds=silent_s - 1)
    world.broker.sweep()
    assert not client.closed
    world.clock.advance(seconds=1)
    world.broker.sweep()
    assert client.takes() == [mqtt.Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)]
    assert client.closed


def test_response_information_is_given_to_who_asks():
    assert World().client5("c").agreed.response_information is None
    assert World().client5("c", request_response_information=True).agreed.response_information == "response/c"


def test_mqtt_3_1_4_3_the_other_connection_is_told_that_its_session_was_taken_over():
    world = World()
    first = world.client5("c")
    world.client5("c")
    [goodbye] = first.takes()
    assert goodbye.reason is ReasonCode.SESSION_TAKEN_OVER
    assert goodbye.properties.reason_string == "another connection uses its client identifier"
    assert first.closed


def test_mqtt_3_1_2_29_who_wants_no_explanations_gets_none():
    world = World()
    first = world.client5("c", request_problem_information=False)
    world.client5("c")
    assert first.takes() == [mqtt.Disconnect(ReasonCode.SESSION_TAKEN_OVER)]


def test_mqtt_4_13_1_1_a_protocol_error_is_told_before_the_end():
    client = World().client5().sends(b"\xf0\x02\x19\x00\x30\x00")
    [goodbye] = client.takes()
    assert goodbye.reason is ReasonCode.PROTOCOL_ERROR
    assert client.closed


def test_what_was_answered_comes_before_the_last_word():
    client = World().client5().sends(subscribe("a"), b"\xf0\x00")
    assert [type(packet) for packet in client.takes()] == [mqtt.SubAck, mqtt.Disconnect]


def test_shutdown_is_told():
    world = World()
    client = world.client5()
    world.broker.close()
    assert client.takes() == [mqtt.Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)]


def test_a_client_that_an_operator_ends_is_told_and_its_session_stays():
    world = World()
    client = world.client5("c", session_expiry_s=60)
    assert world.broker.kick("c")
    assert not world.broker.kick("c")
    assert client.takes()[0].reason is ReasonCode.ADMINISTRATIVE_ACTION
    world.client5("c", clean=False, present=True)


def test_credentials_are_refused_with_a_reason():
    world = World(lambda *_: False)
    client = Client(world.broker, MQTT_5).sends(mqtt.Connect("c", True, 0, None, "u", b"x", MQTT_5))
    [connack] = client.takes()
    assert connack.reason is ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert client.closed


# --- Properties of messages


@run
async def test_mqtt_3_3_2_17_properties_travel_unaltered_and_user_properties_in_order():
    world = World(at_once=True)
    subscriber = world.subscriber5("a", name="s", qos=2)
    sent = properties(
        payload_format=1,
        content_type="text",
        response_topic="r",
        correlation_data=b"1",
        user=(("b", "1"), ("a", "2"), ("b", "1")),
    )
    publisher = world.client5("p")
    publisher.sends(
        publish("a", b"0", properties=sent),
        publish("a", b"1", 1, properties=sent),
        publish("a", b"2", 2, qos=2, properties=sent),
    )
    await turn()
    subscriber.gets(
        publish("a", b"0", properties=sent),
        publish("a", b"1", 1, properties=sent),
        publish("a", b"2", 2, qos=2, properties=sent),
    )


def test_a_reading_with_properties_reaches_its_rule_and_subscribers_of_3_1_1():
    world = World()
    old = world.subscriber("site/a", name="old")
    world.client5("p").sends(publish("site/a", b"1", properties=properties(user=(("k", "v"),))))
    assert world.intake.folded == [("site/a", b"1")]
    old.gets(publish("site/a", b"1"))


@pytest.mark.parametrize("packet_id", [None, 1])
def test_a_payload_that_is_not_the_text_it_says_it_is_refused(packet_id):
    world = World()
    client = world.client5().sends(publish("a", b"\xff", packet_id, properties=properties(payload_format=1)))
    [answer] = client.takes()
    assert answer.reason is ReasonCode.PAYLOAD_FORMAT_INVALID
    assert client.closed == (packet_id is None)


@run
async def test_mqtt_3_3_2_5_and_6_a_message_expires_and_what_is_left_of_its_time_travels():
    world = World(at_once=True)
    world.subscriber5("a", name="s", qos=1, session_expiry_s=1000).sends(mqtt.Disconnect())
    publisher = world.client5("p")
    publisher.sends(publish("a", b"gone", 1, properties=properties(message_expiry_s=5)))
    publisher.sends(publish("a", b"left", 2, properties=properties(message_expiry_s=60)))
    world.clock.advance(seconds=20)
    back = Client(world.broker, MQTT_5)
    back.sends(mqtt.Connect("s", False, 0, level=MQTT_5))
    assert back.takes()[1:] == [publish("a", b"left", 1, properties=properties(message_expiry_s=40))]


def test_a_retained_message_expires():
    world = World()
    world.client5("p").sends(publish("a", b"1", retain=True, properties=properties(message_expiry_s=5)))
    world.subscriber5("b", name="x").sends(subscribe("a")).gets(
        suback(1, 0), publish("a", b"1", retain=True, properties=properties(message_expiry_s=5))
    )
    world.clock.advance(seconds=5)
    world.client5("y").sends(subscribe("a")).gets(suback(1, 0))
    assert world.broker.statistics().retained == 0


# --- Topic aliases


def test_mqtt_3_3_2_12_a_topic_alias_stands_for_its_topic_until_it_is_set_anew():
    world = World()
    alias = properties(topic_alias=1)
    client = world.client5().sends(publish("site/a", b"1", properties=alias), publish("", b"2", properties=alias))
    client.sends(publish("site/b", b"3", properties=alias), publish("", b"4", properties=alias)).gets()
    assert world.intake.folded == [("site/a", b"1"), ("site/a", b"2"), ("site/b", b"3"), ("site/b", b"4")]


@pytest.mark.parametrize("alias", [2, 65_535])
def test_mqtt_3_3_2_9_an_alias_over_the_maximum_ends_the_connection(alias):
    client = World(mqtt_topic_aliases=1).client5().sends(publish("a", properties=properties(topic_alias=alias)))
    assert client.takes()[0].reason is ReasonCode.TOPIC_ALIAS_INVALID
    assert client.closed


def test_mqtt_3_3_2_7_an_alias_is_good_for_its_connection_only():
    world = World()
    world.client5("c").sends(publish("a", properties=properties(topic_alias=1))).connection.lost()
    client = world.client5("c").sends(publish("", properties=properties(topic_alias=1)))
    assert client.takes()[0].reason is ReasonCode.TOPIC_ALIAS_INVALID


def test_mqtt_3_1_2_26_the_broker_uses_no_more_aliases_than_the_client_takes():
    world = World()
    subscriber = world.subscriber5("#", name="s", topic_alias_maximum=1)
    world.client("p").sends(publish("a", b"1"), publish("b", b"2"), publish("a", b"3"))
    alias = properties(topic_alias=1)
    subscriber.gets(publish("a", b"1", properties=alias), publish("b", b"2"), publish("", b"3", properties=alias))


def test_a_message_that_sets_an_alias_is_not_dropped_for_a_slow_client():
    world = World(mqtt_send_queue_bytes=60)
    slow = world.subscriber5("#", name="s", topic_alias_maximum=9)
    slow.channel.wake = lambda outbox: None
    world.client("p").sends(publish("a", b"1"), *[publish("a", b"x" * 20)] * 4)
    slow.received = slow.connection._out.outbox.take()
    alias = properties(topic_alias=1)
    slow.gets(publish("a", b"1", properties=alias), publish("", b"x" * 20, properties=alias))


# --- What a client takes


def test_mqtt_3_1_2_24_a_message_that_is_too_large_for_a_client_is_not_sent_to_it():
    world = World()
    small, large = world.subscriber5("a", name="s", maximum_packet_bytes=20), world.subscriber5("a", name="l")
    world.client("p").sends(publish("a", b"x" * 20), publish("a", b"y"))
    small.gets(publish("a", b"y"))
    large.gets(publish("a", b"x" * 20), publish("a", b"y"))


@run
async def test_mqtt_3_1_2_25_a_message_that_is_too_large_counts_as_delivered():
    world = World(at_once=True)
    small = world.subscriber5("a", name="s", qos=1, maximum_packet_bytes=20)
    world.client("p").sends(publish("a", b"x" * 20, 1), publish("a", b"y", 2))
    small.gets(publish("a", b"y", 2))
    assert small.connection.session.deliveries.waiting == 1


@run
async def test_mqtt_3_3_4_7_no_more_are_sent_than_the_client_takes_at_a_time():
    world = World(at_once=True)
    subscriber = world.subscriber5("a", name="s", qos=2, receive_maximum=2)
    world.client("p").sends(*(publish("a", b"%d" % each, each, qos=2) for each in (1, 2, 3)))
    await turn()
    subscriber.gets(publish("a", b"1", 1, qos=2), publish("a", b"2", 2, qos=2))
    subscriber.sends(mqtt.PubRec(1)).gets(mqtt.PubRel(1)).sends(mqtt.PubComp(1)).gets(publish("a", b"3", 3, qos=2))


@run
async def test_a_client_that_is_back_and_takes_fewer_at_a_time_is_sent_fewer_again():
    world = World(at_once=True)
    subscriber = world.subscriber5("a", name="s", qos=1, session_expiry_s=60)
    world.client("p").sends(*(publish("a", b"%d" % each, each) for each in (1, 2, 3)))
    subscriber.connection.lost()
    back = Client(world.broker, MQTT_5)
    asked = properties(receive_maximum=1)
    back.sends(mqtt.Connect("s", False, 0, level=MQTT_5, properties=asked))
    for each in (1, 2, 3):
        [packet] = back.takes()[-1:]
        assert packet == publish("a", b"%d" % each, each, duplicate=True)
        back.sends(mqtt.PubAck(each))
    back.gets()


@run
async def test_mqtt_3_3_4_9_a_client_that_sends_more_than_the_broker_takes_is_closed():
    world = World(mqtt_receive_maximum=2)
    client = world.client5()
    client.sends(publish("a", b"1", 1), publish("a", b"2", 2, qos=2)).gets()
    client.sends(publish("a", b"2", 2, qos=2, duplicate=True)).gets()
    client.sends(publish("a", b"3", 3))
    assert client.takes()[0].reason is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    assert world.limits.reached[MQTT_RECEIVE_MAXIMUM.name] == 1


@run
async def test_a_client_that_waits_for_its_acknowledgements_may_send_for_ever():
    world = World(at_once=True, mqtt_receive_maximum=1)
    client = world.client5()
    for each in (1, 2, 3):
        client.sends(publish("a", b"1", each))
        await turn()
        client.gets(mqtt.PubAck(each)).sends(publish("a", b"1", each, qos=2))
        await turn()
        client.gets(mqtt.PubRec(each)).sends(mqtt.PubRel(each)).gets(mqtt.PubComp(each))


# --- Subscriptions


def test_mqtt_3_3_4_4_one_copy_has_the_identifiers_of_all_subscriptions_that_fit():
    world = World()
    subscriber = world.subscriber5("a/#", name="s", identifier=3).sends(subscribe("a/+", identifier=2))
    subscriber.sends(subscribe("a/b")).takes()
    world.client("p").sends(publish("a/b", b"1"))
    subscriber.gets(publish("a/b", b"1", properties=properties(subscription_ids=(2, 3))))


def test_mqtt_3_8_4_3_a_subscription_that_is_made_anew_has_its_new_terms_only():
    world = World()
    subscriber = world.subscriber5("a", name="s", identifier=3).sends(subscribe("a", identifier=4)).gets(suback(1, 0))
    world.client("p").sends(publish("a", b"1"))
    subscriber.gets(publish("a", b"1", properties=properties(subscription_ids=(4,))))


def test_mqtt_3_8_3_3_no_local_keeps_a_clients_own_messages_from_it():
    world = World()
    both = world.client5("b").sends(mqtt.Subscribe(1, (Subscription("a", 0, no_local=True),))).gets(suback(1, 0))
    other = world.subscriber5("a", name="o")
    both.sends(publish("a", b"own"), publish("a", b"own again")).gets()
    other.gets(publish("a", b"own"), publish("a", b"own again")).sends(publish("a", b"other's"))
    both.gets(publish("a", b"other's"))
    other.gets(publish("a", b"other's"))


@run
async def test_no_local_counts_for_stored_messages_too_and_only_for_its_filter():
    world = World(at_once=True)
    client = world.client5("b").sends(mqtt.Subscribe(1, (Subscription("a", 2, no_local=True), Subscription("#", 0))))
    client.gets(suback(1, 2, 0)).sends(publish("a", b"1", 1))
    await turn()
    client.gets(publish("a", b"1"), mqtt.PubAck(1))


def test_mqtt_3_3_1_13_retain_as_published_keeps_the_flag_and_else_it_is_0():
    world = World()
    kept = world.client5("k").sends(mqtt.Subscribe(1, (Subscription("a", 0, retain_as_published=True),)))
    plain = world.subscriber5("a", name="p")
    kept.gets(suback(1, 0))
    world.client("x").sends(publish("a", b"1", retain=True), publish("a", b"2"))
    kept.gets(publish("a", b"1", retain=True), publish("a", b"2"))
    plain.gets(publish("a", b"1"), publish("a", b"2"))


@run
async def test_one_message_has_the_flag_version_and_qos_of_each_of_its_subscribers():
    world = World(at_once=True)
    kept = world.client5("k").sends(mqtt.Subscribe(1, (Subscription("a", 1, retain_as_published=True),)))
    kept.gets(suback(1, 1))
    plain, old = world.subscriber5("a", name="p", qos=1), world.subscriber("a", name="o", qos=1)
    two = world.subscriber5("a", name="2", qos=2)
    sent = properties(user=(("k", "v"),))
    world.client5("x").sends(publish("a", b"1", 9, qos=2, retain=True, properties=sent))
    await turn()
    kept.gets(publish("a", b"1", 1, retain=True, properties=sent))
    plain.gets(publish("a", b"1", 1, properties=sent))
    two.gets(publish("a", b"1", 1, qos=2, properties=sent))
    old.gets(publish("a", b"1", 1))


@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_mqtt_3_3_1_9_retained_messages_come_as_the_subscription_says(handling, first, again):
    world = World()
    world.client("p").sends(publish("a", b"1", retain=True))
    client = world.client5("s")
    for expected in (first, again):
        client.sends(mqtt.Subscribe(1, (Subscription("a", 0, retain_handling=handling),)))
        client.gets(suback(1, 0), *[publish("a", b"1", retain=True)] * expected)


def test_mqtt_3_11_3_2_unsuback_says_of_each_filter_whether_it_was_there():
    client = World().subscriber5("a").sends(mqtt.Unsubscribe(2, ("a", "b")))
    client.gets(mqtt.UnsubAck(2, (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)))


# --- The hot path


def test_publishes_of_both_versions_find_the_same_fold_and_no_other():
    world = World()
    old, five = world.client("old"), world.client5("five")
    for _ in range(3):
        old.sends(*[publish("site/a", b"4")] * 100)
        five.sends(*[publish("site/a", b"5")] * 100)
    assert world.intake.folded == ([("site/a", b"4")] * 100 + [("site/a", b"5")] * 100) * 3
    old.sends(publish("site/a", b"\0zero"))
    assert world.intake.folded[-1] == ("site/a", b"\0zero")


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_publishes_with_and_without_properties_arrive_however_they_are_cut(step):
    world = World()
    client = world.client5()
    more = properties(user=(("k", "v"),))
    packets = [
        publish("site/a", b"1"),
        publish("site/a", b"2", properties=more),
        publish("site/bb", b""),
        mqtt.PingReq(),
    ]
    data = client._bytes(packets * 30)
    for start in range(0, len(data), step):
        client.connection.receive(data[start : start + step])
    assert world.intake.folded == [("site/a", b"1"), ("site/a", b"2"), ("site/bb", b"")] * 30
    client.gets(*[mqtt.PingResp()] * 30)
