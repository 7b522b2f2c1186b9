"""Listeners of the broker that follow the document: real sockets, without a node around them."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from littoral.core.limits import Limits
from littoral.core.resources import Node
from littoral.core.resources.model import Listen, NodeSpec
from littoral.core.resources.mqtt import Mqtt, MqttClientCertificates, MqttListener
from littoral.core.resources.mqtt_bridge import MqttBridge
from littoral.core.resources.part import Metadata
from littoral.core.resources.web import CertificateFiles
from littoral.core.tasks import Tasks
from littoral.drivers import mqtt as driver
from littoral.drivers.clock import SystemClock
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.node.document_watch import waits_for_a_start
from littoral.node.handover import hand_over, handed_over, handover_pair, name_and_address
from littoral.node.mqtt_listeners import MqttListeners
from littoral.node.mqtt_sockets import MqttSockets
from littoral.wire import mqtt
from tests.support.certificates import TestCa
from tests.support.mqtt_world import FakeIntake

DEADLINE_S = 20
ANY, NEXT = "127.0.0.1:0", "127.0.0.2:0"


class Site:
    """A broker and its listeners."""

    def __init__(self, broker: driver.MqttListener, sockets: MqttSockets, tasks: Tasks) -> None:
        self.told: list[tuple[str, bool]] = []
        self.warnings: list[str] = []
        self.broker, self.sockets = broker, sockets
        self.listeners = MqttListeners(broker, sockets, tasks, self.warnings.append)

    async def has(self, *listeners: MqttListener) -> None:
        self.listeners.want(listeners)
        await self.listeners.apply()

    def port(self, name: str = "mqtt-0") -> int:
        return int(self.sockets.addresses()[name].rpartition(":")[2])


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    failures: list[BaseException] = []
    tasks, told = Tasks(failures.append), []
    broker = Broker(FakeIntake(at_once=True), SystemClock(), Limits(), LoginOnly(lambda *_: True), tasks)
    server = driver.MqttListener(broker)
    sockets = MqttSockets({}, Mqtt(), lambda name, each: told.append((name, each is not None)))
    made = Site(server, sockets, tasks)
    made.told = told
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield made
    finally:
        made.listeners.want([])
        await made.listeners.apply()
        await server.stop()
        await tasks.stop()
    assert failures == []


class Visitor:
    """A client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def is_in(self) -> bool:
        self.writer.write(mqtt.encode(mqtt.PingReq()))
        try:
            return await self.reader.readexactly(2) == mqtt.encode(mqtt.PingResp())
        except (asyncio.IncompleteReadError, ConnectionError):
            return False


