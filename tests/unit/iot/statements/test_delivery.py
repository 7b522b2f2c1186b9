"""QoS 1 and 2 in both directions, delivery again, and order (sections 3.4 to 3.7, 4.3 to 4.6)."""

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, Properties, ReasonCode
from tests.support.mqtt_statements import ends, join, messages, says, states, world
from tests.support.mqtt_world import World, publish, subscribe, turn

NOT_FOUND = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND


async def subscribed(table, level, name="w", *, qos=2, **options):
    client = join(table, level, name, kept=True, **options)
    await says(client, subscribe("a", qos=qos))
    return client


async def sent_again(table, level, client, name="w"):
    """What comes when the network has failed and the client is back."""
    client.connection.lost()
    back = join(table, level, name, kept=True, present=True)
    return back, await says(back)


# --- Reasons


@states(v5="3.6.2-1 3.7.2-1")
async def test_what_answers_an_unknown_identifier_says_so(level):
    client = join(world(), level)
    assert await says(client, mqtt.PubRec(7)) == [mqtt.PubRel(7, NOT_FOUND)]
    assert await says(client, mqtt.PubRel(7)) == [mqtt.PubComp(7, NOT_FOUND)]


@states(v5="3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1")
async def test_a_reason_that_an_acknowledgement_does_not_have_ends_the_connection(level):
    for first in (0x40, 0x50, 0x62, 0x70):
        for reason in (0x18, 0x8D):
            packet = bytes([first, 3, 0, 1, reason])
            assert await ends(join(world(), level), packet) == ReasonCode.PROTOCOL_ERROR


@states(v4="3.6.1-1", v5="3.6.1-1")
async def test_reserved_flags_of_pubrel_are_0010(level):
    for flags in (0, 1, 3, 6, 10):
        told = await ends(join(world(), level), bytes([0x60 | flags, 2, 0, 1]))
        assert told == (ReasonCode.MALFORMED_PACKET if level == MQTT_5 else None)


# --- QoS 1


@states(v4="4.3.2-1", v5="4.3.2-2 4.3.2-3")
async def test_qos_1_a_message_is_unacknowledged_until_puback(level):
    table = world()
    client = await subscribed(table, level)
    await says(join(table, level), publish("a", b"1", 1))
    [first] = client.takes()
    assert (first.qos, first.duplicate) == (1, False)
    client, [again] = await sent_again(table, level, client)
    assert (again.packet_id, again.payload) == (first.packet_id, b"1")
    assert await says(client, mqtt.PubAck(first.packet_id + 1)) == []
    assert (await sent_again(table, level, client))[1] == [again]
    client = join(table, level, "w", kept=True, present=True)
    await says(client, mqtt.PubAck(first.packet_id))
    assert (await sent_again(table, level, client))[1] == []


@states(v4="4.3.2-2", v5="4.3.2-4 4.3.2-5")
async def test_qos_1_after_puback_the_same_identifier_is_another_message(level):
    table = world()
    watcher = await subscribed(table, level)
    client = join(table, level)
    assert await says(client, publish("a", b"1", 7)) == [mqtt.PubAck(7)]
    assert await says(client, publish("a", b"2", 7, duplicate=True)) == [mqtt.PubAck(7)]
    assert await messages(watcher) == [b"1", b"2"]


@states(v4="4.3.2-2", v5="4.3.2-4")
async def test_qos_1_puback_comes_after_the_broker_has_the_message(level):
    table = World()
    client = join(table, level)
    assert await says(client, publish("a", b"1", 7)) == []
    table.intake.stores[-1][0].set_result(None)
    assert await says(client) == [mqtt.PubAck(7)]


# --- QoS 2, the broker sends


@states(v4="4.3.3-1", v5="4.3.3-2 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6")
async def test_qos_2_publish_until_pubrec_then_pubrel_until_pubcomp(level):
    table = world()
    client = await subscribed(table, level)
    await says(join(table, level), publish("a", b"1", 1, qos=2))
    [first] = client.takes()
    number = first.packet_id
    assert (first.qos, first.duplicate) == (2, False)
    client, [again] = await sent_again(table, level, client)
    assert (again.packet_id, again.payload, again.duplicate) == (number, b"1", True)
    assert await says(client, mqtt.PubRec(number)) == [mqtt.PubRel(number)]
    client, came = await sent_again(table, level, client)
    assert came == [mqtt.PubRel(number)], "PUBLISH does not come again"
    assert await says(client, mqtt.PubRec(number)) == [mqtt.PubRel(number)]
    assert await says(client, mqtt.PubComp(number)) == []
    assert (await sent_again(table, level, client))[1] == []


