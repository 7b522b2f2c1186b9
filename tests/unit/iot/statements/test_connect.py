"""CONNECT (section 3.1), without its will."""

import asyncio
import string

import pytest

from littoral.iot.access import Challenge, LoginOnly
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import (
    connect_bytes,
    ends,
    field,
    frame,
    join,
    messages,
    of_level,
    refused_bytes,
    says,
    states,
    world,
)
from tests.support.mqtt_world import Client, World, publish, subscribe

CLEAN, WILL, PASSWORD, USER = 0x02, 0x04, 0x40, 0x80
OTHERS = [mqtt.PingReq(), publish("a"), subscribe("a"), mqtt.PubAck(1), mqtt.Disconnect()]


def bare(level, client_id="c", *, clean=True):
    return mqtt.Connect(client_id, clean, 0, level=level)


def logins():
    """A broker that keeps the credentials that it sees."""
    seen: list[tuple[str, str | None, bytes | None]] = []

    def authenticate(*login):
        seen.append(login)
        return True

    return seen, world(authenticate=authenticate)


@pytest.mark.parametrize("packet", OTHERS, ids=lambda packet: type(packet).__name__)
@states(v4="3.1.0-1", v5="3.1.0-1")
async def test_the_first_packet_is_connect(level, packet):
    client = Client(world().broker, level).sends(packet)
    assert client.closed
    assert client.received == b""


@states(v4="3.1.0-2", v5="3.1.0-2")
async def test_a_second_connect_ends_the_connection(level):
    told = await ends(join(world(), level), bare(level))
    assert told == (ReasonCode.PROTOCOL_ERROR if level == MQTT_5 else None)


@states(v4="3.1.2-1", v5="3.1.2-1")
async def test_another_protocol_is_not_spoken(level):
    seen, table = logins()
    assert refused_bytes(table, level, connect_bytes(level, CLEAN, field(b"c"), name=b"MQTQ")) == b""
    assert seen == []


@states(v4="3.1.2-2", v5="3.1.2-2")
async def test_another_version_is_refused_with_a_word(level):
    other = connect_bytes(3 if level == MQTT_3_1_1 else 6, CLEAN, field(b"c"))
    answer = refused_bytes(world(), level, other)
    assert answer == (b"\x20\x02\0\x01" if level == MQTT_3_1_1 else b"\x20\x03\0\x84\0")


@states(v4="3.1.2-3", v5="3.1.2-3")
async def test_the_reserved_flag_of_connect_is_0(level):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | 1, field(b"c"))) == b""


@states(v4="3.1.2-4", v5="3.1.2-5 3.1.2-6")
async def test_a_session_goes_on_and_one_that_is_not_there_begins(level):
    table = world()
    client = join(table, level, kept=True, present=False)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    back = join(table, level, kept=True, present=True)
    await says(join(table, level, "p"), publish("a", b"for the old subscription", 1))
    assert await messages(back) == [b"for the old subscription"]


@states(v4="3.1.2-5")
async def test_messages_of_qos_1_and_2_wait_for_a_client_that_is_away(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=2))
    client.connection.lost()
    await says(join(table, level, "p"), publish("a", b"1", 1), publish("a", b"2", 2, qos=2))
    assert await messages(join(table, level, kept=True, present=True)) == [b"1", b"2"]


@states(v4="3.1.2-6 3.1.4-3", v5="3.1.2-4 3.1.4-4")
async def test_a_clean_start_leaves_nothing_of_the_session_that_was(level):
    table = world()
    client = join(table, level, kept=True)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    await says(join(table, level, "p"), publish("a", b"before", 1))
    fresh = join(table, level)
    await says(join(table, level, "q"), publish("a", b"after", 1))
    assert await messages(fresh) == []


@states(v4="3.1.2-6")
async def test_a_clean_session_ends_with_its_connection(level):
    table = world()
    client = join(table, level)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    back = join(table, level, kept=True, present=False)
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(back) == []


