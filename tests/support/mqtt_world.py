"""A broker over connections in memory; `>>` and `<<` as methods: `client.sends(packet)`, `client.gets(packet)`."""

import asyncio

import msgspec

from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.iot.channel import CallbackChannel
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, NO_PROPERTIES, ReasonCode
from tests.support.fakes import FakeClock

CONNACK = mqtt.ConnAck(False)


def packets_of(data, level):
    """Whole packets from bytes."""
    position, found = 0, []
    while position < len(data):
        head = mqtt.header(data, position, 1 << 28, level)
        assert head is not None, data
        body, following = head
        found.append(mqtt.decode(data[position], data[body:following], level))
        position = following
    return found


class FakeIntake:
    """Folds into a list; stores when told to, or at once."""

    def __init__(self, *, at_once=False):
        self.folded = []
        self.stores = []
        self.at_once = at_once

    def route(self, topic):
        if not topic.startswith("site/"):
            return None
        return lambda payload: self.folded.append((topic, bytes(payload)))

    def store(self, records, order):
        future = asyncio.get_running_loop().create_future()
        self.stores.append((future, [msgspec.msgpack.decode(record) for record in records]))
        if self.at_once:
            future.set_result(None)
        return future


class Client:
    """The other end of a connection."""

    received = b""
    channel_type = CallbackChannel
    agreed = NO_PROPERTIES
    """What CONNACK said."""

    def __init__(self, broker, level=MQTT_3_1_1):
        self.level = level
        self.channel = self.channel_type(self._output)
        self.connection = broker.connect(self.channel)

    def _output(self, data):
        self.received += data

    def _bytes(self, packets):
        return b"".join(p if isinstance(p, bytes) else mqtt.encode(p, self.level) for p in packets)

    def sends(self, *packets):
        self.connection.receive(self._bytes(packets))
        return self

    def gets(self, *packets):
        assert self.received == self._bytes(packets), (self.takes(), packets)
        self.received = b""
        return self

    def takes(self):
        """What came, as packets."""
        data, self.received = self.received, b""
        return packets_of(data, self.level)

    @property
    def closed(self):
        return self.channel.closed


class World:
    """A broker with everything around it; limits are keyword arguments."""

    def __init__(self, authenticate=None, *, access=None, store=None, at_once=False, reject_new=False, **limits):
        self.limits = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        self.clock = FakeClock()
        self.intake = FakeIntake(at_once=at_once)
        self.failures: list[BaseException] = []
        self.tasks = Tasks(self.failures.append)
        self.access = access or LoginOnly(authenticate or (lambda *_: True))
        self.broker = Broker(
            self.intake, self.clock, self.limits, self.access, self.tasks, store, reject_new=reject_new
        )

    def client(self, name="c", *, clean=True, keep_alive_s=0, present=False, will=None, login=()):
        """A client of MQTT 3.1.1, connected."""
        client = Client(self.broker)
        client.sends(mqtt.Connect(name, clean, keep_alive_s, will, *login))
        return client.gets(mqtt.ConnAck(present))

    def client5(self, name="c", *, clean=True, present=False, will=None, keep_alive_s=0, username=None, **properties):
        """A client of MQTT 5, connected."""
        client = Client(self.broker, MQTT_5)
        asked = mqtt.Properties(**properties) if properties else NO_PROPERTIES
        client.sends(mqtt.Connect(name, clean, keep_alive_s, will, username, None, MQTT_5, asked))
        [connack] = client.takes()
        assert (connack.session_present, connack.reason) == (present, ReasonCode.SUCCESS), connack
        client.agreed = connack.properties
        return client

    def subscriber(self, *filters, qos=0, **options):
        client = self.client(**options)
        client.sends(subscribe(*filters, qos=qos))
        return client.gets(suback(1, *[qos] * len(filters)))

    def subscriber5(self, *filters, qos=0, identifier=None, **options):
        """A client of MQTT 5 with subscriptions."""
        client = self.client5(**options)
        client.sends(subscribe(*filters, qos=qos, identifier=identifier))
        return client.gets(suback(1, *[qos] * len(filters)))

    @property
    def closed(self):
        return self.broker.counters.closed


def subscribe(*filters, qos=0, packet_id=1, identifier=None, **options):
    """SUBSCRIBE to filters; one that is a pair brings its own QoS."""
    pairs = [each if isinstance(each, tuple) else (each, qos) for each in filters]
    properties = NO_PROPERTIES if identifier is None else mqtt.Properties(subscription_ids=(identifier,))
    return mqtt.Subscribe(packet_id, tuple(mqtt.Subscription(*pair, **options) for pair in pairs), properties)


def suback(packet_id, *reasons):
    """SUBACK."""
    return mqtt.SubAck(packet_id, tuple(ReasonCode(reason) for reason in reasons))


def publish(topic, payload=b"x", packet_id=None, *, qos=1, **options):
    """PUBLISH; at QoS 0 without a packet identifier."""
    return mqtt.Publish(topic, payload, 0 if packet_id is None else qos, packet_id=packet_id, **options)


async def turn():
    """Let callbacks of futures run."""
    for _ in range(3):
        await asyncio.sleep(0)


def run(scenario):
    """A test that needs an event loop: futures of the store are made in it."""

    def test():
        asyncio.run(scenario())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


class HeldStore:
    """A session store that tells what it was given, and is done when it is told to."""

    def __init__(self):
        self.writes = []
        """Changes, records and the future of each write."""
        self.lates = []
        self.kept = []
        """What a restart finds."""
        self._session = self._message = 0

    def load(self):
        return self.kept

    def load_retained(self):
        return []

    def next_session(self):
        self._session += 1
        return self._session

    def next_message(self):
        self._message += 1
        return self._message

    def write(self, changes, order, records=()):
        future = asyncio.get_running_loop().create_future()
        self.writes.append((list(changes), list(records), future))
        return future

    def later(self, changes):
        self.lates += changes

    async def done(self):
        """All that was asked for is on disk now. Returns the changes."""
        writes, self.writes = self.writes, []
        for _, _, future in writes:
            if not future.done():
                future.set_result(None)
        await turn()
        return [change for changes, _, _ in writes for change in changes]

    async def fails(self, error):
        """Nothing of it could be written."""
        writes, self.writes = self.writes, []
        for _, _, future in writes:
            future.set_exception(error)
        await turn()
