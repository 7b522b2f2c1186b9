"""Packets of another broker, however they are cut up."""

import pytest

from littoral.iot.bridge_frames import BridgeFrames, LeftOut
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, RemoteProtocolError
from tests.support.mqtt_world import publish

MOST_BYTES = 100


def fed(data, step, most_bytes=MOST_BYTES):
    frames, held = BridgeFrames(MQTT_5, most_bytes), 0
    found: list[mqtt.Packet | LeftOut] = []
    for at in range(0, len(data), step):
        frames.add(data[at : at + step])
        found += frames.packets()
        held = max(held, len(frames._data) - frames._position)
    return found, held


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_packets_are_whole_whatever_a_read_brings(step):
    packets = [publish("a", b"1", 1), mqtt.PingResp(), publish("b", b"2", 2, qos=2)]
    data = b"".join(mqtt.encode(each, MQTT_5) for each in packets)
    assert fed(data, step)[0] == packets


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_is_too_large_is_told_of_and_not_held(step, qos):
    large = publish("a", b"x" * 100_000, 9 if qos else None, qos=qos)
    data = mqtt.encode(large, MQTT_5) + mqtt.encode(publish("b", b"2"), MQTT_5)
    found, held = fed(data, step)
    assert found == [LeftOut(qos, 9 if qos else None), publish("b", b"2")]
    assert held <= max(step, MOST_BYTES)


@pytest.mark.parametrize(
    "data", [b"\x50\xff\xff\x03", b"\x36\xff\xff\x03\0\x01a\0\x01", b"\x32\xff\xff\x03\0\x01a\0\0"]
)
def test_what_is_too_large_and_no_message_is_an_error(data):
    with pytest.raises(RemoteProtocolError):
        fed(data, 1000)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(
    "properties", [b"\x05\x08\0\x02r+", b"\x02\x01\x07", b"\x7f"], ids=["wildcard", "no bit", "too short"]
)
def test_a_message_that_breaks_a_rule_is_told_of_so_that_it_can_be_acknowledged(qos, properties):
    body = b"\0\x01a" + (b"\0\x09" if qos else b"") + properties
    data = bytes((0x30 | qos << 1, len(body))) + body + mqtt.encode(publish("b", b"2"), MQTT_5)
    found, _ = fed(data, 1000)
    assert found == [LeftOut(qos, 9 if qos else None, is_large=False), publish("b", b"2")]


@pytest.mark.parametrize("data", [b"\x36\x05\0\x01a\0\x01", b"\x32\x06\0\x01a\0\0\0", b"\x32\x02\0\x09", b"\x32\x01\0"])
def test_one_that_cannot_be_acknowledged_is_an_error(data):
    with pytest.raises(RemoteProtocolError):
        fed(data, 1000)
