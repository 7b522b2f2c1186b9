"""Clients of the broker over TLS, with certificates, and over WebSocket: sockets of this machine, and clients of others."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from websockets.asyncio.client import connect as web_socket
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Event, Message, Ping, Request

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_ADDRESS_CONNECTION_RATE, MQTT_CONNECTIONS
from littoral.core.resources.mqtt import Mqtt, MqttClientCertificates, MqttListener, MqttUser
from littoral.core.resources.web import CertificateFiles
from littoral.core.tasks import Tasks
from littoral.drivers import mqtt as driver
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.random import SystemRandom
from littoral.iot.access import Arrival, Client, LoginOnly
from littoral.iot.broker import Broker
from littoral.iot.rates import ConnectionRate, Rates
from littoral.node.listener_certificates import ListenerCertificates
from littoral.node.mqtt_access import MqttAccess
from littoral.node.mqtt_door import serve
from littoral.node.mqtt_sockets import certificates_of
from littoral.security.certificate_user import NamedBy
from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode
from tests.support.certificates import TestCa
from tests.support.logins import cheap_hash
from tests.support.mqtt_world import FakeIntake

MQTT = [Subprotocol("mqtt")]
USERS = [MqttUser(username="oven", password_hash=cheap_hash("right"))]


CLOSES = Rates(connections="close")


class Stopped(SystemClock):
    """However long the test takes, everything comes at once."""

    def monotonic_s(self) -> float:
        return 1000.0


class Served:
    """A broker with one listener."""

    def __init__(self, broker: Broker, certificates: ListenerCertificates | None, port: int) -> None:
        self.broker = broker
        self.certificates = certificates
        self.port = port
        self.failures: list[BaseException] = []


@contextlib.asynccontextmanager
async def served(
    listener: MqttListener,
    limits: Limits | None = None,
    *,
    anonymous: bool = False,
    rates: Rates = Rates(),  # noqa: B008 - frozen
    clock: SystemClock | None = None,
) -> AsyncIterator[Served]:
    failures: list[BaseException] = []
    clock, known, tasks = clock or SystemClock(), limits or Limits(), Tasks(failures.append)
    access = MqttAccess(Mqtt(users=USERS, anonymous=anonymous), SystemRandom(), clock, print)
    broker = Broker(FakeIntake(at_once=True), clock, known, access, tasks, rates=rates)
    server = driver.MqttListener(broker)
    listening = listen_tcp("127.0.0.1:0")
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
    port = listening.getsockname()[1]
    certificates = certificates_of(listener)
    await serve(listener, listening, server, certificates)
    try:
        yield Served(broker, certificates, port)
    finally:
        await server.stop()
        await tasks.stop()
    assert failures == []


class Files:
    """A listener's certificate, and those of clients, of one CA."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, TestCa("devices")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.ca.pem)
        certificate, key = self.ca.issue("broker").write(folder, "server")
        self.server = CertificateFiles(certificate=str(certificate), key=str(key))

    def listener(
        self, *, required: bool | None = None, user: NamedBy = "commonName", path: str | None = None
    ) -> MqttListener:
        clients = None
        if required is not None:
            clients = MqttClientCertificates(ca=str(self.ca_file), required=required, user=user)
        return MqttListener(
            address="127.0.0.1:0", certificates=[self.server], client_certificates=clients, web_socket=path
        )

    def context(self, name: str | None = None, ca: TestCa | None = None, **more) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if name is not None:
            context.load_cert_chain(*(ca or self.ca).issue(name, **more).write(self.folder, "client"))
        return context


