"""MQTT over WebSocket (section 6)."""

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, RejectConnection, Request

from littoral.wire import mqtt
from littoral.wire.mqtt_web_socket import MqttWebSocket
from tests.support.mqtt_statements import states
from tests.support.mqtt_world import publish


class Page:
    """A client in a browser."""

    def __init__(self, *subprotocols):
        self.client = WSConnection(ConnectionType.CLIENT)
        self.server = MqttWebSocket("/mqtt")
        self.ended = False
        self.taken, self.heard = b"", []
        self.sends(self.client.send(Request(host="a", target="/mqtt", subprotocols=list(subprotocols))))

    def sends(self, data):
        received = self.server.receive(data)
        self.taken += received.data
        self.ended = self.ended or received.ended
        self.hears(received.answer)

    def hears(self, data):
        if data:
            self.client.receive_data(data)
            self.heard += self.client.events()


@states(v4="6.0.0-1", v5="6.0.0-1")
async def test_packets_are_in_binary_frames(level):
    page = Page("mqtt")
    packet = mqtt.encode(publish("a"), level)
    page.hears(page.server.frame(packet))
    assert isinstance(page.heard[-1], BytesMessage)
    assert page.heard[-1].data == packet
    page.sends(page.client.send(Message(data="text")))
    assert page.ended
    assert isinstance(page.heard[-1], CloseConnection)
    assert page.taken == b""


@states(v4="6.0.0-2", v5="6.0.0-2")
async def test_packets_do_not_begin_and_end_with_frames(level):
    page = Page("mqtt")
    data = b"".join(mqtt.encode(publish("a", b"%d" % n), level) for n in range(5))
    for start in range(0, len(data), 7):
        page.sends(page.client.send(Message(data=data[start : start + 7])))
    page.sends(page.client.send(Message(data=data)))
    assert page.taken == data * 2


@pytest.mark.parametrize("subprotocols", [(), ("mqttv3.1",)])
@states(v4="6.0.0-3", v5="6.0.0-3")
async def test_who_does_not_ask_for_mqtt_is_refused(level, subprotocols):
    page = Page(*subprotocols)
    assert isinstance(page.heard[0], RejectConnection)
    assert page.ended


@states(v4="6.0.0-4", v5="6.0.0-4")
async def test_the_subprotocol_is_mqtt(level):
    page = Page("other", "mqtt")
    assert isinstance(page.heard[0], AcceptConnection)
    assert page.heard[0].subprotocol == "mqtt"
