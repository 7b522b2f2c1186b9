"""PING, DISCONNECT, AUTH, and errors (sections 3.12 to 3.15, 4.12, 4.13)."""

from littoral.iot.access import Challenge, LoginOnly, Proved, Refused, Step
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import connect_bytes, ends, field, join, messages, says, states, world
from tests.support.mqtt_world import Client, World, publish, subscribe

MORE, ANEW = ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.RE_AUTHENTICATE


class Methods(LoginOnly):
    """One method of authentication, "m", which takes these steps."""

    def __init__(self, *steps: Step):
        super().__init__(lambda *_: True)
        self.steps = list(steps)

    def exchange(self, client, method):
        return self if method == "m" else None

    def step(self, data):
        return self.steps.pop(0)


def asking(*steps, method="m"):
    """A client of MQTT 5 that names a method, at a broker that takes these steps."""
    client = Client(World(access=Methods(*steps), at_once=True).broker, MQTT_5)
    asked = Properties(authentication_method=method, authentication_data=b"1")
    return client.sends(mqtt.Connect("c", True, 0, level=MQTT_5, properties=asked))


def auth(reason=MORE, method="m"):
    return mqtt.Auth(reason, Properties(authentication_method=method, authentication_data=b"2"))


# --- PING and DISCONNECT


@states(v4="3.12.4-1", v5="3.12.4-1")
async def test_a_ping_is_answered(level):
    client = join(world(), level)
    assert await says(client, mqtt.PingReq()) == [mqtt.PingResp()]
    assert await says(client, mqtt.PingReq(), publish("a"), mqtt.PingReq()) == [mqtt.PingResp()] * 2


@states(v5="3.14.0-1")
async def test_the_broker_says_no_goodbye_before_connack(level):
    client = Client(world().broker, level).sends(connect_bytes(level, 0x03, field(b"c")))
    assert (client.closed, client.received) == (True, b"")
    waiting = asking(Challenge())
    waiting.takes()
    waiting.sends(publish("a"))
    assert [type(each) for each in waiting.takes()] == [mqtt.ConnAck]


@states(v4="3.14.1-1", v5="3.14.1-1")
async def test_reserved_flags_of_disconnect_are_0(level):
    for flags in (1, 2, 15):
        table = world()
        watcher = join(table, level, "w")
        await says(watcher, subscribe("wills"))
        client = join(table, level, will=mqtt.Will("wills", b"gone", 0, retain=False))
        told = await ends(client, bytes([0xE0 | flags, 0]))
        assert told == (ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None)
        assert await messages(watcher) == [b"gone"], "it was no goodbye"


@states(v5="3.14.2-1 3.14.2-2 3.14.4-1 3.14.4-2")
async def test_the_brokers_goodbye_is_its_last_word(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=1), publish("a", b"x"))
    table.broker.kick("c")
    await says(join(table, level, "p"), publish("a", b"1"), publish("a", b"2", 1))
    # The codec takes no other reasons than those of DISCONNECT.
    *_, goodbye = await says(client, mqtt.PingReq(), publish("a", b"3", 1))
    assert isinstance(goodbye, mqtt.Disconnect)
    assert goodbye.reason.failed
    assert goodbye.properties.session_expiry_s is None
    assert client.closed


@states(v5="3.14.2-1")
async def test_a_reason_that_disconnect_does_not_have_ends_the_connection(level):
    told = await ends(join(world(), level), b"\xe0\x01\x10")
    assert told == ReasonCode.PROTOCOL_ERROR


@states(v4="3.14.4-2", v5="3.14.4-1")
async def test_what_comes_after_a_goodbye_is_not_read(level):
    table = world()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("a"))
    client = join(table, level)
    assert await says(client, mqtt.Disconnect(), publish("a", b"late"), publish("a", b"late", 1)) == []
    assert client.closed
    assert await messages(watcher) == []


# --- AUTH


@states(v5="3.15.1-1")
async def test_reserved_flags_of_auth_are_0(level):
    client = asking(Proved())
    client.takes()
    assert await ends(client, b"\xf1\x00") == ReasonCode.MALFORMED_PACKET


