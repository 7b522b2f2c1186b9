"""How fast clients may connect and publish."""

import asyncio

import pytest

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_ADDRESS_CONNECTION_RATE, MQTT_CONNECTION_RATE, MQTT_MESSAGE_RATE
from littoral.iot.access import Arrival, Exchange, LoginOnly, Proved
from littoral.iot.bridge_names import bridge_client
from littoral.iot.rates import ConnectionRate, Rates
from littoral.testing.loop import run as simulated
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, ReasonCode
from tests.support.fakes import FakeClock
from tests.support.mqtt_world import Client, World, publish, turn

CLOSES, ENDS = Rates(connections="close"), Rates(messages="disconnect")


class Door:
    """One listener's rate."""

    def __init__(self, rates: Rates = Rates(), *, all_: int = 1000, each: int = 1000, **more: int) -> None:  # noqa: B008
        values = {"mqtt-connection-rate": all_, "mqtt-address-connection-rate": each}
        self.limits = Limits(values | {name.replace("_", "-"): value for name, value in more.items()})
        self.clock = FakeClock()
        self.rate = ConnectionRate(self.limits, self.clock, rates)

    def waits(self, count: int, address: str = "10.0.0.1") -> list[float | None]:
        return [found if found is None else round(found, 6) for found in map(self.rate.wait_s, [address] * count)]


def test_a_second_is_free_and_then_each_waits_for_its_turn():
    door = Door(all_=10)
    assert door.waits(12) == [0.0] * 10 + [0.1, 0.2]
    door.clock.advance(seconds=0.15)
    assert door.waits(1) == [0.15]
    door.clock.advance(seconds=60)
    assert door.waits(11) == [0.0] * 10 + [0.1]
    assert door.limits.reached[MQTT_CONNECTION_RATE.name] == 4
    assert door.limits.reached[MQTT_ADDRESS_CONNECTION_RATE.name] == 0


def test_nobody_waits_for_longer_than_a_connect_may_take_and_who_may_not_wait_is_refused():
    waiting = Door(all_=1, mqtt_connect_seconds=2)
    assert waiting.waits(5) == [0.0, 1.0, 2.0, None, None]
    waiting.clock.advance(seconds=1)
    assert waiting.waits(2) == [2.0, None], "who was refused took nobody's turn"
    closing = Door(CLOSES, all_=2)
    assert closing.waits(3) == [0.0, 0.0, None]


def test_an_address_that_is_too_fast_takes_nothing_from_others():
    door = Door(CLOSES, all_=10, each=2)
    assert door.waits(20) == [0.0, 0.0] + [None] * 18
    assert door.waits(2, "10.0.0.2") == [0.0, 0.0]
    assert door.limits.reached[MQTT_ADDRESS_CONNECTION_RATE.name] == 18
    assert door.limits.reached[MQTT_CONNECTION_RATE.name] == 0


@pytest.mark.parametrize(
    ("other", "counted"),
    [("2001:db8::ffff", True), ("2001:db8:0:1::1", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False)],
)
def test_ipv6_networks_count_as_one_address(other: str, *, counted: bool):
    door = Door(CLOSES, each=1)
    assert door.waits(1, "2001:db8::1") == [0.0]
    assert door.waits(1, other) == [None if counted else 0.0]


def test_an_ipv4_address_is_the_same_in_ipv6():
    door = Door(CLOSES, each=1)
    assert [*door.waits(1, "10.0.0.1"), *door.waits(1, "::ffff:10.0.0.1")] == [0.0, None]


def test_addresses_that_are_remembered_are_bounded():
    door = Door(CLOSES, each=1, mqtt_rate_addresses=2)
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        assert door.waits(1, address) == [0.0]
    assert door.waits(1, "10.0.0.3") == [None]
    assert door.waits(1, "10.0.0.1") == [0.0], "it was forgotten"


@pytest.mark.parametrize(("level", "answer"), [(MQTT_5, b"\x20\x03\x00\x9f\x00"), (4, b"\x20\x02\x00\x03")])
def test_who_is_over_the_rate_is_told_before_anything_is_asked(level: int, answer: bytes, caplog):
    world = World(lambda *_: pytest.fail("it was asked who that is"))
    client = Client(world.broker, level)
    client.connection.arrive(Arrival("10.0.0.1", "mqtt", over_rate=True))
    client.sends(mqtt.Connect("c", True, 0, level=level)).gets(answer)
    assert client.closed
    assert world.broker.counters.refused == 1
    assert caplog.text == "", "a storm of them must not fill the log"


def test_to_wait_for_ones_turn_is_no_delay_of_the_clients():
    world = World(mqtt_connect_seconds=10)
    client = Client(world.broker)
    client.connection.arrive(Arrival(), 5.0)
    world.clock.advance(seconds=14)
    world.broker.sweep()
    assert not client.closed
    world.clock.advance(seconds=2)
    world.broker.sweep()
    assert client.closed


