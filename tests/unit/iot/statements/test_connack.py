"""CONNACK (section 3.2)."""

import asyncio

import pytest

from littoral.iot.access import LoginOnly
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import join, messages, says, states, world
from tests.support.mqtt_world import Client, World, publish, subscribe


class Secretive(LoginOnly):
    """Lets everybody in who has no will: nobody may publish."""

    def __init__(self):
        super().__init__(lambda *_: True)

    def may_publish(self, client, topic):
        return False


def refusals(level):
    """Brokers, each with a CONNECT that it refuses with a word."""
    will = mqtt.Will("a", b"x", 0, retain=False)
    yield World(lambda *_: False), mqtt.Connect("c", False, 0, None, "u", b"p", level)
    yield World(lambda *_: False), mqtt.Connect("c", False, 0, level=level)
    yield World(access=Secretive()), mqtt.Connect("c", False, 0, will, level=level)
    if level == MQTT_5:
        yield World(), mqtt.Connect("c", False, 0, level=level, properties=Properties(authentication_method="x"))
    else:
        yield World(), mqtt.Connect("", False, 0, level=level)


@states(v4="3.2.0-1", v5="3.2.0-1")
async def test_connack_comes_first_though_messages_wait(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    await says(join(table, level, "p"), publish("a", b"1", 1))
    back = Client(table.broker, level)
    answers = await says(back, mqtt.Connect("c", False, 0, level=level), mqtt.PingReq())
    assert [type(each) for each in answers] == [mqtt.ConnAck, mqtt.Publish, mqtt.PingResp]


@states(v5="3.2.0-1")
@pytest.mark.parametrize(("most", "said"), [(4, b""), (8, b"\x20\x03\0\x95\0")])
async def test_a_client_that_takes_no_packet_as_large_as_connack_is_refused(level, most, said):
    for name in ("c", ""):
        table = world()
        client = Client(table.broker, level)
        asked = Properties(maximum_packet_bytes=most)
        client.sends(mqtt.Connect(name, True, 0, level=level, properties=asked), mqtt.PingReq())
        assert client.received == said
        assert client.closed
        assert len(table.broker.sessions) == 0


@states(v5="3.2.0-2")
async def test_there_is_one_connack(level):
    client = join(world(), level)
    answers = await says(client, mqtt.PingReq(), mqtt.Connect("c", True, 0, level=level))
    assert [type(each) for each in answers] == [mqtt.PingResp, mqtt.Disconnect]


@states(v5="3.2.2-1")
async def test_reserved_flags_of_connack_are_0(level):
    table = world()
    for flags in (0, 1):
        client = Client(table.broker, level)
        asked = Properties(session_expiry_s=100)
        client.sends(mqtt.Connect("c", False, 0, level=level, properties=asked))
        assert (client.received[0], client.received[2]) == (0x20, flags)
        client.connection.lost()


@states(v4="3.2.2-1", v5="3.2.2-2")
async def test_a_clean_start_finds_no_session(level):
    table = world()
    join(table, level, kept=True).connection.lost()
    join(table, level, kept=False, present=False)


@states(v4="3.2.2-2 3.2.2-3", v5="3.2.2-3")
async def test_session_present_says_whether_there_is_a_session(level):
    table = world()
    join(table, level, kept=True, present=False).connection.lost()
    join(table, level, kept=True, present=True)
    join(table, level, "other", kept=True, present=False)


@states(v4="3.2.2-4 3.2.2-5", v5="3.2.2-6 3.2.2-7 3.2.2-8 4.13.2-1")
async def test_a_refusal_has_a_reason_no_session_and_is_the_end(level):
    for table, connect in refusals(level):
        client = Client(table.broker, level)
        # A session of the name is there.
        table.broker.sessions.attach(mqtt.Connect("c", False, 0), "c", [])[0].attached = False
        [connack] = await says(client, connect)
        # The codec takes no other reasons than those of CONNACK.
        assert isinstance(connack, mqtt.ConnAck)
        assert connack.reason.failed
        assert not connack.session_present
        assert client.closed


@states(v4="3.2.2-6")
async def test_where_no_return_code_fits_nothing_is_said(level):
    undecided = asyncio.get_running_loop().create_future()
    table = World(lambda *_: undecided)
    client = Client(table.broker, level).sends(mqtt.Connect("c", True, 0, level=level))
    table.clock.advance(seconds=60)
    table.broker.sweep()
    assert client.closed
    assert client.received == b""
    await table.tasks.stop()


@states(v5="3.2.2-19")
async def test_connack_explains_nothing_where_that_is_too_large(level):
    for most, explained in ((1000, True), (12, False)):
        asked = Properties(maximum_packet_bytes=most, authentication_method="x")
        client = Client(World().broker, level).sends(mqtt.Connect("c", True, 0, level=level, properties=asked))
        size = len(client.received)
        [connack] = client.takes()
        assert connack.reason is ReasonCode.BAD_AUTHENTICATION_METHOD
        assert (connack.properties.reason_string is not None) == explained
        assert size <= most


@states(v5="3.2.2-22")
@pytest.mark.parametrize(("most", "told"), [(65_535, None), (60, 60)])
async def test_a_keep_alive_of_the_brokers_own_is_told(level, most, told):
    table = world(mqtt_keep_alive_seconds=most)
    client = join(table, level, keep_alive_s=100)
    assert client.agreed.server_keep_alive_s == told
    table.broker.sweep()
    table.clock.advance(seconds=(told or 100) * 1.5 - 1)
    table.broker.sweep()
    assert not client.closed
    table.clock.advance(seconds=2)
    table.broker.sweep()
    assert client.closed


@states(v5="3.2.2-3")
async def test_a_session_that_has_expired_is_not_present(level):
    table = world()
    client = join(table, level, kept=True, session_expiry_s=10)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    table.clock.advance(seconds=10)
    table.broker.sweep()
    back = join(table, level, kept=True, present=False)
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(back) == []
