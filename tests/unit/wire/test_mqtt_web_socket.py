import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
)

from littoral.wire.mqtt_web_socket import MqttWebSocket, Received


class Browser:
    """A client, which sends what a test says and keeps what it hears."""

    def __init__(self, path="/mqtt", subprotocols=("mqtt",), origin=None, origins=()):
        self._client = WSConnection(ConnectionType.CLIENT)
        self.server = MqttWebSocket("/mqtt", origins)
        self.taken, self.ended = b"", False
        self.events = []
        headers = [] if origin is None else [(b"Origin", origin.encode())]
        self.sends(Request(host="a:8083", target=path, subprotocols=list(subprotocols), extra_headers=headers))

    def sends(self, *events):
        for event in events:
            self.sends_bytes(self._client.send(event))
        return self

    def sends_bytes(self, data):
        received = self.server.receive(data)
        self.taken += received.data
        self.ended = self.ended or received.ended
        self.hears(received.answer)
        return self

    def hears(self, data):
        if data:
            self._client.receive_data(data)
            self.events += self._client.events()


def test_mqtt_6_0_0_4_the_subprotocol_is_mqtt():
    browser = Browser(subprotocols=("other", "mqtt"))
    (accepted,) = browser.events
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "mqtt"
    assert browser.server.is_open


@pytest.mark.parametrize(
    ("path", "subprotocols", "status"), [("/mqtt", (), 400), ("/mqtt", ("mqttv3.1",), 400), ("/other", ("mqtt",), 404)]
)
def test_mqtt_6_0_0_3_who_does_not_ask_for_mqtt_is_sent_away(path, subprotocols, status):
    browser = Browser(path, subprotocols)
    assert isinstance(browser.events[0], RejectConnection)
    assert browser.events[0].status_code == status
    assert browser.ended
    assert not browser.server.is_open


@pytest.mark.parametrize(
    ("origin", "origins", "welcome"),
    [
        (None, (), True),
        ("http://a:8083", (), True),
        ("https://a:8083", (), True),
        ("http://a", (), False),
        ("https://evil.test", (), False),
        ("null", (), False),
        ("https://app.test", ("https://app.test",), True),
        ("http://app.test", ("https://app.test",), False),
        ("https://evil.test", ("*",), True),
    ],
)
def test_pages_of_other_web_sites_are_let_in_by_the_document_only(origin, origins, welcome):
    browser = Browser(origin=origin, origins=origins)
    assert browser.server.is_open is welcome
    if not welcome:
        assert browser.events[0].status_code == 403


def test_a_query_is_no_part_of_the_path():
    assert Browser("/mqtt?x=1").server.is_open


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 7))
def test_mqtt_6_0_0_2_packets_may_be_divided_among_frames_as_the_client_likes(parts, step):
    browser = Browser()
    frames = b"".join(browser._client.send(Message(data=part)) for part in parts)
    for start in range(0, len(frames), step):
        browser.sends_bytes(frames[start : start + step])
    assert browser.taken == b"".join(parts)
    assert not browser.ended


def test_mqtt_6_0_0_1_what_is_sent_is_binary():
    browser = Browser()
    browser.hears(browser.server.frame(b"\xd0\x00"))
    assert isinstance(browser.events[-1], BytesMessage)
    assert browser.events[-1].data == b"\xd0\x00"


def test_mqtt_6_0_0_1_text_ends_it():
    browser = Browser().sends(Message(data="text"))
    assert browser.ended
    assert isinstance(browser.events[-1], CloseConnection)
    assert browser.events[-1].code == 1003


def test_a_ping_is_answered():
    browser = Browser().sends(Ping(payload=b"x"))
    assert browser.events[-1] == Pong(payload=b"x")
    assert not browser.ended


def test_a_goodbye_is_answered():
    browser = Browser().sends(CloseConnection(code=1000))
    assert browser.ended
    assert isinstance(browser.events[-1], CloseConnection)
    assert browser.events[-1].code == 1000
    assert browser.server.close() == b"", "it is over"


def test_the_server_says_goodbye():
    browser = Browser()
    browser.hears(browser.server.close())
    assert isinstance(browser.events[-1], CloseConnection)
    assert browser.events[-1].code == 1001
    assert browser.sends(CloseConnection(code=1001)).ended


@pytest.mark.parametrize(
    "data",
    [b"\x10\x10\x00\x04MQTT", b"GET / HTTP/1.1\r\n\r\n", b"x" * 20_000, b"GET /mqtt HTTP/1.1\r\nhost: a\r\n\r\n"],
)
def test_what_is_no_web_socket_is_the_clients_error(data):
    assert MqttWebSocket("/mqtt").receive(data).ended


@given(st.binary(max_size=200))
def test_any_bytes_are_borne(data):
    browser = Browser()
    browser.server.receive(data)
    MqttWebSocket("/mqtt").receive(data)


def test_after_goodbye_nothing_is_said_and_nothing_is_taken():
    browser = Browser()
    assert browser.server.close()
    heard = len(browser.events)
    browser.sends(Ping(payload=b"x"))
    assert (len(browser.events), browser.ended) == (heard, False)
    assert browser.sends(CloseConnection(code=1000)).ended
    assert browser.server.receive(b"whatever comes then") == Received(ended=True)


@pytest.mark.parametrize("field", [b"Sec-WebSocket-Protocol: mqtt\xff", b"Sec-WebSocket-Extensions: \xff"])
def test_a_request_whose_fields_are_no_text_is_a_bad_one(field: bytes):
    head = [b"GET /mqtt HTTP/1.1", b"Host: a", b"Upgrade: websocket", b"Connection: upgrade", field]
    head += [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eHh4", b"", b""]
    found = MqttWebSocket("/mqtt").receive(b"\r\n".join(head))
    assert found.answer.startswith(b"HTTP/1.1 400")
    assert found.ended
