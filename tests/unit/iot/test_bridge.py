"""A bridge between a broker in memory and another one, as transcripts."""

import asyncio
import logging

import pytest

from littoral.core.errors import StorageFull
from littoral.iot.access import LoginOnly
from littoral.iot.bridge_access import BridgeAccess
from littoral.iot.session_store import Enqueue, Send, Taken
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, ReasonCode
from tests.support.mqtt_bridge import HERE, NODE, SUBSCRIBE_ID, Other, begun, topic
from tests.support.mqtt_world import Client, HeldStore, World, publish, run, turn

pytestmark = pytest.mark.usefixtures("caplog")


async def site(*topics, level=MQTT_5, world=None, told=None, **terms):
    """A world with a bridge that is open."""
    world = world or World(at_once=True)
    assert await begun(world, *topics) is False
    other = Other(world, *topics, level=level, **terms)
    await other.joins(**(told or {}))
    return world, other


def session_of(world):
    found = world.broker.sessions.get(HERE)
    assert found is not None
    return found


def waiting(world):
    return session_of(world).deliveries.waiting


# --- Joining


@run
async def test_it_asks_for_a_session_that_is_kept_and_for_nothing_of_its_own():
    world = World(at_once=True)
    await begun(world)
    other = Other(world, username="plant", password=b"secret")
    connect = await other.joins()
    assert (connect.client_id, connect.clean_start, connect.username, connect.password) == (
        "a-up",
        False,
        "plant",
        b"secret",
    )
    assert connect.properties == mqtt.Properties(
        session_expiry_s=604_800, receive_maximum=1024, maximum_packet_bytes=256 * 1024
    )
    assert other.remembered[-1] == {"site/#"}
    assert not other.paused


@run
async def test_it_subscribes_without_what_it_publishes_itself_under_an_identifier_that_no_message_has():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(False))
    wanted = mqtt.Subscription("site/#", 2, no_local=True, retain_as_published=True, retain_handling=1)
    await other.gets(mqtt.Subscribe(SUBSCRIBE_ID, (wanted,)))
    [here] = session_of(world).grants.values()
    assert here.subscription.no_local
    assert here.subscription.retain_as_published


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_a_session_begins_anew_on_a_connection_of_its_own(level):
    @run
    async def story():
        world = World(at_once=True)
        await begun(world)
        other = Other(world, level=level, begins_anew=True)
        other.bridge.begin()
        connect = other.bridge_connect()
        assert connect.clean_start
        assert connect.properties.session_expiry_s is None
        other.sends(mqtt.ConnAck(False))
        assert (other.ended, other.remembered) == ([None], [frozenset()])
        await other.gets(mqtt.Disconnect())

    story()


@run
async def test_in_3_1_1_it_says_that_it_is_a_bridge():
    _, other = await site()
    assert not other.said.is_bridge
    _, other = await site(level=MQTT_3_1_1, asks_as_bridge=True)
    assert other.said.is_bridge


@run
async def test_what_an_earlier_document_wanted_is_taken_back():
    world = World(at_once=True)
    await begun(world, topic("old", here="", there=""))
    other = Other(world, topic("new", here="", there=""), known=frozenset({"old", "new"}))
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(True))
    await other.gets(mqtt.Unsubscribe(SUBSCRIBE_ID, ("old",)))
    assert other.remembered == [{"old", "new"}]
    other.sends(mqtt.UnsubAck(SUBSCRIBE_ID, (ReasonCode.SUCCESS,)))
    await turn()
    [subscribed] = other.takes()
    assert [each.filter for each in subscribed.subscriptions] == ["new"]
    assert other.remembered[-1] == {"new"}
    assert list(session_of(world).grants) == ["new"]


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_in_3_1_1_only_what_is_missing_is_subscribed_to_as_retained_messages_come_with_each_subscribe(level):
    @run
    async def story():
        world = World(at_once=True)
        topics = [topic("a", here="", there=""), topic("b", here="", there="")]
        await begun(world, *topics)
        first = Other(world, topics[0], level=level)
        await first.joins()
        assert first.subscribed == ({"a": 2} if level == MQTT_3_1_1 else {})
        first.bridge.lost("")
        known = {"known": first.remembered[-1], "subscribed": first.subscribed}
        for present in (True, False):
            again = Other(world, *topics, level=level, **known)
            again.bridge.begin()
            again.bridge_connect()
            again.sends(mqtt.ConnAck(present))
            await turn()
            [asked] = again.takes()
            expected = ["b"] if present and level == MQTT_3_1_1 else ["a", "b"]
            assert [each.filter for each in asked.subscriptions] == expected
            again.bridge.lost("")

    story()


