"""MQTT 3.1.1: bytes to packets and back.

Source: OASIS MQTT Version 3.1.1 Plus Errata 01 (2015). Errors name the conformance statement that was broken.
"""

from littoral.wire.mqtt.decode import decode, header
from littoral.wire.mqtt.encode import CONNACK_V5_UNSUPPORTED, encode, publish_frame
from littoral.wire.mqtt.errors import RemoteProtocolError, UnsupportedLevel
from littoral.wire.mqtt.names import check_filter, check_topic
from littoral.wire.mqtt.packets import (
    ConnAck,
    Connect,
    ConnectCode,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)

__all__ = [
    "CONNACK_V5_UNSUPPORTED",
    "ConnAck",
    "Connect",
    "ConnectCode",
    "Disconnect",
    "Packet",
    "PingReq",
    "PingResp",
    "PubAck",
    "Publish",
    "RemoteProtocolError",
    "SubAck",
    "Subscribe",
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
]
