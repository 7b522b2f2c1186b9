"""Rings of nodes that bridge to each other: whichever of two sides has the bridge, a message ends."""

from typing import Literal

import pytest

from littoral.core.limits import Limits
from littoral.core.resources.mqtt_bridge import MqttBridgeTopic
from littoral.iot.bridge_messages import BridgeMessages
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.iot.bridge_topics import BridgeTopics
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Publish

Direction = Literal["out", "in"]


class Site:
    """The bridge of a node to another one."""

    def __init__(self, node: str, direction: Direction) -> None:
        self.counters = BridgeCounters()
        self._sends = direction == "out"
        topics = BridgeTopics([MqttBridgeTopic(filter="#", direction=direction)])
        terms = BridgeTerms("up", "b:1883", topics, MQTT_5, "a-up", node, 60)
        self._messages = BridgeMessages(terms, Limits({}), self.counters, NO_PROPERTIES)

    def pass_on(self, message: Publish) -> Publish | None:
        frame = (self._messages.to_there if self._sends else self._messages.to_here)(message)
        if frame is None:
            return None
        body, _ = mqtt.header(frame, 0, 1 << 20, MQTT_5) or (0, 0)
        packet = mqtt.decode(frame[0], frame[body:], MQTT_5)
        assert isinstance(packet, Publish)
        return packet


def passed(ring: list[Site]) -> int:
    """How many bridges a message passes."""
    message: Publish | None = Publish("t", b"x")
    for count in range(100):
        assert message is not None
        message = ring[count % len(ring)].pass_on(message)
        if message is None:
            assert sum(each.counters.returned for each in ring) == 1
            return count
    raise AssertionError("it goes round for ever")


@pytest.mark.parametrize("nodes", [["a"], ["a", "b"], ["a", "b", "c"]], ids=len)
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_message_passes_a_ring_once_whether_it_is_sent_round_or_fetched(nodes: list[str], direction: Direction):
    assert passed([Site(node, direction) for node in nodes]) == len(nodes)


def test_a_message_passes_a_ring_once_where_some_send_and_some_fetch():
    # a sends to b, from which c fetches, and sends to a.
    assert passed([Site("a", "out"), Site("c", "in"), Site("c", "out")]) == 3


def test_what_one_bridge_of_a_node_has_fetched_another_sends_on():
    message = Site("a", "in").pass_on(Publish("t", b"x"))
    assert message is not None
    assert Site("a", "out").pass_on(message) is not None


def test_a_message_that_has_passed_too_many_is_counted_and_goes_no_further():
    line = [Site(f"n{number}", "out" if number % 2 else "in") for number in range(20)]
    assert passed(line) == 9