@states(v5="4.3.3-7")
async def test_qos_2_a_message_that_was_sent_does_not_expire(level):
    table = world()
    client = await subscribed(table, level)
    sent = publish("a", b"1", 1, qos=2, properties=Properties(message_expiry_s=10))
    await says(join(table, level), sent)
    assert len(client.takes()) == 1
    client.connection.lost()
    table.clock.advance(seconds=60)
    back = join(table, level, "w", kept=True, present=True)
    assert await messages(back) == [b"1"]


# --- QoS 2, the broker receives


@states(v4="4.3.3-2", v5="4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12")
async def test_qos_2_an_identifier_is_one_message_until_pubcomp(level):
    table = world()
    watcher = await subscribed(table, level)
    client = join(table, level, kept=True)
    assert await says(client, publish("a", b"1", 7, qos=2)) == [mqtt.PubRec(7)]
    assert await says(client, publish("a", b"1", 7, qos=2, duplicate=True)) == [mqtt.PubRec(7)]
    client.connection.lost()
    client = join(table, level, kept=True, present=True)
    assert await says(client, publish("a", b"1", 7, qos=2, duplicate=True)) == [mqtt.PubRec(7)]
    assert await messages(watcher) == [b"1"]
    assert await says(client, mqtt.PubRel(7)) == [mqtt.PubComp(7)]
    assert await says(client, publish("a", b"2", 7, qos=2)) == [mqtt.PubRec(7)]
    assert await messages(watcher) == [b"2"]


@states(v4="4.3.3-2", v5="4.3.3-8")
async def test_qos_2_pubrec_comes_after_the_broker_has_the_message(level):
    table = World()
    client = join(table, level)
    assert await says(client, publish("a", b"1", 7, qos=2)) == []
    table.intake.stores[-1][0].set_result(None)
    assert await says(client) == [mqtt.PubRec(7)]


@states(v5="4.3.3-9")
async def test_qos_2_after_a_refusal_the_same_identifier_is_another_message(level):
    table = world()
    watcher = await subscribed(table, level)
    client = join(table, level)
    refused = publish("$SYS/x", b"1", 7, qos=2)
    assert await says(client, refused) == [mqtt.PubRec(7, ReasonCode.NOT_AUTHORIZED)]
    assert await says(client, publish("a", b"2", 7, qos=2)) == [mqtt.PubRec(7)]
    assert await messages(watcher) == [b"2"]


@states(v5="4.3.3-13")
async def test_qos_2_the_exchange_goes_on_though_the_message_has_expired(level):
    table = world()
    await subscribed(table, level)
    client = join(table, level)
    sent = publish("a", b"1", 7, qos=2, properties=Properties(message_expiry_s=1))
    assert await says(client, sent) == [mqtt.PubRec(7)]
    table.clock.advance(seconds=60)
    assert await says(client, sent) == [mqtt.PubRec(7)]
    assert await says(client, mqtt.PubRel(7)) == [mqtt.PubComp(7)]


# --- Again