# --- Messages


def at_the_loops_pace(**limits: int) -> World:
    world = World(**limits)
    setattr(world.clock, "monotonic_s", asyncio.get_running_loop().time)  # noqa: B010 - a method, to mypy
    return world


def fast(world: World, messages: int) -> Client:
    client = world.client5()
    client.sends(*[publish("site/a")] * messages)
    return client


def test_a_client_over_its_rate_is_not_read_until_it_is_within_it():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        world = at_the_loops_pace(mqtt_message_rate=100)
        client = fast(world, 100)
        assert not client.channel.paused, "a second's worth may come at once"
        client.sends(*[publish("site/a")] * 100)
        assert client.channel.paused
        began_s = loop.time()
        while client.channel.paused:
            await asyncio.sleep(0.01)
        assert 1.0 <= loop.time() - began_s <= 1.2
        assert len(world.intake.folded) == 200, "what was read is taken"
        assert world.limits.reached[MQTT_MESSAGE_RATE.name] == 1
        assert not client.closed
        client.sends(publish("site/a"))
        assert not client.channel.paused

    simulated(main)


def test_a_client_that_keeps_sending_is_as_fast_as_its_rate():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        world = at_the_loops_pace(mqtt_message_rate=1000)
        client, began_s = world.client5(), loop.time()
        while loop.time() - began_s < 20:
            if not client.channel.paused:
                client.sends(*[publish("site/a")] * 50)
            await asyncio.sleep(0.001)
        assert 20_000 <= len(world.intake.folded) <= 21_100

    simulated(main)


def test_it_is_read_again_when_the_disk_has_caught_up_and_not_before():
    async def main() -> None:
        world = at_the_loops_pace(mqtt_message_rate=10, mqtt_unstored=5)
        client = world.client()
        client.sends(*[publish("site/a", b"x", 1 + each) for each in range(12)])
        await asyncio.sleep(5)
        assert client.channel.paused, "nothing is stored yet"
        world.intake.stores[0][0].set_result(None)
        await turn()
        assert not client.channel.paused

    simulated(main)


def test_a_client_over_its_rate_is_ended_where_the_document_says_so():
    world = World(mqtt_message_rate=100)
    world.broker.rates = ENDS
    client = fast(world, 101)
    [last] = client.takes()
    assert isinstance(last, mqtt.Disconnect)
    assert last.reason is ReasonCode.MESSAGE_RATE_TOO_HIGH
    assert client.closed
    assert world.closed == {"message-rate": 1}


def test_publishes_that_come_one_at_a_time_count_for_the_rate():
    world = World(mqtt_message_rate=100)
    world.broker.rates = ENDS
    client = world.client5()
    client.sends(publish("site/a"), publish("site/a"))
    for _ in range(98):
        client.sends(publish("site/a"))
    assert not client.closed
    for _ in range(2):
        client.sends(publish("site/a"))
    assert client.closed


def test_a_bridge_of_the_nodes_own_is_not_slowed_down():
    world = World(mqtt_message_rate=10)
    client = world.client(bridge_client("cloud"))
    client.sends(*[publish("site/a")] * 1000)
    assert not client.channel.paused
    assert not client.closed


class Brief(LoginOnly):
    """Whoever speaks its method may stay for 10 s, and for 10 more by proving anew who it is."""

    def __init__(self) -> None:
        super().__init__(lambda *_: True)
        self.clock = FakeClock()

    def exchange(self, client: object, method: str) -> Exchange:
        return self

    def step(self, data: bytes | None) -> Proved:
        return Proved(until_s=self.clock.monotonic_s() + 10)


def test_who_proves_itself_anew_in_time_stays():
    access = Brief()
    world = World(access=access)
    access.clock = world.clock
    client = world.client5(authentication_method="M")
    for _ in range(3):
        world.clock.advance(seconds=9)
        world.broker.sweep()
        method = mqtt.Properties(authentication_method="M")
        client.sends(mqtt.Auth(ReasonCode.RE_AUTHENTICATE, method)).gets(mqtt.Auth(ReasonCode.SUCCESS, method))
    world.clock.advance(seconds=11)
    world.broker.sweep()
    assert client.closed
    assert world.closed == {"login-expired": 1}


def test_a_connection_ends_when_its_login_expires():
    world = World()
    client = world.client5()
    client.connection.until_s = world.clock.monotonic_s() + 10
    world.clock.advance(seconds=9)
    world.broker.sweep()
    assert not client.closed
    world.clock.advance(seconds=1)
    world.broker.sweep()
    [last] = client.takes()
    assert isinstance(last, mqtt.Disconnect)
    assert last.reason is ReasonCode.MAXIMUM_CONNECT_TIME
    assert world.closed == {"login-expired": 1}