async def answer(port: int, context: ssl.SSLContext | None, packet: mqtt.Packet, level: int = 4) -> mqtt.Packet | None:
    """What the broker says to the first packet; None if it closes the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return None
    try:
        writer.write(mqtt.encode(packet, level))
        head = await reader.readexactly(2)
        body = await reader.readexactly(head[1])
        return mqtt.decode(head[0], body, level)
    except (asyncio.IncompleteReadError, ssl.SSLError, ConnectionError):
        return None
    finally:
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()


def connect(username: str | None = None, password: bytes | None = None) -> mqtt.Connect:
    return mqtt.Connect("c", clean_start=True, keep_alive_s=0, username=username, password=password)


WELCOME = mqtt.ConnAck(session_present=False)
WRONG = mqtt.ConnAck(session_present=False, reason=ReasonCode.BAD_USER_NAME_OR_PASSWORD)


def test_tls(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        async with served(files.listener()) as server:
            assert await answer(server.port, files.context(), connect("oven", b"right")) == WELCOME
            assert await answer(server.port, files.context(), connect("oven", b"wrong")) == WRONG
            assert await answer(server.port, None, connect("oven", b"right")) is None, "it speaks no TLS"

    uvloop.run(main())


@pytest.mark.parametrize(("kind", "name"), [("commonName", "press"), ("dns", "press.test")])
def test_a_certificate_is_a_user(tmp_path: Path, kind: NamedBy, name: str):
    files = Files(tmp_path)

    async def main() -> None:
        async with served(files.listener(required=True, user=kind)) as server:
            shown = files.context("press", names=("press.test",))
            assert await answer(server.port, shown, connect()) == WELCOME
            assert await answer(server.port, shown, connect(name)) == WELCOME
            assert await answer(server.port, shown, connect("oven", b"right")) == WRONG, "it is somebody else"
            assert await answer(server.port, files.context(), connect("oven", b"right")) is None
            foreign = files.context("press", TestCa("others"))
            assert await answer(server.port, foreign, connect()) is None
            expired = files.context("press", expired=True)
            assert await answer(server.port, expired, connect()) is None

    uvloop.run(main())


def test_where_certificates_are_not_required_a_password_will_do(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        async with served(files.listener(required=False)) as server:
            assert await answer(server.port, files.context("press"), connect()) == WELCOME
            assert await answer(server.port, files.context(), connect("oven", b"right")) == WELCOME
            refused = await answer(server.port, files.context(), connect())
            assert refused == mqtt.ConnAck(session_present=False, reason=ReasonCode.NOT_AUTHORIZED)

    uvloop.run(main())


def test_certificates_are_read_again_and_nobody_is_cut_off(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        async with served(files.listener(required=True)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=files.context("press"))
            writer.write(mqtt.encode(mqtt.Connect("kept", clean_start=True, keep_alive_s=0)))
            assert await reader.readexactly(4) == mqtt.encode(WELCOME)
            other = TestCa("later")
            shutil.copy(files.ca_file, tmp_path / "both.pem")
            files.ca_file.write_bytes(other.pem)
            certificate, key = other.issue("broker").write(tmp_path, "server")
            assert (str(certificate), str(key)) == (files.server.certificate, files.server.key)
            assert server.certificates is not None
            server.certificates.look(pytest.fail)
            assert await answer(server.port, files.context("press", other), connect()) == WELCOME
            assert await answer(server.port, files.context("press"), connect()) is None, "its CA is trusted no more"
            writer.write(mqtt.encode(mqtt.PingReq()))
            assert await reader.readexactly(2) == mqtt.encode(mqtt.PingResp())
            writer.close()

    uvloop.run(main())


def test_handshakes_are_connections_too(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        limits = Limits({MQTT_CONNECTIONS.name: 2})
        async with served(files.listener(), limits, anonymous=True) as server:
            silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
            assert await answer(server.port, files.context(), connect()) is None
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await asyncio.wait_for(reader.read(1), 5) == b"", "one that says nothing is one too many, too"
            writer.close()
            for each in silent:
                each.close()
            while await answer(server.port, files.context(), connect()) != WELCOME:
                await asyncio.sleep(0)

    uvloop.run(main())


def test_web_socket(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        plain = MqttListener(address="127.0.0.1:0", web_socket="/mqtt")
        async with served(plain, anonymous=True) as server:
            address = f"ws://127.0.0.1:{server.port}"
            with pytest.raises(InvalidStatus, match="400"):
                await web_socket(f"{address}/mqtt")
            with pytest.raises(InvalidStatus, match="404"):
                await web_socket(f"{address}/other", subprotocols=MQTT)
            async with web_socket(f"{address}/mqtt", subprotocols=MQTT) as client:
                assert client.subprotocol == "mqtt"
                frame = mqtt.encode(connect())
                await client.send(frame[:3])
                await client.send(frame[3:])
                assert await client.recv() == mqtt.encode(WELCOME)
                await (await client.ping())
                await client.send(mqtt.encode(mqtt.Disconnect()))
                await client.wait_closed()
                assert client.close_code == 1001
        async with served(files.listener(required=True, path="/mqtt")) as server:
            address = f"wss://127.0.0.1:{server.port}/mqtt"
            async with web_socket(address, subprotocols=MQTT, ssl=files.context("press")) as client:
                await client.send(mqtt.encode(connect()))
                assert await client.recv() == mqtt.encode(WELCOME)

    uvloop.run(main())


def test_a_web_socket_that_goes_leaves_its_will(tmp_path: Path):
    async def main() -> None:
        plain = MqttListener(address="127.0.0.1:0", web_socket="/mqtt")
        async with served(plain, anonymous=True) as server:
            address = f"ws://127.0.0.1:{server.port}/mqtt"
            async with web_socket(address, subprotocols=MQTT) as watcher:
                await watcher.send(mqtt.encode(mqtt.Connect("w", clean_start=True, keep_alive_s=0)))
                assert await watcher.recv() == mqtt.encode(WELCOME)
                await watcher.send(mqtt.encode(mqtt.Subscribe(1, (mqtt.Subscription("gone", 0),))))
                await watcher.recv()
                will = mqtt.Will("gone", b"x", 0, retain=False)
                async with web_socket(address, subprotocols=MQTT) as client:
                    await client.send(mqtt.encode(mqtt.Connect("c", clean_start=True, keep_alive_s=0, will=will)))
                    await client.recv()
                    await client.send("text is none of MQTT's")
                    await client.wait_closed()
                    assert client.close_code == 1003
                assert await watcher.recv() == mqtt.encode(mqtt.Publish("gone", b"x"))

    uvloop.run(main())


class RawWebSocket:
    """A client whose every byte is the test's."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.frames = WSConnection(ConnectionType.CLIENT)

    async def sends(self, event: Event) -> None:
        await asyncio.get_running_loop().sock_sendall(self.raw, self.frames.send(event))

    async def hears(self) -> list[Event]:
        data = await asyncio.get_running_loop().sock_recv(self.raw, 4096)
        self.frames.receive_data(data or None)
        return list(self.frames.events())


