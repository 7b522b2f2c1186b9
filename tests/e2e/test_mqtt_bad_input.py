"""What clients do wrong, on real sockets: each loses its own connection, or waits, and the others notice nothing."""

import itertools

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, ReasonCode
from tests.support.mqtt_thread import SocketClient, serving, until
from tests.support.mqtt_world import publish, subscribe

SEND_QUEUE_BYTES = 64 * 1024
RETAINED = 2000
MALFORMED, PROTOCOL_ERROR = ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR

BAD_PACKETS = [
    ("reserved type 0", b"\x00\x00", MALFORMED),
    ("CONNECT, a second one", mqtt.encode(mqtt.Connect("x", True, 0, level=MQTT_5), MQTT_5), PROTOCOL_ERROR),
    ("CONNECT, flags", b"\x11\x00", MALFORMED),
    ("CONNACK", b"\x20\x03\0\0\0", PROTOCOL_ERROR),
    ("PUBLISH, QoS 3", b"\x36\x06\0\1a\0\1\0", MALFORMED),
    ("PUBLISH, not UTF-8", b"\x30\x05\0\2\xff\xfe\0", MALFORMED),
    ("PUBLISH, wildcard", b"\x30\x06\0\3a/#\0", MALFORMED),
    ("PUBLISH, cut short", b"\x30\x03\0\x09a", MALFORMED),
    ("PUBLISH, too large", b"\x30\xff\xff\xff\x7f", ReasonCode.PACKET_TOO_LARGE),
    ("PUBLISH, alias", b"\x30\x06\0\0\3\x23\xff\xff", ReasonCode.TOPIC_ALIAS_INVALID),
    ("PUBACK, cut short", b"\x40\x01\0", MALFORMED),
    ("PUBREC, identifier 0", b"\x50\x02\0\0", MALFORMED),
    ("PUBREL, flags", b"\x60\x02\0\1", MALFORMED),
    ("PUBCOMP, property", b"\x70\x06\0\1\0\2\x01\x01", MALFORMED),
    ("SUBSCRIBE, without a filter", b"\x82\x03\0\1\0", PROTOCOL_ERROR),
    ("SUBSCRIBE, filter", b"\x82\x08\0\1\0\0\2a#\0", MALFORMED),
    ("SUBACK", b"\x90\x04\0\1\0\0", PROTOCOL_ERROR),
    ("UNSUBSCRIBE, U+0000", b"\xa2\x07\0\1\0\0\2a\0", MALFORMED),
    ("UNSUBACK", b"\xb0\x04\0\1\0\0", PROTOCOL_ERROR),
    ("PINGREQ, with something in it", b"\xc0\x01x", MALFORMED),
    ("PINGRESP", b"\xd0\x00", PROTOCOL_ERROR),
    ("DISCONNECT, reason", b"\xe0\x01\x10", PROTOCOL_ERROR),
    ("AUTH, without a method", b"\xf0\x00", PROTOCOL_ERROR),
    ("a length of five bytes", b"\xc0\xff\xff\xff\xff\x01", MALFORMED),
]


@pytest.fixture(scope="module")
def server():
    with serving(mqtt_send_queue_bytes=SEND_QUEUE_BYTES, mqtt_retained=RETAINED) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server):
    """Somebody who keeps to the protocol, and stays through all of this."""
    with SocketClient(server.port) as client:
        yield client.join("bystander")


@pytest.fixture(autouse=True)
def _the_others_notice_nothing(bystander):
    yield
    assert bystander.is_there()


@pytest.mark.parametrize(
    ("packet", "reason"), [each[1:] for each in BAD_PACKETS], ids=[each[0] for each in BAD_PACKETS]
)
def test_a_bad_packet_ends_its_own_connection_with_the_reason(server, packet, reason):
    with SocketClient(server.port) as client:
        [goodbye] = client.join("bad").sends(packet).all()
    assert isinstance(goodbye, mqtt.Disconnect)
    assert goodbye.reason is reason
    with SocketClient(server.port, MQTT_3_1_1) as old:
        assert old.join("bad").sends(packet).all() == []


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01", b"\x10\x04\0\x04MQ", b"\0" * 64]
)
def test_what_does_not_begin_with_connect_is_closed_without_a_word(server, data):
    with SocketClient(server.port) as client:
        assert client.sends(data).all() == []


