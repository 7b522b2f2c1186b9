"""MQTT clients at work on a broker whose power goes: what was promised is kept, and QoS 2 comes once."""

import asyncio
from collections import Counter

from littoral.iot.readings import decode_reading, readings_stream
from littoral.testing.crash import Crash
from tests.support.mqtt_peer import Peer
from tests.support.mqtt_promises import all_came, check_promises, numbered
from tests.support.mqtt_site import MqttSite
from tests.support.stores import records_of

PUBLISHES = 8
"""Of each publisher."""
EVERY_S = 0.004
AWAY = range(3, 7)
"""Publishes during which one subscriber is away."""


async def mqtt(crash: Crash) -> None:
    """Two publishers at QoS 1 and 2, and subscribers of both levels: one is connected, one comes and goes, one at QoS 1."""
    first, second = Peer("first", 4), Peer("second", 5)
    steady, roaming = Peer("steady", 5, "data/#"), Peer("roaming", 4, "data/#")
    once = Peer("once", 4, "data/#", qos=1)
    publishers, subscribers = [first, second], [steady, roaming, once]
    site = MqttSite(crash.store("plant-a"), first, second, *subscribers)
    await site.until(lambda: all(peer.subscribed for peer in subscribers))
    for number in range(PUBLISHES):
        _come_and_go(site, roaming, number)
        first.publish(f"data/{number % 2}", numbered(first, number), 2, retain=True)
        second.publish("data/2", numbered(second, number), 1 + number % 2)
        await asyncio.sleep(EVERY_S)
        site.tend()
    await site.until(lambda: all(peer.idle for peer in site.peers) and all_came(publishers, subscribers))
    await asyncio.sleep(1)
    site.tend()
    check_promises(publishers, subscribers)
    _check_readings(site, publishers)
    late = Peer("late", 5, "data/#")
    site.peers.append(late)
    last = {numbered(first, number) for number in range(PUBLISHES - 2, PUBLISHES)}
    await site.until(lambda: late.idle and set(late.payloads) >= last)
    # Twice, where it had to subscribe again.
    assert set(late.payloads) == last
    await site.stop()


def _come_and_go(site: MqttSite, peer: Peer, number: int) -> None:
    if number == AWAY.start:
        site.leave(peer)
    elif number == AWAY.stop:
        site.come(peer)


def _check_readings(site: MqttSite, publishers: list[Peer]) -> None:
    readings = Counter(decode_reading(each).payload for each in records_of(site.store, readings_stream("plant-a")))
    for publisher in publishers:
        assert len(publisher.promised) == PUBLISHES, publisher.promised
        assert set(publisher.promised) <= readings.keys()
    first, _ = publishers
    assert [readings[numbered(first, number)] for number in range(PUBLISHES)] == [1] * PUBLISHES