@run
async def test_in_3_1_1_what_was_refused_or_is_wanted_otherwise_is_subscribed_to_again():
    world = World(at_once=True)
    await begun(world)
    other = Other(world, topic("a", there=""), topic("b", there=""), level=MQTT_3_1_1)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(False))
    await turn()
    other.takes()
    other.sends(mqtt.SubAck(SUBSCRIBE_ID, (ReasonCode.GRANTED_QOS_2, ReasonCode.UNSPECIFIED_ERROR)))
    assert other.subscribed == {"a": 2}
    other.bridge.lost("")
    topics = [topic("a", qos=1, there=""), topic("b", there="")]
    again = Other(world, *topics, level=MQTT_3_1_1, known=frozenset("ab"), subscribed=other.subscribed)
    again.bridge.begin()
    again.bridge_connect()
    again.sends(mqtt.ConnAck(True))
    await turn()
    [asked] = again.takes()
    assert [(each.filter, each.qos) for each in asked.subscriptions] == [("a", 1), ("b", 2)]
    assert again.subscribed == {}


@run
async def test_nothing_is_subscribed_to_that_a_restart_would_not_know_of():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.storage_error = StorageFull("write", "bridges.json", "no space is left")
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(True))
    await other.gets()
    assert other.ended == [other.storage_error]


@run
async def test_what_the_other_broker_does_not_allow_is_said_and_the_rest_goes_over():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(False))
    await turn()
    other.takes()
    other.sends(mqtt.SubAck(SUBSCRIBE_ID, (ReasonCode.NOT_AUTHORIZED,)))
    [error] = other.opened_with
    assert "does not let it subscribe to site/# (NOT_AUTHORIZED)" in str(error)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, "bad user name or password"),
        (ReasonCode.NOT_AUTHORIZED, "passwordFile"),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "clientId"),
    ],
)
def test_a_refusal_names_the_bridge_its_host_and_a_remedy_and_no_password(reason, words, caplog):
    @run
    async def story():
        world = World(at_once=True)
        await begun(world)
        other = Other(world, username="plant", password=b"hunter2")
        other.bridge.begin()
        other.bridge_connect()
        other.sends(mqtt.ConnAck(False, reason))
        [error] = other.ended
        assert "up to broker.test:1883" in str(error)
        assert words in str(error)
        assert other.is_cut
        assert "hunter2" not in str(error) + repr(error)

    with caplog.at_level(logging.DEBUG):
        story()
    assert "hunter2" not in caplog.text


@run
async def test_a_broker_that_takes_less_qos_is_not_sent_more():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    other.sends(mqtt.ConnAck(False, properties=mqtt.Properties(maximum_qos=1)))
    assert "QoS 1 at most" in str(other.ended)


@pytest.mark.parametrize("most", [0, 1])
def test_what_waits_since_a_document_that_wanted_more_goes_over_at_what_the_other_broker_takes(most):
    @run
    async def story():
        world = World(at_once=True)
        await begun(world)
        world.client("c").sends(publish("plant/a", b"1", 1), publish("plant/a", b"2", 2, qos=2))
        await turn()
        other = Other(world, topic(qos=most))
        await other.joins(maximum_qos=most)
        ids = (1, 2) if most else (None, None)
        await other.gets(*(publish("site/a", b"%d" % (at + 1), ids[at]) for at in range(2)))
        if most:
            assert waiting(world) == 2
            other.sends(mqtt.PubAck(1), mqtt.PubAck(2))
        await other.gets()
        assert (waiting(world), other.ended) == (0, [])
        world.client("c").sends(publish("plant/a", b"3", 1))
        await other.gets(publish("site/a", b"3", 3 if most else None))

    story()


@run
async def test_a_broker_of_3_1_1_that_is_asked_in_5_says_so_in_its_own_words():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(b"\x20\x02\0\x01")
    [error] = other.ended
    assert "unsupported protocol version. Set `version` to one that the other broker speaks" in str(error)
    assert other.bridge.is_unknown