def test_half_open_connections_are_closed_when_their_time_is_up():
    with (
        serving(mqtt_connect_seconds=2) as server,
        SocketClient(server.port) as silent,
        SocketClient(server.port) as slow,
        SocketClient(server.port) as quiet,
    ):
        # No CONNECT, half of one, and a client whose network is gone without a word.
        slow.sends(mqtt.encode(mqtt.Connect("slow", True, 0), MQTT_3_1_1)[:-1])
        quiet.sends(mqtt.Connect("quiet", True, 1, level=MQTT_5))
        assert isinstance(quiet.next(), mqtt.ConnAck)
        assert silent.all() == []
        assert slow.all() == []
        assert [each.reason for each in quiet.all()] == [ReasonCode.KEEP_ALIVE_TIMEOUT]
        assert server.ask(lambda broker: broker.counters.closed) == {"connect-timeout": 2, "keep-alive": 1}


def waiting_bytes(server, name):
    """What the broker holds for a client."""
    return server.ask(lambda broker: broker.sessions.get(name).outbound.outbox.bytes)


def test_a_subscriber_that_does_not_read_loses_its_oldest_messages_and_holds_up_nobody(server):
    reached = server.limits.reached["mqtt-send-queue-bytes"]
    sent = 0
    with SocketClient(server.port) as slow, SocketClient(server.port) as publisher:
        slow.join("slow").sends(subscribe("flood/+"))
        assert isinstance(slow.next(), mqtt.SubAck)
        publisher.join("publisher")
        while server.limits.reached["mqtt-send-queue-bytes"] < reached + 20:
            publisher.sends(*(publish("flood/x", b"%d " % number + b"x" * 1000) for number in range(sent, sent + 20)))
            sent += 20
            assert publisher.is_there()
            assert waiting_bytes(server, "slow") <= SEND_QUEUE_BYTES
        assert publisher.sends(publish("flood/last", b"last", 1)).next() == mqtt.PubAck(1)
        came = []
        while (packet := slow.next()).topic != "flood/last":
            came.append(int(packet.payload.split()[0]))
        assert 0 < len(came) < sent
        assert came == sorted(came)
        assert came[-1] == sent - 1, "the oldest are dropped, not the newest"
        assert slow.is_there()


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_a_flood_of_requests_whose_answers_are_not_read_ends_the_connection(server, level):
    def closed():
        return server.ask(lambda broker: broker.counters.closed.get("send-queue", 0))

    before = closed()
    with SocketClient(server.port, level) as client:
        client.join("flood")
        for _ in range(1000):
            client.sends(b"\xc0\0" * 5000)
            if closed() > before:
                break
        assert closed() == before + 1
    until(lambda: server.ask(lambda broker: broker.sessions.get("flood")) is None)


def wildcards(levels):
    """Filters that all fit a topic of so many levels "a", and end in "#"."""
    for count in range(1, levels + 1):
        for names in itertools.product("a+", repeat=count):
            yield "/".join((*names, "#"))


def test_thousands_of_subscriptions_to_everything_are_bounded_and_one_message_is_one_copy(server):
    filters = list(wildcards(9))
    assert len(filters) == 1022
    clients = [SocketClient(server.port) for _ in range(5)]
    try:
        for number, client in enumerate(clients):
            client.join(f"all{number}")
            for start in range(0, len(filters), 500):
                client.sends(subscribe(*filters[start : start + 500]))
            granted = [reason for _ in range(3) for reason in client.next().reasons]
            assert granted == [ReasonCode.GRANTED_QOS_0] * 1000 + [ReasonCode.QUOTA_EXCEEDED] * 22
        with SocketClient(server.port) as publisher:
            publisher.join("publisher").sends(publish("/".join("a" * 10), b"once", 1))
            assert publisher.next() == mqtt.PubAck(1)
        for client in clients:
            assert client.next() == publish("/".join("a" * 10), b"once")
            assert client.is_there(), "there is no second copy before this answer"
    finally:
        for client in clients:
            client.__exit__()
    until(lambda: server.ask(lambda broker: len(broker.sessions)) == 1)


def test_a_huge_retained_set_is_bounded_and_sent_as_fast_as_the_client_reads(server):
    payload = b"r" * 200
    with SocketClient(server.port) as publisher, SocketClient(server.port) as reader:
        publisher.join("publisher")
        publisher.sends(*(publish(f"kept/{number}", payload, retain=True) for number in range(RETAINED + 500)))
        assert publisher.is_there()
        statistics = server.ask(lambda broker: broker.statistics())
        assert statistics.retained <= RETAINED
        assert server.limits.reached["mqtt-retained"] > 0
        reader.join("reader").sends(subscribe("kept/#"))
        assert isinstance(reader.next(), mqtt.SubAck)
        assert waiting_bytes(server, "reader") <= SEND_QUEUE_BYTES
        kept = server.ask(lambda broker: len(broker.retained.match("kept/#")))
        assert kept > RETAINED // 2
        topics = {reader.next().topic for _ in range(kept)}
        assert len(topics) == kept
        assert reader.is_there()
