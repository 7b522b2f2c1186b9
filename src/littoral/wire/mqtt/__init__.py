"""MQTT 3.1.1 and 5: bytes to packets and back.

Sources: OASIS MQTT Version 3.1.1 Plus Errata 01 (2015) and MQTT Version 5.0 (2019). Errors name the conformance statement
that was broken. Functions take the protocol level of the connection: 4 for 3.1.1, 5 for 5.
"""

from littoral.wire.mqtt.body import Body
from littoral.wire.mqtt.decode import decode, header
from littoral.wire.mqtt.encode import encode, publish_frame, publish_head
from littoral.wire.mqtt.errors import RemoteProtocolError, UnsupportedLevel
from littoral.wire.mqtt.names import check_filter, check_topic, split_shared
from littoral.wire.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5,
    PUBLISH,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)
from littoral.wire.mqtt.properties import NEVER_S, NO_PROPERTIES, Properties
from littoral.wire.mqtt.property_codec import WILL, read_properties, write_properties
from littoral.wire.mqtt.reasons import ReasonCode

__all__ = [
    "MQTT_3_1_1",
    "MQTT_5",
    "NEVER_S",
    "NO_PROPERTIES",
    "PUBLISH",
    "WILL",
    "Auth",
    "Body",
    "ConnAck",
    "Connect",
    "Disconnect",
    "Packet",
    "PingReq",
    "PingResp",
    "Properties",
    "PubAck",
    "PubComp",
    "PubRec",
    "PubRel",
    "Publish",
    "ReasonCode",
    "RemoteProtocolError",
    "SubAck",
    "Subscribe",
    "Subscription",
    "UnsubAck",
    "Unsubscribe",
    "UnsupportedLevel",
    "Will",
    "check_filter",
    "check_topic",
    "decode",
    "encode",
    "header",
    "publish_frame",
    "publish_head",
    "read_properties",
    "split_shared",
    "write_properties",
]