@run
async def test_what_a_session_took_that_the_other_broker_lost_is_released_here_and_what_it_takes_then_there():
    """There are brokers that close the connection for a PUBREL that they do not know, and would with each."""
    world, other = await site()
    world.client("c").sends(publish("plant/a", b"1", 7, qos=2))
    await other.gets(publish("site/a", b"1", 1, qos=2))
    other.sends(mqtt.PubRec(1))
    await other.gets(mqtt.PubRel(1))
    other.bridge.lost("")
    again = Other(world)
    await again.joins(session_present=False)
    await again.gets()
    assert waiting(world) == 0
    world.client("c").sends(publish("plant/a", b"2", 8, qos=2))
    await again.gets(publish("site/a", b"2", 2, qos=2))
    again.sends(mqtt.PubRec(2))
    await again.gets(mqtt.PubRel(2))


@run
async def test_what_another_broker_took_at_qos_2_is_not_released_at_one_that_does_not_know_that():
    world, other = await site()
    world.client("c").sends(publish("plant/a", b"1", 7, qos=2))
    await other.gets(publish("site/a", b"1", 1, qos=2))
    other.sends(mqtt.PubRec(1))
    await other.gets(mqtt.PubRel(1))
    other.bridge.lost("")
    again = Other(world, topic(qos=1))
    await again.joins(maximum_qos=1)
    await again.gets()
    assert waiting(world) == 0


@run
async def test_nobody_else_gets_the_session_of_a_bridge():
    world = World(access=BridgeAccess(LoginOnly(lambda *_: True), "secret"), at_once=True)
    await begun(world)
    thief = Client(world.broker, MQTT_5)
    thief.sends(mqtt.Connect(HERE, False, 0, level=MQTT_5))
    [refused] = thief.takes()
    assert refused.reason.failed
    assert thief.closed
    assert world.broker.sessions.get(HERE) is not None


@run
async def test_a_session_that_the_other_broker_has_lost_is_said():
    world = World(at_once=True)
    await begun(world)
    for present, words in ((True, ""), (False, "has lost the session of the bridge")):
        other = Other(world, known=frozenset({"site/#"}))
        other.bridge.begin()
        other.bridge_connect()
        other.sends(mqtt.ConnAck(present))
        await turn()
        other.sends(mqtt.SubAck(SUBSCRIBE_ID, (ReasonCode.GRANTED_QOS_2,)))
        [error] = other.opened_with
        assert words in str(error or "")
        assert (error is None) is present
        other.bridge.lost("")


# --- Out


@run
async def test_a_message_goes_out_under_another_name_and_waits_until_it_is_acknowledged():
    world, other = await site()
    world.client5("c").sends(publish("plant/a", b"1", 7))
    await other.gets(publish("site/a", b"1", 1))
    assert waiting(world) == 1
    other.sends(mqtt.PubAck(1))
    assert waiting(world) == 0
    assert other.counters.sent == 1


@run
async def test_a_message_is_marked_with_the_node_that_it_passed():
    world, other = await site()
    world.client5("c").sends(publish("plant/a", b"1", 7, properties=mqtt.Properties(user=(("k", "v"),))))
    await turn()
    body, end = mqtt.header(other.received, 0, 1 << 20, MQTT_5) or (0, 0)
    packet = mqtt.decode(other.received[0], other.received[body:end], MQTT_5)
    assert isinstance(packet, mqtt.Publish)
    assert packet.properties.user == (("k", "v"), ("littoral-hop", NODE))


@run
async def test_what_was_published_before_there_was_a_connection_goes_out_in_order():
    world = World(at_once=True)
    await begun(world)
    world.client("c").sends(publish("plant/a", b"1", 1), publish("plant/a", b"2", 2), publish("other", b"3", 3))
    await turn()
    assert waiting(world) == 2
    other = Other(world)
    await other.joins()
    await other.gets(publish("site/a", b"1", 1), publish("site/a", b"2", 2))


@run
async def test_no_more_is_in_flight_than_the_other_broker_takes():
    world, other = await site(told={"receive_maximum": 1})
    world.client("c").sends(publish("plant/a", b"1", 1), publish("plant/a", b"2", 2))
    await other.gets(publish("site/a", b"1", 1))
    other.sends(mqtt.PubAck(1))
    await other.gets(publish("site/a", b"2", 2))