@states(v5="3.15.2-1")
async def test_a_reason_that_auth_does_not_have_ends_the_connection(level):
    client = asking(Proved())
    client.takes()
    assert await ends(client, b"\xf0\x02\x87\x00") == ReasonCode.PROTOCOL_ERROR
    # And the broker's own have a reason that the codec takes.
    exchange = asking(Challenge(), Proved(), Proved())
    assert [each.reason for each in exchange.takes()] == [MORE]
    exchange.sends(auth()).takes()
    assert [each.reason for each in await says(exchange, auth(ANEW))] == [ReasonCode.SUCCESS]


@states(v5="4.12.0-1")
async def test_a_method_that_there_is_none_of_is_refused(level):
    client = asking(method="other")
    assert [each.reason for each in client.takes()] == [ReasonCode.BAD_AUTHENTICATION_METHOD]
    assert client.closed


@states(v5="4.12.0-2")
async def test_the_broker_asks_for_more_with_that_reason(level):
    client = asking(Challenge(b"a"), Challenge(b"b"), Proved())
    for data in (b"a", b"b"):
        [asked] = client.takes()
        assert (asked.reason, asked.properties.authentication_data) == (MORE, data)
        client.sends(auth())
    assert [each.reason for each in client.takes()] == [ReasonCode.SUCCESS]


@states(v5="4.12.0-4")
async def test_authentication_may_fail_at_any_step(level):
    for steps in ([Refused()], [Challenge(), Refused()], [Challenge(), Challenge(), Refused()]):
        client = asking(*steps)
        for _ in steps[1:]:
            client.takes()
            client.sends(auth())
        [connack] = client.takes()
        assert isinstance(connack, mqtt.ConnAck)
        assert connack.reason is ReasonCode.NOT_AUTHORIZED
        assert client.closed


@states(v5="4.12.0-5")
async def test_the_method_of_connect_is_that_of_every_packet(level):
    client = asking(Challenge(), Proved(), Proved())
    answers = client.takes() + client.sends(auth()).takes() + client.sends(auth(ANEW)).takes()
    assert [each.properties.authentication_method for each in answers] == ["m"] * 3
    other = asking(Challenge())
    other.takes()
    [refused] = other.sends(auth(method="other")).takes()
    assert refused.reason is ReasonCode.PROTOCOL_ERROR
    assert other.closed


@states(v5="4.12.0-6 4.12.0-7")
async def test_without_a_method_there_is_no_auth(level):
    client = join(world(access=Methods()), level)
    assert client.agreed.authentication_method is None
    assert await ends(client, auth(ANEW)) == ReasonCode.PROTOCOL_ERROR


@states(v5="4.12.1-1")
async def test_a_client_proves_itself_anew_with_the_method_of_connect(level):
    client = asking(Proved(), Proved())
    client.takes()
    [answer] = client.sends(auth(ANEW)).takes()
    assert isinstance(answer, mqtt.Auth)
    assert answer.reason is ReasonCode.SUCCESS
    assert await ends(client, auth(ANEW, "other")) == ReasonCode.PROTOCOL_ERROR


@states(v5="4.12.1-2")
async def test_who_fails_to_prove_itself_anew_is_told_and_closed(level):
    client = asking(Proved(), Refused())
    client.takes()
    assert await ends(client, auth(ANEW)) == ReasonCode.NOT_AUTHORIZED


# --- Errors


@states(v5="4.13.1-1 4.13.2-1")
async def test_an_error_is_told_with_its_reason_and_is_the_end(level):
    for packet, reason in (
        (b"\x00\x00", ReasonCode.MALFORMED_PACKET),
        (b"\x82\x05\0\1\0\0\0", ReasonCode.MALFORMED_PACKET),
        (b"\x20\x03\0\0\0", ReasonCode.PROTOCOL_ERROR),
        (b"\x30\xff\xff\xff\x7f", ReasonCode.PACKET_TOO_LARGE),
        (publish("a", properties=Properties(topic_alias=65_535)), ReasonCode.TOPIC_ALIAS_INVALID),
        (publish("a", b"\xff", properties=Properties(payload_format=1)), ReasonCode.PAYLOAD_FORMAT_INVALID),
    ):
        assert await ends(join(world(), level), packet) == reason, packet
