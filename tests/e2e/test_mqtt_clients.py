"""The broker on a real socket, with the clients people use."""

import asyncio
import contextlib
import socket
import subprocess
import threading
import time

import aiomqtt
import paho.mqtt.client as paho
import pytest
import uvloop
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from littoral.core.errors import StorageFull
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker

DEADLINE_S = 30


class Intake:
    """Stores at once, unless `hold` or `fail` says otherwise."""

    def __init__(self):
        self.folded = []
        self.stored = []
        self.held = []
        self.hold = self.fail = False

    def route(self, topic):
        return lambda payload: self.folded.append((topic, bytes(payload)))

    def store(self, records, order):
        future = asyncio.get_running_loop().create_future()
        if self.fail:
            future.set_exception(StorageFull("append to stream", "n/readings", "no space is left"))
            return future
        self.stored.extend(records)
        if self.hold:
            self.held.append(future)
        else:
            future.set_result(None)
        return future


class Server:
    """A broker on a thread with its own uvloop."""

    def __init__(self, limits):
        self.intake = Intake()
        self.limits = limits
        self.failures = []
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self):
        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()
        self.broker = Broker(
            self.intake, SystemClock(), self.limits, LoginOnly(self._authenticate), Tasks(self.failures.append)
        )
        listener = MqttListener(self.broker)
        listening = listen_tcp("127.0.0.1:0")
        self.port = listening.getsockname()[1]
        await listener.start(listening)
        self.ready.set()
        await self.done.wait()
        await listener.stop()

    async def _authenticate(self, client_id, username, password):
        await asyncio.sleep(0)
        return username is None or (username, password) == ("device", b"secret")

    def call(self, function, *arguments):
        self.loop.call_soon_threadsafe(function, *arguments)

    def subscribed(self, topic):
        return any(self.broker.sessions.subscriptions.match(topic))

    def until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)


@contextlib.contextmanager
def serving(limits=None):
    server = Server(limits or Limits())
    server.thread.start()
    try:
        assert server.ready.wait(DEADLINE_S)
        yield server
    finally:
        server.call(server.done.set)
        server.thread.join(DEADLINE_S)
        assert not server.thread.is_alive()
        assert server.failures == []


@pytest.fixture
def server():
    with serving() as running:
        yield running


def run(*command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def arguments(server):
    return ["-h", "127.0.0.1", "-p", str(server.port)]


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_clients(server, qos):
    with subprocess.Popen(
        ["mosquitto_sub", *arguments(server), "-t", "site/+/temp", "-q", qos, "-C", "2", "-v"],
        stdout=subprocess.PIPE,
        text=True,
    ) as subscriber:
        server.until(lambda: server.subscribed("site/a/temp"))
        for number in ("1", "2"):
            run("mosquitto_pub", *arguments(server), "-t", "site/a/temp", "-m", number, "-q", qos)
        output, _ = subscriber.communicate(timeout=DEADLINE_S)
    assert output == "site/a/temp 1\nsite/a/temp 2\n"
    assert len(server.intake.stored) == (0 if qos == "0" else 2)


def test_mosquitto_clients_retained_and_large(server, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 200_000)
    run("mosquitto_pub", *arguments(server), "-t", "a", "-f", str(large), "-r", "-q", "1")
    output = run("mosquitto_sub", *arguments(server), "-t", "#", "-C", "1", "-N", "-W", "5")
    assert output == "x" * 200_000


def test_mosquitto_clients_log_in(server):
    run("mosquitto_pub", *arguments(server), "-t", "a", "-m", "1", "-u", "device", "-P", "secret")
    output = run("mosquitto_pub", *arguments(server), "-t", "a", "-m", "1", "-u", "device", "-P", "wrong", code=4)
    assert "Connection Refused: bad user name or password" in output


def test_mosquitto_clients_of_mqtt_5(server):
    with subprocess.Popen(
        ["mosquitto_sub", *arguments(server), "-V", "5", "-t", "$share/g/a", "-q", "2", "-C", "1", "-F", "%t %p %P %q"],
        stdout=subprocess.PIPE,
        text=True,
    ) as subscriber:
        server.until(lambda: server.subscribed("a"))
        published = ["-t", "a", "-m", "1", "-q", "2", "-D", "publish", "user-property", "k", "v"]
        run("mosquitto_pub", *arguments(server), "-V", "5", *published)
        output, _ = subscriber.communicate(timeout=DEADLINE_S)
    assert output == "a 1 k:v 2\n"
    assert len(server.intake.stored) == 1


def test_aiomqtt_publishes_and_subscribes(server):
    async def main():
        async with aiomqtt.Client("127.0.0.1", server.port, identifier="both") as client:
            await client.subscribe("site/#", qos=1)
            await client.publish("site/a", b"1", qos=1)
            await client.publish("site/a", b"2", qos=0)
            got = []
            async for message in client.messages:
                got.append((str(message.topic), message.payload))
                if len(got) == 2:
                    break
            return got

    assert asyncio.run(asyncio.wait_for(main(), DEADLINE_S)) == [("site/a", b"1"), ("site/a", b"2")]
    assert server.intake.folded == [("site/a", b"2")]
    assert len(server.intake.stored) == 1


class Paho:
    """A paho client on its own thread."""

    def __init__(self, server, name="p", protocol=MQTTProtocolVersion.MQTTv311, **options):
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=protocol, **options)
        self.reasons: list[object] = []
        self.messages: list[tuple[str, bytes, int]] = []
        self.gone: list[object] = []
        self.client.on_connect = lambda *a: self.reasons.append(a[3])
        self.client.on_message = lambda *a: self.messages.append((a[2].topic, a[2].payload, a[2].qos))
        self.client.on_disconnect = lambda *a: self.gone.append(a[3])
        self.server = server

    def __enter__(self):
        self.client.connect("127.0.0.1", self.server.port)
        self.client.loop_start()
        self.server.until(lambda: self.reasons)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