@states(v4="3.1.2-7")
async def test_a_retained_message_outlives_the_session_of_its_publisher(level):
    table = world()
    client = join(table, level)
    await says(client, publish("a", b"kept", retain=True), mqtt.Disconnect())
    assert len(table.broker.sessions) == 0
    reader = join(table, level)
    reader.sends(subscribe("a"))
    assert await messages(reader) == [b"kept"]


@states(v4="3.1.2-18 3.1.2-20", v5="3.1.2-16 3.1.2-18")
async def test_a_login_without_its_flag_is_refused(level):
    for flags, count in ((CLEAN, 1), (CLEAN | USER, 2)):
        fields = [field(b"c"), *[field(b"login")] * count]
        assert refused_bytes(world(), level, connect_bytes(level, flags, *fields)) == b""


@states(v4="3.1.2-19 3.1.2-21", v5="3.1.2-17 3.1.2-19")
async def test_a_flag_without_its_login_is_refused(level):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN | USER, field(b"c"))) == b""
    both = connect_bytes(level, CLEAN | USER | PASSWORD, field(b"c"), field(b"user"))
    assert refused_bytes(world(), level, both) == b""
    seen, table = logins()
    Client(table.broker, level).sends(
        connect_bytes(level, CLEAN | USER | PASSWORD, field(b"c"), field(b"me"), field(b"s"))
    )
    assert seen == [("c", "me", b"s")]


@states(v4="3.1.2-22")
async def test_a_password_alone_is_refused(level):
    packet = connect_bytes(level, CLEAN | PASSWORD, field(b"c"), field(b"secret"))
    assert refused_bytes(world(), level, packet) == b""


@states(v4="3.1.2-24", v5="3.1.2-22 3.2.2-22")
async def test_silence_of_one_and_a_half_times_the_keep_alive_ends_the_connection(level):
    table = world()
    client, heard = join(table, level, keep_alive_s=10), join(table, level, "heard", keep_alive_s=10)
    table.broker.sweep()
    table.clock.advance(seconds=14.9)
    heard.sends(mqtt.PingReq())
    table.broker.sweep()
    assert not client.closed
    table.clock.advance(seconds=0.2)
    table.broker.sweep()
    assert client.closed
    assert not heard.closed


@states(v4="3.1.2-24", v5="3.1.2-22")
async def test_drops_of_a_packet_that_does_not_end_are_no_sign_of_life(level):
    table = world()
    dropping, slow = (join(table, level, name, keep_alive_s=10) for name in ("dropping", "slow"))
    large = mqtt.encode(publish("site/a", b"x" * 100_000), level)
    for each in (dropping, slow):
        each.sends(large[:10])
    table.broker.sweep()
    for start in (1000, 2000, 3000):
        table.clock.advance(seconds=9)
        dropping.sends(b"x")
        slow.sends(large[start : start + 1000])
        table.broker.sweep()
    assert dropping.closed
    assert not slow.closed


@states(v5="3.1.2-23")
async def test_a_session_is_kept_for_its_expiry_interval(level):
    table = world()
    client = join(table, level, kept=True, session_expiry_s=60)
    await says(client, subscribe("a", qos=1))
    client.connection.lost()
    table.clock.advance(seconds=59)
    table.broker.sweep()
    await says(join(table, level, "p"), publish("a", b"1", 1))
    assert await messages(join(table, level, kept=True, present=True)) == [b"1"]


@states(v5="3.1.2-24 3.1.2-25")
async def test_a_message_that_is_too_large_is_left_out_and_counts_as_sent(level):
    table = world()
    client = join(table, level, maximum_packet_bytes=20, receive_maximum=1)
    await says(client, subscribe("a", qos=2))
    large, small = b"x" * 20, b"x" * 8
    publisher = join(table, level, "p")
    await says(publisher, *(publish("a", large, qos + 1, qos=qos) for qos in (1, 2)), publish("a", large))
    await says(publisher, publish("a", small, 9))
    [message] = client.takes()
    assert isinstance(message, mqtt.Publish)
    assert message.payload == small
    assert client.connection.session is not None
    assert client.connection.session.deliveries.waiting == 1, "only the small one waits for its PUBACK"


