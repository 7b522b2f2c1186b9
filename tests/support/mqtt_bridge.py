"""A bridge of a broker in memory, with the other broker as a script: `other.gets(packet)`, `other.sends(packet)`."""

import asyncio

import msgspec

from littoral.core.errors import LittoralError
from littoral.core.resources.mqtt_bridge import MqttBridgeTopic
from littoral.iot.bridge import Bridge
from littoral.iot.bridge_session import BridgeSession
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.iot.bridge_topics import BridgeTopics
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, NO_PROPERTIES
from tests.support.mqtt_world import World, packets_of, turn

NAME, HERE = "up", "$bridge/up"
NODE = "lineage-of-a"
SUBSCRIBE_ID = 65_535


def topic(topic_filter="#", direction="both", qos=2, here="plant/", there="site/"):
    return MqttBridgeTopic(filter=topic_filter, direction=direction, qos=qos, local_prefix=here, remote_prefix=there)


class Other:
    """The other broker. Implements `Way` and `BridgeHost`."""

    def __init__(self, world: World, *topics: MqttBridgeTopic, level=MQTT_5, **terms):
        self.world, self.level = world, level
        self.terms = BridgeTerms(
            name=NAME,
            address="broker.test:1883",
            topics=BridgeTopics(topics or (topic(),)),
            level=level,
            client_id="a-up",
            node=NODE,
            keep_alive_s=60,
            **terms,
        )
        self.counters = BridgeCounters()
        self.paused = False
        self.remembered: list[frozenset[str]] = []
        self.subscribed: dict[str, int] = {}
        self.opened_with: list = []
        self.ended: list = []
        self.received = b""
        self.is_cut = False
        self.storage_error: LittoralError | None = None
        self.bridge = Bridge(self.terms, world.broker, "secret", self.counters, self, self, _later)

    # Way

    def write(self, data):
        self.received += data

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def close(self):
        self.is_cut = True

    # BridgeHost

    def remember(self, filters, subscribed):
        if self.storage_error is not None:
            raise self.storage_error
        self.subscribed = subscribed
        self.remembered.append(filters)

    def opened(self, error):
        self.opened_with.append(error)

    def closed(self, error):
        self.ended.append(error)

    # The script

    def sends(self, *packets):
        self.bridge.receive(b"".join(p if isinstance(p, bytes) else mqtt.encode(p, self.level) for p in packets))
        return self

    def takes(self):
        """What came, as packets; what the bridge marks is left out."""
        data, self.received = self.received, b""
        return [_unmarked(each) for each in packets_of(data, self.level)]

    async def gets(self, *packets):
        await turn()
        assert self.takes() == list(packets)
        return self

    async def joins(self, *, session_present=False, **told):
        """Connected, and subscribed."""
        self.bridge.begin()
        connect = self.said = self.bridge_connect()
        properties = mqtt.Properties(**told) if told else NO_PROPERTIES
        self.sends(mqtt.ConnAck(session_present, properties=properties))
        await turn()
        found = self.takes()
        rest = [each for each in found if not isinstance(each, mqtt.Subscribe)]
        subscribes = [each for each in found if isinstance(each, mqtt.Subscribe)]
        for each in subscribes:
            self.sends(mqtt.SubAck(each.packet_id, tuple(mqtt.ReasonCode(one.qos) for one in each.subscriptions)))
        await turn()
        assert self.opened_with == [None], (self.ended, found)
        self.received = b"".join(mqtt.encode(each, self.level) for each in rest) + self.received
        return connect

    def bridge_connect(self):
        """The CONNECT that came."""
        data, self.received = self.received, b""
        head = mqtt.header(data, 0, 1 << 20)
        assert head is not None, data
        body, end = head
        assert end == len(data), "nothing follows CONNECT"
        connect = mqtt.decode(data[0], data[body:end])
        assert isinstance(connect, mqtt.Connect)
        return connect


def _unmarked(packet):
    if not isinstance(packet, mqtt.Publish) or packet.properties is NO_PROPERTIES:
        return packet
    user = tuple(each for each in packet.properties.user if each != ("littoral-hop", NODE))
    properties = msgspec.structs.replace(packet.properties, user=user)
    return msgspec.structs.replace(packet, properties=NO_PROPERTIES if properties == NO_PROPERTIES else properties)


def _later(work):
    asyncio.get_running_loop().call_soon(work)


async def begun(world, *topics):
    """The session of a bridge, before it connects; whether it was there."""
    session = BridgeSession(world.broker, NAME, "secret", _later)
    return await session.begin(BridgeTopics(topics or (topic(),)).here)


__all__ = ["HERE", "MQTT_3_1_1", "NAME", "NODE", "SUBSCRIBE_ID", "Other", "begun", "topic"]