@run
async def test_a_broker_of_3_1_1_which_cannot_say_how_many_it_takes_gets_few_at_a_time():
    world, other = await site(world=World(at_once=True, mqtt_bridge_inflight=1), level=MQTT_3_1_1)
    world.client("c").sends(publish("plant/a", b"1", 1), publish("plant/a", b"2", 2))
    await other.gets(publish("site/a", b"1", 1))
    other.sends(mqtt.PubAck(1))
    await other.gets(publish("site/a", b"2", 2))


@run
async def test_a_qos_2_message_is_written_before_it_goes_out_and_released_after_that_is_written():
    store = HeldStore()
    world = World(store=store)
    task = asyncio.ensure_future(begun(world))
    for _ in range(4):
        await turn()
        await store.done()
    await task
    other = Other(world)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(False))
    for _ in range(4):
        await store.done()
    other.takes()
    world.client("c").sends(publish("plant/a", b"1", 7, qos=2))
    changes = await store.done()
    assert [type(each) for each in changes] == [Enqueue]
    await other.gets()
    changes = await store.done()
    assert [type(each) for each in changes] == [Send]
    await other.gets(publish("site/a", b"1", 1, qos=2))
    other.sends(mqtt.PubRec(1))
    await other.gets()
    changes = await store.done()
    assert [type(each) for each in changes] == [Taken]
    await other.gets(mqtt.PubRel(1))


