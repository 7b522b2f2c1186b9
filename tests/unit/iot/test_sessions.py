"""How sessions and wills wait for their clients, and end."""

import pytest

from littoral.iot.message import Message
from littoral.iot.session_rows import encode_message
from littoral.iot.session_store import EndSession, EndWill, KeepSession, KeepWill, KeptMessage, KeptSession, KeptWill
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NEVER_S, Properties, ReasonCode, Subscription
from tests.support.fakes import START_MS
from tests.support.mqtt_world import Client, HeldStore, World, publish, run, suback, subscribe, turn


def will(delay_s=None, qos=0, **properties):
    return mqtt.Will("gone", b"bye", qos, False, Properties(will_delay_s=delay_s, **properties))


def later(world, seconds):
    """The time goes on, and the broker looks."""
    world.clock.advance(seconds=seconds)
    world.broker.sweep()


# --- Session expiry


def test_mqtt_3_1_2_23_a_session_is_kept_for_its_expiry_interval():
    world = World()
    world.client5("c", session_expiry_s=10).sends(mqtt.Disconnect())
    later(world, 9)
    world.client5("c", clean=False, present=True, session_expiry_s=10).sends(mqtt.Disconnect())
    later(world, 10)
    world.client5("c", clean=False, present=False)


def test_a_client_that_is_connected_does_not_expire():
    world = World()
    world.client5("c", session_expiry_s=10).sends(mqtt.Disconnect())
    client = world.client5("c", clean=False, present=True, session_expiry_s=10)
    later(world, 60)
    assert not client.closed
    client.connection.lost()
    world.client5("c", clean=False, present=True)


def test_an_expiry_interval_of_0_ends_the_session_with_its_connection():
    world = World()
    world.client5("c").connection.lost()
    world.client5("c", clean=False, present=False)


def test_a_session_that_never_expires_stays():
    world = World()
    world.client5("c", session_expiry_s=NEVER_S).sends(mqtt.Disconnect())
    later(world, 10 * 366 * 86_400)
    world.client5("c", clean=False, present=True)


def test_disconnect_may_change_the_expiry_interval():
    world = World()
    goodbye = mqtt.Disconnect(properties=Properties(session_expiry_s=60))
    world.client5("c", session_expiry_s=1).sends(goodbye)
    later(world, 30)
    ends = mqtt.Disconnect(properties=Properties(session_expiry_s=0))
    world.client5("c", clean=False, present=True, session_expiry_s=1).sends(ends)
    world.client5("c", clean=False, present=False)


def test_disconnect_cannot_keep_a_session_that_ends_with_its_connection():
    client = World().client5("c").sends(mqtt.Disconnect(properties=Properties(session_expiry_s=60)))
    assert client.takes()[0].reason is ReasonCode.PROTOCOL_ERROR


def test_mqtt_3_1_2_4_clean_start_ends_the_session_that_was():
    world = World()
    world.subscriber5("a", name="c", session_expiry_s=60).sends(mqtt.Disconnect())
    client = world.client5("c", clean=True, present=False)
    world.client("p").sends(publish("a"))
    client.gets()


# --- Wills


def test_mqtt_3_1_3_9_a_will_waits_for_its_delay_and_is_not_sent_if_the_client_is_back():
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will(10), session_expiry_s=60).connection.lost()
    later(world, 9)
    watcher.gets()
    world.client5("c", clean=False, present=True, will=will(10), session_expiry_s=60).connection.lost()
    later(world, 9)
    watcher.gets()
    later(world, 1)
    watcher.gets(publish("gone", b"bye"))
    later(world, 60)
    watcher.gets()


def test_a_client_that_is_back_without_a_will_has_none():
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will(10), session_expiry_s=60).connection.lost()
    world.client5("c", clean=False, present=True, session_expiry_s=60)
    later(world, 10)
    watcher.gets()
    world.broker.kick("c")
    later(world, 60)
    watcher.gets()