@states(v4="4.4.0-1", v5="4.4.0-1")
async def test_only_a_client_that_is_back_is_sent_again_what_it_did_not_acknowledge(level):
    table = world()
    client = await subscribed(table, level)
    await says(join(table, level), *(publish("a", b"%d" % n, n, qos=1 + n // 3) for n in (1, 2, 3, 4)))
    first = client.takes()
    table.clock.advance(days=1)
    table.broker.sweep()
    assert await says(client) == [], "as long as the connection lasts, nothing is sent again"
    taken = next(each.packet_id for each in first if each.qos == 2)
    await says(client, mqtt.PubRec(taken))
    _, again = await sent_again(table, level, client)
    publishes = {each.packet_id: each.payload for each in again if isinstance(each, mqtt.Publish)}
    assert publishes == {each.packet_id: each.payload for each in first if each.packet_id != taken}
    assert [each for each in again if isinstance(each, mqtt.PubRel)] == [mqtt.PubRel(taken)]


@states(v5="4.4.0-2")
async def test_a_message_that_the_client_refuses_is_over(level):
    table = world()
    client = await subscribed(table, level)
    await says(join(table, level), publish("a", b"1", 1), publish("a", b"2", 2, qos=2))
    one, two = (each.packet_id for each in client.takes())
    why = ReasonCode.UNSPECIFIED_ERROR
    assert await says(client, mqtt.PubAck(one, why), mqtt.PubRec(two, why)) == []
    assert (await sent_again(table, level, client))[1] == []


@states(v4="4.5.0-1", v5="4.5.0-1")
async def test_a_message_is_added_to_every_session_with_a_subscription_that_fits(level):
    table = world()
    names = ["here", "away", "other"]
    clients = [await subscribed(table, level, name) for name in names[:2]]
    stranger = join(table, level, "other", kept=True)
    clients[1].connection.lost()
    await says(join(table, level), publish("a", b"1", 1), publish("a", b"2", 2, qos=2))
    assert await messages(clients[0]) == [b"1", b"2"]
    assert await messages(join(table, level, "away", kept=True, present=True)) == [b"1", b"2"]
    assert await messages(stranger) == []


# --- Order


@states(v4="4.6.0-1", v5="4.6.0-1")
async def test_what_is_sent_again_is_in_the_order_of_the_first_time(level):
    for qos in (1, 2):
        table = world()
        client = await subscribed(table, level)
        publisher = join(table, level)
        await says(publisher, *(publish("a", b"%d" % n, n, qos=qos) for n in range(1, 7)))
        first = [each.packet_id for each in client.takes()]
        # One in the middle is done.
        await says(client, mqtt.PubAck(first[2]) if qos == 1 else mqtt.PubRec(first[2]))
        _, again = await sent_again(table, level, client)
        expected = [each for each in first if each != first[2]]
        assert [each.packet_id for each in again if isinstance(each, mqtt.Publish)] == expected


@states(v4="4.6.0-2 4.6.0-3", v5="4.6.0-2 4.6.0-3")
async def test_publishes_are_acknowledged_in_their_order(level):
    table = World()
    client = join(table, level)
    for number in range(1, 7):
        client.sends(publish("a", b"x", number, qos=1 + number % 2))
    for future, _ in reversed(table.intake.stores):
        future.set_result(None)
        await turn()
    assert [each.packet_id for each in client.takes()] == [1, 2, 3, 4, 5, 6]


@states(v4="4.6.0-4", v5="4.6.0-4")
async def test_pubrels_are_in_the_order_of_the_pubrecs(level):
    table = world()
    client = await subscribed(table, level)
    await says(join(table, level), *(publish("a", b"x", n, qos=2) for n in (1, 2, 3, 4)))
    order = [each.packet_id for each in client.takes()]
    order = [order[2], order[0], order[3], order[1]]
    answers = await says(client, *(mqtt.PubRec(each) for each in order))
    assert answers == [mqtt.PubRel(each) for each in order]


@states(v4="4.6.0-5 4.6.0-6", v5="4.6.0-5 4.6.0-6")
async def test_messages_come_in_the_order_in_which_a_client_published_them(level):
    for qos in (0, 1, 2):
        table = world(mqtt_inflight=3)
        subscribers = [await subscribed(table, level, name, qos=qos) for name in ("w", "away")]
        subscribers[1].connection.lost()
        publisher = join(table, level)
        numbers = range(1, 31)
        for n in numbers:
            publisher.sends(publish("a", b"%d" % n, n if qos else None, qos=qos))
        await turn()
        came = await drained(subscribers[0])
        assert came == [b"%d" % n for n in numbers], qos
        if qos:
            assert await drained(join(table, level, "away", kept=True, present=True)) == came


async def drained(client):
    """Every message for a client, which acknowledges them in turn."""
    found: list[bytes] = []
    await turn()
    while answers := client.takes():
        for each in answers:
            if isinstance(each, mqtt.Publish):
                found.append(each.payload)
                if each.packet_id is not None:
                    client.sends(mqtt.PubAck(each.packet_id) if each.qos == 1 else mqtt.PubRec(each.packet_id))
            elif isinstance(each, mqtt.PubRel):
                client.sends(mqtt.PubComp(each.packet_id))
        await turn()
    return found
