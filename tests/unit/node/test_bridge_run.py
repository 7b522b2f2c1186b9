"""One bridge, between a broker in memory and another one on the loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from littoral.core.resources.mqtt_bridge import MqttBridge, MqttBridgeTls, MqttBridgeTopic
from littoral.core.tasks import Tasks
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.drivers.random import SystemRandom
from littoral.iot.access import LoginOnly
from littoral.iot.bridge_access import BridgeAccess
from littoral.iot.broker import Broker
from littoral.node.bridge_memory import BridgeMemory, Remembered
from littoral.node.bridge_run import BridgeParts
from littoral.node.bridges import Bridges
from littoral.testing.disk import SimDisk
from littoral.testing.random import SeededRandom
from littoral.wire import mqtt
from tests.support.certificates import TestCa
from tests.support.mqtt_world import World

DEADLINE_S = 30
BOTH = [MqttBridgeTopic(filter="#", direction="both")]
APART = [
    MqttBridgeTopic(filter="#", direction="out", remote_prefix="up/"),
    MqttBridgeTopic(filter="#", direction="in", remote_prefix="down/"),
]


class Here:
    """This node's broker and its bridges."""

    def __init__(self) -> None:
        access = BridgeAccess(LoginOnly(lambda *_: True), "secret")
        self.broker = World(access=access, at_once=True).broker
        self.failures: list[BaseException] = []
        self.warned: list[str] = []
        self.tasks = Tasks(self.failures.append)
        memory = self.memory = BridgeMemory(SimDisk(SeededRandom(1)))
        self.other: Broker
        parts = BridgeParts("n", "lineage", self.broker, "secret", memory, SystemRandom(), self.warned.append)
        self.bridges = Bridges(parts, self.tasks)

    async def until(self, *words: str) -> None:
        """Of the only bridge's state."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self.failures == []
                [state] = self.bridges.states()
                text = f"{state.state}: {state.error or ''}"
                if all(word in text for word in words):
                    return
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def sites() -> AsyncIterator[tuple[Here, int]]:
    """With another broker's port; that broker is one of this project."""
    here, other = Here(), World(at_once=True)
    here.other = other.broker
    listener = MqttListener(other.broker)
    listening = listen_tcp("127.0.0.1:0")
    await listener.start(listening)
    try:
        yield here, listening.getsockname()[1]
    finally:
        await here.bridges.stop()
        await here.tasks.stop()
        here.broker.close()
        await listener.stop()


def bridge(port: int, topics: list[MqttBridgeTopic], version: str = "5", **fields: object) -> MqttBridge:
    document = {"name": "up", "address": f"127.0.0.1:{port}", "topics": topics, "version": version, **fields}
    return msgspec.convert(msgspec.to_builtins(document), MqttBridge)


async def answer_as_a_broker_that_knows_no_bridges(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """In MQTT 3.1.1: it closes the connection of one that says that it is one."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            first, length = await reader.readexactly(2)
            packet = mqtt.decode(first, await reader.readexactly(length))
            if isinstance(packet, mqtt.Connect):
                if packet.is_bridge:
                    break
                writer.write(mqtt.encode(mqtt.ConnAck(session_present=False)))
            elif isinstance(packet, mqtt.Subscribe):
                writer.write(mqtt.encode(mqtt.SubAck(packet.packet_id, (mqtt.ReasonCode.SUCCESS,))))
    writer.close()


def test_a_broker_that_knows_no_bridges_is_connected_to_unless_messages_would_come_back():
    async def main() -> None:
        here = Here()
        server = await asyncio.start_server(answer_as_a_broker_that_knows_no_bridges, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        here.bridges.apply([bridge(port, APART, "3.1.1")])
        await here.until("connected")
        here.bridges.apply([bridge(port, BOTH, "3.1.1")])
        await here.until("waiting", "would come back", 'Set `version: "5"`')
        await here.bridges.stop()
        await here.tasks.stop()
        here.broker.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_two_brokers_of_this_project_know_that_they_are_bridged(version: str):
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, BOTH, version)])
            await here.until("connected")

    asyncio.run(main())


def test_a_bridge_that_is_gone_takes_its_session_with_it_and_one_that_changes_keeps_it():
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, APART)])
            await here.until("connected")
            session = here.broker.sessions.get("$bridge/up")
            here.bridges.apply([bridge(port, BOTH)])
            await here.until("connected")
            assert here.broker.sessions.get("$bridge/up") is session
            [state] = here.bridges.states()
            assert state.connections == 2, "counters go on, as those of metrics do"
            here.bridges.apply([])
            assert here.broker.sessions.get("$bridge/up") is None

    asyncio.run(main())


@pytest.mark.parametrize("change", [{"clientId": "other"}, {"keepAlive": "30s"}], ids=["session", "keep alive"])
def test_a_session_there_that_a_changed_document_has_no_use_for_is_ended(change: dict[str, str]):
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, APART)])
            await here.until("connected")
            here.bridges.apply([bridge(port, APART, **change)])
            await here.until("connected")
            sessions = here.other.sessions
            assert [each.client_id for each in sessions] == (["other"] if "clientId" in change else ["n-up"])

    asyncio.run(main())


def test_a_session_that_the_other_broker_may_have_is_forgotten_before_one_begins_here():
    """A crash between the two would leave sessions that do not fit."""

    async def main() -> None:
        async with sites() as (here, port):
            here.memory.put("up", Remembered(f"127.0.0.1:{port}", "n-up", "lineage", frozenset({"#"})))
            here.bridges.apply([bridge(port, APART)])
            async with asyncio.timeout(DEADLINE_S):
                while here.broker.sessions.get("$bridge/up") is None:
                    await asyncio.sleep(0)
            assert here.memory.get("up") is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tls": {}}, "TLS"),
        ({"tls": {"ca": "/nowhere"}}, "a file of `tls` cannot be read"),
        ({"tls": {"serverName": ".b"}}, "Check `tls.serverName`"),
        ({"username": "u", "passwordFile": "/nowhere"}, "cannot read /nowhere: No such file"),
    ],
    ids=["no TLS there", "no CA here", "no name", "no password here"],
)
def test_what_keeps_it_from_connecting_is_said(fields, words):
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, BOTH, **fields)])
            await here.until("waiting", "up to 127.0.0.1", words)

    asyncio.run(main())


def test_a_certificate_that_is_not_trusted_is_said(tmp_path: Path):
    async def main() -> None:
        certificate, key = TestCa("one").issue("broker").write(tmp_path, "broker")
        (tmp_path / "other.pem").write_bytes(TestCa("other").pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        here = Here()
        port = server.sockets[0].getsockname()[1]
        tls = MqttBridgeTls(ca=str(tmp_path / "other.pem"))
        here.bridges.apply([MqttBridge(name="up", address=f"127.0.0.1:{port}", topics=BOTH, tls=tls)])
        await here.until("waiting", "its certificate is not trusted for 127.0.0.1", "`tls.ca`")
        await here.bridges.stop()
        await here.tasks.stop()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