def test_a_paho_client_of_mqtt_5_is_told_why_it_is_closed(server):
    with Paho(server, "twice", protocol=MQTTProtocolVersion.MQTTv5) as first:
        with Paho(server, "twice", protocol=MQTTProtocolVersion.MQTTv5):
            server.until(lambda: first.gone)
        assert str(first.gone[0]) == "Session taken over"
        first.client.disconnect()


def test_a_client_reads_why_it_was_closed_although_it_went_on_sending(server):
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as client:
        client.sendall(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c" + b"\xf0\x00")
        server.until(lambda: server.broker.counters.closed.get("protocol"))
        for _ in range(5):
            client.sendall(b"\xc0\x00" * 1000)
        said = b""
        while data := client.recv(4096):
            said += data
    assert said[0] == 0x20
    assert b"\xe0" in said, "DISCONNECT, and then the end"


def test_a_paho_client_gets_its_puback_after_the_store_and_not_before(server):
    server.intake.hold = True
    with Paho(server) as client:
        sent = client.client.publish("site/a", b"1", qos=1)
        server.until(lambda: server.intake.held)
        with pytest.raises(RuntimeError):
            _published_within(sent, 0.2)
        server.call(server.intake.held[0].set_result, None)
        _published_within(sent, DEADLINE_S)


def _published_within(sent, seconds):
    sent.wait_for_publish(seconds)
    if not sent.is_published():
        raise RuntimeError("not acknowledged")


def test_a_paho_client_sends_again_what_could_not_be_stored(server):
    server.intake.fail = True
    with Paho(server) as client:
        client.client.reconnect_delay_set(1, 1)
        sent = client.client.publish("site/a", b"1", qos=1)
        server.until(lambda: client.gone)
        assert not sent.is_published()
        server.intake.fail = False
        _published_within(sent, DEADLINE_S)
    assert len(server.intake.stored) == 1


def test_a_paho_client_finds_its_session_again(server):
    with Paho(server, "kept", clean_session=False) as client:
        client.client.subscribe("a", qos=1)
        server.until(lambda: server.subscribed("a"))
    run("mosquitto_pub", *arguments(server), "-t", "a", "-m", "while away", "-q", "1")
    with Paho(server, "kept", clean_session=False) as client:
        server.until(lambda: client.messages)
        assert client.messages == [("a", b"while away", 1)]


def test_many_publishes_come_through_in_order(server):
    with Paho(server, "s") as subscriber, Paho(server, "p") as publisher:
        subscriber.client.subscribe("a", qos=1)
        server.until(lambda: server.subscribed("a"))
        for number in range(2000):
            sent = publisher.client.publish("a", b"%d" % number, qos=1)
            assert sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        server.until(lambda: len(subscriber.messages) == 2000)
    assert [payload for _, payload, _ in subscriber.messages] == [b"%d" % number for number in range(2000)]


def test_connections_over_the_limit_are_closed():
    with serving(Limits({"mqtt-connections": 1})) as server, Paho(server):
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as second:
            assert second.recv(1) == b""
        server.until(lambda: server.broker.counters.closed.get("too-many"))


def test_a_subscriber_that_does_not_read_holds_nobody_up(server):
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as stuck, Paho(server, "p") as publisher:
        stuck.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01s" + b"\x82\x06\x00\x01\x00\x01a\x00")
        server.until(lambda: server.subscribed("a"))
        for _ in range(200):
            publisher.client.publish("a", b"x" * 100_000, qos=0)
        _published_within(publisher.client.publish("b", b"done", qos=1), DEADLINE_S)
        assert server.limits.reached["mqtt-send-queue-bytes"] > 0