@states(v5="3.1.2-26 3.3.2-11 3.3.2-8")
async def test_the_broker_uses_no_alias_beyond_what_the_client_takes(level):
    table = world()
    client = join(table, level, topic_alias_maximum=2)
    await says(client, subscribe("#"))
    publisher = join(table, level, "p")
    for _ in range(3):
        await says(publisher, *(publish(topic) for topic in "abcd"))
    aliases = {each.properties.topic_alias for each in client.takes() if isinstance(each, mqtt.Publish)}
    assert aliases == {None, 1, 2}


@states(v5="3.1.2-27")
@pytest.mark.parametrize("most", [None, 0])
async def test_the_broker_uses_no_alias_with_a_client_that_takes_none(level, most):
    table = world()
    client = join(table, level, **({} if most is None else {"topic_alias_maximum": most}))
    await says(client, subscribe("#"))
    await says(join(table, level, "p"), *(publish("a") for _ in range(4)))
    came = client.takes()
    assert len(came) == 4
    assert all(each.properties.topic_alias is None and each.topic == "a" for each in came)


@states(v5="3.1.2-28")
async def test_response_information_is_for_those_who_ask(level):
    assert join(world(), level).agreed.response_information is None
    assert join(world(), level, request_response_information=False).agreed.response_information is None
    assert join(world(), level, request_response_information=True).agreed.response_information is not None


@states(v5="3.1.2-29")
async def test_who_wants_no_explanations_gets_none(level):
    table = World(access=Nothing(), at_once=True)
    client = join(table, level, request_problem_information=False)
    answers = await says(
        client, publish("a", b"x", 1), publish("a", b"x", 2, qos=2), mqtt.PubRel(9), mqtt.PubRec(9), subscribe("a")
    )
    answers += await says(client, mqtt.Unsubscribe(3, ("a",)))
    assert len(answers) == 6
    for answer in answers:
        assert answer.properties.reason_string is None, answer
        assert answer.properties.user == (), answer


class Nothing(LoginOnly):
    """Lets everybody in, and do nothing."""

    def __init__(self):
        super().__init__(lambda *_: True)

    def restricts(self, client):
        return True

    def may_publish(self, client, topic):
        return False

    def may_subscribe(self, client, topic_filter):
        return False


class Asks(Nothing):
    """Asks everybody for another step."""

    def exchange(self, client, method):
        return self

    def step(self, data):
        return Challenge()


@states(v5="3.1.2-30")
async def test_nothing_but_auth_comes_before_connack(level):
    for packet in (publish("a"), subscribe("a"), mqtt.PingReq()):
        client = Client(World(access=Asks()).broker, level)
        client.sends(mqtt.Connect("c", True, 0, level=level, properties=Properties(authentication_method="m")))
        client.takes()
        assert [type(each) for each in client.sends(packet).takes()] == [mqtt.ConnAck]
        assert client.closed


@states(v4="3.1.3-1", v5="3.1.3-1")
async def test_the_fields_of_connect_are_read_in_their_order(level):
    seen, table = logins()
    watcher = join(table, level, "w")
    await says(watcher, subscribe("will topic"))
    fields = (b"id", b"will topic", b"will payload", b"user", b"password")
    encoded = [field(each) for each in fields]
    flags = CLEAN | WILL | USER | PASSWORD
    client = Client(table.broker, level).sends(connect_bytes(level, flags, encoded[0], of_level(level), *encoded[1:]))
    assert seen[1:] == [("id", "user", b"password")]
    client.connection.lost()
    assert await messages(watcher) == [b"will payload"]


@states(v4="3.1.3-2", v5="3.1.3-2")
async def test_a_session_belongs_to_a_client_identifier(level):
    table = world()
    for name in ("one", "two"):
        client = join(table, level, name, kept=True)
        await says(client, subscribe(name, qos=1))
        client.connection.lost()
    await says(join(table, level), publish("one", b"1", 1), publish("two", b"2", 2))
    assert await messages(join(table, level, "two", kept=True, present=True)) == [b"2"]
    assert await messages(join(table, level, "one", kept=True, present=True)) == [b"1"]