@contextlib.asynccontextmanager
async def visitor(port: int, name: str) -> AsyncIterator[Visitor]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(mqtt.encode(mqtt.Connect(name, clean_start=True, keep_alive_s=0)))
        assert await reader.readexactly(4) == mqtt.encode(mqtt.ConnAck(session_present=False))
        yield Visitor(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def refuses(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_listeners_are_added_and_removed_and_clients_of_the_others_stay():
    async def main() -> None:
        one, other = MqttListener(address=ANY), MqttListener(address=NEXT, web_socket="/mqtt")
        async with site() as here:
            await here.has(one)
            async with visitor(here.port(), "a") as first:
                await here.has(one, other)
                assert here.told == [(f"mqtt-0@{ANY}", True), (f"mqtt-1@{NEXT}", True)]
                assert await first.is_in()
                gone = here.port("mqtt-1")
                assert not refuses(gone, "127.0.0.2")
                await here.has(one)
                assert refuses(gone, "127.0.0.2")
                assert here.told[2:] == [(f"mqtt-1@{NEXT}", False)]
                assert await first.is_in()
                await here.has()
                assert not await first.is_in(), "its listener has gone"

    uvloop.run(main())


def certificate_of(folder: Path, ca: TestCa) -> CertificateFiles:
    certificate, key = ca.issue("broker").write(folder, "broker")
    return CertificateFiles(certificate=str(certificate), key=str(key))


def test_a_listener_changes_and_its_clients_stay_unless_others_may_come_by_it_now(tmp_path: Path):
    ca = TestCa("devices")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    strict = MqttListener(
        address=ANY,
        certificates=[certificate_of(tmp_path, ca)],
        client_certificates=MqttClientCertificates(ca=str(tmp_path / "ca.pem")),
    )

    async def main() -> None:
        async with site() as here:
            await here.has(MqttListener(address=ANY))
            port = here.port()
            async with visitor(port, "a") as first:
                await here.has(MqttListener(address=ANY, web_socket="/mqtt"))
                assert here.port() == port
                assert await first.is_in()
                await here.has(strict)
                assert here.port() == port
                assert not await first.is_in(), "it has shown no certificate"
            assert here.told == [(f"mqtt-0@{ANY}", True)], "it was the same socket all the time"

    uvloop.run(main())


def test_what_is_wrong_is_told_once_and_tried_again_and_what_was_there_goes_on(tmp_path: Path):
    ca = TestCa("devices")

    async def main() -> None:
        async with site() as here:
            await here.has(MqttListener(address=ANY))
            async with visitor(here.port(), "a") as first:
                missing = CertificateFiles(certificate=str(tmp_path / "broker.pem"), key=str(tmp_path / "broker.key"))
                tls = MqttListener(address=ANY, certificates=[missing])
                await here.has(tls)
                await here.has(tls)
                [warning] = here.warnings
                assert "broker.pem" in warning
                assert "It is as it was before" in warning
                assert await first.is_in()
                shown = certificate_of(tmp_path, ca)
                await here.listeners.apply()
                assert not await first.is_in(), "it speaks TLS now"
                os.remove(shown.certificate)
                await here.has(tls)
                assert len(here.warnings) == 1, "one that is as it was is left alone"

    uvloop.run(main())


def test_a_port_that_somebody_has_is_named():
    async def main() -> None:
        async with site() as here:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                address = f"127.0.0.1:{taken.getsockname()[1]}"
                await here.has(MqttListener(address=ANY), MqttListener(address=address))
                assert not refuses(here.port()), "the other one is there"
                [warning] = here.warnings
                assert warning.startswith(f"the MQTT listener {address} is not as the document says: ")
                assert "the port is in use" in warning
            await here.listeners.apply()
            assert sorted(here.sockets.addresses()) == ["mqtt-0", "mqtt-1"]

    uvloop.run(main())


def test_a_socket_that_the_supervisor_does_not_take_is_not_kept():
    def fails(name: str, listening: socket.socket | None) -> None:
        raise BlockingIOError("it does not look")

    sockets = MqttSockets({}, Mqtt(), fails)
    with pytest.raises(BlockingIOError):
        sockets.take((ANY, 0))
    assert sockets.places() == []


def test_a_hub_that_begins_anew_has_the_sockets_of_the_one_before(monkeypatch: pytest.MonkeyPatch):
    config = Mqtt(listeners=[MqttListener(address=ANY), MqttListener(address=ANY)])
    monkeypatch.setattr("os.kill", lambda *_: None)
    hub_end, supervisor_end = handover_pair()
    with hub_end, supervisor_end, socket.create_server(("127.0.0.1", 0)) as second:
        # The first of the node's start was given up before.
        one = MqttSockets({"mqtt-1": second.detach()}, config, lambda name, each: hand_over(hub_end, name, each))
        port = one.take((ANY, 2)).getsockname()[1]
        one.give_up((ANY, 1))
        handed = dict(handed_over(supervisor_end))
        assert sorted(handed) == [f"mqtt-0@{ANY}", "mqtt-1"]
        assert handed["mqtt-1"] is None
        kept = handed[f"mqtt-0@{ANY}"]
        assert kept is not None
        one.take((ANY, 2)).close()
        next_one = MqttSockets({f"mqtt-0@{ANY}": kept.detach()}, config, None)
        assert next_one.addresses() == {"mqtt-0": f"127.0.0.1:{port}"}
        [place] = next_one.places()
        next_one.give_up(place)
    assert name_and_address("mqtt-3@[::1]:1883") == ("mqtt-3", "[::1]:1883")


def test_what_else_a_document_changes_is_named():
    def node(**spec) -> Node:
        return Node(api_version="littoral/v1", metadata=Metadata(name="n"), spec=NodeSpec(**{"tier": "site", **spec}))

    more = Mqtt(
        listeners=[MqttListener(address=ANY)],
        bridges=[
            msgspec.convert(
                {"name": "b", "address": "h:1", "topics": [{"filter": "#", "direction": "in"}]},
                MqttBridge,
                strict=False,
            )
        ],
    )
    assert waits_for_a_start(node(), node(mqtt=more)) == []
    other = node(mqtt=Mqtt(password_file="/x", anonymous=True), status_interval="1s", listen=Listen(mqtt="127.0.0.1:1"))
    assert waits_for_a_start(node(), other) == [
        "spec.listen",
        "spec.statusInterval",
        "spec.mqtt.anonymous",
        "spec.mqtt.passwordFile",
    ]