@pytest.mark.parametrize(("delay_s", "expiry_s", "after_s"), [(10, 3, 3), (10, 0, 0), (0, 60, 0), (None, 60, 0)])
def test_mqtt_3_1_2_8_a_will_is_sent_when_its_delay_or_its_session_is_over(delay_s, expiry_s, after_s):
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will(delay_s), session_expiry_s=expiry_s).connection.lost()
    if after_s:
        later(world, after_s - 1)
        watcher.gets()
        later(world, 1)
    watcher.gets(publish("gone", b"bye"))


@pytest.mark.parametrize(("reason", "sent"), [(ReasonCode.NORMAL_DISCONNECTION, False), (ReasonCode(4), True)])
def test_mqtt_3_14_4_3_a_normal_goodbye_discards_the_will(reason, sent):
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will()).sends(mqtt.Disconnect(reason))
    watcher.gets(*[publish("gone", b"bye")] * sent)


def test_a_session_that_is_taken_over_sends_its_will_unless_that_may_wait():
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will(10), session_expiry_s=60)
    world.client5("c", clean=False, present=True, will=will(), session_expiry_s=60)
    watcher.gets()
    world.client5("c", clean=False, present=True)
    watcher.gets(publish("gone", b"bye"))


def test_a_session_that_a_clean_start_ends_sends_its_will_at_once():
    world = World()
    watcher = world.subscriber("gone", name="w")
    world.client5("c", will=will(10), session_expiry_s=60).connection.lost()
    world.client5("c", clean=True)
    watcher.gets(publish("gone", b"bye"))


def test_the_time_of_a_will_begins_when_it_is_published():
    world = World()
    watcher = world.subscriber5("gone", name="w")
    world.client5("c", will=will(10, message_expiry_s=30, user=(("k", "v"),)), session_expiry_s=60).connection.lost()
    later(world, 10)
    watcher.gets(publish("gone", b"bye", properties=Properties(message_expiry_s=30, user=(("k", "v"),))))


@run
async def test_a_will_at_qos_2_is_stored_and_delivered_at_qos_2():
    world = World(at_once=True)
    watcher = world.subscriber("gone", name="w", qos=2)
    world.client5("c", will=will(qos=2)).connection.lost()
    assert [records[0][:2] for _, records in world.intake.stores] == [["gone", b"bye"]]
    await turn()
    watcher.gets(publish("gone", b"bye", 1, qos=2))


# --- On disk


@run
async def test_a_session_and_its_will_are_written_when_they_begin_wait_and_end():
    store = HeldStore()
    world = World(store=store)
    client = Client(world.broker, MQTT_5)
    asked = Properties(session_expiry_s=60)
    client.sends(mqtt.Connect("c", True, 0, will(10), level=MQTT_5, properties=asked))
    began = await store.done()
    assert began[0] == KeepSession(1, "c", MQTT_5, 60)
    assert (began[1].session, began[1].delay_s, began[1].due_ms) == (1, 10, None)
    client.connection.lost()
    waits = await store.done()
    assert waits[0] == KeepSession(1, "c", MQTT_5, 60, START_MS)
    assert isinstance(waits[1], KeepWill)
    assert waits[1].due_ms == START_MS + 10_000
    later(world, 10)
    assert await store.done() == [EndWill(1)]
    later(world, 50)
    assert await store.done() == [EndSession(1)]


@run
async def test_a_will_of_a_session_that_ends_with_its_connection_is_kept_until_it_is_published():
    store = HeldStore()
    world = World(store=store)
    watcher = world.subscriber("gone", name="w", qos=1)
    client = Client(world.broker, MQTT_5).sends(mqtt.Connect("c", True, 0, will(qos=1), level=MQTT_5))
    client.gets()
    began = await store.done()
    assert began[0] == KeepSession(1, "c", MQTT_5, 0)
    assert began[1].session == 1
    client.sends(subscribe("a", qos=1))
    assert store.writes == [], "nothing else of it is"
    client.connection.lost()
    [(changes, records, _)] = store.writes
    assert changes == [EndSession(1)]
    assert len(records) == 1
    watcher.gets(publish("gone", b"bye", 1))


def kept(client_id="c", **values):
    defaults = {
        "away_ms": START_MS,
        "subscriptions": [],
        "queue": [],
        "received": set(),
        "expiry_s": 60,
        "level": MQTT_5,
    }
    return KeptSession(session=1, client_id=client_id, **{**defaults, **values})