@states(v4="3.1.3-3", v5="3.1.3-3")
async def test_a_client_identifier_is_there_though_it_may_be_empty(level):
    assert refused_bytes(world(), level, connect_bytes(level, CLEAN)) == b""


@states(v4="3.1.3-5", v5="3.1.3-5")
async def test_client_identifiers_of_up_to_23_letters_and_digits_are_taken(level):
    letters = string.digits + string.ascii_letters
    for name in ("a", letters[:23], letters[23:46], letters[-23:]):
        join(world(), level, name)


@states(v4="3.1.3-6", v5="3.1.3-6 3.1.3-7 3.2.2-16")
async def test_a_client_without_an_identifier_gets_one_that_no_session_has(level):
    table = world()
    first, second = join(table, level, ""), join(table, level, "")
    assert not first.closed
    names = {each.connection.session.client_id for each in (first, second) if each.connection.session is not None}
    assert len(names) == 2
    assert "" not in names
    if level == MQTT_5:
        assert {first.agreed.assigned_client_id, second.agreed.assigned_client_id} == names
    # What the next one would be called is easy to guess, and somebody has that name already.
    guessed = max(names)[:-1] + "3"
    taken = join(table, level, guessed, kept=True)
    third = join(table, level, "")
    assert not taken.closed
    assert third.connection.session is not None
    assert third.connection.session.client_id != guessed


@states(v4="3.1.3-7 3.1.3-8 3.1.3-9")
async def test_a_session_to_be_kept_needs_an_identifier(level):
    client = Client(world().broker, level).sends(bare(level, "", clean=False))
    assert client.received == b"\x20\x02\0\x02"
    assert client.closed


@states(v4="3.1.4-1", v5="3.1.4-1")
async def test_a_malformed_connect_closes_without_a_word(level):
    whole = connect_bytes(level, CLEAN, field(b"c"))
    for packet in (
        whole[:1] + bytes([whole[1] - 1]) + whole[2:-1],
        whole[:1] + bytes([whole[1] + 1]) + whole[2:] + b"x",
        frame(0x11, whole[2:]),
    ):
        assert refused_bytes(world(), level, packet) == b""


@states(v5="3.1.4-2")
async def test_a_client_whose_login_is_wrong_is_closed(level):
    client = Client(World(lambda *_: False).broker, level).sends(bare(level))
    assert client.takes()[0].reason.failed
    assert client.closed


@states(v4="3.1.4-2", v5="3.1.4-3")
async def test_another_connection_of_the_same_client_is_closed(level):
    table = world()
    first, bystander = join(table, level), join(table, level, "b")
    join(table, level)
    assert first.closed
    assert not bystander.closed
    if level == MQTT_5:
        assert [each.reason for each in first.takes()] == [ReasonCode.SESSION_TAKEN_OVER]


@states(v4="3.1.4-4", v5="3.1.4-5")
async def test_a_connect_that_is_accepted_is_answered_with_success(level):
    [answer] = await says(Client(world().broker, level), bare(level))
    assert isinstance(answer, mqtt.ConnAck)
    assert answer.reason is ReasonCode.SUCCESS


@states(v4="3.1.4-5", v5="3.1.4-6")
async def test_what_comes_after_a_connect_that_is_refused_is_not_read(level):
    table = world(authenticate=lambda *_: False)
    verdict = asyncio.get_running_loop().create_future()
    later = World(lambda *_: verdict, at_once=True)
    for broker_world in (table, later):
        client = Client(broker_world.broker, level).sends(bare(level), publish("site/a", b"1"), publish("a", b"x", 1))
        if not verdict.done() and broker_world is later:
            verdict.set_result(False)
        answers = await says(client)
        assert [type(each) for each in answers] == [mqtt.ConnAck]
        assert client.closed
        assert (broker_world.intake.folded, broker_world.intake.stores) == ([], [])