@run
async def test_a_qos_2_exchange_goes_on_where_it_was_on_another_connection():
    world, other = await site()
    world.client("c").sends(publish("plant/a", b"1", 7, qos=2))
    await other.gets(publish("site/a", b"1", 1, qos=2))
    other.sends(mqtt.PubRec(1))
    await other.gets(mqtt.PubRel(1))
    other.bridge.lost("")
    again = Other(world)
    await again.joins(session_present=True)
    await again.gets(mqtt.PubRel(1))
    again.sends(mqtt.PubComp(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
    assert waiting(world) == 0


@run
async def test_nothing_is_taken_from_the_session_while_the_other_broker_does_not_read():
    world, other = await site()
    other.bridge.blocked(blocked=True)
    world.client("c").sends(publish("plant/a", b"1", 7))
    await other.gets()
    other.bridge.blocked(blocked=False)
    await other.gets(publish("site/a", b"1", 1))


@run
async def test_a_message_that_is_too_large_there_does_not_hold_up_those_behind_it():
    world, other = await site(told={"maximum_packet_bytes": 200})
    world.client("c").sends(publish("plant/a", b"x" * 300, 1), publish("plant/a", b"2", 2))
    await other.gets(publish("site/a", b"2", 2))
    assert (waiting(world), other.counters.dropped) == (1, 1)


@run
async def test_a_message_whose_topic_is_none_of_the_bridge_any_more_is_dropped_and_its_identifier_released_there():
    world, other = await site()
    world.client("c").sends(publish("plant/a", b"1", 7, qos=2))
    await other.gets(publish("site/a", b"1", 1, qos=2))
    other.bridge.lost("")
    again = Other(world, topic("b"))
    await again.joins(session_present=True)
    await again.gets(mqtt.PubRel(1))
    again.sends(mqtt.PubComp(1))
    assert (waiting(world), again.counters.dropped) == (0, 1)


@run
async def test_a_retained_message_is_sent_as_one_unless_the_other_broker_keeps_none():
    for keeps in (True, False):
        world, other = await site(told={"retain_available": keeps})
        world.client("c").sends(publish("plant/a", b"1", 7, retain=True))
        await other.gets(publish("site/a", b"1", 1, retain=keeps))


@run
async def test_properties_travel_in_mqtt_5_and_not_in_3_1_1():
    properties = mqtt.Properties(content_type="text/plain", user=(("k", "v"),))
    world, other = await site()
    world.client5("c").sends(publish("plant/a", b"1", 7, properties=properties))
    await other.gets(publish("site/a", b"1", 1, properties=properties))
    world, other = await site(level=MQTT_3_1_1)
    world.client5("c").sends(publish("plant/a", b"1", 7, properties=properties))
    await other.gets(publish("site/a", b"1", 1))


# --- In


@run
async def test_a_message_that_comes_in_is_acknowledged_once_it_is_stored():
    world, other = await site()
    world.intake.at_once = False
    subscriber = world.subscriber("plant/#", name="s", qos=1)
    other.sends(publish("site/a", b"1", 9))
    await other.gets()
    [future, records] = world.intake.stores[-1]
    assert [record[:2] for record in records] == [["plant/a", b"1"]]
    future.set_result(None)
    await other.gets(mqtt.PubAck(9))
    subscriber.gets(publish("plant/a", b"1", 1))


@run
async def test_a_qos_2_message_that_comes_again_on_another_connection_is_the_same():
    world, other = await site()
    subscriber = world.subscriber("plant/#", name="s", qos=0)
    other.sends(publish("site/a", b"1", 9, qos=2))
    await other.gets(mqtt.PubRec(9))
    other.bridge.lost("")
    again = Other(world)
    await again.joins(session_present=True)
    again.sends(publish("site/a", b"1", 9, qos=2, duplicate=True))
    await again.gets(mqtt.PubRec(9))
    again.sends(mqtt.PubRel(9))
    await again.gets(mqtt.PubComp(9))
    subscriber.gets(publish("plant/a", b"1"))


@run
async def test_identifiers_of_a_session_that_the_other_broker_lost_are_good_for_other_messages():
    world, other = await site()
    subscriber = world.subscriber("plant/#", name="s", qos=0)
    other.sends(publish("site/a", b"1", 9, qos=2))
    await other.gets(mqtt.PubRec(9))
    other.bridge.lost("")
    again = Other(world)
    again.bridge.begin()
    again.bridge_connect()
    # The message is in the same read as CONNACK: it waits until the identifier is free.
    again.sends(mqtt.ConnAck(False), publish("site/a", b"2", 9, qos=2))
    assert again.paused
    await turn()
    await turn()
    assert mqtt.PubRec(9) in again.takes()
    assert not again.paused
    subscriber.gets(publish("plant/a", b"1"), publish("plant/a", b"2"))


@run
async def test_a_message_that_was_here_before_is_acknowledged_and_goes_nowhere():
    world, other = await site()
    subscriber = world.subscriber("plant/#", name="s")
    marked = mqtt.Properties(user=(("littoral-hop", "b"), ("littoral-hop", NODE)))
    other.sends(mqtt.Publish("site/a", b"1", 1, packet_id=9, properties=marked))
    await other.gets(mqtt.PubAck(9))
    subscriber.gets()
    assert other.counters.returned == 1


@run
async def test_what_came_over_a_bridge_does_not_go_back_over_it():
    world, other = await site()
    subscriber = world.subscriber("plant/#", name="s")
    other.sends(publish("site/a", b"1"))
    await other.gets()
    subscriber.gets(publish("plant/a", b"1"))


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_is_too_large_here_does_not_hold_up_those_behind_it(qos):
    @run
    async def story():
        world, other = await site(world=World(at_once=True, mqtt_packet_bytes=400), level=MQTT_3_1_1)
        subscriber = world.subscriber("plant/#", name="s")
        large = mqtt.encode(publish("site/a", b"x" * 5000, 9, qos=qos))
        for at in range(0, len(large), 100):
            other.sends(large[at : at + 100])
        await other.gets(mqtt.PubAck(9) if qos == 1 else mqtt.PubRec(9))
        if qos == 2:
            other.sends(mqtt.PubRel(9))
            await other.gets(mqtt.PubComp(9))
        other.sends(publish("site/a", b"2"))
        await turn()
        subscriber.gets(publish("plant/a", b"2"))
        assert other.counters.dropped == 1

    story()


@run
async def test_a_message_that_breaks_a_rule_of_mqtt_does_not_hold_up_those_behind_it():
    world, other = await site()
    subscriber = world.subscriber("plant/#", name="s")
    other.sends(b"\x34\x0d\0\x06site/a\0\x09\x02\x01\x07", publish("site/a", b"2"))
    await other.gets(mqtt.PubRec(9))
    other.sends(mqtt.PubRel(9))
    await other.gets(mqtt.PubComp(9))
    subscriber.gets(publish("plant/a", b"2"))
    assert (other.counters.dropped, other.ended) == (1, [])
    assert not world.limits.reached["mqtt-packet-bytes"]


@run
async def test_a_message_of_no_topic_of_the_bridge_is_acknowledged_and_dropped():
    _, other = await site()
    other.sends(publish("elsewhere", b"1", 9))
    await other.gets(mqtt.PubAck(9))
    assert other.counters.dropped == 1


@run
async def test_a_payload_that_is_not_the_text_it_says_goes_as_bytes():
    world, other = await site()
    subscriber = world.subscriber5("plant/#", name="s")
    other.sends(mqtt.Publish("site/a", b"\xff", properties=mqtt.Properties(payload_format=1)))
    await turn()
    marked = mqtt.Properties(user=(("littoral-fetched", NODE),))
    subscriber.gets(publish("plant/a", b"\xff", properties=marked))


@run
async def test_more_may_be_in_flight_in_3_1_1_than_this_broker_tells_others():
    _, other = await site(world=World(at_once=True, mqtt_receive_maximum=1), level=MQTT_3_1_1)
    other.sends(publish("site/a", b"1", 1, qos=2), publish("site/a", b"2", 2, qos=2))
    await other.gets(mqtt.PubRec(1), mqtt.PubRec(2))
    assert other.ended == []


# --- Silence and the end


@run
async def test_a_connection_is_asked_when_it_is_quiet_and_given_up_when_nothing_comes():
    world, other = await site()
    world.clock.advance(seconds=50)
    other.bridge.tick()
    await other.gets(mqtt.PingReq())
    other.sends(mqtt.PingResp())
    world.clock.advance(seconds=89)
    other.bridge.tick()
    await other.gets(mqtt.PingReq())
    world.clock.advance(seconds=2)
    other.bridge.tick()
    assert "nothing came from it for 90 s" in str(other.ended)


@run
async def test_a_broker_that_does_not_answer_is_given_up():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    world.clock.advance(seconds=11)
    other.bridge.tick()
    assert "it does not answer" in str(other.ended)


@run
async def test_a_short_keep_alive_of_this_broker_does_not_end_a_quiet_bridge():
    world, other = await site(world=World(at_once=True, mqtt_keep_alive_seconds=4))
    for _ in range(20):
        world.clock.advance(seconds=1)
        other.bridge.tick()
        await turn()
        world.broker.sweep()
        other.sends(mqtt.PingResp())
    assert other.ended == []


@run
async def test_a_connection_that_is_not_read_for_long_is_kept_alive():
    _, other = await site()
    other.bridge.pause_far(paused=True)
    for _ in range(3):
        for _ in range(46):
            other.world.clock.advance(seconds=1)
            other.bridge.tick()
        await other.gets(mqtt.PingReq())
    assert other.ended == []


@run
async def test_a_disk_of_this_node_that_does_not_answer_is_not_laid_at_the_other_brokers_door():
    world = World(at_once=True)
    await begun(world)
    other = Other(world)
    other.bridge.begin()
    other.bridge_connect()
    other.sends(mqtt.ConnAck(False))
    world.clock.advance(seconds=11)
    other.bridge.tick()
    assert "this node's broker does not answer" in str(other.ended)


@run
async def test_a_bridge_that_is_no_more_leaves_no_session_there():
    _, other = await site()
    other.bridge.stop(forget=True)
    await other.gets(mqtt.Disconnect(properties=mqtt.Properties(session_expiry_s=0)))
    assert other.ended == [None]


@run
async def test_in_3_1_1_where_a_session_cannot_be_ended_nothing_is_left_to_wait_in_it():
    _, other = await site(level=MQTT_3_1_1)
    other.bridge.stop(forget=True)
    await other.gets(mqtt.Unsubscribe(SUBSCRIBE_ID, ("site/#",)), mqtt.Disconnect())
    _, other = await site(level=MQTT_3_1_1)
    other.bridge.stop()
    await other.gets(mqtt.Disconnect())


@run
async def test_what_breaks_a_rule_of_mqtt_ends_the_connection():
    _, other = await site()
    other.sends(b"\x36\x04\0\x01a\0")
    assert "broke a rule of MQTT: QoS 3 [MQTT-3.3.1-4]" in str(other.ended)
    assert other.is_cut


@run
async def test_an_operator_who_kicks_it_ends_the_connection_and_not_the_session():
    world, other = await site()
    assert world.broker.kick(HERE)
    assert "this node's broker has ended it" in str(other.ended)
    assert world.broker.sessions.get(HERE) is not None


@run
async def test_sessions_of_bridges_are_not_forgotten_for_those_of_others():
    world = World(at_once=True, mqtt_sessions=1)
    await begun(world)
    for name in ("a", "b"):
        world.client(name, clean=False).connection.lost()
    assert world.broker.sessions.get(HERE) is not None
