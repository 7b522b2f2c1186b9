"""The conformance statements that the codec checks, by their numbers in both versions.

Where a version has no number for a rule, the section that says it stands in its place.
"""

from typing import NamedTuple

from littoral.wire.mqtt.packets import AUTH, DISCONNECT, MQTT_5, PUBREL, SUBSCRIBE, UNSUBSCRIBE


class Rule(NamedTuple):
    """One rule."""

    mqtt_3_1_1: str
    mqtt_5: str

    def at(self, level: int) -> str:
        """Its number in the version of protocol level `level`."""
        return self.mqtt_5 if level == MQTT_5 else self.mqtt_3_1_1


UTF8 = Rule("MQTT-1.5.3-1", "MQTT-1.5.4-1")
NO_NULL = Rule("MQTT-1.5.3-2", "MQTT-1.5.4-2")
WHOLE_FIELDS = Rule("MQTT-4.8.0-1", "MQTT-4.13.1-1")
LENGTH = Rule("2.2.3", "1.5.5")
SHORTEST_LENGTH = Rule("2.2.3", "MQTT-1.5.5-1")
PACKET_TYPE = Rule("2.2.1", "2.1.2")
FIXED_FLAGS = Rule("MQTT-2.2.2-2", "MQTT-2.1.3-1")
FIXED_FLAGS_OF = {
    PUBREL: Rule("MQTT-3.6.1-1", "MQTT-3.6.1-1"),
    SUBSCRIBE: Rule("MQTT-3.8.1-1", "MQTT-3.8.1-1"),
    UNSUBSCRIBE: Rule("MQTT-3.10.1-1", "MQTT-3.10.1-1"),
    DISCONNECT: Rule("MQTT-3.14.1-1", "MQTT-3.14.1-1"),
    AUTH: Rule("2.2.1", "MQTT-3.15.1-1"),
}
"""The types of packets that have a number of their own for it."""
PACKET_ID = Rule("MQTT-2.3.1-1", "MQTT-2.2.1-3")

PROTOCOL_NAME = Rule("MQTT-3.1.2-1", "MQTT-3.1.2-1")
CONNECT_RESERVED = Rule("MQTT-3.1.2-3", "MQTT-3.1.2-3")
WILL_QOS_WITHOUT_WILL = Rule("MQTT-3.1.2-13", "MQTT-3.1.2-11")
WILL_QOS = Rule("MQTT-3.1.2-14", "MQTT-3.1.2-12")
WILL_RETAIN_WITHOUT_WILL = Rule("MQTT-3.1.2-15", "MQTT-3.1.2-13")
PASSWORD_ALONE = Rule("MQTT-3.1.2-22", "3.1.2.9")

CONNACK_FLAGS = Rule("3.2.2.1", "MQTT-3.2.2-1")
REFUSAL_WITH_SESSION = Rule("MQTT-3.2.2-4", "MQTT-3.2.2-6")

PUBLISH_QOS = Rule("MQTT-3.3.1-4", "MQTT-3.3.1-4")
PUBLISH_DUPLICATE = Rule("MQTT-3.3.1-2", "MQTT-3.3.1-2")
TOPIC_WILDCARD = Rule("MQTT-3.3.2-2", "MQTT-3.3.2-2")
TOPIC_EMPTY = Rule("MQTT-4.7.3-1", "MQTT-4.7.3-1")

SUBSCRIBE_FILTERS = Rule("MQTT-3.8.3-3", "MQTT-3.8.3-2")
SUBSCRIBE_QOS = Rule("MQTT-3.8.3-4", "3.8.3.1")
SUBSCRIBE_OPTIONS = Rule("MQTT-3.8.3-4", "MQTT-3.8.3-5")
SUBACK_CODES = Rule("MQTT-3.9.3-2", "MQTT-3.9.3-2")
UNSUBSCRIBE_FILTERS = Rule("MQTT-3.10.3-2", "MQTT-3.10.3-2")
HASH_PLACE = Rule("MQTT-4.7.1-2", "MQTT-4.7.1-1")
PLUS_PLACE = Rule("MQTT-4.7.1-3", "MQTT-4.7.1-2")