class Restarted(HeldStore):
    """A store that has kept something."""

    def __init__(self, *sessions, retained=()):
        super().__init__()
        self.sessions, self.retained, self._session, self._message = sessions, retained, 10, 100

    def load(self):
        return list(self.sessions)

    def load_retained(self):
        return [(each.topic, encode_message(each)) for each in self.retained]


def restarted(*sessions, retained=()):
    world = World(store=Restarted(*sessions, retained=retained))
    world.broker.restore()
    return world


async def returns(world, name="c"):
    client = Client(world.broker, MQTT_5)
    client.sends(mqtt.Connect(name, False, 0, level=MQTT_5, properties=Properties(session_expiry_s=60)))
    await world.broker.writes.store.done()
    return client.takes()


@run
async def test_after_a_restart_a_client_finds_its_queue_and_its_exchanges():
    messages = [Message("a", b"%d" % each, 2) for each in range(4)]
    world = restarted(
        kept(
            subscriptions=[(Subscription("a", 2), 7)],
            queue=[
                KeptMessage(1, messages[0], 2, False, packet_id=5, taken=True),
                KeptMessage(2, messages[1], 2, False, (7,), packet_id=6),
                KeptMessage(3, messages[2], 1, True, (7,)),
            ],
            received={9},
        )
    )
    connack, *came = await returns(world)
    assert connack.session_present
    assert came == [
        mqtt.PubRel(5),
        publish("a", b"1", 6, qos=2, duplicate=True, properties=Properties(subscription_ids=(7,))),
        publish("a", b"2", 1, retain=True, properties=Properties(subscription_ids=(7,))),
    ]
    assert world.broker.sessions.get("c").received == {9}
    assert world.broker.sessions.subscriptions.match("a")[0][0].session.client_id == "c"


@run
async def test_after_a_restart_sessions_and_wills_end_when_they_would_have():
    bye = Message("gone", b"bye", 1)
    world = restarted(
        kept("early", away_ms=START_MS - 59_000, will=KeptWill(bye, 5, START_MS + 500)),
        kept("open", away_ms=None, will=KeptWill(bye, 5, None)),
    )
    watcher = world.subscriber("gone", name="w")
    later(world, 1)
    await world.broker.writes.store.done()
    watcher.gets(publish("gone", b"bye"))
    assert world.broker.sessions.get("early") is None
    later(world, 4)
    watcher.gets(publish("gone", b"bye"))
    later(world, 54)
    assert world.broker.sessions.get("open") is not None
    later(world, 2)
    assert world.broker.sessions.get("open") is None


@run
async def test_after_a_restart_the_will_of_a_session_that_was_not_kept_is_published():
    world = restarted(kept(expiry_s=0, away_ms=None, will=KeptWill(Message("gone", b"bye", 1), 0, None)))
    watcher = world.subscriber("gone", name="w")
    world.client5("c", clean=False, present=False)
    later(world, 0)
    watcher.gets(publish("gone", b"bye"))
    assert [change for changes, _, _ in world.broker.writes.store.writes for change in changes][-1] == EndSession(1)
    assert world.broker.sessions.get("c").attached


@run
async def test_after_a_restart_retained_messages_are_there():
    world = restarted(retained=[Message("a/b", b"1", 0, retain=True)])
    client = world.client5("x").sends(subscribe("a/#"))
    client.gets(suback(1, 0), publish("a/b", b"1", retain=True))


@run
async def test_a_retained_message_for_a_session_that_is_kept_is_written_with_its_subscription():
    world = restarted(kept(), retained=[Message("a", b"1", 1, retain=True)])
    store = world.broker.writes.store
    client = Client(world.broker, MQTT_5)
    client.sends(mqtt.Connect("c", False, 0, level=MQTT_5, properties=Properties(session_expiry_s=60)))
    await store.done()
    client.takes()
    client.sends(subscribe("a", qos=1)).gets()
    assert [type(change).__name__ for change in await store.done()] == ["KeepSubscription", "Enqueue"]
    client.gets(suback(1, 1), publish("a", b"1", 1, retain=True))
