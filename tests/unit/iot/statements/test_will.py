"""Wills (sections 3.1.2.5 to 3.1.2.7, 3.1.3)."""

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import (
    connect_bytes,
    field,
    join,
    messages,
    of_level,
    refused_bytes,
    says,
    states,
    world,
)
from tests.support.mqtt_world import publish, subscribe

CLEAN, WILL, RETAIN = 0x02, 0x04, 0x20
LEFT = mqtt.Will("wills", b"gone", 1, retain=False)


def watched(level):
    """A broker, and a client that sees the wills."""
    table = world()
    watcher = join(table, level, "w")
    watcher.sends(subscribe("wills", qos=2)).takes()
    return table, watcher


def delayed(delay_s, **more):
    return mqtt.Will("wills", b"gone", 1, retain=False, properties=Properties(will_delay_s=delay_s, **more))


@states(v4="3.1.2-8", v5="3.1.2-7 3.1.2-8")
async def test_a_will_is_published_when_the_network_fails_or_the_client_errs(level):
    for end in ("lost", "protocol", "silence", "taken over"):
        table, watcher = watched(level)
        client = join(table, level, will=LEFT, keep_alive_s=10)
        table.broker.sweep()
        assert await messages(watcher) == []
        if end == "lost":
            client.connection.lost()
        elif end == "protocol":
            client.sends(b"\0\0")
        elif end == "silence":
            table.clock.advance(seconds=16)
            table.broker.sweep()
        else:
            join(table, level)
        assert await messages(watcher) == [b"gone"], end


@states(v5="3.1.2-8")
@pytest.mark.parametrize(("delay_s", "expiry_s", "after_s"), [(30, 100, 30), (100, 30, 30), (0, 100, 0), (30, 0, 0)])
async def test_a_will_waits_for_its_delay_or_the_end_of_its_session(level, delay_s, expiry_s, after_s):
    table, watcher = watched(level)
    client = join(table, level, kept=True, session_expiry_s=expiry_s, will=delayed(delay_s))
    client.connection.lost()
    if after_s:
        table.clock.advance(seconds=after_s - 1)
        table.broker.sweep()
        assert await messages(watcher) == []
        table.clock.advance(seconds=1)
        table.broker.sweep()
    assert await messages(watcher) == [b"gone"]


@states(v4="3.1.2-9", v5="3.1.2-9")
async def test_a_will_flag_without_the_fields_of_a_will_is_refused(level):
    fields = [field(b"c"), of_level(level), field(b"wills"), field(b"gone")]
    for count in range(1, len(fields)):
        assert refused_bytes(world(), level, connect_bytes(level, CLEAN | WILL, *fields[:count])) == b""


@states(v4="3.1.2-10 3.14.4-3", v5="3.1.2-10 3.14.4-3")
async def test_a_goodbye_takes_the_will_away(level):
    table, watcher = watched(level)
    await says(join(table, level, will=LEFT), mqtt.Disconnect())
    table.broker.sweep()
    assert await messages(watcher) == []


@states(v4="3.1.2-10", v5="3.1.2-10")
async def test_a_will_is_published_once(level):
    table, watcher = watched(level)
    join(table, level, kept=True, will=LEFT).connection.lost()
    assert await messages(watcher) == [b"gone"]
    join(table, level, kept=True, present=True).connection.lost()
    table.clock.advance(days=1)
    table.broker.sweep()
    assert await messages(watcher) == []


@states(v4="3.1.2-11")
async def test_fields_of_a_will_without_its_flag_are_refused(level):
    packet = connect_bytes(level, CLEAN, field(b"c"), field(b"wills"), field(b"gone"))
    assert refused_bytes(world(), level, packet) == b""


@states(v4="3.1.2-12")
async def test_without_a_will_nothing_is_published(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("#"))
    join(table, level).connection.lost()
    assert await messages(watcher) == []


@states(v4="3.1.2-11 3.1.2-13", v5="3.1.2-11")
async def test_will_qos_without_a_will_is_refused(level):
    for qos in (1, 2):
        assert refused_bytes(world(), level, connect_bytes(level, CLEAN | qos << 3, field(b"c"))) == b""


@states(v4="3.1.2-14", v5="3.1.2-12")
async def test_will_qos_is_0_1_or_2(level):
    for qos in (0, 1, 2):
        table, watcher = watched(level)
        join(table, level, will=mqtt.Will("wills", b"gone", qos, retain=False)).connection.lost()
        assert [each.qos for each in await says(watcher)] == [qos]
    fields = field(b"c"), of_level(level), field(b"wills"), field(b"gone")
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | WILL | 0x18, *fields)) == b""


@states(v4="3.1.2-11 3.1.2-15", v5="3.1.2-13")
async def test_will_retain_without_a_will_is_refused(level):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | RETAIN, field(b"c"))) == b""


@states(v4="3.1.2-16", v5="3.1.2-14")
async def test_a_will_without_retain_is_not_retained(level):
    table, _ = watched(level)
    join(table, level, will=LEFT).connection.lost()
    late = join(table, level, "late").sends(subscribe("wills"))
    assert await messages(late) == []


@states(v4="3.1.2-17", v5="3.1.2-15")
async def test_a_will_with_retain_is_retained(level):
    table, _ = watched(level)
    join(table, level, will=mqtt.Will("wills", b"gone", 1, retain=True)).connection.lost()
    late = join(table, level, "late").sends(subscribe("wills"))
    assert await messages(late) == [b"gone"]


@states(v5="3.1.3-9")
async def test_a_client_that_is_back_in_time_has_no_will_published(level):
    table, watcher = watched(level)
    join(table, level, kept=True, will=delayed(30)).connection.lost()
    table.clock.advance(seconds=29)
    table.broker.sweep()
    join(table, level, kept=True, present=True)
    table.clock.advance(seconds=60)
    table.broker.sweep()
    assert await messages(watcher) == []


@states(v5="3.1.3-10")
async def test_user_properties_of_a_will_keep_their_order(level):
    table, watcher = watched(level)
    user = (("b", "1"), ("a", "2"), ("b", "0"))
    join(table, level, will=delayed(0, user=user)).connection.lost()
    [message] = await says(watcher)
    assert isinstance(message, mqtt.Publish)
    assert message.properties == Properties(user=user)


@states(v5="3.14.4-3")
async def test_a_goodbye_may_ask_for_the_will(level):
    assert level == MQTT_5
    table, watcher = watched(level)
    client = join(table, level, will=LEFT)
    await says(client, publish("x"), mqtt.Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
    assert await messages(watcher) == [b"gone"]