@contextlib.asynccontextmanager
async def raw_web_socket(port: int) -> AsyncIterator[RawWebSocket]:
    """One on which MQTT has begun."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        client = RawWebSocket(raw)
        await client.sends(Request(host="a", target="/mqtt", subprotocols=["mqtt"]))
        await client.hears()
        await client.sends(Message(data=mqtt.encode(connect())))
        await client.hears()
        yield client


def test_a_web_socket_that_asks_and_takes_nothing_is_cut_off():
    async def main() -> None:
        plain = MqttListener(address="127.0.0.1:0", web_socket="/mqtt")
        async with served(plain, anonymous=True) as server, raw_web_socket(server.port) as client:
            pings = client.frames.send(Ping(payload=b"x" * 125)) * 1000

            async def flood() -> None:
                for _ in range(50):
                    await asyncio.get_running_loop().sock_sendall(client.raw, pings)

            with pytest.raises(ConnectionError):
                await flood()

    uvloop.run(main())


def test_the_server_closes_what_has_ended_and_does_not_wait_for_the_client():
    async def main() -> None:
        plain = MqttListener(address="127.0.0.1:0", web_socket="/mqtt")
        async with served(plain, anonymous=True) as server, raw_web_socket(server.port) as client:
            await client.sends(Message(data="text is none of MQTT's"))
            (goodbye,) = await client.hears()
            assert isinstance(goodbye, CloseConnection)
            received = asyncio.get_running_loop().sock_recv(client.raw, 1)
            assert await asyncio.wait_for(received, 5) == b""

    uvloop.run(main())


def test_connections_over_the_rate_are_read_when_it_is_their_turn():
    async def main() -> None:
        limits = Limits({"mqtt-address-connection-rate": 4})
        async with served(MqttListener(address="127.0.0.1:0"), limits, anonymous=True, clock=Stopped()) as server:
            began_s = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(answer(server.port, None, connect()) for _ in range(6)))
            assert [type(each) for each in answers] == [mqtt.ConnAck] * 6
            assert asyncio.get_running_loop().time() - began_s > 0.4, "the sixth waits for half a second"
            assert limits.reached[MQTT_ADDRESS_CONNECTION_RATE.name] == 2

    uvloop.run(main())


def test_a_connection_that_waits_for_a_moment_only_is_read_after_it(monkeypatch: pytest.MonkeyPatch):
    def soon(_: ConnectionRate, address: str) -> float:
        # Whoever comes with it holds the loop for longer than it waits.
        time.sleep(0.005)
        return 0.001

    async def main() -> None:
        monkeypatch.setattr(ConnectionRate, "wait_s", soon)
        async with asyncio.timeout(20), served(MqttListener(address="127.0.0.1:0"), anonymous=True) as server:
            # They are there before the loop looks, which then takes them in one turn.
            clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
            for number, each in enumerate(clients):
                each.sendall(mqtt.encode(msgspec.structs.replace(connect(), client_id=f"c{number}")))
            answers = await asyncio.gather(*(asyncio.to_thread(each.recv, 4) for each in clients))
            assert answers == [mqtt.encode(WELCOME)] * 20
            for each in clients:
                each.settimeout(10)
                each.sendall(mqtt.encode(mqtt.PingReq()))
            answers = await asyncio.gather(*(asyncio.to_thread(each.recv, 2) for each in clients))
            assert answers == [mqtt.encode(mqtt.PingResp())] * 20
            for each in clients:
                each.close()

    uvloop.run(main())


def test_connections_over_the_rate_are_refused_where_the_document_says_so(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        once = {"mqtt-connection-rate": 1}

        def closing(listener: MqttListener) -> contextlib.AbstractAsyncContextManager[Served]:
            return served(listener, Limits(once), anonymous=True, rates=CLOSES, clock=Stopped())

        async with closing(MqttListener(address="127.0.0.1:0")) as server:
            assert await answer(server.port, None, connect()) == WELCOME
            refused = await answer(server.port, None, connect())
            assert refused == mqtt.ConnAck(session_present=False, reason=ReasonCode.SERVER_UNAVAILABLE)
            five = msgspec.structs.replace(connect(), level=mqtt.MQTT_5)
            refused = await answer(server.port, None, five, mqtt.MQTT_5)
            assert refused == mqtt.ConnAck(session_present=False, reason=ReasonCode.CONNECTION_RATE_EXCEEDED)
        async with closing(files.listener()) as server:
            assert await answer(server.port, files.context(), connect()) == WELCOME
            assert await answer(server.port, files.context(), connect()) is None, "it ends before its handshake"
            assert server.broker.counters.refused == 1

    uvloop.run(main())


def test_who_decides_is_told_the_way_by_which_a_client_came(tmp_path: Path):
    files = Files(tmp_path)

    async def main() -> None:
        async with served(files.listener(required=False)) as server:
            seen: list[Arrival] = []

            class Watching(LoginOnly):
                def may_connect(self, client: Client, password: bytes | None) -> bool:
                    seen.append(client.arrival)
                    return True

            server.broker.access = Watching(lambda *_: True)
            assert await answer(server.port, files.context("press"), connect()) == WELCOME
            assert await answer(server.port, files.context(), connect()) == WELCOME
            assert seen == [
                Arrival("127.0.0.1", "127.0.0.1:0", "CN=press"),
                Arrival("127.0.0.1", "127.0.0.1:0"),
            ]

    uvloop.run(main())
