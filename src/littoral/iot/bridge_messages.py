"""Messages of one broker as those of the other."""

from msgspec import structs

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_PACKET_BYTES
from littoral.iot.bridge_hops import fetched, sent_on, was_here, was_sent
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Properties, Publish


class BridgeMessages:
    """What goes over, as the bytes of a packet; None for what does not, which is to be acknowledged all the same: it would come again
    and again."""

    def __init__(self, terms: BridgeTerms, limits: Limits, counters: BridgeCounters, told: Properties) -> None:
        """told: what the other broker said of itself in CONNACK."""
        self._terms = terms
        self._limits = limits
        self._counters = counters
        self._there_most = told.maximum_packet_bytes
        self._retains = told.retain_available is not False
        self.qos_most = 2 if told.maximum_qos is None else told.maximum_qos
        """That the other broker takes. Messages that waited when the document wanted more go over at that."""
        self._fetched = fetched(NO_PROPERTIES, terms.node)
        """Properties of a message that came without any, made once."""

    def to_there(self, packet: Publish) -> bytes | None:
        """From this node's broker to the other."""
        terms, counters = self._terms, self._counters
        if was_sent(packet.properties, terms.node, self._limits):
            counters.returned += 1
            return None
        topic = terms.topics.to_there(packet.topic)
        if topic is None:
            counters.dropped += 1
            return None
        properties = NO_PROPERTIES
        if terms.level == MQTT_5:
            properties = sent_on(packet.properties, terms.node)
        qos = min(packet.qos, self.qos_most)
        message = structs.replace(
            packet,
            topic=topic,
            qos=qos,
            retain=packet.retain and self._retains,
            duplicate=packet.duplicate and qos > 0,
            packet_id=packet.packet_id if qos else None,
            properties=properties,
        )
        frame = mqtt.encode(message, terms.level)
        if self._there_most is not None and len(frame) > self._there_most:
            counters.dropped += 1
            return None
        counters.sent += 1
        return frame

    def to_here(self, packet: Publish) -> bytes | None:
        """From the other broker to this node's."""
        terms, counters, limits = self._terms, self._counters, self._limits
        if was_here(packet.properties, terms.node, limits):
            counters.returned += 1
            return None
        topic = terms.topics.to_here(packet.topic)
        if topic is None:
            counters.dropped += 1
            return None
        plain = packet.properties is NO_PROPERTIES
        properties = self._fetched if plain else fetched(_taken(packet), terms.node)
        message = structs.replace(packet, topic=topic, properties=properties)
        frame = mqtt.encode(message, MQTT_5)
        if len(frame) > limits[MQTT_PACKET_BYTES]:
            self.left_out(is_large=True)
            return None
        counters.received += 1
        return frame

    def left_out(self, *, is_large: bool) -> None:
        """This node's broker does not take a message from the other one."""
        if is_large:
            self._limits.hit(MQTT_PACKET_BYTES)
        self._counters.dropped += 1


def _taken(packet: Publish) -> Properties:
    """Without what is of the connection that it came by, and what is not true: this node's broker checks whether a payload is the text
    that it says it is, which others do not, and would end the connection for it."""
    properties = packet.properties
    is_text = properties.payload_format == 1
    if is_text:
        try:
            packet.payload.decode()
        except UnicodeDecodeError:
            is_text = False
    return structs.replace(properties, subscription_ids=(), topic_alias=None, payload_format=1 if is_text else None)
